// The peer port of one broker: what carries its messages, and what whoever assembles a broker has to
// say to that and hear of it besides. Implemented by replication/peer over gRPC, and by tests/sim.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "replication/peer_transport.h"
#include "replication/replica_channel.h"

namespace bascule {

// Any thread.
class PeerPort : public PeerTransport, public ReplicaChannel {
 public:
  // The cluster that this broker has joined; before it nobody is a peer.
  virtual void SetCluster(std::string cluster_id) = 0;
  // What is not as it should be with certificates, a sentence each.
  virtual std::vector<std::string> Degraded() const = 0;
  // Everything that is counted, by name ("peer_messages_sent", ...).
  virtual std::map<std::string, uint64_t> ReadCounters() const = 0;
  // Ends all connections; afterwards nobody is called any more. Not from a callback. Idempotent.
  virtual void Stop() = 0;
};

struct OpenedPeerPort {
  std::unique_ptr<PeerPort> port;
  std::string address;  // host:port, as others reach it
};
// Opens the port of the broker that is named, whose cluster is `cluster_id` (empty: none yet). No
// event comes before a peer was added, but for introductions, which may come at once.
using OpenPeerPort = std::function<absl::StatusOr<OpenedPeerPort>(
    const PeerIdentity& self, const std::string& cluster_id, PeerEvents& events)>;

}  // namespace bascule
