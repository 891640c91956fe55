// The terms of a log's entries, by runs: a few numbers for any length.
#pragma once

#include <vector>

#include "replication/meta/raft/types.h"

namespace bascule::raft_store {

// One thread.
class TermRuns {
 public:
  // An empty log behind the entry `last`; term 0: none, or not known.
  void Reset(raft::Index last, raft::Term term);
  // The entry at `index`, and none behind it.
  void Append(raft::Index index, raft::Term term);
  // Terms of earlier entries are not asked for any more.
  void ForgetBefore(raft::Index index);
  // 0 where it is not known.
  raft::Term At(raft::Index index) const;
  raft::Index last() const { return last_; }

 private:
  struct Run {
    raft::Index first;
    raft::Term term;
  };
  std::vector<Run> runs_;  // never empty once there is a last entry
  raft::Index last_;
};

}  // namespace bascule::raft_store
