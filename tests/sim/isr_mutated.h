// The faults that the replication tests must notice (isr_mutants/README.md, replica_mutants/README.md), one at a time,
// chosen by the test while it runs. Copies of the product's sources ask here, and the world's own part.
#pragma once

#include <stdexcept>
#include <string_view>
#include <vector>

namespace bascule::isr {

// Whether the fault of that name is on. None is unless a test chose it.
bool Mutated(std::string_view name);
void ChooseMutant(std::string_view name);  // empty: none; the text outlives the choice

// A BASCULE_CHECK of the copies that failed: there it must not end the program.
struct CheckFailure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Mutant {
  std::string_view name;
  std::string_view what;
  std::string_view profile;  // the faults to look for it with
  int seeds;                 // one of which must notice it
};
// From the .mutant files; defined where their copies are built only.
extern const std::vector<Mutant> kMutants;

}  // namespace bascule::isr

namespace bascule::metadata {
using isr::Mutated;
}
namespace bascule::partition {
using isr::Mutated;
}
namespace bascule::broker {
using isr::Mutated;
}
