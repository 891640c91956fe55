// Many timers that are mostly cancelled, on one executor: it is woken for the earliest only, and
// not at all while there is none.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>

#include "core/env/clock.h"
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
  void WakeAt(MonotonicTime at);
  void Fire();

  Clock& clock_;
  Executor& executor_;
  std::mutex mutex_;
  bool stopped_ = false;  // guarded by mutex_, like all below
  TimerId next_ = 1;
  std::map<std::pair<MonotonicTime, TimerId>, Task> tasks_;
  std::map<TimerId, MonotonicTime> at_;
  size_t firing_ = 0;
  std::condition_variable quiet_;
  std::set<MonotonicTime> wakes_;  // that the executor owes us: they cannot be called off
};

}  // namespace bascule::peer
