// Sockets that listen, and the addresses of those who come. Of core/env alone.
#pragma once

#include <netinet/in.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "core/base/status.h"

namespace bascule::internal {

class Socket {
 public:
  explicit Socket(int fd = -1) : fd_(fd) {}
  ~Socket() { Close(); }
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    if (this != &other) {
      Close();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  int fd() const { return fd_; }
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

int PortIn(const sockaddr_storage& address);
// Of the socket's own end; 0: none.
int PortOf(int fd);
// Who is counted as one: an IPv4 address, or the network of an IPv6 one, of which anybody has 2^64.
std::string AddressKey(const sockaddr_storage& address);
// One connection of that address: "10.0.0.7:4711", "[2001:db8::7]:4711". An IPv4 address in IPv6 is one
// of IPv4 here, as above.
std::string PeerName(const sockaddr_storage& address);
// Listens on host:port, on as many sockets as the host has addresses; port 0: a free one, the same on
// all. Unavailable, with the reason.
absl::StatusOr<std::vector<Socket>> ListenOnText(const std::string& address);

}  // namespace bascule::internal
