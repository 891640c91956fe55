#include <utility>

#include "core/base/text.h"
#include "replication/meta/requests/meta_requests.h"
#include "replication/meta/requests/request_kind.h"
#include "replication/meta/requests/requests.pb.h"
#include "replication/meta/table/command_create_stream.h"

namespace bascule::metadata {
namespace {

std::string CreateKey(const meta::Request& request) {
  return StreamKey(request.create_stream().spec().name());
}

// Before replicas a factor that nobody named is one; what the operator set is asked for, and refused.
int32_t OpenFactor(const LeaderView& view, int brokers, const StreamSpec& spec) {
  const bool one = view.replication_factor == 0 && view.table.feature_level() < kReplicasLevel;
  return one ? 1 : OpenReplicationFactor(spec, view.replication_factor, brokers);
}

// The factor that it came to is more than there are brokers, or more than old brokers know.
absl::Status BlameSetting(const absl::Status& refused) {
  return absl::Status(refused.code(), Concat(FromAbsl(refused.message()),
                                             "; it comes from streams.replication.factor, name "
                                             "another"));
}

// What of the request itself is wrong, whatever becomes of the stream.
Verdict CheckSpec(const LeaderView& view, int brokers, StreamSpec& spec) {
  const bool by_setting = spec.replication_factor == 0 && view.replication_factor != 0;
  const absl::Status valid = NormalizeAndValidate(spec, brokers, OpenFactor(view, brokers, spec));
  if (!valid.ok()) {
    const bool blame =
        by_setting && FromAbsl(valid.message()).starts_with("Invalid replicationFactor");
    return RefuseByTable(blame ? BlameSetting(valid) : valid);
  }
  if (view.table.Find(spec.name) != nullptr)
    return RefuseByTable(absl::AlreadyExistsError("stream already exists"));
  if (spec.replication_factor > 1) {
    const absl::Status known = CheckLevel(
        view.table, Concat("replication factor ", spec.replication_factor), kReplicasLevel);
    if (!known.ok()) return RefuseByTable(by_setting ? BlameSetting(known) : known);
  }
  if (absl::Status known = CheckLevel(view.table, spec.overrides); !known.ok())
    return RefuseByTable(std::move(known));
  Merge(OpenBindings(spec.overrides, view.defaults, view.table.feature_level()), spec.overrides);
  const absl::Status can = CheckMinIsr(spec.overrides, spec.replication_factor);
  if (can.ok()) return {};
  return RefuseByTable(
      absl::InvalidArgumentError(Concat(FromAbsl(can.message()),
                                        "; it comes from clustering.min.insync.replicas, ask for "
                                        "at most ",
                                        spec.replication_factor)));
}

Verdict CheckCreate(const LeaderView& view, const meta::Request& request) {
  StreamSpec spec = FromProto(request.create_stream().spec());
  const std::vector<PlacementBroker> brokers = view.placements.Candidates();
  if (Verdict verdict = CheckSpec(view, static_cast<int>(brokers.size()), spec);
      !verdict.status.ok())
    return verdict;
  StreamDescription stream;
  stream.name = spec.name;
  stream.subject = spec.subject;
  stream.group = spec.group;
  stream.created = view.clock.Wall();
  stream.overrides = spec.overrides;
  stream.partitions = Place(spec.partitions, spec.replication_factor, brokers);
  if (absl::Status room = view.placements.CheckBrokers(stream, brokers); !room.ok())
    return RefuseByTable(std::move(room));
  if (absl::Status room = view.placements.CheckTable(stream); !room.ok())
    return RefuseByTable(std::move(room));
  if (absl::Status alone = view.overlap.Check(stream, view.table, view.defaults); !alone.ok())
    return RefuseByTable(std::move(alone));
  return {absl::OkStatus(), false, std::move(stream)};
}

std::string EncodeCreate(const meta::Request& request, const Verdict& verdict) {
  return EncodeCreateStream(verdict.stream, OriginOf(request));
}

}  // namespace

extern const RequestKind kCreateStreamRequest;
const RequestKind kCreateStreamRequest{meta::Request::kCreateStreamFieldNumber,
                                       "create a stream",
                                       /*once=*/true,
                                       /*patient=*/false,
                                       &kCreateStreamCommand,
                                       CreateKey,
                                       CheckCreate,
                                       EncodeCreate};

}  // namespace bascule::metadata
