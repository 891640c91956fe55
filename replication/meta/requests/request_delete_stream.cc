#include "replication/meta/requests/meta_requests.h"
#include "replication/meta/requests/request_kind.h"
#include "replication/meta/requests/requests.pb.h"
#include "replication/meta/table/command_delete_stream.h"

namespace bascule::metadata {
namespace {

std::string DeleteKey(const meta::Request& request) {
  return StreamKey(request.delete_stream().name());
}

Verdict CheckDelete(const LeaderView& view, const meta::Request& request) {
  const std::string& name = request.delete_stream().name();
  if (IsReservedStream(name)) return Refuse(absl::InvalidArgumentError("Stream is reserved"));
  if (view.table.Find(name) == nullptr)
    return RefuseByTable(absl::NotFoundError("stream does not exist"));
  return {};
}

std::string EncodeDelete(const meta::Request& request, const Verdict&) {
  return EncodeDeleteStream(request.delete_stream().name(), OriginOf(request));
}

}  // namespace

extern const RequestKind kDeleteStreamRequest;
const RequestKind kDeleteStreamRequest{meta::Request::kDeleteStreamFieldNumber,
                                       "delete a stream",
                                       /*once=*/true,
                                       /*patient=*/false,
                                       &kDeleteStreamCommand,
                                       DeleteKey,
                                       CheckDelete,
                                       EncodeDelete};

}  // namespace bascule::metadata
