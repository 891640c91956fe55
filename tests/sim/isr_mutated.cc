#include "tests/sim/isr_mutated.h"

namespace bascule::isr {
namespace {
std::string_view g_chosen;
}

bool Mutated(std::string_view name) { return !g_chosen.empty() && g_chosen == name; }

void ChooseMutant(std::string_view name) { g_chosen = name; }

}  // namespace bascule::isr
