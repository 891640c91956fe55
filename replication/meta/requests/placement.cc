#include "replication/meta/requests/placement.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <tuple>

#include "core/base/check.h"

namespace bascule::metadata {
namespace {

struct Candidate {
  PlacementBroker broker;
  int32_t leads_of_stream = 0;
  int32_t holds_of_stream = 0;
  bool taken = false;  // holds the partition that is being placed
};
using Candidates = std::vector<Candidate>;
using Racks = std::map<std::string, int, std::less<>>;  // replicas of the partition in each

template <typename Order>
Candidate& Least(Candidates& candidates, Order order) {
  return *std::min_element(
      candidates.begin(), candidates.end(),
      [order](const Candidate& a, const Candidate& b) { return order(a) < order(b); });
}

Candidate& PickLeader(Candidates& candidates) {
  return Least(candidates, [](const Candidate& c) {
    return std::tie(c.broker.unfit, c.leads_of_stream, c.broker.leading, c.broker.partitions,
                    c.broker.id);
  });
}

// SplitMix64 (Steele, Lea, Flood 2014): every input its own, and near ones far apart.
uint64_t Scatter(uint64_t n) {
  n += 0x9e3779b97f4a7c15;
  n = (n ^ (n >> 30)) * 0xbf58476d1ce4e5b9;
  n = (n ^ (n >> 27)) * 0x94d049bb133111eb;
  return n ^ (n >> 31);
}

// Of equals any, another one each `turn`: otherwise the same brokers would always be together.
Candidate& PickFollower(Candidates& candidates, const Racks& racks, uint64_t turn) {
  const Candidate* const first = candidates.data();
  return Least(candidates, [&racks, first, turn](const Candidate& c) {
    const auto rack = racks.find(c.broker.rack);
    return std::tuple(c.taken, c.broker.unfit, rack == racks.end() ? 0 : rack->second,
                      c.holds_of_stream, c.broker.partitions,
                      Scatter(turn + static_cast<uint64_t>(&c - first)));
  });
}

std::vector<std::string> PlaceOne(int32_t replication_factor, Candidates& candidates) {
  Racks racks;
  for (Candidate& candidate : candidates) candidate.taken = false;
  const auto take = [&racks](Candidate& candidate) {
    candidate.taken = true;
    ++candidate.holds_of_stream;
    ++candidate.broker.partitions;
    if (!candidate.broker.rack.empty()) ++racks[candidate.broker.rack];
  };
  Candidate& leader = PickLeader(candidates);
  take(leader);
  ++leader.leads_of_stream;
  // Of the leader, and how many partitions it led before this one.
  const auto turn = static_cast<uint64_t>(leader.broker.leading++);
  const uint64_t seed = Scatter(Scatter(turn) + static_cast<uint64_t>(&leader - candidates.data()));
  std::vector<std::string> replicas{leader.broker.id};
  for (int32_t n = 1; n < replication_factor; ++n) {
    Candidate& follower = PickFollower(candidates, racks, seed);
    take(follower);
    replicas.push_back(follower.broker.id);
  }
  return replicas;
}

}  // namespace

std::vector<PartitionDescription> Place(int32_t partitions, int32_t replication_factor,
                                        std::vector<PlacementBroker> brokers) {
  BASCULE_CHECK(replication_factor >= 1);
  BASCULE_CHECK(static_cast<size_t>(replication_factor) <= brokers.size());
  Candidates candidates;
  for (PlacementBroker& broker : brokers) candidates.push_back({std::move(broker)});
  std::vector<PartitionDescription> placed;
  for (int32_t id = 0; id < partitions; ++id) {
    PartitionDescription& partition = placed.emplace_back();
    partition.id = PartitionId(id);
    partition.replicas = PlaceOne(replication_factor, candidates);
  }
  return placed;
}

}  // namespace bascule::metadata
