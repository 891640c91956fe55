// How long to wait before a child that ended is started again. One thread at a time.
#pragma once

#include <algorithm>
#include <chrono>

#include "core/base/types.h"

namespace bascule::nats {

class RestartDelay {
 public:
  static constexpr Duration kFirst = std::chrono::milliseconds(100);
  static constexpr Duration kLongest = std::chrono::seconds(5);
  // A child that lived this long was healthy: the next restart is quick again.
  static constexpr Duration kHealthyAfter = std::chrono::seconds(10);

  // `lived`: of the child that ended, from its start on.
  Duration Next(Duration lived) {
    if (lived >= kHealthyAfter) next_ = kFirst;
    const Duration delay = next_;
    next_ = std::min(2 * next_, kLongest);
    return delay;
  }

 private:
  Duration next_ = kFirst;
};

}  // namespace bascule::nats
