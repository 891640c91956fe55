#include "replication/meta/requests/placement.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "core/base/check.h"

namespace bascule::metadata {
namespace {

struct Candidate {
  PlacementBroker broker;
  int32_t leads_of_stream = 0;
  int32_t holds_of_stream = 0;
};

Candidate& PickLeader(std::vector<Candidate>& candidates) {
  const auto order = [](const Candidate& c) {
    return std::tie(c.leads_of_stream, c.broker.leading, c.broker.partitions, c.broker.id);
  };
  return *std::min_element(
      candidates.begin(), candidates.end(),
      [order](const Candidate& a, const Candidate& b) { return order(a) < order(b); });
}

Candidate& PickFollower(std::vector<Candidate>& candidates, const std::vector<std::string>& taken,
                        const std::set<std::string>& racks) {
  const auto order = [&](const Candidate& c) {
    const bool chosen = std::find(taken.begin(), taken.end(), c.broker.id) != taken.end();
    return std::tuple(chosen, racks.contains(c.broker.rack), c.holds_of_stream, c.broker.partitions,
                      c.broker.leading, std::string_view(c.broker.id));
  };
  return *std::min_element(
      candidates.begin(), candidates.end(),
      [order](const Candidate& a, const Candidate& b) { return order(a) < order(b); });
}

}  // namespace

std::vector<PartitionDescription> Place(int32_t partitions, int32_t replication_factor,
                                        std::vector<PlacementBroker> brokers) {
  BASCULE_CHECK(replication_factor >= 1);
  BASCULE_CHECK(static_cast<size_t>(replication_factor) <= brokers.size());
  std::vector<Candidate> candidates;
  for (PlacementBroker& broker : brokers) candidates.push_back({std::move(broker)});
  std::vector<PartitionDescription> placed;
  for (int32_t id = 0; id < partitions; ++id) {
    PartitionDescription& partition = placed.emplace_back();
    partition.id = PartitionId(id);
    std::set<std::string> racks;
    const auto take = [&](Candidate& candidate) {
      ++candidate.holds_of_stream;
      ++candidate.broker.partitions;
      partition.replicas.push_back(candidate.broker.id);
      if (!candidate.broker.rack.empty()) racks.insert(candidate.broker.rack);
    };
    Candidate& leader = PickLeader(candidates);
    ++leader.leads_of_stream;
    ++leader.broker.leading;
    take(leader);
    for (int32_t n = 1; n < replication_factor; ++n)
      take(PickFollower(candidates, partition.replicas, racks));
  }
  return placed;
}

}  // namespace bascule::metadata
