#include "core/env/lifetime.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/env/countdown.h"
#include "core/env/thread_executor.h"
#include "core/env/timer.h"
#include "tests/support/sim_executor.h"

namespace bascule {
namespace {

struct LifetimeWorld {
  LifetimeWorld()
      : scheduler(clock, 1),
        home(scheduler.NewExecutor("home")),
        wire(scheduler.NewExecutor("wire")) {}
  SimClock clock;
  SimScheduler scheduler;
  SimExecutor& home;
  SimExecutor& wire;
};

// Notes what it is told, for as long as it lives.
struct Listener {
  Listener(Executor& home, std::vector<int>& told) : heard(told), lifetime(home) {}
  std::vector<int>& heard;
  Lifetime lifetime;
};

// Notes on which thread it is destroyed.
struct Traced {
  explicit Traced(std::thread::id& where) : destroyed_on(where) {}
  ~Traced() { destroyed_on = std::this_thread::get_id(); }
  std::thread::id& destroyed_on;
};

TEST_CASE("a guarded callback runs while its owner lives, as often as it is called") {
  LifetimeWorld world;
  std::vector<int> heard;
  auto owner = std::make_unique<Listener>(world.home, heard);
  auto guarded = owner->lifetime.Guard([&heard](int n) { heard.push_back(n); });
  auto copy = guarded;
  guarded(1);
  guarded(2);
  copy(3);
  owner.reset();
  guarded(4);
  copy(5);
  CHECK(heard == std::vector<int>{1, 2, 3});
}

TEST_CASE("a guarded callback that waits in a queue does not outlive its owner") {
  LifetimeWorld world;
  std::vector<int> heard;
  auto first = std::make_unique<Listener>(world.home, heard);
  auto second = std::make_unique<Listener>(world.home, heard);
  world.home.Post(first->lifetime.Guard([at = first.get()] { at->heard.push_back(1); }));
  world.home.Post(second->lifetime.Guard([at = second.get()] { at->heard.push_back(2); }));
  first.reset();
  world.scheduler.RunUntilIdle();
  CHECK(heard == std::vector<int>{2});
}

TEST_CASE("an owner may be destroyed in its own callback") {
  LifetimeWorld world;
  std::vector<int> heard;
  auto owner = std::make_unique<Listener>(world.home, heard);
  auto held = std::make_shared<int>(7);
  auto again = owner->lifetime.Guard([&, held](int n) {
    heard.push_back(n);
    owner.reset();
    heard.push_back(*held);
  });
  again(1);
  again(2);
  CHECK(heard == std::vector<int>{1, 7});
}

TEST_CASE("an ended lifetime stays ended while its owner stands") {
  LifetimeWorld world;
  std::vector<int> heard;
  Listener owner(world.home, heard);
  auto before = owner.lifetime.Guard([&] { heard.push_back(1); });
  CHECK(!owner.lifetime.ended());
  owner.lifetime.End();
  CHECK(owner.lifetime.ended());
  before();
  owner.lifetime.Guard([&] { heard.push_back(2); })();
  owner.lifetime.Bind([&] { heard.push_back(3); })();
  world.scheduler.RunUntilIdle();
  CHECK(heard.empty());
}

TEST_CASE("a bound callback runs on its owner's executor, with what it was given") {
  LifetimeWorld world;
  std::vector<int> heard;
  Listener owner(world.home, heard);
  std::string got;
  bool at_home = false;
  auto bound = owner.lifetime.Bind([&](std::string text, const std::unique_ptr<int>& number) {
    got = std::move(text);
    heard.push_back(*number);
    at_home = world.home.OnThisThread() && !world.wire.OnThisThread();
  });
  world.wire.Post([&] {
    bound(std::string("text"), std::make_unique<int>(5));
    CHECK(heard.empty());
  });
  world.scheduler.RunUntilIdle();
  CHECK(got == "text");
  CHECK(heard == std::vector<int>{5});
  CHECK(at_home);
}

TEST_CASE("a bound callback that comes after its owner, or is still on its way then, is left out") {
  LifetimeWorld world;
  std::vector<int> heard;
  auto owner = std::make_unique<Listener>(world.home, heard);
  auto on_its_way = owner->lifetime.Bind([&heard] { heard.push_back(1); });
  auto after = owner->lifetime.Bind([&heard] { heard.push_back(2); });
  on_its_way();
  owner.reset();
  after();
  world.scheduler.RunUntilIdle();
  CHECK(heard.empty());
}

TEST_CASE("what a bound callback captured is destroyed on its owner's thread, called or not") {
  ThreadExecutor home("home", 1);
  std::promise<std::thread::id> promise;
  home.Post([&] { promise.set_value(std::this_thread::get_id()); });
  const std::thread::id home_id = promise.get_future().get();
  std::thread::id called, dropped, late;
  {
    std::optional<Lifetime> lifetime(home);
    auto calling = lifetime->Bind([traced = std::make_shared<Traced>(called)] {});
    auto dropping =
        std::make_optional(lifetime->Bind([traced = std::make_shared<Traced>(dropped)](int) {}));
    auto coming_late = lifetime->Bind([traced = std::make_shared<Traced>(late)] {});
    std::thread([&] {
      calling();
      dropping.reset();
    }).join();
    std::promise<void> ended;
    home.Post([&] {
      lifetime.reset();
      ended.set_value();
    });
    ended.get_future().wait();
    coming_late();
  }
  home.Stop();
  CHECK(called == home_id);
  CHECK(dropped == home_id);
  CHECK(late == home_id);
}

// The signal that ends a process which does this; 0: none does.
int SignalOf(Task task) {
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGABRT, SIG_DFL);
    task();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

TEST_CASE("whoever runs on a foreign executor, or calls a bound callback twice, is told") {
  LifetimeWorld world;
  Lifetime lifetime(world.home);
  Timer timer(world.home);
  const auto elsewhere = [&](Task task) {
    world.wire.Post(std::move(task));
    world.scheduler.RunUntilIdle();
  };
  CHECK(SignalOf([&] { elsewhere(lifetime.Guard([] {})); }) == SIGABRT);
  CHECK(SignalOf([&] { elsewhere(lifetime.Bind([] {})); }) == 0);
  CHECK(SignalOf([&] { elsewhere([&] { timer.Start(Duration(1), [] {}); }); }) == SIGABRT);
  CHECK(SignalOf([&] { elsewhere([&] { timer.Cancel(); }); }) == SIGABRT);
  CHECK(SignalOf([&] {
          auto bound = lifetime.Bind([] {});
          bound();
          bound();
        }) == SIGABRT);
  // Of an owner that is gone nobody runs.
  lifetime.End();
  CHECK(SignalOf([&] { elsewhere(lifetime.Guard([] {})); }) == 0);
}

// --- countdowns ---

TEST_CASE("a countdown is done once all parts have ended and no more can come") {
  std::vector<absl::Status> done;
  for (int round = 1; round <= 2; ++round) {
    std::vector<Countdown::Part> parts;
    {
      Countdown all([&](const absl::Status& first) { done.push_back(first); });
      for (int i = 0; i < 3; ++i) parts.push_back(all.Add());
      all.Add()(absl::OkStatus());  // ends before the others are even added
      parts.push_back(all.Add());
    }
    for (auto& part : parts) {
      CHECK(done.size() == static_cast<size_t>(round - 1));
      part(absl::OkStatus());
    }
    REQUIRE(done.size() == static_cast<size_t>(round));
    CHECK(done.back().ok());
  }
}

TEST_CASE("a countdown of nothing, or of what has ended, is done at its end") {
  int done = 0;
  {
    Countdown none([&](const absl::Status& first) { done += first.ok() ? 1 : 100; });
    CHECK(done == 0);
  }
  CHECK(done == 1);
  {
    Countdown one([&](const absl::Status& first) { done += first.ok() ? 1 : 100; });
    one.Add()(absl::OkStatus());
    CHECK(done == 1);
  }
  CHECK(done == 2);
}

TEST_CASE("a countdown tells the first error") {
  std::optional<absl::Status> done;
  {
    Countdown all([&](const absl::Status& first) { done = first; });
    all.Add()(absl::OkStatus());
    all.Add()(absl::NotFoundError("first"));
    all.Add()(absl::InternalError("second"));
    all.Add()(absl::OkStatus());
  }
  CHECK(*done == absl::NotFoundError("first"));
}

TEST_CASE("a part that is dropped has ended with an error, once") {
  std::vector<absl::Status> done;
  {
    Countdown all([&](const absl::Status& first) { done.push_back(first); });
    Countdown::Part kept = all.Add();
    {
      Countdown::Part dropped = all.Add();
      Countdown::Part moved = std::move(dropped);
      absl::AnyInvocable<void(const absl::Status&)> as_callback = std::move(moved);
    }
    kept(absl::OkStatus());
    CHECK(done.empty());
  }
  REQUIRE(done.size() == 1);
  CHECK(absl::IsAborted(done[0]));
}

TEST_CASE("a countdown that is cut off is done then, and not again") {
  std::vector<absl::Status> done;
  std::optional<Countdown::Part> slow;
  absl::AnyInvocable<void()> cutoff;
  {
    Countdown all([&](const absl::Status& first) { done.push_back(first); });
    cutoff = all.Cutoff();
    slow.emplace(all.Add());
    all.Add()(absl::NotFoundError("first"));
  }
  CHECK(done.empty());
  cutoff();
  REQUIRE(done.size() == 1);
  CHECK(done[0] == absl::NotFoundError("first"));
  (*slow)(absl::OkStatus());
  cutoff();
  CHECK(done.size() == 1);
  slow.reset();
  // The other way round, and what `done` captured does not wait for the cutoff.
  auto held = std::make_shared<int>(0);
  {
    Countdown all([held, &done](const absl::Status& first) { done.push_back(first); });
    cutoff = all.Cutoff();
  }
  CHECK(done.size() == 2);
  CHECK(held.use_count() == 1);
  cutoff();
  CHECK(done.size() == 2);
}

TEST_CASE("done may destroy whoever counts, and begin a countdown of its own") {
  int done = 0;
  auto owner = std::make_unique<std::vector<Countdown::Part>>();
  {
    Countdown all([&](const absl::Status&) {
      owner.reset();
      Countdown next([&](const absl::Status&) { ++done; });
      CHECK(done == 0);
    });
    owner->push_back(all.Add());
  }
  Countdown::Part last = std::move(owner->front());
  last(absl::OkStatus());
  CHECK(done == 1);
}

TEST_CASE("a countdown whose owner is gone tells nobody") {
  LifetimeWorld world;
  std::vector<int> heard;
  auto owner = std::make_unique<Listener>(world.home, heard);
  std::optional<Countdown::Part> part;
  {
    Countdown all(
        owner->lifetime.Guard([at = owner.get()](const absl::Status&) { at->heard.push_back(1); }));
    part.emplace(all.Add());
  }
  owner.reset();
  part.reset();
  CHECK(heard.empty());
}

}  // namespace
}  // namespace bascule
