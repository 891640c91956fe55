// The seams of a broker's metadata on a simulated machine.
#pragma once

#include <functional>

#include "replication/broker/seams.h"
#include "tests/sim/kernel.h"

namespace bascule {

// Clustered by cluster.enabled of the configuration only; `fatal` on the machine's home thread.
inline broker::MetadataSeams SeamsOf(SimKernel& kernel, SimMachine& machine, Discovery& discovery,
                                     std::function<void()> fatal) {
  const auto open = [&machine](const PeerIdentity& self, const std::string& cluster_id,
                               PeerEvents& events) -> absl::StatusOr<OpenedPeerPort> {
    OpenedPeerPort opened{machine.Connect(self, &events), machine.address()};
    opened.port->SetCluster(cluster_id);
    return opened;
  };
  return {machine.disk,
          kernel.clock(),
          machine.rng,
          *machine.home,
          discovery,
          open,
          [](size_t) { return absl::OkStatus(); },
          std::move(fatal)};
}

// A metadata store whose files are full every few commands.
inline raft_store::RaftStoreOptions SmallMetadataStore() {
  raft_store::RaftStoreOptions options;
  options.segment_bytes = 16 * 1024;
  options.reserve_bytes = 4 * 1024;
  return options;
}

}  // namespace bascule
