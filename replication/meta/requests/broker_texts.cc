#include "replication/meta/requests/broker_texts.h"

#include "core/base/limits.h"
#include "core/base/text.h"

namespace bascule::metadata {

absl::Status CheckBrokerText(std::string_view what, std::string_view setting,
                             const std::string& text) {
  if (text.size() <= limits::kPeerNameBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(Concat("the ", what, " of a broker has ", text.size(),
                                           " bytes, at most ", limits::kPeerNameBytes,
                                           " are kept: give it a shorter ", setting));
}

absl::Status CheckBrokerId(const std::string& server_id) {
  return CheckBrokerText("server id", "clustering.server.id", server_id);
}

absl::Status CheckPeerAddress(const std::string& address) {
  return CheckBrokerText("peer address", "cluster.advertised", address);
}

}  // namespace bascule::metadata
