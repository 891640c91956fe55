// The real executors: one thread (a shard, the metadata thread) and a bounded pool (blocking disk
// work).
#pragma once

#include <memory>
#include <string>

#include "core/env/executor.h"

namespace bascule {

// Runs tasks on `threads` threads named `name` from construction until Stop. With one thread tasks
// run in order.
class ThreadExecutor : public Executor {
 public:
  ThreadExecutor(std::string name, int threads);
  ~ThreadExecutor() override;  // Stop()
  void Post(Task task) override;
  bool TryPost(Task task) override;
  void After(Duration delay, Task task) override;
  bool OnThisThread() const override;
  bool Idle() const override;
  // Runs what is already posted, destroys waiting timers, joins the threads. Idempotent; not from
  // its own threads. Tasks posted later are destroyed without running.
  void Stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace bascule
