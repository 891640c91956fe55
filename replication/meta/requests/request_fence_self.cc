#include "core/base/text.h"
#include "replication/meta/requests/request_kind.h"
#include "replication/meta/requests/requests.pb.h"
#include "replication/meta/table/command_fence_brokers.h"

namespace bascule::metadata {
namespace {

// As its registrations: what of one broker came first is carried out first.
std::string SelfKey(const meta::Request& request) { return Concat("broker ", request.broker()); }

std::string EncodeFence(const meta::Request& request, const Verdict&) {
  return EncodeFenceBrokers({{request.broker(), request.incarnation()}});
}

}  // namespace

// Names the process, so one that comes late does not fence the next.
extern const RequestKind kFenceSelfRequest;
const RequestKind kFenceSelfRequest{meta::Request::kFenceSelfFieldNumber,
                                    "leave its leads to others",
                                    /*once=*/false,
                                    /*patient=*/false,
                                    &kFenceBrokersCommand,
                                    SelfKey,
                                    /*check=*/nullptr,
                                    EncodeFence};

}  // namespace bascule::metadata
