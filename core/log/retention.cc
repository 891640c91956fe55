#include "core/log/retention.h"

#include <algorithm>

namespace bascule {
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
    while (expired + 1 < segments.size() && segments[expired].newest < oldest_allowed) ++expired;
  }
  expired = std::max(expired, ExpiredBySum(segments, limits.max_messages, &SegmentStat::messages));
  return std::max(expired, ExpiredBySum(segments, limits.max_bytes, &SegmentStat::bytes));
}

}  // namespace bascule
