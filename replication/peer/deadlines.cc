#include "replication/peer/deadlines.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "core/base/check.h"

#include "absl/synchronization/mutex.h"

namespace bascule::peer {

TimerId Deadlines::After(Duration delay, Task task) {
  // A century is for ever; it keeps the sum within its type.
  delay = std::clamp<Duration>(delay, Duration(0), std::chrono::hours(24 * 365 * 100));
  const MonotonicTime at = Add(clock_.Monotonic(), delay);
  TimerId timer = 0;
  {
    const absl::MutexLock lock(&mutex_);
    if (stopped_) return 0;
    timer = next_++;
    tasks_.emplace(std::pair(at, timer), std::move(task));
    at_.emplace(timer, at);
    if (!wakes_.empty() && *wakes_.begin() <= at) return timer;
    wakes_.insert(at);
  }
  WakeAt(at);
  return timer;
}

void Deadlines::Cancel(TimerId timer) {
  Task task;  // destroyed without the lock
  const absl::MutexLock lock(&mutex_);
  CheckInvariants();
  const auto found = at_.find(timer);
  if (found == at_.end()) return;
  const auto node = tasks_.extract({found->second, timer});
  at_.erase(found);
  task = std::move(node.mapped());
}

void Deadlines::Stop() {
  std::map<std::pair<MonotonicTime, TimerId>, Task> tasks;
  const absl::MutexLock lock(&mutex_);
  stopped_ = true;
  tasks.swap(tasks_);
  at_.clear();
  while (firing_ > 0) quiet_.Wait(mutex_);
}

// Each task has its time, and a wake-up is owed for the first of them.
void Deadlines::CheckInvariants() const {
  BASCULE_CHECK_EQ(tasks_.size(), at_.size());
  if (tasks_.empty()) return;
  BASCULE_CHECK(!wakes_.empty());
  BASCULE_CHECK(*wakes_.begin() <= tasks_.begin()->first.first);
}

void Deadlines::WakeAt(MonotonicTime at) {
  const Duration delay = std::max(Duration(0), Between(clock_.Monotonic(), at));
  executor_.After(delay, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->Fire();
  });
}

void Deadlines::Fire() {
  std::vector<Task> due;
  std::optional<MonotonicTime> next;
  {
    const absl::MutexLock lock(&mutex_);
    ++firing_;
    const MonotonicTime now = clock_.Monotonic();
    while (!tasks_.empty() && tasks_.begin()->first.first <= now) {
      at_.erase(tasks_.begin()->first.second);
      due.push_back(std::move(tasks_.begin()->second));
      tasks_.erase(tasks_.begin());
    }
    wakes_.erase(wakes_.begin(), wakes_.upper_bound(now));
    // A late wake-up that is owed already is not asked for again: they would pile up.
    if (!tasks_.empty()) next = tasks_.begin()->first.first;
    if (next.has_value() && !wakes_.empty() && *wakes_.begin() <= *next) next.reset();
    if (next.has_value()) wakes_.insert(*next);
    CheckInvariants();
  }
  if (next.has_value()) WakeAt(*next);
  for (Task& task : due) task();
  due.clear();
  const absl::MutexLock lock(&mutex_);
  BASCULE_CHECK_GT(firing_, 0U);
  if (--firing_ == 0) quiet_.SignalAll();
}

}  // namespace bascule::peer
