#include "core/base/text.h"
#include "replication/meta/requests/request_kind.h"
#include "replication/meta/requests/requests.pb.h"
#include "replication/meta/table/command_alter_isr.h"
#include "replication/meta/table/meta_codec.h"

namespace bascule::metadata {
namespace {

std::string IsrKey(const meta::Request& request) { return Concat("isr ", request.broker()); }

// Whoever asks is the leader that proposes: nobody speaks for another.
std::string EncodeIsr(const meta::Request& request, const Verdict&) {
  std::vector<IsrAlteration> alterations;
  for (const meta::AlterIsr::Change& change : request.alter_isr().changes()) {
    IsrAlteration& alteration = alterations.emplace_back();
    alteration.partition = FromProto(change.partition());
    alteration.leader = request.broker();
    alteration.epoch = LeaderEpoch(change.leader_epoch());
    alteration.version = change.version();
    for (const meta::AlterIsr::Member& member : change.isr())
      alteration.isr.push_back({member.broker(), member.incarnation(), member.verified()});
  }
  return EncodeAlterIsr(alterations);
}

}  // namespace

// Each change names the version it was made from (R1b): asked twice, the second is out of date. One that comes
// late, after its leader was told that nobody knows, still counts there as proposed (R5b).
extern const RequestKind kAlterIsrRequest;
const RequestKind kAlterIsrRequest{meta::Request::kAlterIsrFieldNumber,
                                   "change in-sync replicas",
                                   /*once=*/false,
                                   /*patient=*/false,
                                   &kAlterIsrCommand,
                                   IsrKey,
                                   /*check=*/nullptr,
                                   EncodeIsr};

}  // namespace bascule::metadata
