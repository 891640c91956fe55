// The log's way from the leader to the others, and back as acknowledgements.
#include <algorithm>
#include <functional>
#include <utility>

#include "core/base/check.h"
#include "core/base/text.h"
#include "replication/meta/raft/raft.h"

namespace bascule::raft {
namespace {

absl::Status NotLeader() { return absl::UnavailableError("not the metadata leader"); }

}  // namespace

// Not while it leaves.
bool Raft::TakesProposals() const {
  return role_ == Role::kLeader && transferring_to_ == NodeId() &&
         configuration_.IsVoter(options_.id);
}

absl::StatusOr<std::pair<Index, Term>> Raft::Propose(std::string data) {
  if (!TakesProposals()) return NotLeader();
  if (uncommitted_bytes_ > 0 && uncommitted_bytes_ + data.size() > options_.max_uncommitted_bytes) {
    return absl::ResourceExhaustedError(
        Concat("the metadata leader waits for ", uncommitted_bytes_,
               " bytes of commands to be committed; try again when they are"));
  }
  const std::pair<Index, Term> place = AppendOwn(EntryType::kNormal, std::move(data));
  BroadcastAppend();
  return place;
}

absl::StatusOr<std::pair<Index, Term>> Raft::ProposeConfChange(const ConfChange& change) {
  if (!TakesProposals()) return NotLeader();
  if (pending_conf_ > log_.applied()) {
    return absl::FailedPreconditionError(
        "another change of the metadata group's members is under way; try again when it is done");
  }
  Configuration after = configuration_;
  Apply(change, after);
  if (after.voters.empty()) {
    return absl::FailedPreconditionError("the last voter of the metadata group cannot go");
  }
  const std::pair<Index, Term> place = AppendOwn(EntryType::kConfChange, EncodeConfChange(change));
  pending_conf_ = place.first;
  BroadcastAppend();
  return place;
}

std::pair<Index, Term> Raft::AppendOwn(EntryType type, std::string data) {
  Entry entry{log_.last() + 1, term_, type, std::move(data)};
  uncommitted_bytes_ += entry.data.size();
  const std::pair<Index, Term> place{entry.index, entry.term};
  log_.Append(std::move(entry));
  return place;
}

void Raft::BroadcastAppend() {
  for (const auto& [id, progress] : progress_) {
    if (id != options_.id) SendAppend(id, true);
  }
}

bool Raft::SendAppend(NodeId to, bool even_empty) {
  const auto found = progress_.find(to);
  if (found == progress_.end()) return false;
  Progress& progress = found->second;
  if (progress.IsPaused()) return false;
  const Index before = progress.next() - 1;
  const std::optional<Term> term = log_.TermAt(before);
  if (!term) {
    return SendSnapshot(to, progress);
  }
  const bool full = progress.state() == ProgressState::kReplicate && progress.IsFull();
  std::vector<Entry> entries;
  if (!full) entries = log_.Slice(progress.next(), log_.last(), options_.max_append_bytes);
  if (entries.empty() && !even_empty) return false;
  progress.OnSent(entries.size());
  Send({.type = MessageType::kAppend,
        .to = to,
        .log_term = *term,
        .index = before,
        .commit = log_.committed(),
        .entries = std::move(entries)});
  return true;
}

bool Raft::SendSnapshot(NodeId to, Progress& progress) {
  if (!progress.recent_active) return false;  // nobody there to take it
  progress.BecomeSnapshot(log_.snapshot().index);
  Send({.type = MessageType::kSnapshot, .to = to, .snapshot = log_.snapshot()});
  return true;
}

// A member is told of no more than it is known to hold of this log: what lies behind that may be
// another leader's.
void Raft::BroadcastHeartbeat(std::string_view context) {
  for (const auto& [id, progress] : progress_) {
    if (id == options_.id) continue;
    Send({.type = MessageType::kHeartbeat,
          .to = id,
          .commit = std::min(progress.match(), log_.committed()),
          .context = std::string(context)});
  }
}

// The greatest entry that a majority has on disk; of this term only (Raft paper, figure 8): those
// before it are committed with it.
bool Raft::AdvanceCommit() {
  if (configuration_.voters.empty()) return false;
  std::vector<Index> matches;
  for (const NodeId id : configuration_.voters) {
    const auto progress = progress_.find(id);
    matches.push_back(progress == progress_.end() ? Index() : progress->second.match());
  }
  std::sort(matches.begin(), matches.end(), std::greater<>());
  const Index index = matches[matches.size() / 2];
  if (index <= log_.committed() || !log_.Holds(index, term_)) return false;
  for (Index at = log_.committed() + 1; at <= index; ++at) {
    uncommitted_bytes_ -= std::min(uncommitted_bytes_, log_.At(at).data.size());
  }
  log_.CommitTo(index);
  for (PendingRead& read : std::exchange(early_reads_, {}))
    HandleReadIndex(read.context, read.from);
  return true;
}

void Raft::HandleAppend(const Message& message) {
  if (message.index < log_.committed()) {
    return Send(
        {.type = MessageType::kAppendResponse, .to = message.from, .index = log_.committed()});
  }
  if (log_.Holds(message.index, message.log_term)) {
    if (!log_.Merge(message.entries)) return;
    // What is behind the entries of this append may be another leader's.
    const Index agreed = message.index + message.entries.size();
    log_.CommitTo(std::min(message.commit, agreed));
    return Send({.type = MessageType::kAppendResponse, .to = message.from, .index = agreed});
  }
  const auto [hint, hint_term] =
      log_.FindConflictByTerm(std::min(message.index, log_.last()), message.log_term);
  Send({.type = MessageType::kAppendResponse,
        .to = message.from,
        .log_term = hint_term,
        .index = message.index,
        .reject = true,
        .reject_hint = hint});
}

void Raft::HandleHeartbeat(const Message& message) {
  log_.CommitTo(std::min(message.commit, log_.last()));
  Send({.type = MessageType::kHeartbeatResponse, .to = message.from, .context = message.context});
}

void Raft::HandleSnapshot(const Message& message) {
  const SnapshotMeta& snapshot = *message.snapshot;
  const auto answer = [&](Index index) {
    Send({.type = MessageType::kAppendResponse, .to = message.from, .index = index});
  };
  if (snapshot.index <= log_.committed()) return answer(log_.committed());
  if (log_.Holds(snapshot.index, snapshot.term)) {
    log_.CommitTo(snapshot.index);
    return answer(snapshot.index);
  }
  // It may be older than the change that made us a member: the entries behind it bring that one.
  log_.Reset(snapshot);
  snapshot_to_install_ = snapshot;
  configuration_index_ = snapshot.index;
  SwitchTo(snapshot.configuration);
  answer(snapshot.index);
}

void Raft::HandleAppendResponse(const Message& message) {
  const auto found = progress_.find(message.from);
  if (found == progress_.end()) return;
  Progress& progress = found->second;
  progress.recent_active = true;
  progress.silent_ticks = 0;
  if (message.index > log_.last()) return;  // of another log: cannot be about what we sent
  if (message.reject) return HandleRefusedAppend(message, progress);
  const bool was_paused = progress.IsPaused();
  const bool news = progress.Acknowledge(message.index);
  const bool found_place =
      progress.match() == message.index && progress.state() == ProgressState::kProbe;
  if (!news && !found_place) return;
  OnAcknowledged(message.from, progress, was_paused);
}

void Raft::HandleRefusedAppend(const Message& message, Progress& progress) {
  Index hint = message.reject_hint;
  if (message.log_term > Term()) {
    hint = log_.FindConflictByTerm(message.reject_hint, message.log_term).first;
  }
  if (!progress.Refuse(message.index, hint)) return;
  if (progress.state() == ProgressState::kReplicate) progress.BecomeProbe();
  SendAppend(message.from, true);
}

void Raft::OnAcknowledged(NodeId from, Progress& progress, bool was_paused) {
  if (progress.state() == ProgressState::kProbe) {
    progress.BecomeReplicate();
  } else if (progress.state() == ProgressState::kSnapshot && progress.match() + 1 >= log_.first()) {
    progress.BecomeReplicate();
  }
  if (AdvanceCommit()) {
    BroadcastAppend();
  } else if (was_paused) {
    SendAppend(from, true);
  }
  while (SendAppend(from, false)) {
  }
  if (from == transferring_to_ && progress.match() == log_.last()) {
    Send({.type = MessageType::kTimeoutNow, .to = from});
  }
}

void Raft::HandleHeartbeatResponse(const Message& message) {
  const auto found = progress_.find(message.from);
  if (found == progress_.end()) return;
  Progress& progress = found->second;
  progress.recent_active = true;
  progress.silent_ticks = 0;
  progress.Resume();
  if (progress.match() < log_.last() || progress.state() == ProgressState::kProbe) {
    SendAppend(message.from, true);
  }
  if (!message.context.empty()) ConfirmRead(message.context, message.from);
}

void Raft::ReportUnreachable(NodeId id) {
  const auto found = progress_.find(id);
  if (found == progress_.end()) return;
  if (found->second.state() == ProgressState::kReplicate) found->second.BecomeProbe();
}

void Raft::ReportSnapshot(NodeId id, bool arrived) {
  const auto found = progress_.find(id);
  if (found == progress_.end() || found->second.state() != ProgressState::kSnapshot) return;
  if (!arrived) return found->second.AbortSnapshot();
  found->second.BecomeProbe();
  found->second.Pause();  // until its answer, or the next heartbeat's
}

}  // namespace bascule::raft
