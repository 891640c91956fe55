#include "replication/meta/raft/raft_log.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "core/base/check.h"

namespace bascule::raft {
namespace {

constexpr size_t kEntryOverheadBytes = 32;

}  // namespace

size_t Bytes(const Entry& entry) { return entry.data.size() + kEntryOverheadBytes; }

RaftLog::RaftLog(Restored restored)
    : compacted_(restored.snapshot.index),
      compacted_term_(restored.snapshot.term),
      entries_(std::make_move_iterator(restored.entries.begin()),
               std::make_move_iterator(restored.entries.end())),
      snapshot_(std::move(restored.snapshot)),
      committed_(std::max(compacted_, restored.hard_state.commit)),
      applied_(compacted_),
      stable_(compacted_ + entries_.size()),
      written_(stable_) {}

std::optional<Term> RaftLog::TermAt(Index index) const {
  if (index == compacted_) return compacted_term_;
  if (index < compacted_ || index > last()) return std::nullopt;
  return At(index).term;
}

bool RaftLog::Contradicts(Index index, Term term) const {
  if (index > committed_) return false;
  const std::optional<Term> ours = TermAt(index);
  return ours.has_value() && *ours != term;
}

bool RaftLog::IsUpToDate(Index index, Term term) const {
  return term > last_term() || (term == last_term() && index >= last());
}

std::pair<Index, Term> RaftLog::FindConflictByTerm(Index index, Term term) const {
  for (;; index = index - 1) {
    const std::optional<Term> ours = TermAt(index);
    if (!ours) return {index, Term()};
    if (*ours <= term) return {index, *ours};
  }
}

std::vector<Entry> RaftLog::Slice(Index from, Index through, size_t max_bytes) const {
  std::vector<Entry> out;
  size_t bytes = 0;
  for (Index at = std::max(from, first()); at <= std::min(through, last()); ++at) {
    bytes += Bytes(At(at));
    if (!out.empty() && bytes > max_bytes) break;
    out.push_back(At(at));
  }
  return out;
}

void RaftLog::Append(Entry entry) {
  BASCULE_CHECK_EQ(entry.index, last() + 1);
  entries_.push_back(std::move(entry));
}

bool RaftLog::Merge(const std::vector<Entry>& entries) {
  for (size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].index <= compacted_ || Holds(entries[i].index, entries[i].term)) continue;
    if (entries[i].index <= committed_) return false;
    TruncateFrom(entries[i].index);
    entries_.insert(entries_.end(), entries.begin() + static_cast<ptrdiff_t>(i), entries.end());
    return true;
  }
  return true;
}

void RaftLog::TruncateFrom(Index index) {
  entries_.erase(entries_.begin() + static_cast<ptrdiff_t>(index - first()), entries_.end());
  stable_ = std::min(stable_, index - 1);
  written_ = std::min(written_, index - 1);
}

void RaftLog::CommitTo(Index index) {
  BASCULE_CHECK_LE(index, last());
  committed_ = std::max(committed_, index);
}

void RaftLog::AppliedTo(Index index) {
  BASCULE_CHECK_LE(index, committed_);
  applied_ = std::max(applied_, index);
}

void RaftLog::Compact(Index through, SnapshotMeta snapshot) {
  BASCULE_CHECK_LE(through, std::min(applied_, stable_));
  BASCULE_CHECK_LE(through, snapshot.index);
  snapshot_ = std::move(snapshot);
  if (through <= compacted_) return;
  compacted_term_ = At(through).term;
  entries_.erase(entries_.begin(), entries_.begin() + static_cast<ptrdiff_t>(through - compacted_));
  compacted_ = through;
}

void RaftLog::Reset(SnapshotMeta snapshot) {
  entries_.clear();
  compacted_ = committed_ = stable_ = written_ = snapshot.index;
  compacted_term_ = snapshot.term;
  snapshot_ = std::move(snapshot);
}

std::vector<Entry> RaftLog::Unwritten() const {
  return Slice(written_ + 1, last(), std::numeric_limits<size_t>::max());
}

}  // namespace bascule::raft
