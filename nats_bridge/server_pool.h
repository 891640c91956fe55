// The NATS servers of a connection, and in which order they are tried: those that were configured, for
// good, and those that servers of the cluster named in INFO, for as long as they do. Pure; one thread at
// a time.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/env/rng.h"
#include "nats_bridge/server_url.h"

namespace bascule::nats {

// One that is tried.
struct PoolServer {
  ServerUrl url;
  bool learnt = false;
  // Whose name its certificate must have: its own host's, or where it was learnt by its IP address alone,
  // that of the server that was configured by name and named it (as the other clients of NATS do).
  std::string tls_name;
};

class ServerPool {
 public:
  // InvalidArgument: a URL is none. None at all: nats://127.0.0.1:4222. The order is drawn by `rng`, so
  // that brokers spread over the servers of a cluster; it outlives the pool.
  static absl::StatusOr<ServerPool> Make(const std::vector<std::string>& urls, Rng& rng);

  // The one to try now.
  const PoolServer& current() const { return servers_[at_]; }
  // On to the next one; true: all of them have been tried since Restart, it is time to wait.
  bool Advance();
  // The next round begins behind the present one, which failed or goes.
  void Restart();
  size_t size() const { return servers_.size(); }

  // What the current one, connected to, says of its cluster: "host:port" each. They are logged in to as it
  // was. Those that it does not name any more go, unless they were configured or it names none at all; at
  // most limits::kNatsLearntServers are kept, and what is no address is passed over. How many came newly.
  size_t Learn(const std::vector<std::string>& connect_urls);

 private:
  explicit ServerPool(Rng& rng) : rng_(&rng) {}
  bool Knows(const std::string& host_port) const;

  Rng* rng_;
  std::vector<PoolServer> servers_;  // never empty
  size_t at_ = 0;
  size_t tried_ = 0;  // since Restart
};

}  // namespace bascule::nats
