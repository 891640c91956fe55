#include "core/base/text.h"
#include "replication/meta/requests/broker_texts.h"
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
  for (const absl::Status& checked :
       {CheckBrokerId(broker.broker()), CheckBrokerText("host", "host", broker.host()),
        CheckPeerAddress(broker.peer_address()),
        CheckBrokerText("rack", "cluster.rack", broker.rack())}) {
    if (!checked.ok()) return Refuse(checked);
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
