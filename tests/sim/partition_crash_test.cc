// Everything behind the bus on one simulated machine, from seeds: streams come and go, messages are
// published with acks, the machine dies. A fixed set of seeds here; BASCULE_TEST_SEEDS=5000 runs
// that many, BASCULE_TEST_SEED=17 that one.
#include <doctest/doctest.h>

#include <cstdlib>

#include "tests/sim/partition_crash_world.h"

namespace bascule {
namespace {

constexpr uint64_t kSeeds = 60;
constexpr int kLives = 5;

uint64_t NumberFrom(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

}  // namespace

TEST_CASE("what a broker has promised about streams and messages it keeps through its deaths") {
  const uint64_t only = NumberFrom("BASCULE_TEST_SEED", 0);
  const uint64_t last = only != 0 ? only : NumberFrom("BASCULE_TEST_SEEDS", kSeeds);
  for (uint64_t seed = only != 0 ? only : 1; seed <= last; ++seed) {
    INFO("seed ", seed);
    PartitionCrashWorld world(seed);
    for (int life = 0; life < kLives; ++life) {
      world.Live(static_cast<int>(Between(world.rng, 10, 150)));
      world.EndAndRestart();
      world.Check();
    }
  }
}

}  // namespace bascule
