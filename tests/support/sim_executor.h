// Executors on one virtual time line: no threads, and the order of what could happen at once is
// drawn from a seed.
//
//   SimClock clock;
//   SimScheduler scheduler(clock, seed);
//   SimExecutor& shard = scheduler.NewExecutor("shard");
//   SimExecutor& disk =
//       scheduler.NewExecutor("disk", {.order = TaskOrder::kAny, .max_delay = 20ms});
//   ... hand them to the product ...
//   scheduler.RunFor(1s);
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/base/limits.h"
#include "core/env/executor.h"
#include "tests/support/sim_clock.h"
#include "tests/support/sim_rng.h"

namespace bascule {

class SimScheduler;

enum class TaskOrder {
  kFifo,  // as one thread runs them
  kAny,   // as a pool may finish them
};

struct SimExecutorOptions {
  TaskOrder order = TaskOrder::kFifo;
  // Each task of a kAny executor becomes ready after a time drawn from [0, max_delay]: how long the
  // pool was busy.
  Duration max_delay{0};
  size_t capacity = limits::kExecutorQueueTasks;  // for TryPost
  bool tells_idle = false;                        // Idle() says what is; otherwise always no
};

// Made by SimScheduler, which owns it.
class SimExecutor final : public Executor {
 public:
  SimExecutor(SimScheduler& scheduler, std::string name, SimExecutorOptions options);

  void Post(Task task) override;
  bool TryPost(Task task) override;
  void After(Duration delay, Task task) override;
  // Between tasks whoever calls may be anybody's thread: a test's own calls pass.
  bool OnThisThread() const override;
  bool Idle() const override { return options_.tells_idle && ready_.empty(); }

  // As a process that is stopped and goes on later: nothing runs meanwhile, what arrives and what
  // becomes due waits in that order.
  void StandStill(Duration duration);

  // Destroys what waits, timers included, without running it: the process died. Tasks may be posted
  // again.
  void DropAll();
  // DropAll, and whatever is posted from now on is destroyed too: for the destructors of a dead
  // process.
  void Close();

  size_t waiting() const { return ready_.size(); }
  const std::string& name() const { return name_; }

 private:
  friend class SimScheduler;
  struct Ready {
    Task task;
    bool from_outside;
  };
  bool Enqueue(Task task, bool from_outside);
  void RunOne(Rng& rng);

  SimScheduler& scheduler_;
  const std::string name_;
  const SimExecutorOptions options_;
  std::deque<Ready> ready_;
  size_t outside_waiting_ = 0;
  bool closed_ = false;
  MonotonicTime still_until_;
};

enum class ExecutorChoice {
  kSeeded,      // any executor with a ready task may be next
  kRoundRobin,  // in the order of their creation
};

class SimScheduler {
 public:
  SimScheduler(SimClock& clock, uint64_t seed, ExecutorChoice choice = ExecutorChoice::kSeeded);
  ~SimScheduler();

  // Lives as long as the scheduler.
  SimExecutor& NewExecutor(std::string name, SimExecutorOptions options = {});

  // Runs one task that is ready now; false when there is none. Never moves the clock.
  bool Step();
  // Runs tasks until none is ready at the present time; returns how many ran.
  size_t RunUntilIdle();
  // Lets `duration` pass, running what becomes ready on the way at its own time.
  void RunFor(Duration duration);
  // Lets time pass until `done()`, at most `limit` of it; returns done().
  template <typename Condition>
  bool RunUntil(Condition done, Duration limit) {
    const MonotonicTime end = Add(clock_.Monotonic(), limit);
    while (!done()) {
      if (!Step() && !AdvanceToNextTimer(end)) return done();
    }
    return true;
  }
  // Moves the clock to the earliest timer if that is not past `latest`; false (clock untouched)
  // otherwise.
  bool AdvanceToNextTimer(MonotonicTime latest);
  // DropAll of every executor.
  void DropAll();

  SimClock& clock() { return clock_; }
  Rng& rng() { return rng_; }

 private:
  friend class SimExecutor;
  struct Timer {
    SimExecutor* executor;
    Task task;
    bool from_outside;
  };
  void AddTimer(Duration delay, SimExecutor* executor, Task task, bool from_outside);
  void MoveDueTimers();
  void DropTimers(const SimExecutor* executor);
  SimExecutor* PickReady();

  SimClock& clock_;
  SimRng rng_;
  const ExecutorChoice choice_;
  std::vector<std::unique_ptr<SimExecutor>> executors_;
  const SimExecutor* running_ = nullptr;
  size_t next_executor_ = 0;
  std::map<std::pair<MonotonicTime, uint64_t>, Timer> timers_;
  uint64_t timers_created_ = 0;
};

}  // namespace bascule
