#include "tests/support/sim_executor.h"

#include <doctest/doctest.h>

#include <memory>
#include <set>
#include <string>

namespace bascule {
namespace {

using std::chrono::milliseconds;

TEST_CASE(
    "sim executor: tasks of one executor keep their order, those of several are shuffled by the "
    "seed") {
  const auto run = [](uint64_t seed) {
    SimClock clock;
    SimScheduler scheduler(clock, seed);
    SimExecutor& a = scheduler.NewExecutor("a");
    SimExecutor& b = scheduler.NewExecutor("b");
    std::string order;
    for (const char c : {'1', '2', '3'}) a.Post([&order, c] { order.push_back(c); });
    for (const char c : {'x', 'y', 'z'}) b.Post([&order, c] { order.push_back(c); });
    CHECK(scheduler.RunUntilIdle() == 6);
    return order;
  };
  std::set<std::string> orders;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const std::string order = run(seed);
    CHECK(order == run(seed));
    CHECK(order.find('1') < order.find('2'));
    CHECK(order.find('2') < order.find('3'));
    CHECK(order.find('x') < order.find('y'));
    CHECK(order.find('y') < order.find('z'));
    orders.insert(order);
  }
  CHECK(orders.size() > 10);
}

TEST_CASE("sim executor: a pool finishes in any order and takes its time") {
  std::set<std::string> orders;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    SimClock clock;
    SimScheduler scheduler(clock, seed);
    SimExecutor& pool =
        scheduler.NewExecutor("pool", {.order = TaskOrder::kAny, .max_delay = milliseconds(10)});
    std::string order;
    for (const char c : {'1', '2', '3'}) pool.Post([&order, c] { order.push_back(c); });
    scheduler.RunFor(milliseconds(10));
    CHECK(order.size() == 3);
    orders.insert(order);
  }
  CHECK(orders.size() == 6);
}

TEST_CASE("sim executor: time stands still for ready tasks and runs to timers at their own time") {
  SimClock clock;
  SimScheduler scheduler(clock, 1, ExecutorChoice::kRoundRobin);
  SimExecutor& executor = scheduler.NewExecutor("e");
  const MonotonicTime start = clock.Monotonic();
  std::string log;
  const auto note = [&](char c) {
    log += c + std::to_string((clock.Monotonic() - start) / 1'000'000) + " ";
  };
  executor.After(milliseconds(20), [&] { note('c'); });
  executor.After(milliseconds(5), [&] {
    note('a');
    executor.After(milliseconds(5), [&] { note('b'); });
  });
  executor.After(milliseconds(5), [&] { note('A'); });
  executor.Post([&] { note('p'); });
  CHECK(scheduler.RunUntilIdle() == 1);
  scheduler.RunFor(milliseconds(15));
  CHECK(log == "p0 a5 A5 b10 ");
  CHECK(Between(start, clock.Monotonic()) == milliseconds(15));
  scheduler.RunFor(milliseconds(5));
  CHECK(log == "p0 a5 A5 b10 c20 ");
}

TEST_CASE("sim executor: RunUntil stops at the condition or at its limit") {
  SimClock clock;
  SimScheduler scheduler(clock, 1);
  SimExecutor& executor = scheduler.NewExecutor("e");
  bool done = false;
  executor.After(milliseconds(50), [&] { done = true; });
  CHECK_FALSE(scheduler.RunUntil([&] { return done; }, milliseconds(49)));
  CHECK(scheduler.RunUntil([&] { return done; }, milliseconds(60)));
}

TEST_CASE("sim executor: TryPost is bounded, Post is not") {
  SimClock clock;
  SimScheduler scheduler(clock, 1);
  SimExecutor& executor = scheduler.NewExecutor("e", {.capacity = 2});
  CHECK(executor.TryPost([] {}));
  executor.Post([] {});
  CHECK(executor.TryPost([] {}));
  CHECK_FALSE(executor.TryPost([] {}));
  executor.Post([] {});
  CHECK(executor.waiting() == 4);
  scheduler.RunUntilIdle();
  CHECK(executor.TryPost([] {}));
}

TEST_CASE("sim executor: death destroys tasks and timers, and what their destructors post") {
  SimClock clock;
  SimScheduler scheduler(clock, 1);
  SimExecutor& executor = scheduler.NewExecutor("e");
  auto alive = std::make_shared<int>(0);
  int ran = 0;
  struct PostsOnDeath {
    SimExecutor& executor;
    int& ran;
    ~PostsOnDeath() {
      executor.Post([&r = ran] { ++r; });
      executor.After(milliseconds(1), [&r = ran] { ++r; });
    }
  };
  executor.Post([alive, held = std::make_unique<PostsOnDeath>(executor, ran)] {});
  executor.After(milliseconds(1), [alive, held = std::make_unique<PostsOnDeath>(executor, ran)] {});
  REQUIRE(executor.TryPost([alive] {}));
  SUBCASE("dropped") {
    scheduler.DropAll();
    CHECK(alive.use_count() == 1);
    scheduler.RunFor(milliseconds(5));
    CHECK(ran == 0);
    executor.Post([&] { ++ran; });
    scheduler.RunUntilIdle();
    CHECK(ran == 1);
  }
  SUBCASE("closed") {
    executor.Close();
    executor.Post([&] { ++ran; });
    executor.After(milliseconds(0), [&] { ++ran; });
    CHECK_FALSE(executor.TryPost([&] { ++ran; }));
    scheduler.RunFor(milliseconds(5));
    CHECK(ran == 0);
    CHECK(alive.use_count() == 1);
  }
}

}  // namespace
TEST_CASE("a task knows whose it is; between tasks a test may call anything") {
  SimClock clock;
  SimScheduler scheduler(clock, 1);
  SimExecutor& a = scheduler.NewExecutor("a");
  SimExecutor& b = scheduler.NewExecutor("b");
  CHECK((a.OnThisThread() && b.OnThisThread()));
  int ran = 0;
  a.Post([&] {
    CHECK((a.OnThisThread() && !b.OnThisThread()));
    ++ran;
  });
  b.Post([&] {
    CHECK((b.OnThisThread() && !a.OnThisThread()));
    ++ran;
  });
  scheduler.RunUntilIdle();
  CHECK(ran == 2);
  CHECK((a.OnThisThread() && b.OnThisThread()));
}

}  // namespace bascule
