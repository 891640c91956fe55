// Percentiles of many durations in constant memory (57 KiB), cheap enough for every message. Pure;
// one thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "core/base/types.h"

namespace bascule {

// Log-linear buckets: 128 to each power of two, so that a percentile is at most 1 % above the true
// value. The greatest value is exact; negative ones count as 0.
class LatencyHistogram {
 public:
  static constexpr int kSubBits = 7;

  void Add(Duration value);
  void Merge(const LatencyHistogram& other);
  uint64_t count() const { return count_; }
  Duration max() const { return Duration(max_); }
  // The value that `fraction` (0 to 1) of all are not above; 0 when empty.
  Duration Percentile(double fraction) const;

 private:
  static constexpr size_t kBuckets = (64 - kSubBits) << kSubBits;

  std::array<uint64_t, kBuckets> buckets_{};
  uint64_t count_ = 0;
  int64_t max_ = 0;
};

}  // namespace bascule
