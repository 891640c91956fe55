#include "nats_bridge/server_url.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "core/base/text.h"
#include "core/base/url.h"

namespace bascule::nats {
namespace {

constexpr int kMaxPort = 65535;

absl::Status Wrong(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(
      Concat("nats: the server's URL '", WithoutUserInfo(text), "' ", why));
}

// Takes the scheme off the front of `rest`; false: an unknown one.
bool TakeScheme(std::string_view& rest, bool& tls) {
  const size_t end = SchemeEnd(rest);
  if (end == std::string_view::npos) return true;
  const absl::string_view scheme = ToAbsl(rest.substr(0, end));
  tls = absl::EqualsIgnoreCase(scheme, "tls");
  if (!tls && !absl::EqualsIgnoreCase(scheme, "nats")) return false;
  rest.remove_prefix(end + 3);
  return true;
}

void TakeUserInfo(std::string_view& rest, ServerUrl& out) {
  const size_t at = rest.rfind('@');
  if (at == std::string_view::npos) return;
  const std::string_view info = rest.substr(0, at);
  rest.remove_prefix(at + 1);
  const size_t colon = info.find(':');
  if (colon == std::string_view::npos) {
    out.token = info;
    return;
  }
  out.user = info.substr(0, colon);
  out.password = info.substr(colon + 1);
}

}  // namespace

absl::StatusOr<ServerUrl> ParseServerUrl(std::string_view text) {
  ServerUrl out;
  std::string_view rest = text;
  if (!TakeScheme(rest, out.tls)) return Wrong(text, "begins with neither nats:// nor tls://");
  TakeUserInfo(rest, out);
  if (rest.ends_with('/')) rest.remove_suffix(1);
  std::string_view port;
  if (rest.starts_with('[')) {
    const size_t end = rest.find(']');
    if (end == std::string_view::npos) return Wrong(text, "has a '[' without its ']'");
    out.host = rest.substr(1, end - 1);
    port = rest.substr(end + 1);
    if (!port.empty() && port.front() != ':')
      return Wrong(text, "has more behind its ']' than a port");
  } else {
    const size_t colon = rest.find(':');
    const bool bare_v6 = colon != rest.rfind(':') && IsIpAddress(std::string(rest));
    out.host = bare_v6 ? rest : rest.substr(0, colon);
    if (colon != std::string_view::npos && !bare_v6) port = rest.substr(colon);
  }
  if (out.host.empty()) return Wrong(text, "names no host");
  if (out.host.find_first_of(" \t\r\n/[]") != std::string::npos)
    return Wrong(text, "names a host that can be none");
  if (port.empty()) return out;
  int number = 0;
  const std::string_view digits = port.substr(1);
  const bool all_digits =
      std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!all_digits || !absl::SimpleAtoi(ToAbsl(digits), &number) || number < 1 || number > kMaxPort)
    return Wrong(text, Concat("has a port that is none from 1 to ", kMaxPort));
  out.port = static_cast<uint16_t>(number);
  return out;
}

std::string HostPort(const ServerUrl& url) {
  const bool v6 = url.host.find(':') != std::string::npos;
  return Concat(v6 ? "[" : "", url.host, v6 ? "]:" : ":", url.port);
}

std::string Shown(const ServerUrl& url) {
  return Concat(url.tls ? "tls://" : "nats://", HostPort(url));
}

bool IsIpAddress(const std::string& host) {
  in6_addr ignored;  // large enough for both
  return inet_pton(AF_INET, host.c_str(), &ignored) == 1 ||
         inet_pton(AF_INET6, host.c_str(), &ignored) == 1;
}

}  // namespace bascule::nats
