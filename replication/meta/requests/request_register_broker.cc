#include <utility>

#include "core/base/limits.h"
#include "core/base/text.h"
#include "replication/meta/requests/request_kind.h"
#include "replication/meta/requests/requests.pb.h"
#include "replication/meta/table/command_register_broker.h"

namespace bascule::metadata {
namespace {

std::string RegistrationKey(const meta::Request& request) {
  return Concat("broker ", request.broker());
}

Verdict CheckNames(const LeaderView&, const meta::Request& request) {
  const meta::RegisterBroker& broker = request.register_broker();
  for (const auto& [what, text] :
       {std::pair("server id", &broker.broker()), std::pair("host", &broker.host()),
        std::pair("peer address", &broker.peer_address()), std::pair("rack", &broker.rack())}) {
    if (text->size() <= limits::kPeerNameBytes) continue;
    return Refuse(absl::InvalidArgumentError(Concat("the ", what, " of a broker has ", text->size(),
                                                    " bytes, at most ", limits::kPeerNameBytes,
                                                    " are kept")));
  }
  return {};
}

std::string EncodeRegistration(const meta::Request& request, const Verdict&) {
  return EncodeRegisterBroker(FromProto(request.register_broker()));
}

}  // namespace

// Idempotent by itself.
extern const RequestKind kRegisterBrokerRequest;
const RequestKind kRegisterBrokerRequest{meta::Request::kRegisterBrokerFieldNumber,
                                         "register a broker",
                                         /*once=*/false,
                                         /*patient=*/false,
                                         &kRegisterBrokerCommand,
                                         RegistrationKey,
                                         CheckNames,
                                         EncodeRegistration};

}  // namespace bascule::metadata
