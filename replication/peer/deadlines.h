// Many timers that are mostly cancelled, on one executor: it is woken for the earliest only, and
// not at all while there is none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>

#include "absl/synchronization/mutex.h"
#include "core/env/clock.h"
#include "core/env/cond_var.h"
#include "core/env/executor.h"

namespace bascule::peer {

using TimerId = uint64_t;  // 0 = none

// Any thread; tasks run on the executor, without a lock. Shared, because a wake-up may come late.
class Deadlines : public std::enable_shared_from_this<Deadlines> {
 public:
  Deadlines(Clock& clock, Executor& executor) : clock_(clock), executor_(executor) {}

  // 0 when stopped: `task` is destroyed.
  TimerId After(Duration delay, Task task);
  // The task does not run, unless it does already. 0 does nothing.
  void Cancel(TimerId timer);
  // Destroys what waits, and returns when no task is running. Not from a task.
  void Stop();

 private:
  void CheckInvariants() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WakeAt(MonotonicTime at);
  void Fire();

  Clock& clock_;
  Executor& executor_;
  absl::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  TimerId next_ ABSL_GUARDED_BY(mutex_) = 1;
  std::map<std::pair<MonotonicTime, TimerId>, Task> tasks_ ABSL_GUARDED_BY(mutex_);
  std::map<TimerId, MonotonicTime> at_ ABSL_GUARDED_BY(mutex_);
  size_t firing_ ABSL_GUARDED_BY(mutex_) = 0;
  CondVar quiet_;
  std::set<MonotonicTime> wakes_
      ABSL_GUARDED_BY(mutex_);  // that the executor owes us: they cannot be called off
};

}  // namespace bascule::peer
