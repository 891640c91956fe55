#include "core/api/subscribe_request.h"

#include "api.pb.h"
#include "core/base/text.h"

namespace bascule::api {
namespace {

// Offsets and timestamps count for their own position only: clients send rubbish in the others.
absl::StatusOr<StartPosition> StartOf(const proto::SubscribeRequest& request) {
  StartPosition start;
  switch (request.startposition()) {
    case proto::NEW_ONLY:
      start.kind = StartPosition::Kind::kNewOnly;
      return start;
    case proto::OFFSET:
      start.kind = StartPosition::Kind::kOffset;
      start.offset = request.startoffset();
      return start;
    case proto::EARLIEST:
      start.kind = StartPosition::Kind::kEarliest;
      return start;
    case proto::LATEST:
      start.kind = StartPosition::Kind::kLatest;
      return start;
    case proto::TIMESTAMP:
      start.kind = StartPosition::Kind::kTimestamp;
      start.timestamp = Timestamp(request.starttimestamp());
      return start;
    default:
      return absl::InvalidArgumentError(
          Concat("Unknown StartPosition ", static_cast<int>(request.startposition())));
  }
}

absl::StatusOr<StopPosition> StopOf(const proto::SubscribeRequest& request) {
  StopPosition stop;
  switch (request.stopposition()) {
    case proto::STOP_ON_CANCEL:
      return stop;
    case proto::STOP_OFFSET:
      if (request.stopoffset() == -1) return stop;  // by contract: never
      stop.kind = StopPosition::Kind::kOffset;
      stop.offset = request.stopoffset();
      return stop;
    case proto::STOP_LATEST:
      stop.kind = StopPosition::Kind::kLatest;
      return stop;
    case proto::STOP_TIMESTAMP:
      stop.kind = StopPosition::Kind::kTimestamp;
      stop.timestamp = Timestamp(request.stoptimestamp());
      return stop;
    default:
      return absl::InvalidArgumentError(
          Concat("Unknown StopPosition ", static_cast<int>(request.stopposition())));
  }
}

bool NamesConsumer(const proto::SubscribeRequest& request) {
  const proto::Consumer& consumer = request.consumer();
  return !consumer.groupid().empty() || !consumer.consumerid().empty() ||
         consumer.groupepoch() != 0;
}

}  // namespace

absl::StatusOr<SubscriptionPlan> CheckSubscribe(const proto::SubscribeRequest& request,
                                                const StreamCatalog& catalog,
                                                std::string_view server_id) {
  const bool in_group = !request.consumer().groupid().empty();
  if (in_group && request.consumer().consumerid().empty()) {
    return absl::InvalidArgumentError("Consumer id cannot be empty when group id is provided");
  }
  SubscriptionPlan plan;
  plan.entry = catalog.Find(request.stream());
  const int64_t number = request.partition();
  if (plan.entry == nullptr || number < 0 ||
      number >= static_cast<int64_t>(plan.entry->partitions.size()) ||
      number >= static_cast<int64_t>(plan.entry->stream.partitions.size())) {
    return catalog.Missing(absl::NotFoundError("No such partition"));
  }
  plan.partition = PartitionId(request.partition());
  plan.port = plan.entry->partitions[static_cast<size_t>(number)];
  const bool leads = plan.entry->stream.partitions[static_cast<size_t>(number)].leader == server_id;
  if (plan.port == nullptr || (!leads && !request.readisrreplica())) {
    return absl::FailedPreconditionError("Server not partition leader");
  }
  if (!leads && in_group) {
    return absl::InvalidArgumentError("Consumer groups not compatible with ReadISRReplica");
  }
  // `resume` has nothing to do: no stream of this version can be paused.
  if (NamesConsumer(request)) {
    return absl::UnimplementedError(
        "consumer groups are not implemented by this version of Bascule: subscribe without "
        "Consumer");
  }
  ASSIGN_OR_RETURN(plan.start, StartOf(request));
  plan.start.any_replica = request.readisrreplica();
  ASSIGN_OR_RETURN(plan.stop, StopOf(request));
  if (request.reverse()) plan.direction = Direction::kReverse;
  return plan;
}

}  // namespace bascule::api
