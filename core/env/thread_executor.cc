#include "core/env/thread_executor.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "core/base/check.h"
#include "core/base/limits.h"
#include "core/env/cond_var.h"

namespace bascule {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

// Far enough to mean "never" without overflowing the arithmetic of the standard library's waits.
constexpr Duration kLongestDelay = std::chrono::hours(24 * 365 * 10);

struct Entry {
  Task task;
  bool from_outside;  // came by TryPost, so it takes one of the bounded places until it starts
};

struct DueTask {
  SteadyTime due;
  uint64_t order;  // equal times run in the order of the calls
  Task task;
  bool operator<(
      const DueTask& other) const {  // std heaps keep the greatest first; we want the earliest
    return due != other.due ? due > other.due : order > other.order;
  }
};

// The executor whose task the calling thread is running; its address is only compared.
thread_local const void* current_executor = nullptr;

}  // namespace

// How a task gets from a foreign thread to a worker:
//
//   poster                         worker
//   Post: lock, queue += task      Run: lock
//         sleeping? take one         taken empty: swap(taken, queue), due timers join the end
//           away, unlock, notify     one thread: unlock, run all of taken    many: take one,
//           unlock, run it
//         else unlock                nothing to take: ++sleeping, wait (the lock is free)
//
// Only the post that finds a sleeper pays for a wake-up; posts to a busy worker, and its own, touch
// the lock alone.
struct ThreadExecutor::State {
  std::string name;
  bool single = false;
  size_t running_left = 0;  // of those that were taken, behind the present one; its own thread only
  std::atomic<uint64_t> outside_started{
      0};  // only compared with outside_posted, so relaxed order is enough

  absl::Mutex mutex;
  CondVar work;
  std::vector<Entry> queue ABSL_GUARDED_BY(mutex);
  std::vector<Entry> taken ABSL_GUARDED_BY(mutex);
  size_t next_taken ABSL_GUARDED_BY(mutex) = 0;
  std::vector<DueTask> timers ABSL_GUARDED_BY(mutex);  // a heap
  uint64_t timers_created ABSL_GUARDED_BY(mutex) = 0;
  uint64_t outside_posted ABSL_GUARDED_BY(mutex) = 0;
  // Threads inside Wait = sleeping + woken. A notifier moves one from the first to the second, so
  // that the next post does not notify the same thread again.
  size_t sleeping ABSL_GUARDED_BY(mutex) = 0;
  size_t woken ABSL_GUARDED_BY(mutex) = 0;
  bool stopping ABSL_GUARDED_BY(mutex) = false;
  std::vector<std::thread> threads ABSL_GUARDED_BY(mutex);
  size_t started ABSL_GUARDED_BY(mutex) = 0;  // threads, ever

  // By whoever is about to sleep, and so is not counted.
  void CheckInvariants() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    BASCULE_CHECK_LT(sleeping + woken, started);
    BASCULE_CHECK(queue.empty() && taken.empty());
    BASCULE_CHECK_EQ(next_taken, 0U);
  }

  bool ClaimSleeper() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    if (sleeping == 0) return false;
    --sleeping;
    ++woken;
    return true;
  }

  void MoveDueTimers() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    if (timers.empty()) return;
    const SteadyTime now = std::chrono::steady_clock::now();
    while (!timers.empty() && timers.front().due <= now) {
      std::pop_heap(timers.begin(), timers.end());
      taken.push_back(Entry{std::move(timers.back().task), false});
      timers.pop_back();
    }
  }

  // Makes `taken` hold work; waits for it. False when stopping and nothing is left.
  bool AwaitWork() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    while (true) {
      if (next_taken < taken.size()) return true;
      taken.clear();
      next_taken = 0;
      taken.swap(queue);
      MoveDueTimers();
      if (!taken.empty()) return true;
      if (stopping) return false;
      CheckInvariants();
      ++sleeping;
      if (timers.empty()) {
        work.Wait(mutex);
      } else {
        work.WaitUntil(mutex, timers.front().due);
      }
      // A timeout may use up another thread's notification; the sum stays right, and that is all
      // that counts.
      if (woken > 0) {
        --woken;
      } else {
        BASCULE_CHECK_GT(sleeping, 0U);
        --sleeping;
      }
    }
  }

  void RunEntry(Entry entry) {
    if (entry.from_outside) outside_started.fetch_add(1, std::memory_order_relaxed);
    entry.task();
  }

  // `running`: empty, kept for its memory.
  void RunTakenWhole(std::vector<Entry>& running) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    BASCULE_CHECK_EQ(next_taken, 0U);
    running.swap(taken);
    mutex.Unlock();
    running_left = running.size();
    for (Entry& entry : running) {
      --running_left;
      RunEntry(std::move(entry));
    }
    running.clear();
    mutex.Lock();
  }

  void RunTakenOne() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    Entry entry = std::move(taken[next_taken++]);
    // What is left is for the others: more tasks (the post that brought them may have woken only
    // us), and the watch over the next timer (sleepers may have gone to sleep before it was set).
    const bool more = next_taken < taken.size() || !timers.empty();
    const bool wake = more && ClaimSleeper();
    mutex.Unlock();
    if (wake) work.Signal();
    RunEntry(std::move(entry));
    mutex.Lock();
  }

  void Run() noexcept {
    current_executor = this;
    std::vector<Entry> running;
    const absl::MutexLock lock(&mutex);
    while (AwaitWork()) {
      if (single) {
        RunTakenWhole(running);
      } else {
        RunTakenOne();
      }
    }
  }

  // False, with the task left to its caller, when the executor is stopping or (for work from
  // outside) full.
  bool Enqueue(Task& task, bool from_outside) {
    BASCULE_CHECK(task != nullptr);  // here, where it can be seen whose it is
    bool wake = false;
    {
      const absl::MutexLock lock(&mutex);
      if (stopping) return false;
      if (from_outside) {
        BASCULE_CHECK_LE(outside_started.load(std::memory_order_relaxed), outside_posted);
        const uint64_t waiting = outside_posted - outside_started.load(std::memory_order_relaxed);
        if (waiting >= limits::kExecutorQueueTasks) return false;
        ++outside_posted;
      }
      queue.push_back(Entry{std::move(task), from_outside});
      wake = ClaimSleeper();
    }
    if (wake) work.Signal();
    return true;
  }
};

ThreadExecutor::ThreadExecutor(std::string name, int threads) : state_(std::make_unique<State>()) {
  BASCULE_CHECK_GE(threads, 1);
  state_->name = std::move(name);
  state_->single = threads == 1;
  const std::string system_name = state_->name.substr(0, 15);  // the kernel's limit
  const absl::MutexLock lock(&state_->mutex);
  for (int i = 0; i < threads; ++i) {
    try {
      state_->threads.emplace_back([state = state_.get()] { state->Run(); });
    } catch (const std::system_error& error) {
      // A process that cannot start its threads cannot serve anything.
      internal::CheckFailed(
          __FILE__, __LINE__, "start of a thread",
          " (" + state_->name + ": " + error.what() + "; raise the limit of processes)");
    }
    pthread_setname_np(state_->threads.back().native_handle(), system_name.c_str());
    ++state_->started;
  }
}

ThreadExecutor::~ThreadExecutor() { Stop(); }

void ThreadExecutor::Post(Task task) { state_->Enqueue(task, false); }

bool ThreadExecutor::TryPost(Task task) { return state_->Enqueue(task, true); }

void ThreadExecutor::After(Duration delay, Task task) {
  BASCULE_CHECK(task != nullptr);
  const Duration bounded = std::clamp(delay, Duration::zero(), kLongestDelay);
  const SteadyTime due = std::chrono::steady_clock::now() + bounded;
  bool wake = false;
  {
    const absl::MutexLock lock(&state_->mutex);
    if (state_->stopping) return;
    std::vector<DueTask>& timers = state_->timers;
    const bool first = timers.empty() || due < timers.front().due;
    timers.push_back(DueTask{due, state_->timers_created++, std::move(task)});
    std::push_heap(timers.begin(), timers.end());
    // Sleepers wait for the timer that was first when they went to sleep; a later one changes
    // nothing for them.
    wake = first && state_->ClaimSleeper();
  }
  if (wake) state_->work.Signal();
}

bool ThreadExecutor::OnThisThread() const { return current_executor == state_.get(); }

bool ThreadExecutor::Idle() const {
  if (!state_->single) return false;
  BASCULE_CHECK(OnThisThread());
  if (state_->running_left > 0) return false;
  const absl::MutexLock lock(&state_->mutex);
  return state_->queue.empty();
}

void ThreadExecutor::Stop() {
  BASCULE_CHECK(!OnThisThread());
  std::vector<DueTask> destroyed_unlocked;  // a task's destructor may call back into this executor
  std::vector<std::thread> threads;
  {
    const absl::MutexLock lock(&state_->mutex);
    state_->stopping = true;
    state_->timers.swap(destroyed_unlocked);
    state_->threads.swap(threads);
    state_->woken += state_->sleeping;
    state_->sleeping = 0;
  }
  state_->work.SignalAll();
  for (std::thread& thread : threads) thread.join();
}

}  // namespace bascule
