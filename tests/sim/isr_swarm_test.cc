// A replicated partition under random faults, from seeds. A fixed number here;
// BASCULE_TEST_ISR_SEEDS=100000 runs that many, BASCULE_TEST_SEED=17 that one, BASCULE_TRACE=1
// prints what happened in it.
#include <doctest/doctest.h>

#include <cstdlib>
#include <iostream>
#include <string>

#include "core/base/text.h"
#include "tests/sim/isr_mutated.h"
#include "tests/sim/isr_world.h"

namespace bascule::isr {
namespace {

constexpr uint64_t kSeeds = 30'000;
constexpr size_t kTracedLines = 60;

uint64_t NumberFrom(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

}  // namespace

TEST_CASE("isr swarm: whatever fails, what is committed stays, and nothing stands still for ever") {
  ChooseMutant({});
  const uint64_t only = NumberFrom("BASCULE_TEST_SEED", 0);
  const uint64_t first = only != 0 ? only : 1;
  const uint64_t last = only != 0 ? only : NumberFrom("BASCULE_TEST_ISR_SEEDS", kSeeds);
  IsrCounts counts;
  for (uint64_t seed = first; seed <= last; ++seed) {
    INFO("seed ", seed);
    IsrWorld world(IsrProfile::Named("any", seed), seed);
    const bool traced = std::getenv("BASCULE_TRACE") != nullptr;
    world.SwitchTrace(traced);
    const bool fine = world.Run();
    if (traced) std::cout << world.Trace(~size_t{0});
    counts.Add(world.counts());
    if (fine) continue;
    IsrWorld again(IsrProfile::Named("any", seed), seed);  // this time with its last lines
    again.SwitchTrace(true);
    again.Run();
    FAIL(Concat("seed ", seed, ": ", *world.violation(), "\n", again.Trace(kTracedLines),
                "again, from the beginning: BASCULE_TEST_SEED=", seed, " BASCULE_TRACE=1"));
  }
  std::cout << "isr swarm: " << last - first + 1 << " seeds\n";
  for (int what = 0; what < IsrCounts::kEnd; ++what) {
    const uint64_t times = counts.of[static_cast<size_t>(what)];
    std::cout << "  " << times << " " << IsrCounts::NameOf(what) << "\n";
    // The faults must leave room for something to go wrong with.
    if (last - first >= 1000) CHECK_MESSAGE(times > 0, IsrCounts::NameOf(what));
  }
}

}  // namespace bascule::isr
