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

// What of the request itself is wrong, whatever becomes of the stream.
Verdict CheckSpec(const LeaderView& view, int brokers, StreamSpec& spec) {
  if (absl::Status valid = NormalizeAndValidate(spec, brokers); !valid.ok())
    return RefuseByTable(std::move(valid));
  if (view.table.Find(spec.name) != nullptr)
    return RefuseByTable(absl::AlreadyExistsError("stream already exists"));
  if (spec.replication_factor > 1) {
    return Refuse(absl::UnimplementedError(Concat("replication factor ", spec.replication_factor,
                                                  ": this version keeps one replica of each "
                                                  "partition")));
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
  const std::vector<PlacementBroker> live = view.placements.Candidates();
  if (Verdict verdict = CheckSpec(view, static_cast<int>(live.size()), spec); !verdict.status.ok())
    return verdict;
  const std::vector<PlacementBroker> brokers = view.placements.Fit(live);
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
