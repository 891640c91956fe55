// Percentiles of many durations in constant memory. Pure; one thread.
#pragma once

#include <array>
#include <cstdint>

#include "core/base/types.h"

namespace bascule::cli {

// Log-linear buckets: 32 to each power of two, so that a percentile is at most 3 % above the true
// value. The greatest value is exact.
class LatencyHistogram {
 public:
  void Add(Duration value);
  void Merge(const LatencyHistogram& other);
  uint64_t count() const { return count_; }
  Duration max() const { return Duration(max_); }
  // The value that `fraction` (0 to 1) of all are not above; 0 when empty.
  Duration Percentile(double fraction) const;

 private:
  static constexpr int kSubBits = 5;
  static constexpr size_t kBuckets = (64 - kSubBits) << kSubBits;

  std::array<uint64_t, kBuckets> buckets_{};
  uint64_t count_ = 0;
  int64_t max_ = 0;
};

}  // namespace bascule::cli
