#include "core/log/retention.h"

#include <doctest/doctest.h>

namespace bascule::log {
namespace {

using std::chrono::milliseconds;

constexpr int64_t kMs = 1'000'000;

// Segments of 100 bytes and 10 messages each, the newest record of the i-th at i milliseconds.
std::vector<SegmentStat> Segments(int n) {
  std::vector<SegmentStat> segments;
  for (int i = 0; i < n; ++i) segments.push_back({100, 10, Timestamp(i > 0 ? i * kMs : 1)});
  return segments;
}

TEST_CASE("without limits nothing expires, nor in no log at all") {
  CHECK(CountExpired(Segments(5), {}, Timestamp(int64_t{1} << 60)) == 0);
  CHECK(CountExpired({}, {1, 1, milliseconds(1)}, Timestamp(kMs)) == 0);
}

TEST_CASE("the active segment never goes, but counts") {
  CHECK(CountExpired(Segments(1), {1, 1, milliseconds(1)}, Timestamp(int64_t{1} << 60)) == 0);
  CHECK(CountExpired(Segments(4), {1, 0, {}}, Timestamp(0)) == 3);
  CHECK(CountExpired(Segments(4), {0, 1, {}}, Timestamp(0)) == 3);
  CHECK(CountExpired(Segments(4), {0, 0, milliseconds(1)}, Timestamp(1000 * kMs)) == 3);
  // A large active segment leaves no room for any other.
  std::vector<SegmentStat> segments = Segments(3);
  segments.back().bytes = 1000;
  CHECK(CountExpired(segments, {500, 0, {}}, Timestamp(0)) == 2);
}

TEST_CASE("bytes and messages: what fits exactly stays, one more goes") {
  CHECK(CountExpired(Segments(5), {500, 0, {}}, Timestamp(0)) == 0);
  CHECK(CountExpired(Segments(5), {499, 0, {}}, Timestamp(0)) == 1);
  CHECK(CountExpired(Segments(5), {300, 0, {}}, Timestamp(0)) == 2);
  CHECK(CountExpired(Segments(5), {299, 0, {}}, Timestamp(0)) == 3);
  CHECK(CountExpired(Segments(5), {0, 50, {}}, Timestamp(0)) == 0);
  CHECK(CountExpired(Segments(5), {0, 49, {}}, Timestamp(0)) == 1);
  CHECK(CountExpired(Segments(5), {0, 20, {}}, Timestamp(0)) == 3);
}

TEST_CASE("with the first segment that exceeds the sum go all before it, however small") {
  const std::vector<SegmentStat> segments = {
      {1, 1, Timestamp(0)}, {1000, 1, Timestamp(0)}, {10, 1, Timestamp(0)}, {10, 1, Timestamp(0)}};
  CHECK(CountExpired(segments, {100, 0, {}}, Timestamp(0)) == 2);
}

TEST_CASE("age: a segment goes when its newest record is older than the limit") {
  CHECK(CountExpired(Segments(5), {0, 0, milliseconds(10)}, Timestamp(10 * kMs)) == 0);
  CHECK(CountExpired(Segments(5), {0, 0, milliseconds(10)}, Timestamp(10 * kMs + 2)) == 1);
  CHECK(CountExpired(Segments(5), {0, 0, milliseconds(10)}, Timestamp(12 * kMs + 1)) == 3);
}

TEST_CASE("age stops at the first younger segment, so that the log keeps no hole") {
  std::vector<SegmentStat> segments = Segments(5);
  segments[1].stored = Timestamp(95 * kMs);
  CHECK(CountExpired(segments, {0, 0, milliseconds(10)}, Timestamp(100 * kMs)) == 1);
}

TEST_CASE("the strictest limit wins") {
  CHECK(CountExpired(Segments(5), {300, 40, milliseconds(10)}, Timestamp(10 * kMs + 1)) == 2);
  CHECK(CountExpired(Segments(5), {400, 20, milliseconds(10)}, Timestamp(10 * kMs + 1)) == 3);
  CHECK(CountExpired(Segments(5), {400, 40, milliseconds(10)}, Timestamp(14 * kMs)) == 4);
}

std::vector<SegmentStat> StoredAt(std::initializer_list<int64_t> times) {
  std::vector<SegmentStat> segments;
  for (const int64_t time : times) segments.push_back({100, 10, Timestamp(time * kMs)});
  return segments;
}

TEST_CASE("age: what was stored while the clock was ahead is as old as what came next") {
  const RetentionLimits limits{0, 0, milliseconds(100)};
  const auto expired = [&](std::initializer_list<int64_t> times, int64_t now) {
    return CountExpired(StoredAt(times), limits, Timestamp(now * kMs));
  };
  // The second was stored when the clock said 9000.
  CHECK(expired({1000, 9000, 1010, 1020}, 1105) == 1);
  CHECK(expired({1000, 9000, 1010, 1020}, 1111) == 3);
  // Several, up to the newest closed one: what is known is that they are older than now.
  CHECK(expired({1000, 9000, 9001, 9002}, 1500) == 1);
  CHECK(expired({1000, 9000, 9001, 1400}, 1490) == 1);
  CHECK(expired({1000, 9000, 9001, 1400}, 1501) == 3);
  // Times that are not known are bounded by the next ones too, and an empty active one says nothing.
  CHECK(expired({1000, 0, 1400, 1400}, 1490) == 1);
  CHECK(expired({1000, 9000, 0}, 1490) == 1);
}

TEST_CASE("age: a clock that was behind makes nothing older than it is") {
  const RetentionLimits limits{0, 0, milliseconds(100)};
  // The second was stored when the clock said 5: the first, which stays, holds it back.
  CHECK(CountExpired(StoredAt({1000, 5, 1020, 1030}), limits, Timestamp(1050 * kMs)) == 0);
  CHECK(CountExpired(StoredAt({1000, 5, 1020, 1030}), limits, Timestamp(1101 * kMs)) == 2);
  // While it is behind everything from before is from the future, and stays.
  CHECK(CountExpired(StoredAt({1000, 1010, 5, 6}), limits, Timestamp(50 * kMs)) == 0);
}

}  // namespace
}  // namespace bascule::log
