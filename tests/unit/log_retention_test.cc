#include "core/log/retention.h"

#include <doctest/doctest.h>

namespace bascule {
namespace {

using std::chrono::milliseconds;

constexpr int64_t kMs = 1'000'000;

// Segments of 100 bytes and 10 messages each, the newest record of the i-th at i milliseconds.
std::vector<SegmentStat> Segments(int n) {
  std::vector<SegmentStat> segments;
  for (int i = 0; i < n; ++i) segments.push_back({100, 10, Timestamp(i * kMs)});
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
  CHECK(CountExpired(Segments(5), {0, 0, milliseconds(10)}, Timestamp(10 * kMs + 1)) == 1);
  CHECK(CountExpired(Segments(5), {0, 0, milliseconds(10)}, Timestamp(12 * kMs + 1)) == 3);
}

TEST_CASE("age stops at the first younger segment, so that the log keeps no hole") {
  std::vector<SegmentStat> segments = Segments(5);
  segments[1].newest = Timestamp(500 * kMs);
  CHECK(CountExpired(segments, {0, 0, milliseconds(10)}, Timestamp(100 * kMs)) == 1);
}

TEST_CASE("the strictest limit wins") {
  CHECK(CountExpired(Segments(5), {300, 40, milliseconds(10)}, Timestamp(10 * kMs + 1)) == 2);
  CHECK(CountExpired(Segments(5), {400, 20, milliseconds(10)}, Timestamp(10 * kMs + 1)) == 3);
  CHECK(CountExpired(Segments(5), {400, 40, milliseconds(10)}, Timestamp(14 * kMs)) == 4);
}

}  // namespace
}  // namespace bascule
