#include "tests/support/sim_content.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "tests/support/sim_rng.h"

namespace bascule {
namespace {

// Calls `use(sector, from, to)` for each sector that [begin, end) touches, with the touched part of
// it.
template <typename Use>
void ForEachSector(uint64_t begin, uint64_t end, Use use) {
  for (uint64_t from = begin; from < end;) {
    const uint64_t sector = from / kSimSectorBytes;
    const uint64_t to = std::min(end, (sector + 1) * kSimSectorBytes);
    use(sector, from, to);
    from = to;
  }
}

}  // namespace

void SimContent::Put(std::string& bytes, uint64_t position, std::string_view data) {
  if (data.empty()) return;
  if (bytes.size() < position + data.size()) bytes.resize(position + data.size(), '\0');
  bytes.replace(position, data.size(), data);
}

void SimContent::Apply(const Change& change, std::string& bytes) {
  if (change.is_truncate) {
    bytes.resize(change.position, '\0');
  } else {
    Put(bytes, change.position, change.data);
  }
}

void SimContent::Write(uint64_t position, std::string_view data) {
  if (data.empty()) return;
  unsynced_.push_back({position, std::string(data), false});
  Put(visible_, position, data);
}

void SimContent::Truncate(uint64_t size) {
  unsynced_.push_back({size, std::string(), true});
  visible_.resize(size, '\0');
}

void SimContent::DropChanges(size_t n) {
  unsynced_.erase(unsynced_.begin(), unsynced_.begin() + static_cast<std::ptrdiff_t>(n));
  first_change_ += n;
}

void SimContent::SyncThrough(ChangeNumber end) {
  while (!unsynced_.empty() && first_change_ < end) {
    Apply(unsynced_.front(), durable_);
    DropChanges(1);
  }
}

// The size is kept by a journal, so it is some size the file went through, and shrinking before
// that moment happened for certain. The data goes to its sectors in any order: each sector ends at
// some state it went through.
void SimContent::KeepSomeSectors(size_t changes, Rng& rng) {
  uint64_t sectors = 0;
  for (size_t i = 0; i < changes; ++i) {
    const Change& change = unsynced_[i];
    const uint64_t end = change.position + change.data.size();
    sectors = std::max(sectors, end / kSimSectorBytes + 1);
  }
  std::vector<uint32_t> kept(
      sectors, 0);  // first: writes that touched the sector; then: how many of them remain
  for (size_t i = 0; i < changes; ++i) {
    const Change& change = unsynced_[i];
    ForEachSector(change.position, change.position + change.data.size(),
                  [&](uint64_t sector, uint64_t, uint64_t) { ++kept[sector]; });
  }
  // From crash to crash nearly everything, about half or nearly nothing had been written back.
  static constexpr double kWrittenBack[] = {0.05, 0.5, 0.95};
  const double written_back = kWrittenBack[rng.Below(3)];
  for (uint32_t& n : kept) {
    if (n > 0 && !Chance(rng, written_back)) n = static_cast<uint32_t>(rng.Below(n));
  }
  const uint64_t size_as_after = Between(rng, 0, changes);
  uint64_t size = durable_.size();
  for (size_t i = 0; i < changes; ++i) {
    const Change& change = unsynced_[i];
    const bool size_happened = i < size_as_after;
    if (change.is_truncate) {
      if (size_happened) durable_.resize(size = change.position, '\0');
      continue;
    }
    const uint64_t end = change.position + change.data.size();
    if (size_happened) size = std::max(size, end);
    ForEachSector(change.position, end, [&](uint64_t sector, uint64_t from, uint64_t to) {
      if (kept[sector] == 0) return;
      --kept[sector];
      Put(durable_, from, std::string_view(change.data).substr(from - change.position, to - from));
    });
  }
  durable_.resize(size, '\0');
}

void SimContent::KeepAllButTornLast(Rng& rng) {
  if (unsynced_.empty()) return;
  Change last = std::move(unsynced_.back());
  unsynced_.pop_back();
  for (const Change& change : unsynced_) Apply(change, durable_);
  if (last.is_truncate) return;
  last.data.resize(rng.Below(last.data.size() + 1));
  Apply(last, durable_);
}

void SimContent::FailSyncThrough(ChangeNumber end, Rng& rng) {
  if (end <= first_change_) return;
  const size_t changes = std::min<size_t>(end - first_change_, unsynced_.size());
  KeepSomeSectors(changes, rng);
  DropChanges(changes);
}

void SimContent::Crash(UnsyncedFate fate, Rng& rng) {
  if (fate == UnsyncedFate::kAny) fate = static_cast<UnsyncedFate>(rng.Below(4));
  switch (fate) {
    case UnsyncedFate::kLost:
      break;
    case UnsyncedFate::kSectors:
      KeepSomeSectors(unsynced_.size(), rng);
      break;
    case UnsyncedFate::kTornLast:
      KeepAllButTornLast(rng);
      break;
    case UnsyncedFate::kKept:
      for (const Change& change : unsynced_) Apply(change, durable_);
      break;
    case UnsyncedFate::kAny:
      BASCULE_CHECK(false);
  }
  visible_ = durable_;
  first_change_ += unsynced_.size();
  unsynced_.clear();
}

void SimContent::FlipBit(uint64_t position, int bit) {
  BASCULE_CHECK_LT(position, durable_.size());
  const char mask = static_cast<char>(1 << bit);
  durable_[position] = static_cast<char>(durable_[position] ^ mask);
  if (position < visible_.size()) visible_[position] = static_cast<char>(visible_[position] ^ mask);
}

void SimContent::CutDurably(uint64_t size) {
  visible_.resize(size, '\0');
  durable_ = visible_;
  first_change_ += unsynced_.size();
  unsynced_.clear();
}

}  // namespace bascule
