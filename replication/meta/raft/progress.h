// How far a leader knows one member to be, and how much it may send it. Pure.
#pragma once

#include <deque>

#include "replication/meta/raft/types.h"

namespace bascule::raft {

enum class ProgressState : uint8_t {
  kProbe,      // what it holds is not known: one append at a time
  kReplicate,  // appends are sent ahead of its answers
  kSnapshot,   // a snapshot is on its way; nothing is sent
};

class Progress {
 public:
  Progress(Index next, size_t max_inflight) : next_(next), max_inflight_(max_inflight) {}

  Index match() const { return match_; }  // durable there, of this term's log
  Index next() const { return next_; }    // first entry to send
  ProgressState state() const { return state_; }
  bool recent_active = false;  // heard of since the last quorum check

  bool IsPaused() const;
  bool IsFull() const { return inflight_.size() >= max_inflight_; }
  // An append with `entries` entries left.
  void OnSent(size_t entries);
  // It holds everything up to `index`; false when that was known.
  bool Acknowledge(Index index);
  // It refused the append after `rejected`; true: go on from `hint`. False: the answer is old.
  bool Refuse(Index rejected, Index hint);
  void BecomeProbe();
  void BecomeReplicate();
  void BecomeSnapshot(Index snapshot);
  // The snapshot did not arrive.
  void AbortSnapshot();
  void Resume() { paused_ = false; }
  void Pause() { paused_ = true; }
  static constexpr int kNeverHeard = 1 << 30;
  int silent_ticks = kNeverHeard;  // since it was last heard of
  // Ticks in kSnapshot.
  int snapshot_ticks = 0;

 private:
  Index match_;
  Index next_;
  ProgressState state_ = ProgressState::kProbe;
  Index pending_snapshot_;
  bool paused_ = false;  // until an answer: a probe is out, or a full window was poked
  const size_t max_inflight_;
  std::deque<Index> inflight_;  // last entry of each append without an answer
};

}  // namespace bascule::raft
