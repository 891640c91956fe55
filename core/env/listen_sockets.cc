#include "core/env/listen_sockets.h"

#include <arpa/inet.h>
#include <linux/tcp.h>
#include <netdb.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "core/base/text.h"

namespace bascule::internal {
namespace {

// Waiting for their turn in the kernel; more are not answered until there is room.
constexpr int kBacklog = 1024;

void SetFlag(int fd, int level, int option, int value) {
  (void)setsockopt(fd, level, option, &value, sizeof(value));
}

void SetPort(sockaddr* address, int port) {
  const auto value = htons(static_cast<uint16_t>(port));
  if (address->sa_family == AF_INET6) {
    reinterpret_cast<sockaddr_in6*>(address)->sin6_port = value;
  } else {
    reinterpret_cast<sockaddr_in*>(address)->sin_port = value;
  }
}

// What accepting or listening turns into a connection's own.
absl::StatusOr<Socket> ListenOn(const sockaddr* address, socklen_t size, bool both_families) {
  Socket made(socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (made.fd() < 0) return absl::UnavailableError(strerror(errno));
  SetFlag(made.fd(), SOL_SOCKET, SO_REUSEADDR, 1);
  SetFlag(made.fd(), IPPROTO_TCP, TCP_NODELAY, 1);
  if (address->sa_family == AF_INET6)
    SetFlag(made.fd(), IPPROTO_IPV6, IPV6_V6ONLY, both_families ? 0 : 1);
  if (bind(made.fd(), address, size) != 0) return absl::UnavailableError(strerror(errno));
  if (listen(made.fd(), kBacklog) != 0) return absl::UnavailableError(strerror(errno));
  return made;
}

absl::StatusOr<std::vector<Socket>> ListenEverywhere(int port) {
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(static_cast<uint16_t>(port));
  std::vector<Socket> sockets;
  auto both = ListenOn(reinterpret_cast<const sockaddr*>(&v6), sizeof(v6), true);
  if (!both.ok()) {  // a machine without IPv6
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(static_cast<uint16_t>(port));
    both = ListenOn(reinterpret_cast<const sockaddr*>(&v4), sizeof(v4), false);
  }
  if (!both.ok()) return both.status();
  sockets.push_back(*std::move(both));
  return sockets;
}

absl::StatusOr<std::vector<Socket>> ListenOnName(const std::string& host, const std::string& port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(host.c_str(), port.c_str(), &hints, &found); error != 0)
    return absl::UnavailableError(gai_strerror(error));
  std::vector<Socket> sockets;
  absl::Status first;
  int bound = 0;
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    if (bound != 0) SetPort(each->ai_addr, bound);
    auto made = ListenOn(each->ai_addr, each->ai_addrlen, false);
    if (made.ok()) {
      bound = PortOf(made->fd());
      sockets.push_back(*std::move(made));
    } else if (first.ok()) {
      first = made.status();
    }
  }
  freeaddrinfo(found);
  if (sockets.empty()) return first.ok() ? absl::UnavailableError("no such address") : first;
  return sockets;
}

}  // namespace

int PortIn(const sockaddr_storage& address) {
  return address.ss_family == AF_INET6
             ? ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port)
             : ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

int PortOf(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  return PortIn(address);
}

std::string PeerName(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = "";
  const int port = PortIn(address);
  const in6_addr& v6 = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  if (address.ss_family == AF_INET || IN6_IS_ADDR_V4MAPPED(&v6))
    return Concat(AddressKey(address), ":", port);
  inet_ntop(AF_INET6, &v6, text, sizeof(text));
  return Concat("[", text, "]:", port);
}

std::string AddressKey(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(address).sin_addr, text, sizeof(text));
    return text;
  }
  in6_addr v6 = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&v6)) {
    inet_ntop(AF_INET, v6.s6_addr + 12, text, sizeof(text));
    return text;
  }
  std::memset(v6.s6_addr + 8, 0, 8);
  inet_ntop(AF_INET6, &v6, text, sizeof(text));
  return Concat(text, "/64");
}

absl::StatusOr<std::vector<Socket>> ListenOnText(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) return absl::UnavailableError("it has no port");
  std::string host = address.substr(0, colon);
  const std::string port = address.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host.empty() || host == "0.0.0.0" || host == "::") return ListenEverywhere(std::stoi(port));
  return ListenOnName(host, port);
}

}  // namespace bascule::internal
