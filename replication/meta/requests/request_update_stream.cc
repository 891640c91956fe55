#include <utility>

#include "core/base/text.h"
#include "replication/meta/requests/meta_requests.h"
#include "replication/meta/requests/request_kind.h"
#include "replication/meta/requests/requests.pb.h"
#include "replication/meta/table/command_update_stream.h"
#include "replication/meta/table/meta_codec.h"

namespace bascule::metadata {
namespace {

std::string UpdateKey(const meta::Request& request) {
  return StreamKey(request.update_stream().name());
}

Verdict CheckUpdate(const LeaderView& view, const meta::Request& request) {
  const std::string& name = request.update_stream().name();
  const StreamOverrides changes = FromProto(request.update_stream().changes());
  if (IsReservedStream(name)) return Refuse(absl::InvalidArgumentError("Stream is reserved"));
  if (changes == StreamOverrides())
    return Refuse(absl::InvalidArgumentError("no setting is named that should change"));
  if (absl::Status valid = ValidateOverrides(changes); !valid.ok()) return Refuse(std::move(valid));
  if (const StreamSetting* fixed = FindFixed(changes); fixed != nullptr) {
    return Refuse(absl::InvalidArgumentError(
        Concat("the ", fixed->name, " of a stream cannot change; create another stream with it")));
  }
  if (absl::Status known = CheckLevel(view.table, changes); !known.ok())
    return RefuseByTable(std::move(known));
  const StreamDescription* stream = view.table.Find(name);
  if (stream == nullptr) return RefuseByTable(absl::NotFoundError("stream does not exist"));
  return RefuseByTable(CheckMinIsr(changes, ReplicationOf(*stream)));
}

std::string EncodeUpdate(const meta::Request& request, const Verdict&) {
  const meta::UpdateStreamRequest& update = request.update_stream();
  return EncodeUpdateStream(update.name(), FromProto(update.changes()), OriginOf(request));
}

}  // namespace

extern const RequestKind kUpdateStreamRequest;
const RequestKind kUpdateStreamRequest{meta::Request::kUpdateStreamFieldNumber,
                                       "update a stream",
                                       /*once=*/true,
                                       /*patient=*/false,
                                       &kUpdateStreamCommand,
                                       UpdateKey,
                                       CheckUpdate,
                                       EncodeUpdate};

}  // namespace bascule::metadata
