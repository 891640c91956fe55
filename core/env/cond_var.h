// A condition variable for absl::Mutex whose deadlines are of the monotonic clock. Those of
// absl::CondVar and Mutex::AwaitWithTimeout are of the wall clock in Debian 12 (a futex with
// FUTEX_CLOCK_REALTIME): set back by an hour, it would make every timer an hour late.
#pragma once

#include <time.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "absl/synchronization/mutex.h"

namespace bascule {

// One mutex for all that wait on it. Waits end without reason, too: look again, in a loop.
class CondVar {
 public:
  using Deadline = std::chrono::steady_clock::time_point;

  CondVar() = default;
  CondVar(const CondVar&) = delete;
  CondVar& operator=(const CondVar&) = delete;

  void Wait(absl::Mutex& mutex) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // False once `deadline` has passed.
  bool WaitUntil(absl::Mutex& mutex, Deadline deadline) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);

  // Any thread, with the mutex or without. What the waiting look at was changed under it before.
  void Signal() { Wake(1); }
  void SignalAll() { Wake(INT32_MAX); }

  // Ten years mean never.
  static Deadline In(std::chrono::nanoseconds from_now) {
    constexpr std::chrono::nanoseconds kNever = std::chrono::hours(24 * 365 * 10);
    return std::chrono::steady_clock::now() +
           std::clamp(from_now, std::chrono::nanoseconds(0), kNever);
  }

 private:
  bool Sleep(absl::Mutex& mutex, const timespec* deadline) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  void Wake(int32_t waiters);

  std::atomic<uint32_t> signals_{0};  // what waiters sleep on
  std::atomic<uint32_t> waiters_{0};
};

}  // namespace bascule
