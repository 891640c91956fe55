// A Raft group under random faults, from seeds. A fixed set here; BASCULE_TEST_RAFT_RUNS=100000
// runs that many, BASCULE_TEST_SEED=17 that one, BASCULE_TRACE=1 prints what happened in it.
#include <doctest/doctest.h>

#include <cstdlib>
#include <iostream>
#include <string>

#include "core/base/text.h"
#include "tests/sim/raft_world.h"

namespace bascule {
namespace {

constexpr uint64_t kRuns = 10'000;
constexpr uint64_t kLyingRuns = 500;
constexpr uint64_t kLyingSeeds = 1'000'000'000;  // from here on
constexpr size_t kTracedLines = 80;

uint64_t NumberFrom(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

// The same seed again, this time with its last lines.
std::string Replay(uint64_t seed) {
  RaftWorld world(seed);
  world.trace().Switch(true);
  world.Run();
  return Concat("seed ", seed, ": ", world.violation(), "\n", world.trace().Tail(kTracedLines),
                "again, from the beginning: BASCULE_TEST_SEED=", seed, " BASCULE_TRACE=1");
}

}  // namespace

TEST_CASE("raft swarm: whatever fails, the members of a group agree and lose nothing") {
  const uint64_t only = NumberFrom("BASCULE_TEST_SEED", 0);
  const uint64_t first = only != 0 ? only : 1;
  const uint64_t last = only != 0 ? only : NumberFrom("BASCULE_TEST_RAFT_RUNS", kRuns) + first - 1;
  size_t acknowledged = 0;
  size_t reads = 0;
  size_t leaders = 0;
  for (uint64_t seed = first; seed <= last; ++seed) {
    INFO("seed ", seed);
    RaftWorld world(seed);
    if (std::getenv("BASCULE_TRACE") != nullptr) world.trace().Switch(true);
    const bool fine = world.Run();
    if (std::getenv("BASCULE_TRACE") != nullptr) std::cout << world.trace().Tail();
    if (!fine) FAIL(Replay(seed));
    acknowledged += world.checker().acknowledged();
    reads += world.checker().reads();
    leaders += world.checker().leaders();
  }
  MESSAGE("acknowledged ", acknowledged, ", reads ", reads, ", leaders ", leaders);
  // The faults must leave room for something to go wrong with.
  if (only == 0) CHECK(acknowledged > (last - first) * 20);
}

TEST_CASE("raft swarm: no message of a peer ends the process, whatever it says") {
  for (uint64_t seed = kLyingSeeds; seed < kLyingSeeds + kLyingRuns; ++seed) {
    INFO("seed ", seed);
    RaftWorld world(seed, {.lies = true});
    world.Run();
  }
}

}  // namespace bascule
