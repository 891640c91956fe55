// Where tasks run. A partition belongs to one executor for life; a step runs to completion there,
// so what was true at its entry still holds at its exit. Executors and their queues are the
// process's hand-over points between threads.
#pragma once

#include "absl/functional/any_invocable.h"
#include "core/base/types.h"

namespace bascule {

using Task = absl::AnyInvocable<void()>;

class Executor {
 public:
  virtual ~Executor() = default;
  // Any thread. Runs `task` after all tasks posted before by the same thread. For completions:
  // always taken.
  virtual void Post(Task task) = 0;
  // Any thread. For work that arrives from outside: false (and nothing kept) when
  // limits::kExecutorQueueTasks wait.
  virtual bool TryPost(Task task) = 0;
  // Any thread. Runs `task` not before `delay` from now. Tasks still waiting when the executor
  // stops are destroyed.
  virtual void After(Duration delay, Task task) = 0;
  // Whether the calling thread is the one that runs this executor's tasks (for assertions). Pools:
  // any of theirs.
  virtual bool OnThisThread() const = 0;
  // From within a task: whether no other waits to be run after it. An executor that cannot tell, or of
  // several threads, says no.
  virtual bool Idle() const { return false; }
};

}  // namespace bascule
