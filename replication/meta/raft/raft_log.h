// The entries that a member holds in memory, from the last compaction on, and how far they are
// durable, committed and applied. Pure.
//
//   compacted < first ... applied ≤ committed ≤ last        stable ≤ last (durable up to it)
#pragma once

#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "replication/meta/raft/restored.h"
#include "replication/meta/raft/types.h"

namespace bascule::raft {

size_t Bytes(const Entry& entry);

class RaftLog {
 public:
  explicit RaftLog(Restored restored);

  Index first() const { return compacted_ + 1; }
  Index last() const { return compacted_ + entries_.size(); }
  Term last_term() const { return entries_.empty() ? compacted_term_ : entries_.back().term; }
  Index committed() const { return committed_; }
  Index applied() const { return applied_; }
  // Whether another entry than one of `term` is known to be committed there.
  bool Contradicts(Index index, Term term) const;
  Index stable() const { return stable_; }
  // What a member that is behind first() is sent.
  const SnapshotMeta& snapshot() const { return snapshot_; }

  // nullopt: compacted, or past the end. The compacted entry's own term is known.
  std::optional<Term> TermAt(Index index) const;
  bool Holds(Index index, Term term) const { return TermAt(index) == term; }
  // Whether a log that ends in (index, term) misses nothing that may be committed here.
  bool IsUpToDate(Index index, Term term) const;
  // The greatest position at or below `index` whose term is `term` or less; its term is 0 when it
  // is compacted.
  std::pair<Index, Term> FindConflictByTerm(Index index, Term term) const;
  // From `from` on, at most `max_bytes` of them but one if there is one.
  std::vector<Entry> Slice(Index from, Index through, size_t max_bytes) const;

  const Entry& At(Index index) const { return entries_[index - compacted_ - 1]; }  // held

  // A leader's.
  void Append(Entry entry);
  // A follower's: `entries` follow a position that both hold. What agrees already is kept, what
  // conflicts is dropped with all behind it. False (nothing changed): it would drop committed
  // entries.
  bool Merge(const std::vector<Entry>& entries);
  void CommitTo(Index index);  // never back; at most last()
  void AppliedTo(Index index);
  // What was handed out to be written is on disk (and what was not cut off meanwhile still counts).
  void SetStable() { stable_ = written_; }
  void Compact(Index through, SnapshotMeta snapshot);
  // Everything is replaced by a snapshot that arrived; it counts as committed.
  void Reset(SnapshotMeta snapshot);

  // --- what the next Ready takes ---
  std::vector<Entry> Unwritten() const;  // not handed out yet
  bool HasUnwritten() const { return written_ < last(); }
  void SetWritten() { written_ = last(); }

 private:
  void TruncateFrom(Index index);

  Index compacted_;
  Term compacted_term_;
  std::deque<Entry> entries_;
  SnapshotMeta snapshot_;
  Index committed_;
  Index applied_;
  Index stable_;
  Index written_;  // handed out to be made durable
};

}  // namespace bascule::raft
