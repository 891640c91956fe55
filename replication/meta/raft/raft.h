// One member of a Raft group, pure: messages and ticks in, a Ready out. No clock, disk, network,
// thread or log line; what it does follows from its inputs and the random numbers it is given.
//
//   Tick, Step, Propose, ...          in any order
//   while (raft.HasReady()) {
//     Ready ready = raft.TakeReady();
//     send ready.early                                      nothing that must be durable first
//     write ready.hard_state, ready.snapshot, ready.entries, in this order; sync
//     send ready.messages
//     restore ready.snapshot; apply ready.committed; answer ready.reads
//     raft.Advance();                                       all of it is done
//   }
//
// Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm" (2014), Ongaro's
// thesis (2014): pre-vote (9.6), leadership transfer (3.10), ReadIndex (6.4), check-quorum (6.2).
// Membership changes are those of etcd's raft: one member at a time, in force once applied (not
// when appended), so that nothing has to be taken back and a mixed group agrees on who decides; the
// argument is in replication/meta/README.md.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/status.h"
#include "replication/meta/raft/progress.h"
#include "replication/meta/raft/raft_log.h"
#include "replication/meta/raft/read_index.h"
#include "replication/meta/raft/restored.h"
#include "replication/meta/raft/types.h"

namespace bascule::raft {

struct Options {
  NodeId id;
  int election_ticks = 10;  // drawn from [election_ticks, 2 * election_ticks)
  int heartbeat_ticks = 1;
  size_t max_inflight = 64;                         // appends on their way to one member
  size_t max_append_bytes = size_t{1} << 20;        // of one append; one entry always fits
  size_t max_uncommitted_bytes = size_t{16} << 20;  // more: Propose refuses
  size_t max_committed_bytes = size_t{4} << 20;     // of one Ready; one entry always fits
  size_t max_pending_reads = 1024;                  // more: ReadIndex refuses
  int snapshot_retry_ticks = 100;  // without a word of a snapshot that was sent it is sent again
  // Uniform in [0, bound).
  std::function<uint64_t(uint64_t bound)> random;
};

enum class Role : uint8_t { kFollower, kPreCandidate, kCandidate, kLeader };

// A read may be served once `index` is applied.
struct ReadState {
  std::string context;
  Index index;
};

struct Ready {
  std::optional<HardState> hard_state;
  std::optional<SnapshotMeta> snapshot;  // its bytes came with the message that brought it
  std::vector<Entry> entries;            // replace what is on disk from the first one's index on
  std::vector<Message> early;            // may leave before anything is durable
  std::vector<Message> messages;         // leave once the three above are durable
  std::vector<Entry> committed;          // to apply, in order
  std::vector<ReadState> reads;
  std::vector<std::string> failed_reads;  // contexts: ask again, elsewhere
};

// For operators and for those who decide about members.
struct MemberStatus {
  NodeId id;
  bool voter = false;
  Index match;                 // on its disk, as far as we know
  bool recent_active = false;  // heard of within an election timeout
  ProgressState state = ProgressState::kProbe;
};
struct RaftStatus {
  NodeId id;
  NodeId leader;  // 0 = unknown
  Role role = Role::kFollower;
  Term term;
  Index commit;
  Index applied;
  Index first;  // oldest entry still in the log
  Index last;
  Configuration configuration;
  NodeId transferring_to;             // 0 = nobody
  std::vector<MemberStatus> members;  // on the leader only
};

// A term this far ahead of ours was never reached by elections; who claims it is not believed.
inline constexpr uint64_t kMaxTermJump = uint64_t{1} << 32;

// One thread.
class Raft {
 public:
  // DataLoss: what is restored contradicts itself (a hole, a commit past the log, ...).
  static absl::StatusOr<std::unique_ptr<Raft>> Restore(Options options, Restored restored);

  void Tick();
  // A message of a peer. Whatever it says: InvalidArgument (with the reason) when it is refused as
  // impossible, and nothing of it is used. Messages that are merely late are dropped, OK.
  absl::Status Step(Message message);

  // Leader only, else Unavailable "not the metadata leader" (nothing was done). ResourceExhausted:
  // too much is uncommitted. Where it would stand; it may still be replaced by another leader's.
  absl::StatusOr<std::pair<Index, Term>> Propose(std::string data);
  // One at a time: FailedPrecondition while another is not applied, or nothing of this term is.
  absl::StatusOr<std::pair<Index, Term>> ProposeConfChange(const ConfChange& change);
  // Comes back in Ready.reads or Ready.failed_reads, or never (a lost message): ask again.
  // Any member; `context` is unique among the reads of the group. Unavailable: no leader is known.
  absl::Status ReadIndex(std::string context);
  // Leader only. Given up after an election timeout. InvalidArgument: not a voter.
  absl::Status TransferLeadership(NodeId to);
  // An election at once, pre-vote first; nothing on a member that may not stand.
  void Campaign();
  // This member's own connection with `leader` broke and could not be made again: if it is still the
  // leader that is known here it is waited for only a moment longer, and no vote is refused for its
  // sake any more. Makes a few election timeouts shorter, until a leader is heard of.
  void OnLeaderLost(NodeId leader);
  // A message to `id` was surely lost: send less until it answers.
  void ReportUnreachable(NodeId id);
  // The snapshot sent to `id` arrived (which its answer will confirm) or did not.
  void ReportSnapshot(NodeId id, bool arrived);
  // Forgets entries up to `through` (applied ones only; the snapshot that covers them is durable).
  // Such a snapshot is what members further behind are sent from now on.
  void Compact(Index through, SnapshotMeta snapshot);

  bool HasReady() const;
  // Until Advance, inputs may come but no other Ready is taken.
  Ready TakeReady();
  void Advance();

  RaftStatus status() const;
  Role role() const { return role_; }
  Term term() const { return term_; }
  NodeId leader() const { return leader_; }
  Index applied() const { return log_.applied(); }
  const Configuration& configuration() const { return configuration_; }
  const RaftLog& log() const { return log_; }

 private:
  Raft(Options options, Restored restored);

  // --- raft.cc: inputs and outputs ---
  absl::Status CheckMessage(const Message& message) const;
  Index FindContradiction(const Message& message) const;
  // Whether the message is to be handled; compares the terms first.
  bool CompareTerm(const Message& message);
  bool InLease() const;
  void StepLeader(Message message);
  void StepCandidate(Message message);
  void StepFollower(Message message);
  void Send(Message message);

  // --- raft_election.cc ---
  void BecomeFollower(Term term, NodeId leader);
  void BecomePreCandidate();
  void BecomeCandidate();
  void BecomeLeader();
  void Reset(Term term);
  int DrawTimeout();
  void TickElection();
  void TickLeader();
  bool MayStand() const;
  bool HasUnappliedConfChange() const;
  void Stand(bool transfer);
  void AskForVotes(bool transfer);
  void HandleVote(const Message& message);
  void HandleVoteResponse(const Message& message);
  void CountVotes(bool transfer);
  bool IsQuorum(size_t members) const { return members > configuration_.voters.size() / 2; }
  bool HeardOfQuorum();

  // --- raft_replication.cc ---
  bool TakesProposals() const;
  std::pair<Index, Term> AppendOwn(EntryType type, std::string data);
  void BroadcastAppend();
  bool SendAppend(NodeId to, bool even_empty);
  bool SendSnapshot(NodeId to, Progress& progress);
  void BroadcastHeartbeat(std::string_view context);
  bool AdvanceCommit();
  void HandleAppend(const Message& message);
  void HandleHeartbeat(const Message& message);
  void HandleSnapshot(const Message& message);
  void HandleAppendResponse(const Message& message);
  void HandleRefusedAppend(const Message& message, Progress& progress);
  void HandleHeartbeatResponse(const Message& message);
  void OnAcknowledged(NodeId from, Progress& progress, bool was_paused);

  // --- raft_membership.cc: members, transfer, reads ---
  void SwitchTo(Configuration configuration);
  void ResignAsRemoved();
  void HandleTransfer(NodeId to);
  void HandleReadIndex(const std::string& context, NodeId from);
  void AnswerRead(const std::string& context, NodeId from, Index index);
  void ConfirmRead(std::string_view context, NodeId from);
  void FailReads();
  bool CommittedInThisTerm() const;

  const Options options_;
  Term term_;
  NodeId vote_;
  Role role_ = Role::kFollower;
  NodeId leader_;
  RaftLog log_;
  Configuration configuration_;
  std::map<NodeId, Progress> progress_;  // a leader's, itself included
  std::map<NodeId, bool> votes_;         // a candidate's
  int election_elapsed_ = 0;
  int heartbeat_elapsed_ = 0;
  int election_timeout_ = 0;   // this round's, drawn
  int hurried_ = 0;            // so many more elections come soon: the leader was lost
  Index pending_conf_;         // no change is proposed before this is applied
  Index configuration_index_;  // of the snapshot that brought the configuration, if one did
  NodeId transferring_to_;
  size_t uncommitted_bytes_ = 0;
  ReadQueue reads_;
  std::vector<PendingRead> early_reads_;  // before this leader has committed anything of its term

  // --- towards the next Ready ---
  HardState durable_;  // what was handed out to be written
  std::vector<Message> outbox_;
  std::vector<ReadState> answered_reads_;
  std::vector<std::string> failed_reads_;
  std::optional<SnapshotMeta> snapshot_to_install_;
  // What Advance confirms.
  struct Taken {
    Index applied;
    std::vector<Entry> conf_changes;
  };
  std::optional<Taken> taken_;
};

}  // namespace bascule::raft
