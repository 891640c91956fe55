// Waiting for what another process or thread will do. The only place in tests where a sleep is
// allowed: prefer a condition variable, a reply or simulated time wherever one of them can tell.
#pragma once

#include <algorithm>
#include <chrono>
#include <thread>

namespace bascule {

// Asks `condition` again and again, quickly at first, until it is true or `limit` has passed;
// returns its last answer. The limit only bounds a failing test, so it may be generous.
template <typename Condition>
bool Eventually(Condition condition, std::chrono::milliseconds limit = std::chrono::seconds(20)) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  std::chrono::microseconds pause(200);
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(pause);
    pause = std::min<std::chrono::microseconds>(pause * 2, std::chrono::milliseconds(20));
  }
  return true;
}

}  // namespace bascule
