#include "core/env/thread_executor.h"

#include <doctest/doctest.h>
#include <pthread.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "core/base/limits.h"
#include "core/env/file_system.h"
#include "tests/support/eventually.h"

namespace bascule {
namespace {

using std::chrono::milliseconds;

// Occupies one thread of an executor until it is opened.
class Gate {
 public:
  explicit Gate(Executor& executor) {
    executor.Post([this, opened = open_.get_future()] {
      entered_.set_value();
      opened.wait();
    });
    entered_.get_future().wait();
  }
  void Open() { open_.set_value(); }

 private:
  std::promise<void> entered_;
  std::promise<void> open_;
};

// Waits until all that was posted to a single-threaded executor before has run.
void Drain(Executor& executor) {
  std::promise<void> done;
  executor.Post([&done] { done.set_value(); });
  done.get_future().wait();
}

// Threads of this process with that name that the kernel shows as waiting.
int WaitingThreads(const std::string& name) {
  FileSystem& fs = RealFileSystem();
  const auto tasks = fs.List("/proc/self/task");
  int waiting = 0;
  for (const DirectoryEntry& task : *tasks) {
    const auto stat = fs.Open("/proc/self/task/" + task.name + "/stat", OpenMode::kRead);
    std::string text(256, '\0');
    if (!stat.ok() || !(*stat)->ReadAt(FilePosition(0), text.data(), text.size()).ok()) continue;
    waiting += text.find("(" + name + ") S") != std::string::npos ? 1 : 0;
  }
  return waiting;
}

TEST_CASE("tasks of each poster run in its order") {
  constexpr int kPosters = 4;
  constexpr int kTasks = 5000;
  ThreadExecutor executor("order", 1);
  std::vector<int> next(kPosters, 0);  // touched by the executor's thread alone
  int out_of_order = 0;
  std::vector<std::thread> posters;
  for (int p = 0; p < kPosters; ++p) {
    posters.emplace_back([&, p] {
      for (int i = 0; i < kTasks; ++i) {
        executor.Post([&, p, i] { out_of_order += next[static_cast<size_t>(p)]++ == i ? 0 : 1; });
      }
    });
  }
  for (std::thread& poster : posters) poster.join();
  Drain(executor);
  CHECK(out_of_order == 0);
  CHECK(next == std::vector<int>(kPosters, kTasks));
}

TEST_CASE("no wake-up is lost between two threads that answer each other") {
  ThreadExecutor a("ping", 1);
  ThreadExecutor b("pong", 1);
  std::promise<void> done;
  int rounds = 20000;
  std::function<void()> ping = [&] {
    if (--rounds == 0) return done.set_value();
    b.Post([&] { a.Post(ping); });
  };
  a.Post(ping);
  CHECK(done.get_future().wait_for(std::chrono::seconds(60)) == std::future_status::ready);
}

TEST_CASE(
    "TryPost refuses at the limit, counts only its own tasks, and takes again once they start") {
  ThreadExecutor executor("bounded", 1);
  Gate gate(executor);
  for (int i = 0; i < 10; ++i) executor.Post([] {});
  int ran = 0;
  size_t accepted = 0;
  while (accepted <= limits::kExecutorQueueTasks && executor.TryPost([&ran] { ++ran; })) ++accepted;
  CHECK(accepted == limits::kExecutorQueueTasks);

  auto kept = std::make_shared<int>(0);
  CHECK_FALSE(executor.TryPost([kept] {}));
  CHECK(kept.use_count() == 1);
  bool completion_ran = false;
  executor.Post([&] { completion_ran = true; });

  gate.Open();
  Drain(executor);
  CHECK(ran == static_cast<int>(limits::kExecutorQueueTasks));
  CHECK(completion_ran);
  CHECK(executor.TryPost([] {}));
}

TEST_CASE("places of TryPost are free again as tasks start, not when their batch ends") {
  ThreadExecutor executor("bounded", 1);
  Gate gate(executor);
  bool room_inside = false;
  for (size_t i = 1; i < limits::kExecutorQueueTasks; ++i) REQUIRE(executor.TryPost([] {}));
  REQUIRE(executor.TryPost([&] { room_inside = executor.TryPost([] {}); }));
  gate.Open();
  Drain(executor);
  CHECK(room_inside);
}

TEST_CASE(
    "timers run not before their time, earliest first, equal ones in the order of the calls") {
  ThreadExecutor executor("timers", 1);
  std::vector<std::string> ran;
  std::promise<void> done;
  const auto start = std::chrono::steady_clock::now();
  executor.Post([&] {  // all from one instant of the executor, so that the dues are ordered
    executor.After(milliseconds(40), [&] {
      ran.push_back("late");
      done.set_value();
    });
    executor.After(milliseconds(10), [&] { ran.push_back("early"); });
    executor.After(milliseconds(-5), [&] { ran.push_back("at once"); });
  });
  done.get_future().wait();
  CHECK(std::chrono::steady_clock::now() - start >= milliseconds(40));
  CHECK(ran == std::vector<std::string>{"at once", "early", "late"});
}

TEST_CASE("a nearer timer from another thread shortens a wait that has begun") {
  ThreadExecutor executor("timers", 1);
  bool far_ran = false;
  executor.After(std::chrono::hours(10), [&] { far_ran = true; });
  Drain(executor);
  std::promise<void> near_ran;
  executor.After(milliseconds(5), [&] { near_ran.set_value(); });
  CHECK(near_ran.get_future().wait_for(std::chrono::seconds(30)) == std::future_status::ready);
  executor.Stop();
  CHECK_FALSE(far_ran);
}

TEST_CASE("Stop runs what is posted, destroys timers and later tasks, and may be called again") {
  auto alive = std::make_shared<int>(0);
  int ran = 0;
  ThreadExecutor executor("stopping", 1);
  auto gate = std::make_unique<Gate>(executor);
  for (int i = 0; i < 100; ++i) executor.Post([&ran] { ++ran; });
  executor.After(std::chrono::hours(1), [alive] {});
  CHECK(alive.use_count() == 2);
  gate->Open();
  executor.Stop();
  CHECK(ran == 100);
  CHECK(alive.use_count() == 1);

  executor.Post([alive, &ran] { ++ran; });
  CHECK_FALSE(executor.TryPost([alive] {}));
  executor.After(milliseconds(0), [alive] {});
  executor.Stop();
  CHECK(ran == 100);
  CHECK(alive.use_count() == 1);
}

TEST_CASE("a task's captures are released when it has run, outside of any lock") {
  ThreadExecutor executor("release", 1);
  struct PostsOnDeath {
    Executor& executor;
    std::promise<void>& done;
    ~PostsOnDeath() {
      executor.Post([&d = done] { d.set_value(); });
    }
  };
  std::promise<void> done;
  executor.Post([held = std::make_unique<PostsOnDeath>(executor, done)] {});
  CHECK(done.get_future().wait_for(std::chrono::seconds(30)) == std::future_status::ready);
}

TEST_CASE("a pool runs tasks on all of its threads at once, under its name") {
  constexpr int kThreads = 4;
  ThreadExecutor pool("a-pool-with-a-long-name", kThreads);
  std::atomic<int> inside{0};
  std::promise<void> all_inside;
  std::promise<void> leave;
  std::shared_future<void> may_leave = leave.get_future().share();
  std::mutex mutex;
  std::set<std::thread::id> threads;
  std::set<std::string> names;
  std::atomic<int> wrong_thread{0};
  for (int i = 0; i < kThreads; ++i) {
    pool.Post([&] {
      char name[32];
      pthread_getname_np(pthread_self(), name, sizeof(name));
      if (!pool.OnThisThread()) ++wrong_thread;
      {
        const std::lock_guard<std::mutex> lock(mutex);
        threads.insert(std::this_thread::get_id());
        names.insert(name);
      }
      if (++inside == kThreads) all_inside.set_value();
      may_leave.wait();
    });
  }
  // Would hang were a task stuck behind another that waits.
  REQUIRE(all_inside.get_future().wait_for(std::chrono::seconds(30)) == std::future_status::ready);
  leave.set_value();
  pool.Stop();
  CHECK(threads.size() == kThreads);
  CHECK(names == std::set<std::string>{"a-pool-with-a-l"});
  CHECK(wrong_thread == 0);
}

TEST_CASE("a pool's next timer runs while the task of the one before is stuck") {
  for (const milliseconds second : {milliseconds(5), milliseconds(10)}) {
    ThreadExecutor pool("stuck-pool", 3);
    // From sleep without a deadline: a thread on its way there would see the timers by itself.
    REQUIRE(Eventually([] { return WaitingThreads("stuck-pool") == 3; }));
    std::promise<void> release;
    std::promise<bool> released;
    pool.After(milliseconds(5), [&] {
      const auto status = release.get_future().wait_for(std::chrono::seconds(10));
      released.set_value(status == std::future_status::ready);
    });
    pool.After(second, [&] { release.set_value(); });
    CHECK(released.get_future().get());
  }
}

TEST_CASE("a pool finishes everything posted by many threads") {
  constexpr int kPosters = 3;
  constexpr int kTasks = 3000;
  std::atomic<int> ran{0};
  {
    ThreadExecutor pool("pool", 3);
    std::vector<std::thread> posters;
    for (int p = 0; p < kPosters; ++p) {
      posters.emplace_back([&] {
        for (int i = 0; i < kTasks; ++i) {
          if (i % 100 == 0) pool.After(milliseconds(0), [] {});
          pool.Post([&ran] { ++ran; });
        }
      });
    }
    for (std::thread& poster : posters) poster.join();
  }
  CHECK(ran == kPosters * kTasks);
}

TEST_CASE("OnThisThread tells executors apart") {
  ThreadExecutor a("a", 1);
  ThreadExecutor b("b", 1);
  CHECK_FALSE(a.OnThisThread());
  bool a_on_a = false;
  bool b_on_a = true;
  a.Post([&] {
    a_on_a = a.OnThisThread();
    b_on_a = b.OnThisThread();
  });
  Drain(a);
  CHECK(a_on_a);
  CHECK_FALSE(b_on_a);
}

TEST_CASE("an executor of one thread is idle in its last task, and a pool never says so") {
  ThreadExecutor one("one", 1);
  std::vector<bool> told;
  for (int round = 0; round < 2; ++round) {
    std::atomic<bool> go{false};
    one.Post([&] { go.wait(false); });  // so that the next three are taken together
    for (int i = 0; i < 3; ++i) one.Post([&] { told.push_back(one.Idle()); });
    one.Post([] {});
    go = true;
    go.notify_all();
    Drain(one);
    CHECK(std::exchange(told, {}) == std::vector<bool>{false, false, false});
    // Alone, until it posts one itself.
    std::atomic<bool> ended{false};
    one.Post([&] {
      told.push_back(one.Idle());
      one.Post([&] {
        ended = true;
        ended.notify_all();
      });
      told.push_back(one.Idle());
    });
    ended.wait(false);
    CHECK(std::exchange(told, {}) == std::vector<bool>{true, false});
  }
  ThreadExecutor pool("pool", 2);
  std::atomic<bool> ended{false};
  bool idle = true;
  pool.Post([&] {
    idle = pool.Idle();
    ended = true;
    ended.notify_all();
  });
  ended.wait(false);
  CHECK_FALSE(idle);
}

}  // namespace
}  // namespace bascule
