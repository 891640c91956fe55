// Which sealed segments retention takes. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "core/base/types.h"

namespace bascule {

// 0 = no limit. Bytes and messages are per partition.
struct RetentionLimits {
  int64_t max_bytes = 0;
  int64_t max_messages = 0;
  std::chrono::milliseconds max_age{0};
};

struct SegmentStat {
  uint64_t bytes = 0;
  uint64_t messages = 0;
  Timestamp newest;  // of its last record
};

// How many segments go, counted from the oldest. The last element is the active segment: it never
// goes, but counts. Age first: segments whose newest record is older than the limit, up to the
// first younger one. Then messages, then bytes: walking back from the active segment, the first one
// that makes the sum exceed the limit goes with all before it.
size_t CountExpired(const std::vector<SegmentStat>& segments, const RetentionLimits& limits,
                    Timestamp now);

}  // namespace bascule
