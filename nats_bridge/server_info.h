// What a NATS server says of itself in INFO, and what a client answers in CONNECT. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"

namespace bascule::nats {

struct ServerInfo {
  std::string server_id;
  std::string server_name;
  std::string version;
  std::string nonce;  // to be signed by who logs in with an NKey; empty: it asks for none
  std::vector<std::string> connect_urls;  // "host:port" of the cluster's servers
  int64_t max_payload = 0;                // bytes; 0: it did not say
  bool headers = false;
  bool auth_required = false;
  bool tls_required = false;
  bool tls_available = false;
  bool lame_duck = false;  // it is about to end, and wants its clients elsewhere
};

// InvalidArgument: it is no JSON object, or one of the above has another type than it must have. What else
// stands in it is passed over; null is as good as absent.
absl::StatusOr<ServerInfo> ParseServerInfo(std::string_view json);

// What a client says of itself; empty: it does not.
struct ConnectFields {
  std::string name;
  std::string user;
  std::string password;
  std::string token;
  std::string jwt;
  std::string nkey;       // public
  std::string signature;  // of the nonce, base64url without padding
  bool tls = false;
};

// "CONNECT {...}\r\n". Of texts that are no UTF-8 the wrong bytes are replaced: the server could read none
// of it otherwise.
std::string ConnectLine(const ConnectFields& fields);

}  // namespace bascule::nats
