#include <doctest/doctest.h>

#include <set>
#include <string>
#include <thread>
#include <vector>

#include "core/env/clock.h"
#include "core/env/rng.h"
#include "tests/support/sim_clock.h"
#include "tests/support/sim_rng.h"

namespace bascule {
namespace {

TEST_CASE("the real clocks count nanoseconds") {
  Clock& clock = RealClock();
  const MonotonicTime before = clock.Monotonic();
  CHECK(clock.Monotonic() >= before);
  constexpr int64_t kYear2024 = 1'704'067'200'000'000'000;
  CHECK(clock.Wall().value() > kYear2024);
}

TEST_CASE("the real generator serves many threads and does not repeat") {
  constexpr int kThreads = 4;
  constexpr size_t kNumbers = 200;
  std::vector<std::vector<uint64_t>> drawn(kThreads);
  std::vector<std::thread> threads;
  for (auto& numbers : drawn) {
    threads.emplace_back([&numbers] {
      for (size_t i = 0; i < kNumbers; ++i) numbers.push_back(RealRng().Next());
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<uint64_t> all;
  for (const auto& numbers : drawn) all.insert(numbers.begin(), numbers.end());
  CHECK(all.size() == kThreads * kNumbers);
}

TEST_CASE("a token has the length asked for and letters and digits only") {
  SimRng rng(1);
  std::set<char> seen;
  for (int i = 0; i < 100; ++i) {
    const std::string token = RandomToken(rng, 22);
    CHECK(token.size() == 22);
    seen.insert(token.begin(), token.end());
  }
  CHECK(seen.size() == 62);
  CHECK(*seen.begin() == '0');
  CHECK(*seen.rbegin() == 'z');
  CHECK(RandomToken(rng, 0).empty());
}

TEST_CASE("the simulated generator repeats from its seed") {
  SimRng a(7);
  SimRng b(7);
  SimRng c(8);
  CHECK(a.Next() == b.Next());
  CHECK(a.Next() != c.Next());
  int hits = 0;
  for (int i = 0; i < 10000; ++i) hits += Chance(a, 0.25) ? 1 : 0;
  CHECK(hits > 2300);
  CHECK(hits < 2700);
}

TEST_CASE("the simulated clock moves when told, its calendar may jump back") {
  SimClock clock;
  const MonotonicTime monotonic = clock.Monotonic();
  const Timestamp wall = clock.Wall();
  clock.Advance(std::chrono::seconds(2));
  clock.JumpWall(-std::chrono::seconds(5));
  CHECK(clock.Monotonic() - monotonic == 2'000'000'000);
  CHECK(clock.Wall() - wall == -3'000'000'000);
}

}  // namespace
}  // namespace bascule
