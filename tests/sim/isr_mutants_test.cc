// Each fault of isr_mutants/ must be noticed within its number of seeds. BASCULE_TEST_ISR_MUTANT
// names one; BASCULE_TRACE=1 prints how it was noticed; BASCULE_TEST_SEED=1000 begins there.
#include <doctest/doctest.h>

#include <cstdlib>
#include <iostream>
#include <string>

#include "core/base/text.h"
#include "tests/sim/isr_mutated.h"
#include "tests/sim/isr_world.h"

namespace bascule::isr {
namespace {

constexpr size_t kTracedLines = 60;

// How many seeds it took; 0: none noticed it.
int SeedAgainst(const Mutant& mutant, std::string& how) {
  const char* text = std::getenv("BASCULE_TEST_SEED");
  const uint64_t first = text != nullptr ? std::strtoull(text, nullptr, 10) : 1;
  for (int seed = 1; seed <= mutant.seeds; ++seed) {
    const uint64_t number = first + static_cast<uint64_t>(seed) - 1;
    const IsrProfile profile = IsrProfile::Named(mutant.profile, number);
    IsrWorld world(profile, number);
    if (world.Run()) continue;
    how = *world.violation();
    if (std::getenv("BASCULE_TRACE") == nullptr) return seed;
    IsrWorld again(profile, number);
    again.SwitchTrace(true);
    again.Run();
    std::cout << again.Trace(kTracedLines);
    return seed;
  }
  return 0;
}

}  // namespace

TEST_CASE("isr mutants: each fault in the replication rules is noticed") {
  const char* only = std::getenv("BASCULE_TEST_ISR_MUTANT");
  int run = 0;
  for (const Mutant& mutant : kMutants) {
    if (only != nullptr && mutant.name != only) continue;
    ++run;
    ChooseMutant(mutant.name);
    std::string how;
    const int seed = SeedAgainst(mutant, how);
    ChooseMutant({});
    CHECK_MESSAGE(seed != 0,
                  Concat(mutant.name, " survives ", mutant.seeds, " seeds: ", mutant.what));
    if (seed == 0) continue;
    std::cout << "isr mutant " << mutant.name << ": seed " << seed << " of " << mutant.seeds << ", "
              << how << "\n";
  }
  CHECK(run > 0);
}

}  // namespace bascule::isr
