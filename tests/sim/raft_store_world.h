// A metadata store on a simulated disk, driven at random the way a member of a Raft group drives
// it, crashed, opened again and checked against a model of what was acknowledged.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "replication/meta/store/raft_store.h"
#include "tests/support/sim_file_system.h"

namespace bascule {

struct RaftStoreWorldOptions {
  raft_store::RaftStoreOptions store{2048, 0};
  size_t max_data = 120;
  double write_error = 0;
  double sync_error = 0;  // of files
  double sync_dir_error = 0;
  double rename_error = 0;
  double short_read = 0;
  bool disk_lies = false;  // names and files may go and come back in spite of a sync
  uint64_t capacity = uint64_t{1} << 40;
};

// One seed's world. Check* and Open* call doctest's assertions.
class RaftStoreWorld {
 public:
  RaftStoreWorld(uint64_t seed, RaftStoreWorldOptions options);

  // Creates the store, through `crashes` crashes in the middle.
  void Create(int crashes = 0);
  // Random operations until `steps` are done or the store fails.
  void Live(int steps);
  // The power goes at a random changing call of what follows.
  void PlanPowerOff(uint64_t within);
  void Crash();
  void Kill();
  // Opens, through `crashes` crashes or kills in the middle, and checks that what was acknowledged
  // is there, and nothing else but what was under way.
  void Open(int crashes = 0);
  // Turns a random bit of a random file, opens: it is as it was, but for a last group that no later
  // record follows, or refused. Turns it back.
  void FlipBitAndOpen();
  // The same with a file that is missing.
  void LoseFileAndOpen();

  SimRng& rng() { return rng_; }
  int refused() const { return refused_; }
  int accepted() const { return accepted_; }

 private:
  // What a member knows; entries follow the snapshot without a hole.
  struct State {
    raft::HardState hard_state;
    raft::SnapshotMeta snapshot;
    std::string snapshot_state;
    std::vector<raft::Entry> entries;
    raft::Index last() const { return snapshot.index + entries.size(); }
    raft::Term TermAt(raft::Index index) const;
    void Replace(const std::vector<raft::Entry>& group, size_t n);
    void Install(const raft::SnapshotMeta& meta, const std::string& state);
  };

  void Step();
  void StepSave();
  void StepVote();
  void StepLocalSnapshot();
  void StepReceivedSnapshot();
  void StepCompact();
  void StepSettle();
  void CheckLoadSnapshot();
  std::vector<raft::Entry> NewEntries();
  std::string NewText();
  raft::Configuration NewConfiguration();
  // Runs one call of the store; `after` are the states that a crash in it may leave, the last one
  // is the one that it acknowledges.
  void Call(const absl::Status& status, std::vector<State> after);
  void SetFaults(bool on);
  absl::Status TryOpen(raft_store::StoredRaft& stored);
  bool Admissible(const raft_store::StoredRaft& stored, State state) const;
  void MoveDurably(const std::string& from, const std::string& to);
  void Adopt(const raft_store::StoredRaft& stored);
  std::string Describe(const raft_store::StoredRaft& stored) const;

  const uint64_t seed_;
  const RaftStoreWorldOptions options_;
  SimRng rng_;
  SimFileSystem fs_;
  std::unique_ptr<raft_store::RaftStore> store_;
  raft_store::MetaIdentity identity_;
  State known_;                  // acknowledged
  std::vector<State> possible_;  // what else a crash may leave
  std::vector<State>
      last_group_;             // what damage to the last group may leave, while nothing follows it
  raft::Index commit_;         // of the member; at most this is handed out
  raft::Index stored_commit_;  // at least this is
  std::vector<State> withdrawn_;  // with snapshots of leaders that were not stored
  bool failed_ = false;
  uint64_t texts_ = 0;
  int refused_ = 0;
  int accepted_ = 0;
};

}  // namespace bascule
