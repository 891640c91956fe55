#include "core/log/retention.h"

#include <algorithm>

namespace bascule::log {
namespace {

size_t ExpiredBySum(const std::vector<SegmentStat>& segments, int64_t limit,
                    uint64_t SegmentStat::*part) {
  if (limit <= 0) return 0;
  uint64_t sum = segments.back().*part;
  for (size_t i = segments.size() - 1; i > 0; --i) {
    sum += segments[i - 1].*part;
    if (sum > static_cast<uint64_t>(limit)) return i;
  }
  return 0;
}

}  // namespace

size_t CountExpired(const std::vector<SegmentStat>& segments, const RetentionLimits& limits,
                    Timestamp now) {
  if (segments.empty()) return 0;
  size_t expired = 0;
  if (limits.max_age.count() > 0) {
    const Timestamp oldest_allowed = now - std::chrono::nanoseconds(limits.max_age).count();
    // Backwards, so that each segment knows the next one's time. At the end those are counted that
    // stand before the oldest young one.
    Timestamp next = now;
    for (size_t i = segments.size(); i > 0; --i) {
      const Timestamp stored = segments[i - 1].stored;
      if (stored != Timestamp() && stored <= now) next = stored;
      const bool young = next >= oldest_allowed || i == segments.size();
      expired = young ? 0 : expired + 1;
    }
  }
  expired = std::max(expired, ExpiredBySum(segments, limits.max_messages, &SegmentStat::messages));
  return std::max(expired, ExpiredBySum(segments, limits.max_bytes, &SegmentStat::bytes));
}

}  // namespace bascule::log
