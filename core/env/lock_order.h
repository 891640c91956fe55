// Whether every lock is looked at for cycles of lock order, gRPC's included.
#pragma once

#include "absl/synchronization/mutex.h"

namespace bascule {

// To be called first in a program. Debian compiles abseil with these checks on: a cycle ends the
// process. Each lock then takes one that all threads share, which is three times as dear; so the
// programs that are shipped do without, and the tests are where cycles are found.
inline void SetLockOrderChecks() {
#ifdef NDEBUG
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
#endif
}

}  // namespace bascule
