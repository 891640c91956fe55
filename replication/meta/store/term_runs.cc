#include "replication/meta/store/term_runs.h"

#include <algorithm>

namespace bascule::raft_store {

void TermRuns::Reset(raft::Index last, raft::Term term) {
  runs_.assign(1, {last, term});
  last_ = last;
}

void TermRuns::Append(raft::Index index, raft::Term term) {
  while (!runs_.empty() && runs_.back().first >= index) runs_.pop_back();
  if (runs_.empty() || runs_.back().term != term) runs_.push_back({index, term});
  last_ = index;
}

void TermRuns::ForgetBefore(raft::Index index) {
  while (runs_.size() > 1 && runs_[1].first <= index) runs_.erase(runs_.begin());
}

raft::Term TermRuns::At(raft::Index index) const {
  if (index > last_) return raft::Term();
  const auto behind = std::upper_bound(runs_.begin(), runs_.end(), index,
                                       [](raft::Index i, const Run& run) { return i < run.first; });
  return behind == runs_.begin() ? raft::Term() : (behind - 1)->term;
}

}  // namespace bascule::raft_store
