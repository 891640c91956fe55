// Time as an interface. Nothing outside core/env reads a clock by itself, so a whole broker runs on
// simulated time.
#pragma once

#include "core/base/types.h"

namespace bascule {

// Any thread.
class Clock {
 public:
  virtual ~Clock() = default;
  // Never goes back; unrelated to the calendar.
  virtual MonotonicTime Monotonic() = 0;
  // The calendar; may jump either way.
  virtual Timestamp Wall() = 0;
};

// The machine's clocks; lives as long as the process.
Clock& RealClock();

}  // namespace bascule
