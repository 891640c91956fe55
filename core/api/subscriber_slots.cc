#include "core/api/subscriber_slots.h"

#include <arpa/inet.h>

#include <cstring>

#include "core/base/text.h"

namespace bascule::api {

namespace {

constexpr std::string_view kIpv6 = "ipv6:";

// Of "ipv6:%5B2001:db8::7%5D:4711", where brackets may come escaped; false: it is none.
bool ReadIpv6(const std::string& host, in6_addr& address) {
  if (!host.starts_with(kIpv6)) return false;
  std::string bare = host.substr(kIpv6.size());
  for (const std::string_view bracket : {"%5B", "%5D", "[", "]"}) {
    if (const size_t at = bare.find(bracket); at != std::string::npos)
      bare.erase(at, bracket.size());
  }
  return inet_pton(AF_INET6, bare.c_str(), &address) == 1;
}

std::string Ipv4In(const in6_addr& address) {
  char text[INET_ADDRSTRLEN] = "";
  inet_ntop(AF_INET, address.s6_addr + 12, text, sizeof(text));
  return text;
}

}  // namespace

std::string ClientAddress(std::string_view peer) {
  const std::string host(peer.substr(0, peer.rfind(':')));
  in6_addr address{};
  if (!ReadIpv6(host, address)) return host;
  if (IN6_IS_ADDR_V4MAPPED(&address)) return Concat("ipv4:", Ipv4In(address));
  std::memset(address.s6_addr + 8, 0, 8);
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(AF_INET6, &address, text, sizeof(text));
  return Concat(kIpv6, text, "/64");
}

std::string ClientHost(std::string_view peer) {
  std::string host(peer.substr(0, peer.rfind(':')));
  in6_addr address{};
  if (!ReadIpv6(host, address)) {
    if (const size_t scheme = host.find(':'); scheme != std::string::npos)
      host.erase(0, scheme + 1);
    return host;
  }
  if (IN6_IS_ADDR_V4MAPPED(&address)) return Ipv4In(address);
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(AF_INET6, &address, text, sizeof(text));
  return text;
}

}  // namespace bascule::api
