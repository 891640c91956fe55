#include "core/env/timer.h"

#include <utility>

#include "core/base/check.h"

namespace bascule {

struct Timer::Wake {
  Executor& executor;
  Task task;           // null while it runs
  Duration period{0};  // 0 = once
  bool ended = false;
};

Timer::~Timer() { Drop(); }

void Timer::Start(Duration delay, Task task) { Arm(delay, Duration(0), std::move(task)); }

void Timer::Repeat(Duration period, Task task) {
  BASCULE_CHECK_GT(period.count(), 0);
  Arm(period, period, std::move(task));
}

void Timer::Cancel() {
  BASCULE_CHECK(executor_.OnThisThread());
  Drop();
}

bool Timer::armed() const { return wake_ != nullptr && !wake_->ended; }

void Timer::Arm(Duration delay, Duration period, Task task) {
  BASCULE_CHECK(executor_.OnThisThread());
  BASCULE_CHECK(task != nullptr);
  const auto wake = std::make_shared<Wake>(Wake{executor_, std::move(task), period});
  // What is destroyed may start this timer again: ours is the later call.
  while (wake_ != nullptr) Drop();
  wake_ = wake;
  Post(delay, wake);
}

void Timer::Drop() {
  const std::shared_ptr<Wake> wake = std::exchange(wake_, nullptr);
  if (wake == nullptr) return;
  wake->ended = true;
  const Task dropped = std::exchange(wake->task, nullptr);
}

void Timer::Post(Duration delay, std::shared_ptr<Wake> wake) {
  Executor& executor = wake->executor;
  executor.After(delay, [wake = std::move(wake)] { Run(wake); });
}

void Timer::Run(const std::shared_ptr<Wake>& wake) {
  if (wake->ended) return;
  wake->ended = wake->period == Duration(0);
  Task task = std::exchange(wake->task, nullptr);
  task();
  if (wake->ended) return;
  wake->task = std::move(task);
  Post(wake->period, wake);
}

}  // namespace bascule
