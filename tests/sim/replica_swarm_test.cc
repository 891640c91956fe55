// Clusters of whole brokers with replicated streams under random faults, from seeds. A fixed set here;
// BASCULE_TEST_SEEDS=5000 runs that many, BASCULE_TEST_SEED=17 that one (or, with both, those from 17 on).
#include <doctest/doctest.h>

#include <cstdlib>
#include <iostream>

#include "tests/sim/replica_world.h"

namespace bascule {
namespace {

constexpr uint64_t kReplicaSeeds = 1000;

uint64_t ReplicaSeedsFrom(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

}  // namespace

TEST_CASE("replica swarm: what brokers with replicas have promised they keep, whatever fails") {
  const uint64_t only = ReplicaSeedsFrom("BASCULE_TEST_SEED", 0);
  const uint64_t first = only != 0 ? only : 1;
  const uint64_t seeds = ReplicaSeedsFrom("BASCULE_TEST_SEEDS", only != 0 ? 1 : kReplicaSeeds);
  ReplicaCounts counts;
  for (uint64_t seed = first; seed < first + seeds; ++seed) {
    INFO("seed ", seed);
    ReplicaWorld world(seed);
    if (!world.Run()) FAIL("seed ", seed, ": ", world.violation(), "\n", world.Notes());
    counts.Add(world.counts());
  }
  std::cout << "replica swarm: " << seeds << " seeds\n";
  for (int what = 0; what < ReplicaCounts::kEnd; ++what) {
    const uint64_t times = counts.of[static_cast<size_t>(what)];
    std::cout << "  " << times << " " << ReplicaCounts::NameOf(what) << "\n";
    // The faults must leave room for something to go wrong with.
    if (seeds >= kReplicaSeeds) CHECK_MESSAGE(times > seeds / 10, ReplicaCounts::NameOf(what));
  }
}

TEST_CASE("replica swarm: a seed is the same run again, to the last step") {
  const uint64_t only = ReplicaSeedsFrom("BASCULE_TEST_SEED", 0);
  const uint64_t first = only != 0 ? only : 1;
  const uint64_t last = only != 0 ? only : 5;
  for (uint64_t seed = first; seed <= last; ++seed) {
    CAPTURE(seed);
    std::string notes;
    ReplicaCounts counts;
    for (const bool again : {false, true}) {
      ReplicaWorld world(seed);
      (void)world.Run();
      if (again) {
        CHECK(world.Notes() == notes);
        CHECK(world.counts().of == counts.of);
      }
      notes = world.Notes();
      counts = world.counts();
    }
    CHECK(notes.size() > 1000);
  }
}

}  // namespace bascule
