// What the metadata says of one partition at one version, as its replicas need it. Plain values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/types.h"

namespace bascule::isr {

// One life of a replica, as its broker registered it: what an acknowledgement speaks for (R4a) and
// an ISR change names (R1c). Greater is later; 0 is none.
using Incarnation = uint64_t;

struct ReplicaView {
  std::string broker;
  Incarnation incarnation = 0;
  bool live = false;      // registered and not fenced
  bool in_isr = false;    // of the committed set
  bool doubtful = false;  // R7b: what it acknowledges does not count until it is verified
};

struct PartitionView {
  uint64_t version = 0;  // R1b
  int min_isr = 1;
  std::vector<ReplicaView> replicas;  // each broker once
};

}  // namespace bascule::isr
