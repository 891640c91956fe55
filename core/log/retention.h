// Which sealed segments retention takes. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "core/base/types.h"

namespace bascule::log {

// 0 = no limit. Bytes and messages are per partition.
struct RetentionLimits {
  int64_t max_bytes = 0;
  int64_t max_messages = 0;
  std::chrono::milliseconds max_age{0};
};

struct SegmentStat {
  uint64_t bytes = 0;
  uint64_t messages = 0;
  Timestamp stored;  // when its last record was, by the clock of then; 0 = not known
};

// How many segments go, counted from the oldest. The last element is the active segment: it never
// goes, but counts. Age first: segments whose last record was stored longer ago than the limit, up
// to the first younger one. A time later than `now` is none: the clock was ahead then, and what is
// known of the segment is that it was stored before the next one. Then messages, then bytes:
// walking back from the active segment, the first one
// that makes the sum exceed the limit goes with all before it.
size_t CountExpired(const std::vector<SegmentStat>& segments, const RetentionLimits& limits,
                    Timestamp now);

}  // namespace bascule::log
