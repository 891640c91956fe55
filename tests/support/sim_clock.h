// Time that moves only when told to.
#pragma once

#include "core/base/check.h"
#include "core/env/clock.h"

namespace bascule {

// One thread, as everything simulated.
class SimClock final : public Clock {
 public:
  // Any instant will do; this one is in November 2023, so that printed times look like times.
  explicit SimClock(Timestamp wall = Timestamp(1'700'000'000'000'000'000)) : wall_(wall) {}

  MonotonicTime Monotonic() override { return monotonic_; }
  Timestamp Wall() override { return wall_; }

  // Both clocks move on; `by` is not negative.
  void Advance(Duration by) {
    BASCULE_CHECK_GE(by.count(), 0);
    monotonic_ += by.count();
    wall_ += by.count();
  }
  // The calendar alone jumps, either way, as when somebody sets it.
  void JumpWall(Duration by) { wall_ += by.count(); }

 private:
  MonotonicTime monotonic_{
      1'000'000'000};  // not 0, so that "never" and "at once" differ in tests too
  Timestamp wall_;
};

}  // namespace bascule
