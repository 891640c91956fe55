// How to reach NATS, and under which names. Plain values, filled by the configuration.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/limits.h"
#include "core/base/status.h"

namespace bascule::nats {

struct NatsTlsOptions {
  bool enabled = false;   // required of every server; so it is by tls:// in a URL, or any file here
  std::string ca_file;    // empty = the system's certificates
  std::string cert_file;  // client certificate and its key: both or neither
  std::string key_file;
};

// At most one of user/password, token, creds_file and nkey_seed_file.
struct NatsOptions {
  std::vector<std::string> urls;  // empty = nats://127.0.0.1:4222
  std::string user;
  std::string password;
  std::string token;
  std::string creds_file;      // a user's JWT and NKey seed, as `nsc` writes it
  std::string nkey_seed_file;  // a user's NKey seed alone ("SU...")
  NatsTlsOptions tls;
  std::string name_prefix =
      "bascule";  // connections are named <prefix>.<namespace>.<server id>.{ingest,egress}
  std::string cluster_namespace = "bascule";  // ack inboxes live below "<namespace>.ack."
  std::string server_id;
  size_t max_message_bytes =
      limits::kDefaultMessageBytes;  // a NATS server that takes less is reported
};

// Whether every connection must be encrypted: any TLS setting, or tls:// in any server's URL. Then
// nothing is sent to a server that offers no TLS.
bool NeedsTls(const NatsOptions& options);
// InvalidArgument: one of a client certificate and its key without the other.
absl::Status CheckTlsFiles(const NatsTlsOptions& tls);
// As the operators of the NATS server see a connection: `role` is what it is for.
std::string ClientName(const NatsOptions& options, std::string_view role);

}  // namespace bascule::nats
