#include "core/api/administrators.h"

#include <arpa/inet.h>
#include <grpcpp/security/auth_context.h>
#include <grpcpp/server_context.h>

#include <algorithm>

#include "core/base/text.h"

namespace bascule::api {
namespace {

// What proxies add when they pass a request on.
constexpr std::string_view kProxyHeaders[] = {"forwarded", "via", "x-real-ip"};
constexpr std::string_view kProxyPrefixes[] = {"x-forwarded-", "x-envoy-"};
// As gRPC names the parts of a verified certificate.
constexpr const char* kCertificateNames[] = {"x509_common_name", "x509_subject_alternative_name"};

// "ipv6:%5B::1%5D:123" -> "::1"; empty: not of this form.
std::string HostOf(std::string_view address) {
  std::string text;
  for (size_t i = 0; i < address.size(); ++i) {
    const std::string_view escape = address.substr(i, 3);
    const bool bracket = escape == "%5B" || escape == "%5D" || escape == "%5b" || escape == "%5d";
    if (bracket) {
      text += escape[2] == 'B' || escape[2] == 'b' ? '[' : ']';
      i += 2;
    } else {
      text += address[i];
    }
  }
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return "";
  std::string host = text.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  return host;
}

bool IsOfProxy(std::string_view header) {
  return std::find(std::begin(kProxyHeaders), std::end(kProxyHeaders), header) !=
             std::end(kProxyHeaders) ||
         std::any_of(std::begin(kProxyPrefixes), std::end(kProxyPrefixes),
                     [&](std::string_view prefix) { return header.starts_with(prefix); });
}

bool IsLoopback4(const in_addr& address) { return ntohl(address.s_addr) >> 24 == 127; }

}  // namespace

bool IsLoopback(std::string_view peer) {
  constexpr std::string_view kUnix = "unix:";
  constexpr std::string_view kIpv4 = "ipv4:";
  constexpr std::string_view kIpv6 = "ipv6:";
  if (peer.starts_with(kUnix)) return true;
  if (peer.starts_with(kIpv4)) {
    in_addr address{};
    return inet_pton(AF_INET, HostOf(peer.substr(kIpv4.size())).c_str(), &address) == 1 &&
           IsLoopback4(address);
  }
  if (!peer.starts_with(kIpv6)) return false;
  in6_addr address{};
  if (inet_pton(AF_INET6, HostOf(peer.substr(kIpv6.size())).c_str(), &address) != 1) return false;
  if (IN6_IS_ADDR_LOOPBACK(&address)) return true;
  if (!IN6_IS_ADDR_V4MAPPED(&address)) return false;
  in_addr mapped{};
  std::copy(address.s6_addr + 12, address.s6_addr + 16, reinterpret_cast<uint8_t*>(&mapped.s_addr));
  return IsLoopback4(mapped);
}

Caller CallerOf(const grpc::CallbackServerContext& context) {
  Caller caller;
  caller.peer = context.peer();
  for (const auto& header : context.client_metadata()) {
    const std::string_view name(header.first.data(), header.first.size());
    caller.proxied = caller.proxied || IsOfProxy(name);
  }
  const auto certificate = context.auth_context();
  if (certificate == nullptr || !certificate->IsPeerAuthenticated()) return caller;
  for (const char* kind : kCertificateNames) {
    for (const grpc::string_ref& name : certificate->FindPropertyValues(kind))
      caller.names.emplace_back(name.data(), name.size());
  }
  return caller;
}

absl::Status CheckAdministrator(const Caller& caller, const AdminOptions& options) {
  for (const std::string& name : caller.names) {
    const auto& listed = options.identities;
    if (std::find(listed.begin(), listed.end(), name) != listed.end()) return absl::OkStatus();
  }
  const bool local = IsLoopback(caller.peer) && !caller.proxied;
  if (local && options.loopback) return absl::OkStatus();
  std::string who =
      Concat("this call came from ", caller.peer, caller.proxied ? " through a proxy" : "",
             caller.names.empty() ? " without a client certificate"
                                  : Concat(" with the certificate of ", caller.names.front()));
  return absl::PermissionDeniedError(Concat(
      "the cluster is changed only ",
      options.loopback ? "from the machine of a broker (--server 127.0.0.1:PORT there) and " : "",
      "with a client certificate whose name admin.identities lists; ", who,
      options.loopback
          ? ". Run the command on a broker's machine, or list the certificate's name in "
            "admin.identities of this broker (with tls.client.auth.enabled) and restart it"
          : ". List the certificate's name in admin.identities of this broker (with "
            "tls.client.auth.enabled) and restart it; admin.loopback is off here"));
}

}  // namespace bascule::api
