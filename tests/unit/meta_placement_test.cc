// Where replicas go, and what a change of brokers does to a partition.
#include "replication/meta/requests/placement.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/base/text.h"
#include "replication/meta/table/partition_rules.h"
#include "tests/support/sim_rng.h"

namespace bascule::metadata {
namespace {

using Names = std::vector<std::string>;

Names Leaders(const std::vector<PartitionDescription>& partitions) {
  Names leaders;
  for (const PartitionDescription& partition : partitions)
    leaders.push_back(partition.replicas.at(0));
  return leaders;
}

// "a, isr b c, elr d, epoch 5, version 2"
std::string Text(const PartitionDescription& p) {
  std::string text = Concat(p.leader.empty() ? "-" : p.leader, ", isr");
  for (const std::string& member : p.isr) text += " " + member;
  text += ", elr";
  for (const std::string& member : p.elr) text += " " + member;
  return text + Concat(", epoch ", p.leader_epoch, ", version ", p.version);
}

PartitionDescription Partition(const std::string& leader, Names isr, Names elr = {}) {
  return {PartitionId(0), leader, LeaderEpoch(5), {"a", "b", "c"}, std::move(isr),
          std::move(elr), 1};
}

std::string Changed(PartitionDescription partition, const BrokerChange& change, const Names& live,
                    int32_t min_isr = 2) {
  const auto is_live = [&live](const std::string& broker) {
    return std::find(live.begin(), live.end(), broker) != live.end();
  };
  const std::string before = Text(partition);
  const bool changed = ApplyBrokerChange(change, is_live, min_isr, MetadataIndex(9), partition);
  CHECK(changed == (Text(partition) != before));
  return changed ? Text(partition) : "same";
}

BrokerChange Fenced(std::set<std::string> brokers) {
  BrokerChange change;
  change.fenced = std::move(brokers);
  return change;
}

}  // namespace

TEST_CASE("leaders go to different brokers first, then to those that lead least, then hold least") {
  const std::vector<PlacementBroker> brokers = {
      {"a", "", 10, 5}, {"b", "", 20, 2}, {"c", "", 8, 2}};
  CHECK(Leaders(Place(1, 1, brokers)) == Names{"c"});
  CHECK(Leaders(Place(3, 1, brokers)) == Names{"c", "b", "a"});
  CHECK(Leaders(Place(5, 1, brokers)) == Names{"c", "b", "a", "c", "b"});
  const auto same = Place(2, 1, {{"b", "", 1, 1}, {"a", "", 1, 1}});
  CHECK(Leaders(same) == Names{"a", "b"});  // ties by id
}

TEST_CASE("replicas of a partition go to different racks as far as possible") {
  const std::vector<PlacementBroker> brokers = {{"a", "r1", 0, 0},
                                                {"b", "r1", 0, 0},
                                                {"c", "r2", 9, 9},
                                                {"d", "r2", 8, 9},
                                                {"e", "", 50, 50}};
  const auto three = Place(1, 3, brokers);
  CHECK(three[0].replicas == Names{"a", "d", "e"});
  const auto five = Place(1, 5, brokers);
  CHECK(std::set<std::string>(five[0].replicas.begin(), five[0].replicas.end()).size() == 5);
}

TEST_CASE("whatever the brokers, replicas differ and load is level within a stream") {
  SimRng rng(1);
  for (int round = 0; round < 500; ++round) {
    std::vector<PlacementBroker> brokers;
    for (uint64_t i = 0; i < 1 + rng.Below(8); ++i) {
      brokers.push_back({Concat("b", i), Concat("r", rng.Below(3)),
                         static_cast<int32_t>(rng.Below(50)), static_cast<int32_t>(rng.Below(20))});
    }
    const auto factor = static_cast<int32_t>(1 + rng.Below(brokers.size()));
    const auto placed = Place(static_cast<int32_t>(1 + rng.Below(30)), factor, brokers);
    std::map<std::string, int> leads;
    for (const PartitionDescription& partition : placed) {
      ++leads[partition.replicas[0]];
      CHECK(std::set<std::string>(partition.replicas.begin(), partition.replicas.end()).size() ==
            static_cast<size_t>(factor));
    }
    const size_t most = (placed.size() + brokers.size() - 1) / brokers.size();
    for (const auto& [id, count] : leads) CHECK(count <= static_cast<int>(most));
  }
}

// A cluster of its own for each seed: 1 to 9 brokers, unequal, in no rack or one of four.
std::vector<PlacementBroker> SomeBrokers(SimRng& rng, bool racks, bool level) {
  std::vector<PlacementBroker> brokers;
  for (uint64_t i = 0, count = 1 + rng.Below(9); i < count; ++i) {
    PlacementBroker& broker = brokers.emplace_back();
    broker.id = Concat("b", i);
    if (racks && rng.Below(5) > 0) broker.rack = Concat("r", rng.Below(4));
    if (level) continue;
    broker.partitions = static_cast<int32_t>(rng.Below(300));
    broker.leading = static_cast<int32_t>(rng.Below(100));
  }
  return brokers;
}

template <typename Map>
int Spread(const Map& counts) {
  const auto [least, most] =
      std::minmax_element(counts.begin(), counts.end(),
                          [](const auto& a, const auto& b) { return a.second < b.second; });
  return counts.empty() ? 0 : most->second - least->second;
}

TEST_CASE("placement: replicas of a partition spread over racks as evenly as these have brokers") {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    SimRng rng(seed);
    const auto brokers = SomeBrokers(rng, /*racks=*/true, /*level=*/false);
    const auto factor = static_cast<int32_t>(1 + rng.Below(brokers.size()));
    std::map<std::string, std::string> rack_of;
    std::map<std::string, int> size;
    for (const PlacementBroker& broker : brokers) {
      rack_of[broker.id] = broker.rack.empty() ? "alone " + broker.id : broker.rack;
      ++size[rack_of[broker.id]];
    }
    for (const auto& partition : Place(static_cast<int32_t>(1 + rng.Below(20)), factor, brokers)) {
      std::map<std::string, int> in;
      for (const auto& [rack, all] : size) in[rack] = 0;
      for (const std::string& broker : partition.replicas) ++in[rack_of.at(broker)];
      // No rack could give one to another that has two fewer and a broker left.
      for (const auto& [rich, more] : in) {
        for (const auto& [poor, less] : in) CHECK((more - less <= 1 || less == size.at(poor)));
      }
    }
  }
}

TEST_CASE("placement: of one stream all lead and hold equally where racks do not forbid it") {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    SimRng rng(seed);
    const auto brokers = SomeBrokers(rng, /*racks=*/false, /*level=*/false);
    const auto factor = static_cast<int32_t>(1 + rng.Below(brokers.size()));
    std::map<std::string, int> leads;
    std::map<std::string, int> holds;
    for (const PlacementBroker& broker : brokers) leads[broker.id] = holds[broker.id] = 0;
    for (const auto& partition : Place(static_cast<int32_t>(1 + rng.Below(100)), factor, brokers)) {
      ++leads[partition.replicas[0]];
      for (const std::string& broker : partition.replicas) ++holds[broker];
    }
    CHECK(Spread(leads) <= 1);
    CHECK(Spread(holds) <= 2);
  }
}

TEST_CASE("placement: many small streams level out what brokers lead and hold") {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    CAPTURE(seed);
    SimRng rng(seed);
    auto brokers = SomeBrokers(rng, /*racks=*/false, /*level=*/false);
    const auto factor = static_cast<int32_t>(1 + rng.Below(std::min<size_t>(brokers.size(), 3)));
    const auto at = [&brokers](const std::string& id) -> PlacementBroker& {
      return *std::find_if(brokers.begin(), brokers.end(),
                           [&id](const PlacementBroker& b) { return b.id == id; });
    };
    for (int i = 0; i < 2000; ++i) {
      const auto placed = Place(1, factor, brokers);
      ++at(placed[0].replicas[0]).leading;
      for (const std::string& broker : placed[0].replicas) ++at(broker).partitions;
    }
    std::map<std::string, int> leads;
    std::map<std::string, int> holds;
    for (const PlacementBroker& broker : brokers) {
      leads[broker.id] = broker.leading;
      holds[broker.id] = broker.partitions;
    }
    CHECK(Spread(leads) <= 1);
    // A broker that leads alone (factor 1) is chosen by what it leads.
    if (factor > 1 && static_cast<size_t>(factor) < brokers.size()) CHECK(Spread(holds) <= 2);
  }
}

TEST_CASE("placement: what a broker led is divided among all others when it dies") {
  for (const bool one_stream : {true, false}) {
    CAPTURE(one_stream);
    for (const int count : {3, 5}) {
      CAPTURE(count);
      std::vector<PlacementBroker> brokers;
      for (int i = 0; i < count; ++i) brokers.push_back({Concat("b", i), "", 0, 0});
      std::vector<PartitionDescription> placed;
      if (one_stream) placed = Place(30 * count, 3, brokers);
      for (int i = 0; !one_stream && i < 30 * count; ++i) {
        placed.push_back(Place(1, 3, brokers)[0]);
        for (PlacementBroker& broker : brokers) {
          const Names& replicas = placed.back().replicas;
          broker.leading += broker.id == replicas[0] ? 1 : 0;
          broker.partitions +=
              static_cast<int>(std::count(replicas.begin(), replicas.end(), broker.id));
        }
      }
      for (const PlacementBroker& dead : brokers) {
        std::map<std::string, int> heirs;
        for (const PlacementBroker& broker : brokers)
          if (broker.id != dead.id) heirs[broker.id] = 0;
        for (const PartitionDescription& partition : placed)
          if (partition.replicas[0] == dead.id) ++heirs[partition.replicas[1]];
        CAPTURE(dead.id);
        for (const auto& [heir, leads] : heirs) {
          CHECK(leads > 0);
          CHECK(leads <= 2 * 30 / (count - 1));
        }
      }
    }
  }
}

TEST_CASE("placement: who should get nothing new leads nothing and holds what no other can") {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    CAPTURE(seed);
    SimRng rng(seed);
    auto brokers = SomeBrokers(rng, /*racks=*/true, /*level=*/false);
    std::set<std::string> unfit;
    for (PlacementBroker& broker : brokers) {
      broker.unfit = rng.Below(3) == 0;
      if (broker.unfit) unfit.insert(broker.id);
    }
    const size_t fit = brokers.size() - unfit.size();
    const size_t factor = 1 + rng.Below(brokers.size());
    for (const auto& partition : Place(10, static_cast<int32_t>(factor), brokers)) {
      const Names& replicas = partition.replicas;
      const auto bad = [&unfit](const std::string& id) { return unfit.contains(id); };
      CHECK(std::count_if(replicas.begin(), replicas.end(), bad) ==
            static_cast<int>(factor > fit ? factor - fit : 0));
      CHECK(std::is_partitioned(replicas.begin(), replicas.end(),
                                [&](const std::string& id) { return !bad(id); }));
    }
  }
}

TEST_CASE(
    "R6, R7: who is fenced leaves; a leader that goes is followed by the first live ISR member") {
  CHECK(Changed(Partition("a", {"a", "b", "c"}), Fenced({"c"}), {"a", "b"}) ==
        "a, isr a b, elr, epoch 5, version 2");
  CHECK(Changed(Partition("a", {"a", "c", "b"}), Fenced({"a"}), {"b", "c"}) ==
        "b, isr c b, elr, epoch 9, version 2");
  // Below min ISR who leaves is eligible still.
  CHECK(Changed(Partition("a", {"a", "b"}), Fenced({"b"}), {"a", "c"}) ==
        "a, isr a, elr b, epoch 5, version 2");
  CHECK(Changed(Partition("a", {"a"}, {"b"}), Fenced({"a"}), {"c"}) ==
        "-, isr, elr b a, epoch 9, version 2");
  CHECK(Changed(Partition("a", {"a", "b"}), Fenced({"c"}), {"a", "b"}) == "same");
}

TEST_CASE("R7: nobody but a member of ISR or ELR leads; from the ELR it is the whole ISR") {
  CHECK(Changed(Partition("", {}, {"a", "b"}), {}, {"b", "c"}) ==
        "b, isr b, elr a, epoch 9, version 2");
  CHECK(Changed(Partition("", {}, {"a", "b"}), {}, {"b", "c"}, 1) ==
        "b, isr b, elr, epoch 9, version 2");
  CHECK(Changed(Partition("", {}, {"a"}), {}, {"b", "c"}) == "same");
}

TEST_CASE(
    "R6a, R6b, R2a: the ELR ends with min ISR, lost replicas leave both, new processes new "
    "epochs") {
  CHECK(Changed(Partition("a", {"a", "b"}, {"c"}), {}, {"a", "b", "c"}) ==
        "a, isr a b, elr, epoch 5, version 2");
  BrokerChange lost;
  lost.lost = "a";
  lost.restarted = "a";
  CHECK(Changed(Partition("a", {"a", "b"}), lost, {"a", "b"}) ==
        "b, isr b, elr, epoch 9, version 2");
  CHECK(Changed(Partition("a", {"a"}), lost, {"a"}) == "-, isr, elr, epoch 9, version 2");
  lost.lost = "c";
  CHECK(Changed(Partition("a", {"a"}, {"c"}), lost, {"a", "c"}) ==
        "a, isr a, elr, epoch 9, version 2");
  BrokerChange restarted;
  restarted.restarted = "a";
  CHECK(Changed(Partition("a", {"a"}, {"b"}), restarted, {"a", "b"}) ==
        "a, isr a, elr b, epoch 9, version 2");
  restarted.restarted = "b";
  CHECK(Changed(Partition("a", {"a", "b"}), restarted, {"a", "b"}) == "same");
  // An epoch that is ahead of the index (an old log) still rises.
  PartitionDescription ahead = Partition("a", {"a", "b"});
  ahead.leader_epoch = LeaderEpoch(20);
  BrokerChange raise;
  raise.raise_epoch = true;
  CHECK(Changed(ahead, raise, {"a", "b"}) == "a, isr a b, elr, epoch 21, version 2");
}

}  // namespace bascule::metadata
