// A call that comes later and can be called off. A member of whoever is called: with the owner goes
// the call.
//
//   Timer retry_{home_};
//   retry_.Start(kRetryPeriod, [this] { Retry(); });    // in place of what waited
//   retry_.Cancel();
//
// Built upon Executor::After, which takes nothing back: what is left of a call that was called off
// is an empty entry of some 100 bytes in the executor's queue, until it would have been due.
#pragma once

#include <memory>

#include "core/base/types.h"
#include "core/env/executor.h"

namespace bascule {

// All calls on the executor, which has one thread. Destroyed there too, or when it runs nothing any
// more.
class Timer {
 public:
  explicit Timer(Executor& executor) : executor_(executor) {}
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  // Runs `task` once, not before `delay` from now. What waited is cancelled.
  void Start(Duration delay, Task task);
  // Runs `task` again and again, each time not before `period` (> 0) after the last run ended, at
  // first after now. What waited is cancelled.
  void Repeat(Duration period, Task task);
  // Nothing runs any more, and what the task captured is destroyed before this returns; if the task
  // itself cancels (or starts anew, or destroys the timer), when it has ended.
  void Cancel();
  // Something is still to run. Not in the last run's own task.
  bool armed() const;

 private:
  struct Wake;
  void Arm(Duration delay, Duration period, Task task);
  void Drop();
  static void Post(Duration delay, std::shared_ptr<Wake> wake);
  static void Run(const std::shared_ptr<Wake>& wake);

  Executor& executor_;
  std::shared_ptr<Wake> wake_;  // with the executor's queue
};

}  // namespace bascule
