#include "core/base/latency_histogram.h"

#include <doctest/doctest.h>

#include <limits>

namespace bascule {
namespace {

using std::chrono::microseconds;
using std::chrono::nanoseconds;

TEST_CASE("percentiles are at most a hundredth too high, the maximum is exact") {
  LatencyHistogram histogram;
  CHECK(histogram.Percentile(0.99).count() == 0);
  for (int i = 1; i <= 1000; ++i) histogram.Add(microseconds(i));
  for (const auto& [fraction, exact] : {std::pair{0.5, 500'000}, {0.99, 990'000}, {0.001, 1'000}}) {
    const int64_t got = histogram.Percentile(fraction).count();
    CHECK(got >= exact);
    CHECK(got <= exact + exact / 100);
  }
  CHECK(histogram.max() == microseconds(1000));
  CHECK(histogram.Percentile(1.0) == microseconds(1000));

  LatencyHistogram other;
  other.Add(nanoseconds(std::numeric_limits<int64_t>::max()));
  other.Add(nanoseconds(-5));  // a clock that did what clocks must not
  histogram.Merge(other);
  CHECK(histogram.count() == 1002);
  CHECK(histogram.max().count() == std::numeric_limits<int64_t>::max());
  CHECK(histogram.Percentile(0).count() == 0);
}

}  // namespace
}  // namespace bascule
