// Timers that are mostly cancelled.
#include <doctest/doctest.h>

#include "replication/peer/deadlines.h"
#include "tests/unit/peer_world.h"

namespace bascule::peer {
namespace {

TEST_CASE("peer deadlines: tasks run in the order of their times, the cancelled ones never") {
  SteppedTime time;
  const auto deadlines = std::make_shared<Deadlines>(time, time);
  std::string ran;
  const auto note = [&](char c) { return [&ran, c] { ran += c; }; };
  deadlines->After(seconds(3), note('c'));
  const TimerId b = deadlines->After(seconds(2), note('b'));
  deadlines->After(seconds(1), note('a'));
  deadlines->After(seconds(4), [&] { deadlines->After(seconds(1), note('d')); });
  deadlines->Cancel(b);
  deadlines->Cancel(0);
  deadlines->Cancel(99);
  time.Advance(std::chrono::milliseconds(999));
  CHECK(ran == "");
  time.Advance(std::chrono::milliseconds(1));
  CHECK(ran == "a");
  time.Advance(seconds(3));
  CHECK(ran == "ac");
  time.Advance(seconds(1));
  CHECK(ran == "acd");
  CHECK(time.waiting() == 0);
}

TEST_CASE("peer deadlines: wake-ups do not pile up behind a far one") {
  SteppedTime time;
  const auto deadlines = std::make_shared<Deadlines>(time, time);
  int ran = 0;
  deadlines->After(std::chrono::hours(24), [&] { ++ran; });
  for (int i = 0; i < 1000; ++i) {
    const TimerId call = deadlines->After(seconds(5), [&] { ++ran; });
    if (i % 2 == 0) deadlines->Cancel(call);
    time.Advance(seconds(6));
  }
  CHECK(ran == 500);
  CHECK(time.waiting() == 1);
  time.Advance(std::chrono::hours(24));
  CHECK(ran == 501);
}

TEST_CASE("peer deadlines: after the stop nothing runs, and nothing is taken") {
  SteppedTime time;
  auto deadlines = std::make_shared<Deadlines>(time, time);
  bool ran = false;
  deadlines->After(seconds(1), [&] { ran = true; });
  deadlines->Stop();
  CHECK(deadlines->After(seconds(1), [&] { ran = true; }) == 0);
  deadlines.reset();
  time.Advance(seconds(2));
  CHECK_FALSE(ran);
}

}  // namespace
}  // namespace bascule::peer
