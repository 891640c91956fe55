// Clusters of whole brokers with replicated streams under random faults, from seeds. A fixed set here;
// BASCULE_TEST_SEEDS=5000 runs that many, BASCULE_TEST_SEED=17 that one (or, with both, those from 17 on).
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>

#include "tests/sim/replica_world.h"

namespace bascule {
namespace {

constexpr uint64_t kReplicaSeeds = 1000;
constexpr uint64_t kReplicaSeedsTwice = 30;

struct ReplicaRun {
  std::string notes;
  uint64_t digest = 0;
};

uint64_t ReplicaSeedsFrom(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

ReplicaRun RunReplicas(uint64_t seed) {
  ReplicaWorld world(seed);
  (void)world.Run();
  return {world.Notes(), world.Digest()};
}

// The first line in which they differ, of both.
std::string FirstDifference(const std::string& a, const std::string& b) {
  size_t at = 0;
  while (at < a.size() && at < b.size() && a[at] == b[at]) ++at;
  const size_t line = a.rfind('\n', at) + 1;
  return Concat(a.substr(line, a.find('\n', at) - line), "\n",
                b.substr(line, b.find('\n', at) - line));
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

TEST_CASE("replica swarm: two runs of one seed are the same to the last step") {
  const uint64_t first = ReplicaSeedsFrom("BASCULE_TEST_SEED", 1);
  const uint64_t seeds = ReplicaSeedsFrom("BASCULE_TEST_SEEDS", kReplicaSeedsTwice);
  uint64_t before = 0;
  for (uint64_t seed = first; seed < first + std::min(seeds, kReplicaSeedsTwice); ++seed) {
    CAPTURE(seed);
    const ReplicaRun one = RunReplicas(seed);
    const ReplicaRun other = RunReplicas(seed);
    const bool same = one.notes == other.notes;
    CHECK_MESSAGE(same, FirstDifference(one.notes, other.notes));
    CHECK(one.digest == other.digest);
    CHECK(one.digest != before);
    before = one.digest;
  }
}

}  // namespace bascule
