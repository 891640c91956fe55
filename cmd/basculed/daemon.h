// A broker on this machine: what is real about it (disk, clock, threads, NATS, gRPC, the peer port)
// around replication/broker's Broker. Built in the order of dependence, taken down in the reverse one.
#pragma once

#include <functional>
#include <memory>

#include "core/base/status.h"
#include "core/config/config.h"

namespace bascule::daemon {

class Daemon {
 public:
  // Blocks until the broker serves, with its declared streams in place; one that is to join a
  // cluster waits for it as long as that takes. Errors say what to change. `fatal`: the process
  // must end (the reason is logged); from any thread, at any time after the call began.
  static absl::StatusOr<std::unique_ptr<Daemon>> Start(const config::Config& config,
                                                       std::function<void()> fatal);
  // Stops gracefully: no new requests, everything heard is stored and acked, logs are closed clean.
  ~Daemon();

 private:
  struct Parts;
  explicit Daemon(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace bascule::daemon
