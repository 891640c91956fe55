#include <chrono>

#include "core/env/clock.h"

namespace bascule {
namespace {

class SystemClock final : public Clock {
 public:
  MonotonicTime Monotonic() override {
    return MonotonicTime(Nanoseconds(std::chrono::steady_clock::now().time_since_epoch()));
  }
  Timestamp Wall() override {
    return Timestamp(Nanoseconds(std::chrono::system_clock::now().time_since_epoch()));
  }

 private:
  template <typename SinceEpoch>
  static int64_t Nanoseconds(SinceEpoch since_epoch) {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(since_epoch).count();
  }
};

}  // namespace

Clock& RealClock() {
  static SystemClock clock;
  return clock;
}

}  // namespace bascule
