// Inputs and outputs: which message goes where, what must be durable before what.
#include "replication/meta/raft/raft.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/base/text.h"

namespace bascule::raft {
namespace {

constexpr uint64_t kMaxTerm = uint64_t{1} << 62;
constexpr uint64_t kMaxIndex = uint64_t{1} << 62;

absl::Status Impossible(const Message& message, std::string_view why) {
  return absl::InvalidArgumentError(Concat(ToText(message.type), " of node ", message.from,
                                           " in term ", message.term, ": ", why));
}

// What a majority agreed upon is not in the log of who leads: impossible while every log is kept.
absl::Status Forgotten(const Message& message, std::string_view what) {
  return absl::FailedPreconditionError(
      Impossible(
          message,
          Concat(what, ": a majority of the metadata logs was lost, or put back from older copies"))
          .message());
}

absl::Status CheckRestored(const Options& options, const Restored& restored) {
  const auto contradiction = [](std::string_view what) {
    return absl::DataLossError(Concat("the restored Raft state contradicts itself: ", what));
  };
  if (options.id == NodeId()) return contradiction("no node id");
  Index at = restored.snapshot.index;
  Term term = restored.snapshot.term;
  for (const Entry& entry : restored.entries) {
    if (entry.index != at + 1) return contradiction("a hole in the log");
    if (entry.term < term) return contradiction("terms that fall");
    at = entry.index;
    term = entry.term;
  }
  if (restored.hard_state.term < term) return contradiction("a log of a later term than ours");
  if (restored.hard_state.commit > at) return contradiction("a commit past the log");
  return absl::OkStatus();
}

// Entries follow (index, log_term) without a hole, in terms that do not fall.
bool AreConsecutive(const Message& message) {
  Index at = message.index;
  Term term = message.log_term;
  for (const Entry& entry : message.entries) {
    if (entry.index != at + 1 || entry.term < term || entry.term > message.term) return false;
    at = entry.index;
    term = entry.term;
  }
  return true;
}

bool IsFromLeader(MessageType type) {
  return type == MessageType::kAppend || type == MessageType::kHeartbeat ||
         type == MessageType::kSnapshot;
}

// Forwarded by followers; an etcd member sends them without a term.
bool MayLackTerm(MessageType type) {
  return type == MessageType::kReadIndex || type == MessageType::kTransferLeader;
}

// What a leader says in a term that is durable promises nothing about its own disk.
bool MayLeaveEarly(MessageType type) {
  return IsFromLeader(type) || type == MessageType::kTimeoutNow;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Raft>> Raft::Restore(Options options, Restored restored) {
  RETURN_IF_ERROR(CheckRestored(options, restored));
  return std::unique_ptr<Raft>(new Raft(std::move(options), std::move(restored)));
}

Raft::Raft(Options options, Restored restored)
    : options_(std::move(options)),
      term_(restored.hard_state.term),
      vote_(restored.hard_state.vote),
      log_(restored),
      configuration_(restored.snapshot.configuration) {
  durable_ = {term_, vote_, Index()};
  BecomeFollower(term_, NodeId());
}

void Raft::Tick() {
  if (role_ == Role::kLeader) {
    TickLeader();
  } else {
    TickElection();
  }
}

// The first entry of an append that is not the one that is committed here; 0: none.
Index Raft::FindContradiction(const Message& message) const {
  if (log_.Contradicts(message.index, message.log_term)) return message.index;
  for (const Entry& entry : message.entries) {
    if (log_.Contradicts(entry.index, entry.term)) return entry.index;
  }
  return Index();
}

absl::Status Raft::CheckMessage(const Message& message) const {
  if (message.from == NodeId() || message.from == options_.id) {
    return Impossible(message, "a message of nobody, or of ourselves");
  }
  if (message.term == Term() && !MayLackTerm(message.type)) return Impossible(message, "no term");
  if (message.term.value() > kMaxTerm || message.term.value() > term_.value() + kMaxTermJump) {
    return Impossible(message, Concat("no election led there from our term ", term_));
  }
  if (std::max({message.index, message.commit, message.reject_hint}).value() > kMaxIndex) {
    return Impossible(message, "an index that no log reaches");
  }
  if (message.type == MessageType::kAppendResponse && !message.reject && role_ == Role::kLeader &&
      message.term == term_ && message.index > log_.last()) {
    return Forgotten(message, Concat("it holds entry ", message.index,
                                     ", but our log, which leads, ends at ", log_.last()));
  }
  if (!IsFromLeader(message.type)) return absl::OkStatus();
  if (message.term == term_ && role_ == Role::kLeader) {
    return Impossible(message, "we lead this term");
  }
  if (message.term == term_ && leader_ != NodeId() && leader_ != message.from) {
    return Impossible(message, Concat("node ", leader_, " leads this term"));
  }
  if (message.type == MessageType::kAppend && !AreConsecutive(message)) {
    return Impossible(message, "entries that do not follow each other");
  }
  if (message.type == MessageType::kAppend && message.term >= term_) {
    if (const Index other = FindContradiction(message); other != Index())
      return Forgotten(message,
                       Concat("it leads with another entry ", other, " than is committed here"));
  }
  if (message.type == MessageType::kHeartbeat && message.term >= term_ &&
      message.commit > log_.last()) {
    const absl::Status lost = Impossible(
        message, Concat("it knows us to hold entry ", message.commit, ", but the log ends at ",
                        log_.last(), ": this broker's metadata was lost or damaged"));
    return absl::DataLossError(lost.message());
  }
  if (message.type == MessageType::kSnapshot &&
      (!message.snapshot || message.snapshot->index == Index() ||
       message.snapshot->term > message.term || message.snapshot->index.value() > kMaxIndex)) {
    return Impossible(message, "no snapshot, or an impossible one");
  }
  return absl::OkStatus();
}

absl::Status Raft::Step(Message message) {
  RETURN_IF_ERROR(CheckMessage(message));
  if (message.term != Term() && !CompareTerm(message)) return absl::OkStatus();
  if (message.type == MessageType::kVote || message.type == MessageType::kPreVote) {
    HandleVote(message);
    return absl::OkStatus();
  }
  switch (role_) {
    case Role::kLeader:
      StepLeader(std::move(message));
      break;
    case Role::kCandidate:
    case Role::kPreCandidate:
      StepCandidate(std::move(message));
      break;
    case Role::kFollower:
      StepFollower(std::move(message));
      break;
  }
  return absl::OkStatus();
}

// A leader heard of within the shortest election timeout: who asks for votes now disturbs it.
bool Raft::InLease() const {
  return leader_ != NodeId() && election_elapsed_ < options_.election_ticks;
}

bool Raft::CompareTerm(const Message& message) {
  const bool vote = message.type == MessageType::kVote || message.type == MessageType::kPreVote;
  if (message.term > term_) {
    if (vote && message.context != kTransferContext && InLease()) return false;
    if (message.type == MessageType::kPreVote) return true;
    if (message.type == MessageType::kPreVoteResponse && !message.reject) return true;
    BecomeFollower(message.term, IsFromLeader(message.type) ? message.from : NodeId());
    return true;
  }
  if (message.term == term_) return true;
  // Late. A leader of the past must hear that its time is over; so must a candidate of the past,
  // else it would ask for ever.
  if (message.type == MessageType::kAppend || message.type == MessageType::kHeartbeat) {
    Send({.type = MessageType::kAppendResponse, .to = message.from});
  } else if (message.type == MessageType::kPreVote) {
    Send(
        {.type = MessageType::kPreVoteResponse, .to = message.from, .term = term_, .reject = true});
  }
  return false;
}

void Raft::StepLeader(Message message) {
  switch (message.type) {
    case MessageType::kAppendResponse:
      return HandleAppendResponse(message);
    case MessageType::kHeartbeatResponse:
      return HandleHeartbeatResponse(message);
    case MessageType::kTransferLeader:
      return HandleTransfer(message.from);
    case MessageType::kReadIndex:
      if (message.entries.size() == 1) HandleReadIndex(message.entries[0].data, message.from);
      return;
    default:
      return;
  }
}

void Raft::StepCandidate(Message message) {
  switch (message.type) {
    case MessageType::kAppend:
    case MessageType::kHeartbeat:
    case MessageType::kSnapshot:
      BecomeFollower(message.term, message.from);
      return StepFollower(std::move(message));
    case MessageType::kVoteResponse:
      if (role_ == Role::kCandidate) HandleVoteResponse(message);
      return;
    case MessageType::kPreVoteResponse:
      if (role_ == Role::kPreCandidate) HandleVoteResponse(message);
      return;
    default:
      return;
  }
}

void Raft::StepFollower(Message message) {
  switch (message.type) {
    case MessageType::kAppend:
    case MessageType::kHeartbeat:
    case MessageType::kSnapshot:
      election_elapsed_ = 0;
      if (std::exchange(hurried_, 0) > 0) election_timeout_ = DrawTimeout();
      leader_ = message.from;
      if (message.type == MessageType::kAppend) return HandleAppend(message);
      if (message.type == MessageType::kHeartbeat) return HandleHeartbeat(message);
      return HandleSnapshot(message);
    case MessageType::kTimeoutNow:
      return Stand(true);
    case MessageType::kReadIndexResponse:
      if (message.entries.size() == 1)
        answered_reads_.push_back({message.entries[0].data, message.index});
      return;
    case MessageType::kTransferLeader:
      if (leader_ == NodeId()) return;
      message.to = leader_;
      message.term = term_;
      return outbox_.push_back(std::move(message));  // keeps who it is from
    default:
      return;
  }
}

// Votes and their answers name the term themselves; a read has none.
void Raft::Send(Message message) {
  message.from = options_.id;
  if (message.term == Term() && message.type != MessageType::kReadIndex) message.term = term_;
  outbox_.push_back(std::move(message));
}

bool Raft::HasReady() const {
  if (taken_) return false;
  return !outbox_.empty() || log_.HasUnwritten() || snapshot_to_install_ ||
         log_.applied() < log_.committed() || !answered_reads_.empty() || !failed_reads_.empty() ||
         term_ != durable_.term || vote_ != durable_.vote;
}

Ready Raft::TakeReady() {
  BASCULE_CHECK(!taken_);
  Ready ready;
  const bool promise = term_ != durable_.term || vote_ != durable_.vote;
  if (promise) {
    durable_ = {term_, vote_, Index()};
    ready.hard_state = {term_, vote_, log_.committed()};
  }
  ready.snapshot = std::exchange(snapshot_to_install_, std::nullopt);
  ready.entries = log_.Unwritten();
  log_.SetWritten();
  for (Message& message : outbox_) {
    const bool early =
        !promise && role_ == Role::kLeader && message.term == term_ && MayLeaveEarly(message.type);
    (early ? ready.early : ready.messages).push_back(std::move(message));
  }
  outbox_.clear();
  ready.reads = std::exchange(answered_reads_, {});
  ready.failed_reads = std::exchange(failed_reads_, {});
  const Index applied = ready.snapshot ? ready.snapshot->index : log_.applied();
  ready.committed = log_.Slice(applied + 1, log_.committed(), options_.max_committed_bytes);
  taken_.emplace();
  taken_->applied = ready.committed.empty() ? applied : ready.committed.back().index;
  for (const Entry& entry : ready.committed) {
    if (entry.type == EntryType::kConfChange) taken_->conf_changes.push_back(entry);
  }
  return ready;
}

void Raft::Advance() {
  BASCULE_CHECK(taken_);
  const Taken taken = *std::exchange(taken_, std::nullopt);
  log_.SetStable();
  // A snapshot that was stepped in meanwhile is not applied yet.
  if (taken.applied <= log_.committed()) log_.AppliedTo(taken.applied);
  for (const Entry& entry : taken.conf_changes) {
    const std::optional<ConfChange> change = DecodeConfChange(entry.data);
    // Every member skips alike what is no change; a snapshot that came meanwhile has it already.
    if (!change || entry.index <= configuration_index_) continue;
    Configuration configuration = configuration_;
    Apply(*change, configuration);
    SwitchTo(std::move(configuration));
  }
  if (role_ != Role::kLeader) return;
  if (!configuration_.IsVoter(options_.id) && CommittedInThisTerm()) return ResignAsRemoved();
  const auto self = progress_.find(options_.id);
  if (self != progress_.end() && self->second.Acknowledge(log_.stable()) && AdvanceCommit()) {
    BroadcastAppend();
  }
}

void Raft::Compact(Index through, SnapshotMeta snapshot) {
  log_.Compact(through, std::move(snapshot));
}

RaftStatus Raft::status() const {
  RaftStatus status;
  status.id = options_.id;
  status.leader = leader_;
  status.role = role_;
  status.term = term_;
  status.commit = log_.committed();
  status.applied = log_.applied();
  status.first = log_.first();
  status.last = log_.last();
  status.configuration = configuration_;
  status.transferring_to = transferring_to_;
  for (const auto& [id, progress] : progress_) {
    status.members.push_back({id, configuration_.IsVoter(id), progress.match(),
                              id == options_.id || progress.silent_ticks < options_.election_ticks,
                              progress.state()});
  }
  return status;
}

}  // namespace bascule::raft
