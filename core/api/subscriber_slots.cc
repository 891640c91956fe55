#include "core/api/subscriber_slots.h"

#include <arpa/inet.h>

#include <cstring>

#include "core/base/text.h"

namespace bascule::api {

std::string ClientAddress(std::string_view peer) {
  const size_t colon = peer.rfind(':');
  const std::string host(peer.substr(0, colon));
  constexpr std::string_view kIpv6 = "ipv6:";
  if (!host.starts_with(kIpv6)) return host;
  // Brackets come escaped: ipv6:%5B2001:db8::7%5D:4711.
  std::string bare = host.substr(kIpv6.size());
  for (const std::string_view bracket : {"%5B", "%5D", "[", "]"}) {
    if (const size_t at = bare.find(bracket); at != std::string::npos)
      bare.erase(at, bracket.size());
  }
  in6_addr address{};
  if (inet_pton(AF_INET6, bare.c_str(), &address) != 1) return host;
  char text[INET6_ADDRSTRLEN] = "";
  if (IN6_IS_ADDR_V4MAPPED(&address)) {
    inet_ntop(AF_INET, address.s6_addr + 12, text, sizeof(text));
    return Concat("ipv4:", text);
  }
  std::memset(address.s6_addr + 8, 0, 8);
  inet_ntop(AF_INET6, &address, text, sizeof(text));
  return Concat(kIpv6, text, "/64");
}

}  // namespace bascule::api
