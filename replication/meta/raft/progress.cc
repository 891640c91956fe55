#include "replication/meta/raft/progress.h"

#include <algorithm>

namespace bascule::raft {

bool Progress::IsPaused() const {
  switch (state_) {
    case ProgressState::kProbe:
      return paused_;
    case ProgressState::kReplicate:
      return paused_;
    case ProgressState::kSnapshot:
      return true;
  }
  return true;
}

void Progress::OnSent(size_t entries) {
  if (state_ == ProgressState::kReplicate) {
    if (entries > 0) {
      next_ += entries;
      inflight_.push_back(next_ - 1);
    }
    // A full window may be poked once more (to learn of the commit); then it waits for an answer.
    paused_ = IsFull();
  } else if (state_ == ProgressState::kProbe && entries > 0) {
    paused_ = true;
  }
}

bool Progress::Acknowledge(Index index) {
  if (index <= match_) return false;
  match_ = index;
  next_ = std::max(next_, index + 1);
  paused_ = false;
  while (!inflight_.empty() && inflight_.front() <= index) inflight_.pop_front();
  return true;
}

bool Progress::Refuse(Index rejected, Index hint) {
  if (state_ == ProgressState::kReplicate) {
    if (rejected <= match_) return false;
    next_ = match_ + 1;
    return true;
  }
  if (next_ - 1 != rejected) return false;  // of an earlier probe
  next_ = std::max(std::min(rejected, hint + 1), match_ + 1);
  paused_ = false;
  return true;
}

void Progress::BecomeProbe() {
  next_ =
      state_ == ProgressState::kSnapshot ? std::max(match_ + 1, pending_snapshot_ + 1) : match_ + 1;
  state_ = ProgressState::kProbe;
  pending_snapshot_ = Index();
  paused_ = false;
  inflight_.clear();
}

void Progress::BecomeReplicate() {
  state_ = ProgressState::kReplicate;
  pending_snapshot_ = Index();
  paused_ = false;
  inflight_.clear();
  next_ = match_ + 1;
}

void Progress::BecomeSnapshot(Index snapshot) {
  state_ = ProgressState::kSnapshot;
  pending_snapshot_ = snapshot;
  paused_ = false;
  snapshot_ticks = 0;
  inflight_.clear();
  next_ = snapshot + 1;
}

void Progress::AbortSnapshot() {
  pending_snapshot_ = Index();
  BecomeProbe();
  paused_ = true;
}

}  // namespace bascule::raft
