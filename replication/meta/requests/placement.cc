#include "replication/meta/requests/placement.h"

#include <algorithm>
#include <map>
#include <string_view>
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

Candidate& PickFollower(Candidates& candidates, const Racks& racks) {
  return Least(candidates, [&racks](const Candidate& c) {
    const auto rack = racks.find(c.broker.rack);
    return std::tuple(c.taken, c.broker.unfit, rack == racks.end() ? 0 : rack->second,
                      c.holds_of_stream, c.broker.partitions, c.broker.leading,
                      std::string_view(c.broker.id));
  });
}

// `turn`: how many partitions the leader led before this one. Who is unfit stays last.
void TakeTurns(int32_t turn, std::vector<const Candidate*>& followers) {
  std::sort(followers.begin(), followers.end(), [](const Candidate* a, const Candidate* b) {
    return std::tie(a->broker.unfit, a->broker.id) < std::tie(b->broker.unfit, b->broker.id);
  });
  const auto unfit = std::find_if(followers.begin(), followers.end(),
                                  [](const Candidate* c) { return c->broker.unfit; });
  if (unfit == followers.begin()) return;
  std::rotate(followers.begin(), followers.begin() + turn % (unfit - followers.begin()), unfit);
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
  const int32_t turn = leader.broker.leading++;
  std::vector<const Candidate*> followers;
  for (int32_t n = 1; n < replication_factor; ++n) {
    Candidate& follower = PickFollower(candidates, racks);
    take(follower);
    followers.push_back(&follower);
  }
  TakeTurns(turn, followers);
  std::vector<std::string> replicas{leader.broker.id};
  for (const Candidate* follower : followers) replicas.push_back(follower->broker.id);
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
