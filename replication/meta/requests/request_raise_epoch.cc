#include "core/base/text.h"
#include "replication/meta/requests/meta_requests.h"
#include "replication/meta/requests/request_kind.h"
#include "replication/meta/requests/requests.pb.h"
#include "replication/meta/table/command_raise_epoch.h"

namespace bascule::metadata {
namespace {

std::string EpochKey(const meta::Request& request) {
  return Concat("epoch ", request.raise_epoch().stream_id(), "/",
                request.raise_epoch().partition());
}

std::string EncodeEpoch(const meta::Request& request, const Verdict&) {
  const meta::RaiseEpoch& raise = request.raise_epoch();
  return EncodeRaiseEpoch({StreamId(raise.stream_id()), PartitionId(raise.partition())},
                          raise.leader(), OriginOf(request));
}

}  // namespace

extern const RequestKind kRaiseEpochRequest;
const RequestKind kRaiseEpochRequest{meta::Request::kRaiseEpochFieldNumber,
                                     "raise a leader epoch",
                                     /*once=*/true,
                                     /*patient=*/false,
                                     &kRaiseEpochCommand,
                                     EpochKey,
                                     /*check=*/nullptr,
                                     EncodeEpoch};

}  // namespace bascule::metadata
