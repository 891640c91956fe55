// What one simulated member of a Raft group keeps through a crash, as values. No bytes, no files:
// the store has tests of its own.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "replication/meta/raft/restored.h"

namespace bascule {

class RaftDisk {
 public:
  raft::HardState hard;
  raft::SnapshotMeta snapshot;
  uint64_t state = 0;  // of the state machine at snapshot.index
  raft::Index older;   // the snapshot before, which is kept too
  uint64_t older_state = 0;
  std::vector<raft::Entry> entries;  // behind the snapshot, without a hole

  raft::Index last() const { return snapshot.index + entries.size(); }

  // nullopt: below the snapshot or past the end.
  std::optional<raft::Term> TermAt(raft::Index index) const {
    if (index == snapshot.index) return snapshot.term;
    if (index < snapshot.index || index > last()) return std::nullopt;
    return entries[index - snapshot.index - 1].term;
  }

  // The first `count` of `written`, in place of what stands from its first index on. `commit` is
  // stored with each of them.
  void Append(const std::vector<raft::Entry>& written, size_t count, raft::Index commit) {
    if (count == 0 || written.empty()) return;
    entries.resize(written.front().index - snapshot.index - 1);
    entries.insert(entries.end(), written.begin(), written.begin() + static_cast<ptrdiff_t>(count));
    hard.commit = std::max(hard.commit, std::min(commit, last()));
  }

  // A snapshot of a leader: the log it does not continue is dropped.
  void Install(raft::SnapshotMeta meta, uint64_t its_state) {
    if (TermAt(meta.index) == meta.term) return Fold(std::move(meta), its_state);
    entries.clear();
    Replace(std::move(meta), its_state);
  }

  // A snapshot of its own: the entries that are in it go.
  void Fold(raft::SnapshotMeta meta, uint64_t its_state) {
    entries.erase(entries.begin(),
                  entries.begin() + static_cast<ptrdiff_t>(meta.index - snapshot.index));
    Replace(std::move(meta), its_state);
  }

  // What a snapshot at `index` is sent with; nullopt: it is not kept any more.
  std::optional<uint64_t> StateAt(raft::Index index) const {
    if (index == snapshot.index) return state;
    return index == older ? std::optional(older_state) : std::nullopt;
  }

  raft::Restored Restore() const {
    raft::HardState found = hard;
    found.commit = std::min(std::max(hard.commit, snapshot.index), last());
    return {found, snapshot, entries};
  }

 private:
  void Replace(raft::SnapshotMeta meta, uint64_t its_state) {
    older = snapshot.index;
    older_state = state;
    snapshot = std::move(meta);
    state = its_state;
  }
};

}  // namespace bascule
