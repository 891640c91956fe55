// One simulated member of a Raft group: raft::Raft, its disk and its state machine, with the
// contract of Ready obeyed step by step, so that a crash can come between any two.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "replication/meta/raft/raft.h"
#include "tests/sim/raft_checker.h"
#include "tests/sim/raft_disk.h"
#include "tests/sim/raft_trace.h"

namespace bascule {

// How much of the Ready that is being written survives a crash, in the order in which it is
// written: hard state, snapshot, some of the entries.
struct RaftWriteCut {
  bool hard_state = false;
  bool snapshot = false;  // only after the hard state
  size_t entries = 0;     // only after both
};

class RaftMember {
 public:
  RaftMember(raft::Options options, RaftChecker& checker, RaftTrace& trace)
      : options_(std::move(options)), checker_(checker), trace_(trace) {
    checker_.AddDisk(options_.id, disk_);
  }
  RaftMember(const RaftMember&) = delete;

  raft::NodeId id() const { return options_.id; }
  RaftDisk& disk() { return disk_; }
  bool up() const { return raft_ != nullptr; }
  raft::Raft& raft() { return *raft_; }
  bool leads() const { return up() && raft_->role() == raft::Role::kLeader; }

  // Puts a new group's first snapshot on the empty disk, the same at each of its first members.
  void Found(const raft::Configuration& configuration);
  // From the disk. Down before and, when that contradicts itself (a violation), afterwards.
  void Start();
  // Loses everything but the disk.
  void Crash(RaftWriteCut cut = {});

  // --- one Ready ---
  bool HasReady() const { return up() && !ready_ && raft_->HasReady(); }
  bool writing() const { return ready_.has_value(); }
  size_t entries_under_way() const { return ready_ ? ready_->entries.size() : 0; }
  // Takes a Ready; the messages that leave at once.
  std::vector<raft::Message> Take();
  // All of it is on the disk; the messages that leave now.
  std::vector<raft::Message> Write();
  // Applied, answered, Advance.
  void Finish();

  // --- inputs ---
  void Step(raft::Message message, uint64_t snapshot_state);
  bool Propose(std::string data);
  bool ProposeConfChange(const raft::ConfChange& change);
  bool Read(std::string context);
  // Of everything that is applied; `trailing` entries stay in memory for the others.
  void TakeSnapshot(uint64_t trailing);

  raft::Index applied() const { return applied_; }
  uint64_t state() const { return state_; }
  size_t acknowledged() const { return acknowledged_; }

 private:
  struct Proposal {
    raft::Term term;
    std::string data;
  };
  struct Read_ {
    raft::Index must_see;
    std::optional<raft::Index> at;  // once the group has answered
  };
  void Check(const std::vector<raft::Message>& messages);
  void ServeReads();
  void NoteLeadership();

  const raft::Options options_;
  RaftChecker& checker_;
  RaftTrace& trace_;
  RaftDisk disk_;

  std::unique_ptr<raft::Raft> raft_;
  std::optional<raft::Ready> ready_;
  raft::Index commit_to_write_;
  raft::Index applied_;
  raft::Index committed_;  // as last seen: it must not go back
  uint64_t state_ = 0;
  std::map<raft::Index, Proposal> proposals_;
  std::map<std::string, Read_> reads_;
  std::map<raft::Index, uint64_t> received_;  // states of snapshots that came with messages
  raft::Term led_;                            // last reported to the checker
  raft::Role role_ = raft::Role::kFollower;   // as traced
  size_t acknowledged_ = 0;
};

}  // namespace bascule
