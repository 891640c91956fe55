// A cluster's metadata under random faults, from seeds: real stores, drivers and tables. A fixed
// set here; BASCULE_TEST_SEEDS=5000 runs that many, BASCULE_TEST_SEED=17 that one.
#include <doctest/doctest.h>

#include <cstdlib>

#include "tests/sim/metadata_world.h"

namespace bascule {
namespace {

constexpr uint64_t kSeeds = 300;

uint64_t NumberFrom(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

}  // namespace

TEST_CASE("metadata swarm: what brokers have promised about streams all of them keep") {
  const uint64_t only = NumberFrom("BASCULE_TEST_SEED", 0);
  const uint64_t last = only != 0 ? only : NumberFrom("BASCULE_TEST_SEEDS", kSeeds);
  size_t acknowledged = 0;
  size_t reads = 0;
  size_t proposed = 0;
  for (uint64_t seed = only != 0 ? only : 1; seed <= last; ++seed) {
    INFO("seed ", seed);
    MetadataWorld world(seed);
    if (!world.Run()) FAIL("seed ", seed, ": ", world.violation(), "\n", world.Notes());
    acknowledged += world.acknowledged();
    reads += world.reads();
    proposed += world.proposed();
  }
  MESSAGE("acknowledged ", acknowledged, ", reads ", reads, ", ISR changes ", proposed);
  if (only == 0) CHECK(acknowledged > last * 20);
  if (only == 0) CHECK(proposed > last * 20);
}

}  // namespace bascule
