// The load programs' judge: whatever happens to a message on its way must be noticed.
#include "tests/bench/payload.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "core/base/latency_histogram.h"

namespace bascule::bench {
namespace {

constexpr uint64_t kRun = 7;
constexpr size_t kBytes = 128;

std::vector<std::string> Messages(uint64_t count, uint64_t run = kRun, size_t bytes = kBytes) {
  PayloadMaker maker(run, bytes);
  std::vector<std::string> messages;
  for (uint64_t n = 0; n < count; ++n) messages.emplace_back(maker.Make(n, 1000 + n));
  return messages;
}

// Number of messages accepted before the first that is not.
uint64_t Accepted(const std::vector<std::string>& messages, std::string* reason) {
  PayloadChecker checker(kRun, kBytes);
  for (const std::string& message : messages) {
    if (const absl::Status status = checker.Check(message); !status.ok()) {
      *reason = std::string(status.message());
      break;
    }
  }
  return checker.next();
}

TEST_CASE("a run in order is accepted, at every size from the smallest") {
  std::string reason;
  CHECK(Accepted(Messages(1000), &reason) == 1000);
  for (const size_t bytes : {kPayloadHeaderBytes, size_t{33}, size_t{1024}, size_t{16384}}) {
    PayloadChecker checker(kRun, bytes);
    for (const std::string& message : Messages(300, kRun, bytes)) {
      REQUIRE(checker.Check(message).ok());
    }
  }
}

TEST_CASE("lost, repeated, swapped and foreign messages are told apart") {
  std::string reason;
  auto messages = Messages(10);
  SUBCASE("lost") {
    messages.erase(messages.begin() + 4);
    CHECK(Accepted(messages, &reason) == 4);
    CHECK(reason == "run 7: expected message 4, found 5: messages are missing");
  }
  SUBCASE("repeated") {
    messages.insert(messages.begin() + 4, messages[3]);
    CHECK(Accepted(messages, &reason) == 4);
    CHECK(reason == "run 7: expected message 4, found 3: repeated or reordered");
  }
  SUBCASE("swapped") {
    std::swap(messages[4], messages[5]);
    CHECK(Accepted(messages, &reason) == 4);
  }
  SUBCASE("of another run") {
    messages[4] = Messages(5, kRun + 1)[4];
    CHECK(Accepted(messages, &reason) == 4);
    CHECK(reason == "message 4 of run 7 belongs to run 8");
  }
}

TEST_CASE("a change of any byte or of the length is noticed") {
  std::string reason;
  const auto good = Messages(3);
  for (size_t at = 0; at < kBytes; ++at) {
    auto messages = good;
    messages[2][at] = static_cast<char>(messages[2][at] ^ 0x10);
    REQUIRE(Accepted(messages, &reason) == 2);
  }
  auto shorter = good;
  shorter[1].pop_back();
  CHECK(Accepted(shorter, &reason) == 1);
  auto empty = good;
  empty[0].clear();
  CHECK(Accepted(empty, &reason) == 0);
}

TEST_CASE("quantiles are within 1 % above, over nine orders of magnitude") {
  for (const int64_t unit : {int64_t{1}, int64_t{1000}, int64_t{1'000'000}, int64_t{50'000'000}}) {
    LatencyHistogram histogram;
    for (int64_t i = 1; i <= 1000; ++i) histogram.Add(Duration(i * unit));
    for (const double share : {0.5, 0.99, 1.0}) {
      const auto exact = static_cast<int64_t>(share * 1000 + 0.5) * unit;
      const int64_t found = histogram.Percentile(share).count();
      CHECK(found >= exact);
      CHECK(found <= exact + exact / 100 + 1);
    }
  }
}

}  // namespace
}  // namespace bascule::bench
