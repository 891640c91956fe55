// The metadata log of a cluster: raft::Raft, its store and its messages, driven on the metadata
// thread. What arrives is stepped at once and worked off in rounds: one round is posted behind
// whatever waits already, so that everything that came during a sync shares the next one.
//
//   gRPC thread          metadata thread
//   OnPeerMessage ─────► Raft::Step ────┐
//   (Propose, ReadBarrier) ─────────────┼─► Round: TakeReady ─► send early
//   OnPeerBulk ────────► Raft::Step ────┘     ─► RaftStore::Save (one sync) ─► send messages
//   (a snapshot's bytes with its message)     ─► MetadataState::Apply ─► proposers, readers
//                                             ─► Advance
//
// Full disk: a leader that sees it coming hands over, and refuses what makes the state larger; the
// rest, and what other leaders send, goes into the ballast. A member that cannot write stands still (no
// tick, no answer: the others go on without it), refuses commands and goes on when there is room.
// Any other failed write or sync, damage, or a command of a newer version is `fatal`: the process
// must end.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/env/clock.h"
#include "core/env/executor.h"
#include "core/env/lifetime.h"
#include "core/env/rng.h"
#include "core/env/timer.h"
#include "replication/meta/group/raft_codec.h"
#include "replication/meta/raft/raft.h"
#include "replication/meta/store/raft_store.h"
#include "replication/metadata_log.h"
#include "replication/peer_transport.h"

namespace bascule::raft_group {

struct RaftGroupOptions {
  Duration tick = std::chrono::milliseconds(50);
  int heartbeat_ticks = 2;  // 100 ms
  int election_ticks = 10;  // 500 ms to 1 s
  uint64_t snapshot_entries = 8192;
  uint64_t snapshot_bytes = uint64_t{64} << 20;
  uint64_t trailing_entries = 1024;  // kept behind a snapshot for members that are a little behind
};

// Everything outlives the group. Without a transport it is a group of one.
struct RaftGroupEnvironment {
  Executor& home;  // the metadata thread
  Rng& rng;
  PeerTransport* transport;
  MetadataState& state;
  // The reason; called once, on the metadata thread. Nothing is done afterwards. OutOfRange: the
  // leader counts on entries that this log does not hold (any more): an older copy. FailedPrecondition: what a
  // majority agreed upon is not in the log of who leads.
  absl::AnyInvocable<void(absl::Status)> fatal;
};

// What a member has durably, for good: no later start may find less.
struct DurableMark {
  raft::Term term;
  raft::Index index;  // committed, and in its own log
};

class RaftGroup final : public MetadataLog, public MetadataGroup, public PeerHandler {
 public:
  // Restores `state`. Before the metadata thread serves anything, or on it.
  static absl::StatusOr<std::unique_ptr<RaftGroup>> Start(
      RaftGroupEnvironment environment, RaftGroupOptions options,
      std::unique_ptr<raft_store::RaftStore> store, raft_store::StoredRaft stored);
  // What the first member of a group keeps as its first snapshot.
  static std::string InitialSnapshot(const GroupMember& self, std::string_view state) {
    return EncodeSnapshotBody({{raft::NodeId(self.id.value()), {self.server_id, self.address}}},
                              state);
  }
  ~RaftGroup() override;

  // A leader hands over first; then nothing is sent, written or called any more. `done` on the
  // metadata thread.
  void Stop(absl::AnyInvocable<void()> done);

  // --- MetadataLog ---
  void Propose(std::string command, absl::AnyInvocable<void(absl::Status)> done) override;
  void ReadBarrier(absl::AnyInvocable<void(absl::Status)> done) override;
  std::string degraded() const override { return degraded_; }
  MetadataRole role() const override { return told_; }
  void OnRoleChange(absl::AnyInvocable<void(const MetadataRole&)> observer) override;

  // --- MetadataGroup ---
  void AddMember(const GroupMember& member, Done done) override;
  void RemoveMember(PeerId id, Done done) override;
  void TransferLeadership(PeerId to, Done done) override;
  GroupStatus Status() const override;
  void OnLeaderLost(PeerId leader) override;
  std::vector<GroupMember> members() const;
  // A member has said that this is one too: it is listened to until our log says otherwise. Without it a leader that
  // joined while we were away could never tell us of itself.
  void Expect(const GroupMember& member);
  // Nothing while something waits to be written. On the metadata thread, after Stop too.
  std::optional<DurableMark> Durable() const;

  // --- PeerHandler: any thread ---
  void OnPeerMessage(const PeerIdentity& from, std::string message) override;
  void OnPeerCall(const PeerIdentity& from, std::string request, Duration timeout,
                  Respond respond) override;
  void OnPeerBulk(const PeerIdentity& from, std::string header, std::string body,
                  Respond respond) override;

 private:
  struct Proposal {
    raft::Term term;
    absl::AnyInvocable<void(absl::Status)> done;
  };
  // A snapshot that came in and is not taken yet.
  struct Arrived {
    raft::SnapshotMeta meta;
    std::shared_ptr<const std::string> bytes;
  };
  struct Barrier {
    absl::AnyInvocable<void(absl::Status)> done;
    int ticks = 0;  // waited
  };

  // How long a member that was removed lives on, so that all can learn of it.
  static constexpr std::chrono::seconds kLinger{3};

  RaftGroup(RaftGroupEnvironment environment, RaftGroupOptions options,
            std::unique_ptr<raft_store::RaftStore> store, raft_store::StoredRaft& stored);
  absl::Status Restore(raft_store::StoredRaft stored);

  // --- raft_group.cc: rounds ---
  void Receive(const PeerIdentity& from, std::string_view message,
               std::shared_ptr<const std::string> snapshot);
  void Step(raft::Message message, std::shared_ptr<const std::string> snapshot);
  void ProposeChange(const raft::ConfChange& change, Done done);
  void ScheduleRound();
  void OnTick();
  void Round();
  bool Finish(raft::Ready& ready);  // false: stalled or dead
  absl::Status Save(const raft::Ready& ready);
  void OnSaveFailed(const absl::Status& why);
  void Apply(const raft::Entry& entry);
  void ApplyConfChange(const raft::Entry& entry);
  void EndAsRemoved();
  void CancelTimers();
  const Arrived* FindArrived(const raft::SnapshotMeta& meta) const;
  void Answer(const raft::Entry& entry, const absl::Status& result);
  void TellRole();
  void FailProposals(const absl::Status& why);
  void Die(const absl::Status& why);
  bool alive() const { return !dead_ && !stopped_; }

  // --- raft_group_io.cc: messages, snapshots, reads, room ---
  void Dispatch(std::vector<raft::Message> messages);
  void DispatchSnapshot(const raft::Message& message);
  bool InstallSnapshot(const raft::SnapshotMeta& meta);
  void MaybeSnapshot();
  absl::Status MarkEnd();
  void ScheduleMarkEnd();
  void AskReads();
  void AnswerReads(const std::vector<raft::ReadState>& reads);
  void ReleaseReads();
  void TickReads();
  void CheckRoom();
  void FinishTransfer();
  raft::NodeId BestHeir() const;
  void TellMembers(MetadataIndex index);
  void LogVoters(const std::vector<GroupMember>& members);
  void Forget(PeerId id);

  RaftGroupEnvironment env_;
  const RaftGroupOptions options_;
  const std::unique_ptr<raft_store::RaftStore> store_;
  std::unique_ptr<raft::Raft> raft_;
  MemberBook members_;
  std::set<PeerId> peers_;             // that the transport was told of
  std::string voters_;                 // who votes, as it was last said in the log
  raft::Configuration configuration_;  // as of the last entry that was applied

  std::atomic<size_t> inbox_bytes_{0};  // posted and not stepped yet
  bool round_posted_ = false;
  std::map<raft::Index, Proposal> proposals_;
  std::vector<Barrier> barriers_;                      // not asked yet
  std::map<std::string, std::vector<Barrier>> asked_;  // by context
  std::multimap<raft::Index, Barrier> reading_;        // confirmed, not applied yet
  uint64_t next_read_ = 0;
  std::vector<Arrived> arrived_;
  raft::SnapshotMeta snapshot_;  // newest on our disk
  uint64_t bytes_since_snapshot_ = 0;

  std::optional<raft::Ready> stalled_;  // waits for room on the disk
  std::string degraded_;
  bool no_room_ = false;
  raft::Index snapshot_tried_;  // up to where the last snapshot went, kept or not
  bool dead_ = false;
  bool stopped_ = false;
  int ticks_ = 0;

  MetadataRole told_;
  absl::AnyInvocable<void(const MetadataRole&)> observer_;
  struct Transfer {
    Done done;
    int ticks_left = 0;
  };
  std::optional<Transfer> transfer_;

  Timer tick_timer_{env_.home};
  Timer mark_timer_{env_.home};
  Timer removal_timer_{env_.home};
  Lifetime lifetime_{env_.home};
};

}  // namespace bascule::raft_group
