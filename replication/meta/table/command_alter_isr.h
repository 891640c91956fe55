#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "replication/meta/table/command.h"

namespace bascule::metadata {

extern const MetaCommand kAlterIsrCommand;

// One partition's new ISR, as its leader proposes it.
struct IsrAlteration {
  struct Member {
    std::string broker;
    uint64_t incarnation = 0;
    bool verified = false;
  };
  PartitionKey partition;
  std::string leader;
  LeaderEpoch epoch;
  uint64_t version = 0;
  std::vector<Member> isr;
};

std::string EncodeAlterIsr(const std::vector<IsrAlteration>& alterations);

}  // namespace bascule::metadata
