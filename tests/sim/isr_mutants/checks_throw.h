// Included before everything else of a copied source: its checks throw instead of ending the
// program.
#pragma once

#include "core/base/check.h"
#include "tests/sim/isr_mutated.h"

#undef BASCULE_CHECK
#undef BASCULE_CHECK_OP
#define BASCULE_CHECK(condition) \
  (static_cast<bool>(condition)  \
       ? static_cast<void>(0)    \
       : throw ::bascule::isr::CheckFailure("assertion failed: " #condition))
#define BASCULE_CHECK_OP(a, op, b)                                                            \
  do {                                                                                        \
    const auto& check_a = (a);                                                                \
    const auto& check_b = (b);                                                                \
    if (!(check_a op check_b))                                                                \
      throw ::bascule::isr::CheckFailure("assertion failed: " #a " " #op " " #b +             \
                                         ::bascule::internal::CheckValues(check_a, check_b)); \
  } while (false)
