#include "tests/support/sim_executor.h"

#include <algorithm>

#include "core/base/check.h"

namespace bascule {
namespace {

// Far more than any test needs at one instant: tasks that post each other for ever are a bug to be
// seen, not waited for.
constexpr size_t kMaxTasksAtOneInstant = 20'000'000;

}  // namespace

SimExecutor::SimExecutor(SimScheduler& scheduler, std::string name, SimExecutorOptions options)
    : scheduler_(scheduler), name_(std::move(name)), options_(options) {
  // Delays would let a later task overtake an earlier one, which a single thread never does.
  BASCULE_CHECK(options.order == TaskOrder::kAny || options.max_delay.count() == 0);
}

bool SimExecutor::Enqueue(Task task, bool from_outside) {
  if (closed_) return false;
  if (from_outside) {
    if (outside_waiting_ >= options_.capacity) return false;
    ++outside_waiting_;
  }
  if (options_.max_delay.count() > 0) {
    const Duration delay(
        Between(scheduler_.rng_, 0, static_cast<uint64_t>(options_.max_delay.count())));
    scheduler_.AddTimer(delay, this, std::move(task), from_outside);
  } else {
    ready_.push_back({std::move(task), from_outside});
  }
  return true;
}

void SimExecutor::Post(Task task) { Enqueue(std::move(task), false); }

bool SimExecutor::TryPost(Task task) { return Enqueue(std::move(task), true); }

void SimExecutor::After(Duration delay, Task task) {
  if (!closed_) scheduler_.AddTimer(delay, this, std::move(task), false);
}

void SimExecutor::StandStill(Duration duration) {
  still_until_ = Add(scheduler_.clock_.Monotonic(), duration);
  scheduler_.AddTimer(
      duration, this, [] {}, false);  // time must not pass over its waking
}

void SimExecutor::DropAll() {
  scheduler_.DropTimers(this);
  // Destructors of dropped tasks may post once more; a dead process does not run that either.
  while (!ready_.empty()) {
    std::deque<Ready> dropped;
    dropped.swap(ready_);
    dropped.clear();
    scheduler_.DropTimers(this);
  }
  outside_waiting_ = 0;
}

void SimExecutor::Close() {
  closed_ = true;
  DropAll();
}

void SimExecutor::RunOne(Rng& rng) {
  const size_t index = options_.order == TaskOrder::kAny ? rng.Below(ready_.size()) : 0;
  Ready next = std::move(ready_[index]);
  ready_.erase(ready_.begin() + static_cast<std::ptrdiff_t>(index));
  if (next.from_outside) --outside_waiting_;
  next.task();
}

bool SimExecutor::OnThisThread() const {
  return scheduler_.running_ == nullptr || scheduler_.running_ == this;
}

SimScheduler::SimScheduler(SimClock& clock, uint64_t seed, ExecutorChoice choice)
    : clock_(clock), rng_(seed), choice_(choice) {}

SimScheduler::~SimScheduler() {
  for (auto& executor : executors_) executor->Close();
}

SimExecutor& SimScheduler::NewExecutor(std::string name, SimExecutorOptions options) {
  executors_.push_back(std::make_unique<SimExecutor>(*this, std::move(name), options));
  return *executors_.back();
}

void SimScheduler::AddTimer(Duration delay, SimExecutor* executor, Task task, bool from_outside) {
  const MonotonicTime due = Add(clock_.Monotonic(), std::max(delay, Duration::zero()));
  timers_.emplace(std::pair(due, timers_created_++),
                  Timer{executor, std::move(task), from_outside});
}

void SimScheduler::MoveDueTimers() {
  while (!timers_.empty() && timers_.begin()->first.first <= clock_.Monotonic()) {
    Timer timer = std::move(timers_.begin()->second);
    timers_.erase(timers_.begin());
    timer.executor->ready_.push_back({std::move(timer.task), timer.from_outside});
  }
}

void SimScheduler::DropTimers(const SimExecutor* executor) {
  std::vector<Timer>
      dropped;  // destroyed after the map is whole again, since destructors may add timers
  do {
    dropped.clear();
    for (auto it = timers_.begin(); it != timers_.end();) {
      if (it->second.executor == executor) {
        dropped.push_back(std::move(it->second));
        it = timers_.erase(it);
      } else {
        ++it;
      }
    }
  } while (!dropped.empty());
}

SimExecutor* SimScheduler::PickReady() {
  const MonotonicTime now = clock_.Monotonic();
  const auto is_ready = [now](const auto& executor) {
    return !executor->ready_.empty() && executor->still_until_ <= now;
  };
  const auto ready =
      static_cast<size_t>(std::count_if(executors_.begin(), executors_.end(), is_ready));
  if (ready == 0) return nullptr;
  size_t skip = choice_ == ExecutorChoice::kSeeded ? rng_.Below(ready) : next_executor_++ % ready;
  auto it = std::find_if(executors_.begin(), executors_.end(), is_ready);
  while (skip-- > 0) it = std::find_if(it + 1, executors_.end(), is_ready);
  return it->get();
}

bool SimScheduler::Step() {
  MoveDueTimers();
  SimExecutor* executor = PickReady();
  if (executor == nullptr) return false;
  const SimExecutor* outer = std::exchange(running_, executor);
  executor->RunOne(rng_);
  running_ = outer;
  return true;
}

size_t SimScheduler::RunUntilIdle() {
  size_t steps = 0;
  while (Step()) BASCULE_CHECK_LE(++steps, kMaxTasksAtOneInstant);
  return steps;
}

bool SimScheduler::AdvanceToNextTimer(MonotonicTime latest) {
  if (timers_.empty()) return false;
  const MonotonicTime due = timers_.begin()->first.first;
  if (due > latest) return false;
  if (due > clock_.Monotonic()) clock_.Advance(bascule::Between(clock_.Monotonic(), due));
  return true;
}

void SimScheduler::RunFor(Duration duration) {
  const MonotonicTime end = Add(clock_.Monotonic(), duration);
  do {
    RunUntilIdle();
  } while (AdvanceToNextTimer(end));
  // A simulated disk may have moved the clock past the end already.
  if (end > clock_.Monotonic()) clock_.Advance(bascule::Between(clock_.Monotonic(), end));
}

void SimScheduler::DropAll() {
  for (const auto& executor : executors_) executor->DropAll();
}

}  // namespace bascule
