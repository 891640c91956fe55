#include "nats_bridge/nats_options.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "core/base/text.h"

namespace bascule::nats {

bool NeedsTls(const NatsOptions& options) {
  const NatsTlsOptions& tls = options.tls;
  return tls.enabled || !tls.ca_file.empty() || !tls.cert_file.empty() ||
         std::any_of(options.urls.begin(), options.urls.end(), [](const std::string& url) {
           return absl::StartsWithIgnoreCase(url, "tls://");
         });
}

absl::Status CheckTlsFiles(const NatsTlsOptions& tls) {
  if (tls.cert_file.empty() == tls.key_file.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "nats: a TLS client certificate needs its key, and a key its certificate");
}

std::string ClientName(const NatsOptions& options, std::string_view role) {
  return Concat(options.name_prefix, ".", options.cluster_namespace, ".", options.server_id, ".",
                role);
}

}  // namespace bascule::nats
