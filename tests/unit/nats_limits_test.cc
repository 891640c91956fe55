// What the bus layer holds itself to: lines of the protocol, subscriptions, closed subscriptions.
#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "nats_bridge/bridge_limits.h"
#include "nats_bridge/closed_subscriptions.h"
#include "nats_bridge/control_line.h"
#include "nats_bridge/subscription_cap.h"
#include "tests/support/sim_clock.h"

namespace bascule::nats {
namespace {

TEST_CASE("control lines are measured as a server does, never too short") {
  const auto pub = [](const std::string& subject, const std::string& reply) {
    return (subject + (reply.empty() ? "" : " " + reply) + " 67108864").size();
  };
  CHECK(PubLineBytes("a.b", "") >= pub("a.b", ""));
  CHECK(PubLineBytes("a.b", "c") >= pub("a.b", "c"));
  CHECK(PubLineBytes("a.b", "c") <= pub("a.b", "c") + 2);
  CHECK(SubLineBytes("a.b", "") == std::string("a.b 18446744073709551615").size());
  CHECK(SubLineBytes("a.b", "g") == std::string("a.b g 18446744073709551615").size());
}

TEST_CASE("a refused line lowers the limit to what operators set, in few steps") {
  for (const size_t real : {64, 512, 1000, 1024, 2048, 4095}) {
    size_t limit = limits::kNatsControlLineBytes;
    int refusals = 0;
    while (limit > real) {
      // The longest that is let through, which the server refuses.
      const size_t lower = LowerLineLimit(limit);
      REQUIRE(lower < limit);
      limit = lower;
      ++refusals;
    }
    CHECK(refusals <= 6);
    CHECK(2 * limit > real);
  }
  CHECK(LowerLineLimit(0) == 1);
  CHECK(LowerLineLimit(1) == 1);
}

TEST_CASE("nats line limit: it is what servers take unless configured, until one refuses") {
  LineLimit lines;
  CHECK(lines.limit() == limits::kNatsControlLineBytes);
  CHECK(lines.longest() == 0);
  CHECK(lines.Admit(limits::kNatsControlLineBytes));
  CHECK_FALSE(lines.Admit(limits::kNatsControlLineBytes + 1));
  CHECK_FALSE(lines.Admit(SIZE_MAX));
  CHECK(lines.longest() == limits::kNatsControlLineBytes);  // the others were not sent
  CHECK(lines.Admit(5));
  CHECK(lines.longest() == limits::kNatsControlLineBytes);
}

TEST_CASE("nats line limit: a refusal teaches what the longest line shows, and that once") {
  LineLimit lines;
  REQUIRE(lines.Admit(100));
  REQUIRE(lines.Admit(600));
  REQUIRE(lines.Admit(300));
  CHECK(lines.Refused());
  CHECK(lines.limit() == 512);
  CHECK_FALSE(lines.Refused());
  CHECK(lines.limit() == 512);
  CHECK_FALSE(lines.Admit(513));
  // A new connection knows what the last one learnt, and has sent nothing.
  lines.Restart();
  CHECK(lines.longest() == 0);
  CHECK(lines.limit() == 512);
  CHECK(lines.Admit(512));
  CHECK(lines.Refused());
  CHECK(lines.limit() == 256);
}

TEST_CASE("nats line limit: a refusal before any line was sent is about none of ours") {
  LineLimit lines;
  CHECK_FALSE(lines.Refused());
  CHECK(lines.limit() == limits::kNatsControlLineBytes);
  REQUIRE(lines.Admit(600));
  lines.Restart();
  CHECK_FALSE(lines.Refused());
  CHECK(lines.limit() == limits::kNatsControlLineBytes);
  CHECK(lines.Admit(600));
}

TEST_CASE("nats line limit: it settles below what the server takes, and not by more than half") {
  for (const size_t real : {30, 64, 100, 512, 1000, 1024, 2048, 4095, 4096, 8192}) {
    CAPTURE(real);
    LineLimit lines;
    int lost = 0;
    for (bool refused = true; refused;) {
      lines.Restart();
      refused = false;
      // All that is wanted goes out before the server is heard.
      for (size_t bytes = 10; bytes <= 5000; bytes += 7)
        refused = (lines.Admit(bytes) && bytes > real) || refused;
      if (!refused) continue;
      REQUIRE(lines.Refused());
      REQUIRE(++lost <= 8);
    }
    const size_t takes = std::min(real, limits::kNatsControlLineBytes);
    CHECK(lines.limit() > takes / 2);
    if (real >= limits::kNatsControlLineBytes) CHECK(lost == 0);
  }
}

// Opens as many of `wanted` as the cap lets, against a server that takes `most`, until nothing more
// is tried; the number of connections that it cost.
int Approach(SubscriptionCap& cap, size_t wanted, size_t most) {
  int lost = 0;
  size_t open = 0;
  for (int turn = 0; turn < 1000; ++turn) {
    open = std::min(wanted, std::max(open, cap.limit()));
    if (open > most) {
      cap.Refused(open);
      ++lost;
      open = 0;
      continue;
    }
    cap.Took(open);
    if (cap.known() || open == wanted) return lost;
  }
  return 1000;
}

TEST_CASE("the number of subscriptions that a server takes is found by halving") {
  for (const size_t most : {1, 2, 3, 7, 64, 1000, 9999}) {
    SubscriptionCap cap;
    CHECK(cap.limit() == SIZE_MAX);
    CHECK(Approach(cap, 10'000, most) <= 14);
    CHECK(cap.limit() == most);
    CHECK(cap.known());
    CHECK(Approach(cap, 10'000, most) == 0);  // never tried again
    // The operator lowers it.
    CHECK(Approach(cap, 10'000, (most + 1) / 2) <= 15);
    CHECK(cap.limit() == (most + 1) / 2);
  }
  SubscriptionCap cap;
  CHECK(Approach(cap, 500, 500) == 0);
  CHECK(cap.known());
  cap.Refused(0);
  CHECK(cap.limit() == 0);  // not even one
  cap.Took(3);              // but it does
  CHECK(cap.limit() == SIZE_MAX);
}

struct Kept {
  natsSubscription* Make() { return reinterpret_cast<natsSubscription*>(&places.at(made++)); }
  std::vector<char> places = std::vector<char>(100);
  size_t made = 0;
  std::vector<natsSubscription*> destroyed;
  SimClock clock;
  ClosedSubscriptions closed{clock, [this](natsSubscription* s) { destroyed.push_back(s); }};
};

TEST_CASE("closed subscriptions go when a later PING was answered and their time is over") {
  Kept kept;
  natsSubscription* const first = kept.Make();
  kept.clock.Advance(std::chrono::seconds(1));
  const MonotonicTime before = kept.clock.Monotonic();
  kept.closed.Answered(before);
  kept.closed.Keep(first);
  // A PING that went out no later than the closing proves nothing, however long ago it was.
  kept.clock.Advance(std::chrono::hours(1));
  kept.closed.Answered(before);
  kept.closed.Sweep();
  CHECK(kept.destroyed.empty());
  CHECK(kept.closed.size() == 1);
  natsSubscription* const second = kept.Make();
  kept.closed.Keep(second);
  kept.clock.Advance(std::chrono::milliseconds(1));
  kept.closed.Answered(kept.clock.Monotonic());
  kept.closed.Sweep();
  CHECK(kept.destroyed == std::vector<natsSubscription*>{first});  // the second is too young
  kept.clock.Advance(limits::kNatsClosedFor);
  kept.closed.Answered(before);  // late news of an old one takes nothing back
  kept.closed.Sweep();
  CHECK(kept.destroyed == std::vector<natsSubscription*>{first, second});
  CHECK(kept.closed.size() == 0);
}

TEST_CASE("many closed within a moment are all kept, and all go") {
  Kept kept;
  for (int round = 0; round < 2; ++round) {
    const size_t gone = kept.destroyed.size();
    for (int i = 0; i < 50; ++i) kept.closed.Keep(kept.Make());
    kept.clock.Advance(limits::kNatsClosedFor - std::chrono::milliseconds(1));
    kept.closed.Answered(kept.clock.Monotonic());
    kept.closed.Sweep();
    CHECK(kept.closed.size() == 50);
    CHECK(kept.destroyed.size() == gone);
    kept.clock.Advance(std::chrono::milliseconds(1));
    kept.closed.Sweep();
    CHECK(kept.closed.size() == 0);
    CHECK(kept.destroyed.size() == gone + 50);
  }
}

TEST_CASE("what is kept is destroyed with its keeper") {
  std::vector<natsSubscription*> destroyed;
  SimClock clock;
  char place;
  {
    ClosedSubscriptions closed(clock, [&](natsSubscription* s) { destroyed.push_back(s); });
    closed.Keep(reinterpret_cast<natsSubscription*>(&place));
    closed.Sweep();
    CHECK(destroyed.empty());
  }
  CHECK(destroyed.size() == 1);
}

}  // namespace
}  // namespace bascule::nats
