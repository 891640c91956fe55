#include "core/env/timer.h"

#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "core/env/thread_executor.h"
#include "tests/support/eventually.h"
#include "tests/support/sim_executor.h"

namespace bascule {
namespace {

using std::chrono::milliseconds;

struct TimerWorld {
  TimerWorld() : scheduler(clock, 1), home(scheduler.NewExecutor("home")), timer(home) {}
  ~TimerWorld() { scheduler.DropAll(); }
  void Pass(int ms) { scheduler.RunFor(milliseconds(ms)); }
  Task Count() {
    return [this] { ++ran; };
  }

  SimClock clock;
  SimScheduler scheduler;
  SimExecutor& home;
  Timer timer;
  int ran = 0;
};

TEST_CASE("a timer runs its task once, when it is time") {
  TimerWorld world;
  for (int round = 1; round <= 3; ++round) {
    world.timer.Start(milliseconds(10), world.Count());
    CHECK(world.timer.armed());
    world.Pass(9);
    CHECK(world.ran == round - 1);
    world.Pass(1);
    CHECK(world.ran == round);
    CHECK(!world.timer.armed());
    world.Pass(50);
    CHECK(world.ran == round);
  }
}

TEST_CASE("a cancelled timer does not run, and serves again") {
  TimerWorld world;
  world.timer.Cancel();
  for (int round = 0; round < 2; ++round) {
    world.timer.Start(milliseconds(10), world.Count());
    world.Pass(5);
    world.timer.Cancel();
    CHECK(!world.timer.armed());
    world.Pass(50);
    CHECK(world.ran == 0);
  }
  world.timer.Start(milliseconds(10), world.Count());
  world.Pass(10);
  CHECK(world.ran == 1);
}

TEST_CASE("a timer that is started again runs the later task only, at its time") {
  TimerWorld world;
  std::vector<int> order;
  world.timer.Start(milliseconds(10), [&] { order.push_back(1); });
  world.Pass(5);
  world.timer.Start(milliseconds(10), [&] { order.push_back(2); });
  world.Pass(9);
  CHECK(order.empty());
  world.Pass(1);
  CHECK(order == std::vector<int>{2});
  // Sooner than what waited, too.
  world.timer.Start(milliseconds(100), [&] { order.push_back(3); });
  world.timer.Start(milliseconds(1), [&] { order.push_back(4); });
  world.Pass(200);
  CHECK(order == std::vector<int>{2, 4});
}

TEST_CASE("what a task captured is free once it is cancelled, replaced or destroyed") {
  TimerWorld world;
  auto held = std::make_shared<int>(0);
  world.timer.Start(std::chrono::hours(1), [held] {});
  CHECK(held.use_count() == 2);
  world.timer.Cancel();
  CHECK(held.use_count() == 1);
  world.timer.Start(std::chrono::hours(1), [held] {});
  world.timer.Start(std::chrono::hours(1), [] {});
  CHECK(held.use_count() == 1);
  {
    Timer other(world.home);
    other.Repeat(std::chrono::hours(1), [held] {});
    CHECK(held.use_count() == 2);
  }
  CHECK(held.use_count() == 1);
  world.timer.Start(milliseconds(1), [held] {});
  world.Pass(1);
  CHECK(held.use_count() == 1);
}

TEST_CASE("a timer that is destroyed before its time does not run") {
  TimerWorld world;
  auto timer = std::make_unique<Timer>(world.home);
  timer->Start(milliseconds(10), world.Count());
  world.Pass(9);
  timer.reset();
  world.Pass(50);
  CHECK(world.ran == 0);
}

TEST_CASE("a task may start its timer again, cancel it or destroy it") {
  TimerWorld world;
  auto timer = std::make_unique<Timer>(world.home);
  auto held = std::make_shared<int>(0);
  timer->Start(milliseconds(10), [&, held] {
    CHECK(!timer->armed());
    ++world.ran;
    timer->Cancel();
    timer->Start(milliseconds(10), [&, held] {
      world.ran += 10;
      timer.reset();
      CHECK(*held == 0);  // what it captured stands as long as it runs
    });
    CHECK(timer->armed());
  });
  world.Pass(10);
  CHECK(world.ran == 1);
  world.Pass(10);
  CHECK(world.ran == 11);
  CHECK(held.use_count() == 1);
}

TEST_CASE("a repeated task runs each period from the end of the run before") {
  TimerWorld world;
  world.timer.Repeat(milliseconds(10), [&] {
    CHECK(world.timer.armed());
    if (++world.ran == 2) world.clock.Advance(milliseconds(7));  // a run that takes long
  });
  world.Pass(9);
  CHECK(world.ran == 0);
  world.Pass(11);
  CHECK(world.ran == 2);
  world.Pass(2);  // 7 of its own, 9 of the period
  CHECK(world.ran == 2);
  world.Pass(15);
  CHECK(world.ran == 3);
  world.timer.Cancel();
  world.Pass(100);
  CHECK(world.ran == 3);
}

TEST_CASE("a repeated task may cancel, replace or destroy its timer") {
  TimerWorld world;
  world.timer.Repeat(milliseconds(10), [&] {
    if (++world.ran == 2) world.timer.Cancel();
  });
  world.Pass(100);
  CHECK(world.ran == 2);
  world.timer.Repeat(milliseconds(10), [&] {
    ++world.ran;
    world.timer.Start(milliseconds(20), [&] { world.ran += 10; });
  });
  world.Pass(100);
  CHECK(world.ran == 13);
  auto timer = std::make_unique<Timer>(world.home);
  timer->Repeat(milliseconds(10), [&] {
    ++world.ran;
    timer.reset();
  });
  world.Pass(100);
  CHECK(world.ran == 14);
}

// Something whose end starts the timer again.
struct StartsAgain {
  explicit StartsAgain(Task restart) : restart_(std::move(restart)) {}
  ~StartsAgain() { restart_(); }
  Task restart_;
};

TEST_CASE("what a cancelled task captured may start the timer again while it is destroyed") {
  TimerWorld world;
  const auto restart = [&] { world.timer.Start(milliseconds(10), [&] { world.ran += 100; }); };
  world.timer.Start(milliseconds(5), [held = std::make_shared<StartsAgain>(restart)] {});
  world.timer.Cancel();
  CHECK(world.timer.armed());
  world.Pass(10);
  CHECK(world.ran == 100);
  // The later call of the two stands.
  world.timer.Start(milliseconds(5), [held = std::make_shared<StartsAgain>(restart)] {});
  world.timer.Start(milliseconds(5), world.Count());
  world.Pass(100);
  CHECK(world.ran == 101);
}

TEST_CASE(
    "on a thread: timers that wait when it stops never run and hold nothing after their owner") {
  ThreadExecutor home("home", 1);
  auto held = std::make_shared<int>(0);
  std::optional<Timer> timer(home);
  std::atomic<int> ran{0};
  home.Post([&] {
    timer->Repeat(milliseconds(1), [&, held] {
      if (++ran == 3) timer->Start(std::chrono::hours(1), [held, &ran] { ++ran; });
    });
  });
  CHECK(Eventually([&] { return ran == 3; }));
  home.Stop();
  CHECK(ran == 3);
  timer.reset();  // the executor runs nothing any more
  CHECK(held.use_count() == 1);
}

}  // namespace
}  // namespace bascule
