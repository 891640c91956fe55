#include "core/base/latency_histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace bascule {
namespace {

constexpr int kShift = LatencyHistogram::kSubBits;
constexpr uint64_t kSubBuckets = uint64_t{1} << kShift;

size_t BucketOf(uint64_t value) {
  if (value < 2 * kSubBuckets) return value;
  const int power = std::bit_width(value) - 1 - kShift;
  return (static_cast<size_t>(power) << kShift) + (value >> power);
}

uint64_t GreatestOf(size_t bucket) {
  if (bucket < 2 * kSubBuckets) return bucket;
  const size_t power = (bucket >> kShift) - 1;
  const uint64_t sub = (bucket & (kSubBuckets - 1)) + kSubBuckets;
  return ((sub + 1) << power) - 1;
}

}  // namespace

void LatencyHistogram::Add(Duration value) {
  const int64_t nanos = std::max<int64_t>(value.count(), 0);
  ++buckets_[BucketOf(static_cast<uint64_t>(nanos))];
  ++count_;
  max_ = std::max(max_, nanos);
}

void LatencyHistogram::Merge(const LatencyHistogram& other) {
  for (size_t i = 0; i < kBuckets; ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  max_ = std::max(max_, other.max_);
}

Duration LatencyHistogram::Percentile(double fraction) const {
  const uint64_t wanted = std::max<uint64_t>(
      static_cast<uint64_t>(std::ceil(fraction * static_cast<double>(count_))), 1);
  uint64_t seen = 0;
  for (size_t i = 0; i < kBuckets; ++i) {
    seen += buckets_[i];
    if (seen >= wanted) return Duration(std::min(static_cast<int64_t>(GreatestOf(i)), max_));
  }
  return Duration(max_);
}

}  // namespace bascule
