// Listens on a TCP address and hands on the connections that there is room for. gRPC 1.51 accepts
// without a bound, and when it is out of descriptors once it may not accept ever again; here both
// are ours: what is past the bounds is closed at once, a spare descriptor lets that happen even when
// there is no other, and a closed connection gives its place back.
//
//   accept thread        poll, accept, ConnectionQuota::Take ── full: close, count
//                            └─ admitted
//   connect thread       take(fd), which owns it from then on; gRPC may keep this thread for a while
//   once a second        which of the handed-on sockets are gone (their numbers and cookies)
//   every watch.period   who sent much: watch.judge ── ended: shut down, its address barred
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/status.h"

namespace bascule {

struct ListenOptions {
  std::string address{};  // host:port; port 0: a free one; an every-interface host: IPv4 and IPv6
  std::string name{};     // begins log lines, names the thread: "api"
  std::string remedy{};   // what to raise when connections are refused
  size_t max_connections = 0;
  size_t max_per_address = 0;
};

struct BusyConnection {
  std::string peer;       // "10.0.0.7:4711", "[2001:db8::7]:4711"
  std::string address;    // whose: an IPv4 address or an IPv6 /64
  uint64_t received = 0;  // bytes, ever
};

struct CondemnedConnection {
  std::string peer;
  std::string reason;  // completes "... is ended: "
};

// Who looks after connections while they are open, on the accept thread.
struct ConnectionWatch {
  std::chrono::milliseconds period{50};
  // Connections that sent at least so much since they were shown before are shown...
  size_t busy_bytes = 0;
  // ... here, at each look while any is open, also when there are none to show; the peers that come
  // back are ended, and their address opens no others for a while.
  std::function<std::vector<CondemnedConnection>(const std::vector<BusyConnection>& busy)> judge;
  std::chrono::milliseconds barred{5000};
};

class ConnectionListener {
 public:
  struct Counts {
    uint64_t open = 0;
    uint64_t accepted = 0;
    uint64_t refused_full = 0;
    uint64_t refused_address = 0;
    uint64_t refused_barred = 0;
    uint64_t ended = 0;   // by the watch
    uint64_t failed = 0;  // accepts for want of a descriptor or memory
  };

  // Listens; connections wait in the kernel until Start. Unavailable: the address cannot be
  // listened on; the text says why.
  static absl::StatusOr<std::unique_ptr<ConnectionListener>> Open(const ListenOptions& options);
  ~ConnectionListener();  // Stop()

  int port() const;
  // `take` owns the descriptor (non-blocking, close-on-exec); on the connect thread.
  void Start(std::function<void(int fd)> take, ConnectionWatch watch = {});
  // Nothing is accepted any more, and the port is free. Idempotent; not from `take`.
  void Stop();
  Counts counts() const;  // any thread

 private:
  struct State;
  explicit ConnectionListener(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace bascule
