// One process in the simulated network, as the parts of the network see it.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "tests/sim/sim_lines.h"
#include "tests/sim/sim_network.h"

namespace bascule {

struct SimNetwork::Endpoint {
  PeerIdentity self;
  PeerEvents* events = nullptr;
  std::map<PeerService, PeerHandler*> handlers;
  std::set<PeerId> peers;  // that it was told of; only they are listened to
  std::string cluster;     // empty: none yet
  bool up = true;
  ReplicaTraffic* traffic = nullptr;
  std::map<std::pair<PeerId, ReplicaLane>, std::shared_ptr<SimLines::Line>> lines;  // that it dials

  PeerHandler* HandlerOf(PeerService service) const {
    const auto found = handlers.find(service);
    return found == handlers.end() ? nullptr : found->second;
  }
};

}  // namespace bascule
