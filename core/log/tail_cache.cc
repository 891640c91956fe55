#include "core/log/tail_cache.h"

#include <algorithm>

#include "core/base/check.h"

namespace bascule::log {

TailCache::TailCache(TailCacheBudget& budget, size_t limit)
    : budget_(budget), limit_(limit), age_(budget.by_age_.insert(budget.by_age_.begin(), this)) {}

TailCache::~TailCache() {
  Clear();
  budget_.by_age_.erase(age_);
}

void TailCache::CheckInvariants() const {
  BASCULE_CHECK_EQ(entries_.empty(), used_ == 0);
  BASCULE_CHECK_LE(used_, budget_.used_);
  BASCULE_CHECK_LE(budget_.used_, budget_.limit_);
  BASCULE_CHECK(used_ <= limit_ || entries_.size() == 1);
  if (entries_.empty()) return;
  BASCULE_CHECK_LT(entries_.front().base, entries_.front().end);
  BASCULE_CHECK_LE(entries_.front().end, entries_.back().end);
  if (entries_.size() > 1)
    BASCULE_CHECK_EQ(entries_[entries_.size() - 2].end, entries_.back().base);
}

void TailCache::DropOldest() {
  const size_t size = entries_.front().batch.size();
  used_ -= size;
  budget_.used_ -= size;
  entries_.pop_front();
}

void TailCache::Clear() {
  while (!entries_.empty()) DropOldest();
}

void TailCache::Add(Bytes batch, Offset base, Offset end) {
  if (!entries_.empty() && entries_.back().end != base) Clear();
  used_ += batch.size();
  budget_.used_ += batch.size();
  entries_.push_back({std::move(batch), base, end});
  while (used_ > limit_ && entries_.size() > 1) DropOldest();
  budget_.by_age_.splice(budget_.by_age_.begin(), budget_.by_age_, age_);
  while (budget_.used_ > budget_.limit_) {
    // Caches without entries move out of the way, so that each is looked at once.
    TailCache* oldest = budget_.by_age_.back();
    if (oldest->entries_.empty()) {
      budget_.by_age_.splice(budget_.by_age_.begin(), budget_.by_age_, oldest->age_);
    } else {
      oldest->DropOldest();
    }
  }
  CheckInvariants();
}

std::optional<Offset> TailCache::start() const {
  if (entries_.empty()) return std::nullopt;
  return entries_.front().base;
}

std::optional<TailCache::Found> TailCache::Read(Offset from, Offset committed,
                                                size_t max_bytes) const {
  if (entries_.empty() || from < entries_.front().base || from >= entries_.back().end)
    return std::nullopt;
  auto first = std::upper_bound(entries_.begin(), entries_.end(), from,
                                [](Offset o, const Entry& e) { return o < e.end; });
  if (first->base >= committed) return std::nullopt;
  size_t bytes = 0;
  auto last = first;
  for (; last != entries_.end() && last->base < committed; ++last) {
    if (last != first && bytes + last->batch.size() > max_bytes) break;
    bytes += last->batch.size();
  }
  if (last - first == 1) return Found{first->batch, first->end};
  std::string joined;
  joined.reserve(bytes);
  for (auto it = first; it != last; ++it) joined.append(it->batch.view());
  return Found{Bytes(std::move(joined)), std::prev(last)->end};
}

}  // namespace bascule::log
