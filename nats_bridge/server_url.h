// The URL of a NATS server: [nats://|tls://][user:password@|token@]host[:port][/]. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/status.h"

namespace bascule::nats {

inline constexpr uint16_t kNatsPort = 4222;

struct ServerUrl {
  bool tls = false;  // tls:// stands before it
  std::string user;  // with `password`
  std::string password;
  std::string token;  // what stands alone before the "@"
  std::string host;   // IPv6 without its brackets
  uint16_t port = kNatsPort;
};

// Names and passwords are taken as they stand, without percent-decoding, as nats.c takes them; of several
// "@" the last ends them. InvalidArgument names the URL, without them.
absl::StatusOr<ServerUrl> ParseServerUrl(std::string_view text);

// "host:port", with brackets where IPv6 needs them: which server it is, whoever logs in.
std::string HostPort(const ServerUrl& url);
// For people: the scheme and HostPort, no secrets.
std::string Shown(const ServerUrl& url);

// Whether `host` is an address, not a name.
bool IsIpAddress(const std::string& host);

}  // namespace bascule::nats
