// How soon a broker that is gone is fenced, at default settings: real groups, stores and sessions on one
// virtual time line, from seeds. BASCULE_TEST_SEEDS=1000 runs that many.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "core/base/text.h"
#include "tests/sim/kernel.h"
#include "tests/sim/metadata_broker.h"
#include "tests/sim/noted_log.h"

namespace bascule {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

uint64_t FailoverSeeds() {
  const char* text = std::getenv("BASCULE_TEST_SEEDS");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : 50;
}

// Three brokers that have found their leader and are registered.
class FailoverWorld {
 public:
  explicit FailoverWorld(uint64_t seed, int brokers = 3) : kernel_(seed) {
    for (int i = 1; i <= brokers; ++i) {
      kernel_.AddMachine(Concat("b", i), [this, brokers](SimMachine& machine) {
        auto broker = std::make_unique<MetadataBroker>(kernel_, machine, discovery_, brokers,
                                                       broker::BrokerOptions());
        REQUIRE(broker->Open().ok());
        return broker;
      });
    }
    for (uint64_t i = 1; i <= kernel_.size(); ++i) kernel_.Start(i);
    REQUIRE(kernel_.scheduler().RunUntil([this] { return AllRegistered(); }, seconds(20)));
    kernel_.scheduler().RunFor(seconds(2) + milliseconds(kernel_.rng().Below(1000)));
    REQUIRE(Leader() != 0);
  }
  ~FailoverWorld() { kernel_.EndAll(); }

  MetadataBroker& at(uint64_t i) { return *static_cast<MetadataBroker*>(kernel_.process(i)); }
  // 0: nobody leads.
  uint64_t Leader() {
    uint64_t leader = 0;
    uint64_t term = 0;
    for (uint64_t i = 1; i <= kernel_.size(); ++i) {
      if (!kernel_.up(i) || !at(i).ready()) continue;
      const MetadataRole role = at(i).group().role();
      if (role.leading && role.term > term) {
        leader = i;
        term = role.term;
      }
    }
    return leader;
  }
  uint64_t Follower() { return Leader() % kernel_.size() + 1; }
  bool Fenced(uint64_t broker, uint64_t by) {
    return at(by).frontend().table().FindBroker(Concat("b", broker))->fenced;
  }
  // Milliseconds until whoever leads, another one than `broker`, has it fenced; 10,000: it does not.
  double UntilFenced(uint64_t broker) {
    const MonotonicTime began = kernel_.clock().Monotonic();
    const auto fenced = [&] {
      const uint64_t leader = Leader();
      return leader != 0 && leader != broker && Fenced(broker, leader);
    };
    kernel_.scheduler().RunUntil(fenced, seconds(10));
    return static_cast<double>(Between(began, kernel_.clock().Monotonic()).count()) / 1e6;
  }
  bool AnyFenced() {
    for (uint64_t i = 1; i <= kernel_.size(); ++i) {
      if (Fenced(i, Leader())) return true;
    }
    return false;
  }
  SimKernel& kernel() { return kernel_; }

 private:
  bool AllRegistered() {
    const uint64_t leader = Leader();
    if (leader == 0) return false;
    const auto& brokers = at(leader).frontend().table().brokers();
    return brokers.size() == kernel_.size() &&
           std::none_of(brokers.begin(), brokers.end(),
                        [](const auto& broker) { return broker.second.fenced; });
  }

  SimKernel kernel_;
  NotedLog log_{kernel_};
  FakeDiscoveryBus discovery_{kernel_.scheduler()};
};

std::string Spread(std::vector<double> times) {
  std::sort(times.begin(), times.end());
  return Concat("n=", times.size(), " min=", times.front(), " p50=", times[times.size() / 2],
                " max=", times.back(), " ms");
}

double Most(const std::vector<double>& times) {
  return *std::max_element(times.begin(), times.end());
}

}  // namespace

TEST_CASE("metadata failover: a killed broker is fenced within 450 ms and nobody else") {
  std::vector<double> times;
  for (uint64_t seed = 1; seed <= FailoverSeeds(); ++seed) {
    FailoverWorld world(seed);
    INFO(world.kernel().Notes());
    const uint64_t killed = world.Follower();
    const uint64_t leader = world.Leader();
    world.kernel().Kill(killed);
    times.push_back(world.UntilFenced(killed));
    CHECK(times.back() <= 450);
    world.kernel().scheduler().RunFor(seconds(2));
    CHECK(world.Leader() == leader);
    for (uint64_t i = 1; i <= 3; ++i) CHECK(world.Fenced(i, leader) == (i == killed));
  }
  MESSAGE("a killed broker is fenced after ", Spread(times));
}

TEST_CASE("metadata failover: a killed metadata leader is replaced and fenced within 1.2 s") {
  for (const int brokers : {3, 5}) {
    std::vector<double> times;
    for (uint64_t seed = 1; seed <= FailoverSeeds(); ++seed) {
      FailoverWorld world(seed, brokers);
      INFO(world.kernel().Notes());
      const uint64_t killed = world.Leader();
      world.kernel().Kill(killed);
      times.push_back(world.UntilFenced(killed));
      CHECK(times.back() <= 1200);
    }
    std::sort(times.begin(), times.end());
    CHECK(times[times.size() / 2] <= 600);
    MESSAGE("the killed metadata leader of ", brokers, " is fenced after ", Spread(times));
  }
}

TEST_CASE("metadata failover: connections that break and are made again fence nobody") {
  for (uint64_t seed = 1; seed <= FailoverSeeds(); ++seed) {
    FailoverWorld world(seed);
    INFO(world.kernel().Notes());
    const uint64_t leader = world.Leader();
    const uint64_t term = world.at(leader).group().role().term;
    for (int i = 0; i < 10; ++i) {
      for (uint64_t from = 1; from <= 3; ++from) {
        for (uint64_t to = 1; to <= 3; ++to) {
          if (from != to)
            world.kernel().network().Break(PeerId(from), PeerId(to),
                                           milliseconds(world.kernel().rng().Below(280)));
        }
      }
      world.kernel().scheduler().RunFor(milliseconds(700));
      CHECK_FALSE(world.AnyFenced());
    }
    CHECK(world.at(leader).group().role().term == term);
  }
}

TEST_CASE("metadata failover: who stands still is fenced after the session timeout, no sooner") {
  std::vector<double> others;
  std::vector<double> leaders;
  for (uint64_t seed = 1; seed <= FailoverSeeds(); ++seed) {
    for (const bool leads : {false, true}) {
      FailoverWorld world(seed);
      INFO(world.kernel().Notes());
      const uint64_t still = leads ? world.Leader() : world.Follower();
      world.kernel().machine(still).home->StandStill(seconds(6));
      const double took = [&] {
        // A leader that stands still still takes itself for one.
        const MonotonicTime began = world.kernel().clock().Monotonic();
        world.kernel().scheduler().RunUntil(
            [&] {
              for (uint64_t i = 1; i <= 3; ++i) {
                if (i != still && world.at(i).group().role().leading && world.Fenced(still, i))
                  return true;
              }
              return false;
            },
            seconds(5));
        return static_cast<double>(Between(began, world.kernel().clock().Monotonic()).count()) /
               1e6;
      }();
      (leads ? leaders : others).push_back(took);
      // It comes back, and takes nobody else down.
      world.kernel().scheduler().RunFor(seconds(8));
      CHECK_FALSE(world.AnyFenced());
    }
  }
  CHECK(Most(others) <= 1500);
  CHECK(*std::min_element(others.begin(), others.end()) >= 1000);
  CHECK(Most(leaders) <= 2500);
  MESSAGE("a broker that stands still is fenced after ", Spread(others));
  MESSAGE("a metadata leader that stands still is fenced after ", Spread(leaders));
}

}  // namespace bascule
