#include "core/base/text.h"
#include "replication/meta/requests/meta_requests.h"
#include "replication/meta/requests/request_kind.h"
#include "replication/meta/requests/requests.pb.h"
#include "replication/meta/table/command_move_leader.h"
#include "replication/meta/table/meta_codec.h"

namespace bascule::metadata {
namespace {

// As raised epochs: what begins an epoch goes one after the other.
std::string LeadKey(const meta::Request& request) {
  const meta::PartitionKey& partition = request.move_leader().partition();
  return Concat("epoch ", partition.stream_id(), "/", partition.partition());
}

std::string EncodeMove(const meta::Request& request, const Verdict&) {
  const meta::MoveLeader& move = request.move_leader();
  return EncodeMoveLeader(FromProto(move.partition()), LeaderEpoch(move.leader_epoch()), move.to(),
                          OriginOf(request));
}

}  // namespace

// Once: asked again when the lead has moved on, the answer is still what became of it.
extern const RequestKind kMoveLeaderRequest;
const RequestKind kMoveLeaderRequest{meta::Request::kMoveLeaderFieldNumber,
                                     "move a partition's leader",
                                     /*once=*/true,
                                     /*patient=*/false,
                                     &kMoveLeaderCommand,
                                     LeadKey,
                                     /*check=*/nullptr,
                                     EncodeMove};

}  // namespace bascule::metadata
