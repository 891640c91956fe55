// Where the replicas of a new stream go. Pure and deterministic.
#pragma once

#include <string>
#include <vector>

#include "core/stream/description.h"

namespace bascule::metadata {

// A live broker with what stands on it, and what is about to.
struct PlacementBroker {
  std::string id;
  std::string rack;  // empty: unknown, taken for one of its own
  int32_t partitions = 0;
  int32_t leading = 0;
  bool unfit = false;  // should get nothing new: silent, or in trouble
};

// Partitions 0..partitions-1, each with `replication_factor` replicas (1..brokers.size()), the
// intended leader first. A stream's partitions go to different leaders as far as possible, then to
// those that lead least, then hold least. A partition's replicas spread evenly over racks as far as
// possible; then they go to those that hold least of the stream, then at all; of equals to another
// one each time, so that what a broker leads falls to all others when it dies (the first follower
// leads then), and no few stand together always. Who is unfit gets what nobody else can hold, last,
// and leads nothing then either.
std::vector<PartitionDescription> Place(int32_t partitions, int32_t replication_factor,
                                        std::vector<PlacementBroker> brokers);

}  // namespace bascule::metadata
