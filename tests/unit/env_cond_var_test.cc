#include "core/env/cond_var.h"

#include <doctest/doctest.h>

#include <thread>
#include <vector>

namespace bascule {
namespace {

using namespace std::chrono_literals;

struct WaitingRoom {
  absl::Mutex mutex;
  CondVar changed;
  CondVar arrived;
  int inside ABSL_GUARDED_BY(mutex) = 0;
  int places ABSL_GUARDED_BY(mutex) = 0;

  // Waits for a place.
  void Visit() {
    const absl::MutexLock lock(&mutex);
    ++inside;
    arrived.SignalAll();
    while (places == 0) changed.Wait(mutex);
    --places;
    --inside;
    arrived.SignalAll();
  }
  void AwaitInside(int wanted) {
    const absl::MutexLock lock(&mutex);
    while (inside != wanted) arrived.Wait(mutex);
  }
  void Give(int number) {
    const absl::MutexLock lock(&mutex);
    places += number;
  }
};

TEST_CASE("a deadline that has passed ends a wait, with the mutex held") {
  absl::Mutex mutex;
  CondVar never;
  const auto before = std::chrono::steady_clock::now();
  const absl::MutexLock lock(&mutex);
  CHECK_FALSE(never.WaitUntil(mutex, before - 1h));
  while (never.WaitUntil(mutex, before + 5ms)) {
  }
  CHECK(std::chrono::steady_clock::now() >= before + 5ms);
  mutex.AssertHeld();
}

TEST_CASE("a deadline before the machine's start has passed too") {
  absl::Mutex mutex;
  CondVar never;
  const absl::MutexLock lock(&mutex);
  for (const std::chrono::nanoseconds before_boot : {-1ns, -1'000'000ns, -3'600'000'000'000ns}) {
    CHECK_FALSE(never.WaitUntil(mutex, CondVar::Deadline(before_boot)));
  }
  CHECK_FALSE(never.WaitUntil(mutex, CondVar::Deadline::min()));
}

TEST_CASE("deadlines are bounded on both sides") {
  const auto now = std::chrono::steady_clock::now();
  CHECK(CondVar::In(-1h) >= now);
  CHECK(CondVar::In(std::chrono::nanoseconds::max()) > now + std::chrono::hours(24 * 365));
}

TEST_CASE("one signal lets one go on, all let all go on, again and again") {
  WaitingRoom room;
  for (int round = 0; round < 20; ++round) {
    std::vector<std::thread> visitors;
    for (int i = 0; i < 4; ++i) visitors.emplace_back([&room] { room.Visit(); });
    room.AwaitInside(4);
    room.Give(1);
    room.changed.Signal();
    room.AwaitInside(3);
    room.Give(3);
    room.changed.SignalAll();
    for (std::thread& visitor : visitors) visitor.join();
    room.AwaitInside(0);
  }
}

// No signal is lost between the last look and the sleep.
TEST_CASE("two threads that hand a turn to each other never stop") {
  absl::Mutex mutex;
  CondVar turned;
  int turn = 0;
  constexpr int kTurns = 20000;
  const auto play = [&](int side) {
    while (true) {
      {
        const absl::MutexLock lock(&mutex);
        while (turn < kTurns && turn % 2 != side) turned.Wait(mutex);
        if (turn >= kTurns) break;
        ++turn;
      }
      turned.Signal();  // without the mutex, as executors do
    }
    turned.SignalAll();
  };
  std::thread other([&] { play(1); });
  play(0);
  other.join();
  CHECK(turn == kTurns);
}

}  // namespace
}  // namespace bascule
