// What must hold in a Raft group, checked over all its members at once while they run:
//
//   one leader per term; a new leader holds everything that was committed in terms before its own
//   logs with an entry of the same index and term agree up to it
//   a member votes once in a term
//   all members apply one sequence, the same entries in the same places, each on the disks of a
//   majority when the first of them applies it
//   what was acknowledged is in that sequence, and reads see it
//   no message promises what is not on its sender's disk
//
// The first violation is kept; later ones are its consequences.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "replication/meta/raft/raft_log.h"
#include "replication/meta/raft/types.h"
#include "tests/sim/raft_disk.h"

namespace bascule {

class RaftChecker {
 public:
  // A disk that counts, for as long as the checker lives.
  void AddDisk(raft::NodeId id, const RaftDisk& disk) { disks_[id] = &disk; }
  // Who decides before the first entry.
  void SetConfiguration(raft::Configuration configuration) {
    configuration_ = before_ = std::move(configuration);
  }
  // `id` leads `term`, which is durable there.
  void OnLeader(raft::NodeId id, raft::Term term, const raft::RaftLog& log);
  // Entries from `from` on are new on the disk of `id`.
  void OnDurable(raft::NodeId id, const RaftDisk& disk, raft::Index from);
  // A message leaves while this is on the disk of its sender.
  void OnSend(const RaftDisk& disk, const raft::Message& message);
  // An acknowledgement that leaves for a leader whose log is this.
  void OnAcknowledge(const RaftDisk& disk, const raft::Message& message,
                     const raft::RaftLog& leader);
  // Applied by a member in `term` whose state was `state`; the state behind it.
  uint64_t OnApply(raft::NodeId id, const raft::Entry& entry, raft::Term term, uint64_t state);
  void OnRestore(raft::NodeId id, const raft::SnapshotMeta& snapshot, uint64_t state);
  // The proposer at (index, term) was told that it is done.
  void OnAcknowledged(raft::Index index, raft::Term term, const std::string& data);
  // What a read that begins now must see at least.
  raft::Index seen() const { return seen_; }
  void OnRead(raft::NodeId id, raft::Index must_see, raft::Index applied);

  void Fail(std::string violation);
  // For those who only look for crashes.
  void Forgive() { violation_.reset(); }
  const std::optional<std::string>& violation() const { return violation_; }
  // How far the common sequence is known.
  raft::Index applied() const { return raft::Index(sequence_.size()); }
  size_t acknowledged() const { return acknowledged_; }
  size_t reads() const { return reads_; }
  size_t leaders() const { return leaders_.size(); }

 private:
  struct Applied {
    raft::Term term;
    raft::EntryType type;
    std::string data;
    raft::Term in_term;  // of the member that was the first to apply it
    uint64_t state;      // behind it
  };
  struct Stored {
    raft::Term term;
    raft::Term before;  // of the entry before; 0 when that was not known
    raft::EntryType type;
    std::string data;
  };
  void CheckMajority(const raft::Entry& entry);
  bool IsOnMajority(const raft::Configuration& configuration, const raft::Entry& entry) const;
  void CheckVote(raft::NodeId voter, raft::Term term, raft::NodeId candidate);
  void CheckPromise(const RaftDisk& disk, const raft::Message& message);

  std::map<raft::NodeId, const RaftDisk*> disks_;
  std::vector<Applied> sequence_;      // from index 1
  raft::Configuration configuration_;  // behind it
  raft::Configuration before_;         // the one before the last change
  std::map<std::pair<raft::Term, raft::NodeId>, raft::NodeId> votes_;
  std::vector<std::vector<Stored>> stored_;  // by index: one for each term that was ever there
  std::map<raft::Term, raft::NodeId> leaders_;
  raft::Index seen_;
  size_t acknowledged_ = 0;
  size_t reads_ = 0;
  std::optional<std::string> violation_;
};

}  // namespace bascule
