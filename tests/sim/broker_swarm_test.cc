// Clusters of whole brokers under random faults, from seeds: what basculed runs, on simulated disks,
// threads, network and bus. A fixed set here; BASCULE_TEST_SEEDS=5000 runs that many,
// BASCULE_TEST_SEED=17 that one.
#include <doctest/doctest.h>

#include <cstdlib>

#include "tests/sim/broker_world.h"

namespace bascule {
namespace {

constexpr uint64_t kBrokerSeeds = 300;

uint64_t SeedsFrom(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

}  // namespace

TEST_CASE("broker swarm: what whole brokers have promised about streams and messages they keep") {
  const uint64_t only = SeedsFrom("BASCULE_TEST_SEED", 0);
  const uint64_t last = only != 0 ? only : SeedsFrom("BASCULE_TEST_SEEDS", kBrokerSeeds);
  size_t streams = 0;
  size_t acked = 0;
  size_t reads = 0;
  for (uint64_t seed = only != 0 ? only : 1; seed <= last; ++seed) {
    INFO("seed ", seed);
    BrokerWorld world(seed);
    if (!world.Run()) FAIL("seed ", seed, ": ", world.violation(), "\n", world.Notes());
    streams += world.streams_acknowledged();
    acked += world.acked();
    reads += world.reads();
  }
  MESSAGE("streams ", streams, ", acked ", acked, ", reads ", reads);
  if (only != 0) return;
  CHECK(streams > last * 5);
  CHECK(acked > last * 100);
  CHECK(reads > last * 20);
}

}  // namespace bascule
