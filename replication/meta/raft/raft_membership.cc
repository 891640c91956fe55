// Members that come and go, leadership handed over, and reads that a quorum confirms.
#include <algorithm>
#include <utility>

#include "core/base/text.h"
#include "replication/meta/raft/raft.h"

namespace bascule::raft {

void Raft::SwitchTo(Configuration configuration) {
  const Configuration before = std::exchange(configuration_, std::move(configuration));
  if (role_ != Role::kLeader) return;
  // Who goes is told of the commit that sends it away, once; it may be lost.
  for (auto it = progress_.begin(); it != progress_.end();) {
    if (configuration_.Contains(it->first)) {
      ++it;
      continue;
    }
    if (it->first != options_.id) SendAppend(it->first, true);
    it = progress_.erase(it);
  }
  for (const std::vector<NodeId>* ids : {&configuration_.voters, &configuration_.learners}) {
    for (const NodeId id : *ids) {
      const auto [added, fresh] =
          progress_.emplace(id, Progress(log_.last() + 1, options_.max_inflight));
      if (!fresh) continue;
      added->second.recent_active = true;  // else the next check would count it out
      added->second.silent_ticks = 0;
    }
  }
  if (!configuration_.IsVoter(options_.id) && CommittedInThisTerm()) return ResignAsRemoved();
  if (AdvanceCommit()) {
    BroadcastAppend();
  } else {
    for (const auto& [id, progress] : progress_) {
      if (id != options_.id) SendAppend(id, false);
    }
  }
  if (!configuration_.IsVoter(transferring_to_)) transferring_to_ = NodeId();
}

// A leader that is no voter any more makes room. Nobody is told to stand at once: who stands before
// it has learned of the commit counts this member still.
void Raft::ResignAsRemoved() {
  BroadcastAppend();  // the commit of its own removal
  BecomeFollower(term_, NodeId());
}

absl::Status Raft::TransferLeadership(NodeId to) {
  if (role_ != Role::kLeader) return absl::UnavailableError("not the metadata leader");
  if (!configuration_.IsVoter(to)) {
    return absl::InvalidArgumentError(Concat("node ", to, " is no voter of the metadata group"));
  }
  HandleTransfer(to);
  return absl::OkStatus();
}

void Raft::HandleTransfer(NodeId to) {
  if (!configuration_.IsVoter(to) || to == options_.id || to == transferring_to_) return;
  election_elapsed_ = 0;  // the time it has
  transferring_to_ = to;
  if (progress_.at(to).match() == log_.last()) {
    Send({.type = MessageType::kTimeoutNow, .to = to});
  } else {
    SendAppend(to, true);
  }
}

bool Raft::CommittedInThisTerm() const { return log_.TermAt(log_.committed()) == term_; }

absl::Status Raft::ReadIndex(std::string context) {
  if (context.empty()) return absl::InvalidArgumentError("a read needs a context");
  if (role_ == Role::kLeader) {
    if (reads_.size() + early_reads_.size() >= options_.max_pending_reads) {
      return absl::ResourceExhaustedError("too many metadata reads wait for their leader");
    }
    HandleReadIndex(context, options_.id);
    return absl::OkStatus();
  }
  if (leader_ == NodeId()) return absl::UnavailableError("no metadata leader is known");
  Message message{.type = MessageType::kReadIndex, .to = leader_};
  message.entries.push_back({.data = std::move(context)});
  Send(std::move(message));
  return absl::OkStatus();
}

void Raft::HandleReadIndex(const std::string& context, NodeId from) {
  // Until then it may not know of everything that its predecessors committed.
  if (!CommittedInThisTerm()) {
    if (early_reads_.size() < options_.max_pending_reads) {
      early_reads_.push_back({context, from, Index(), {}});
    }
    return;
  }
  if (configuration_.voters == std::vector{options_.id})
    return AnswerRead(context, from, log_.committed());
  if (reads_.size() >= options_.max_pending_reads) return;
  if (!reads_.Add({context, from, log_.committed(), {options_.id}})) return;
  BroadcastHeartbeat(context);
}

void Raft::ConfirmRead(std::string_view context, NodeId from) {
  const std::set<NodeId>* confirmed = reads_.Confirm(context, from);
  if (confirmed == nullptr) return;
  const auto voters = std::count_if(confirmed->begin(), confirmed->end(),
                                    [this](NodeId id) { return configuration_.IsVoter(id); });
  if (!IsQuorum(static_cast<size_t>(voters))) return;
  for (const PendingRead& read : reads_.TakeThrough(context)) {
    AnswerRead(read.context, read.from, read.index);
  }
}

void Raft::AnswerRead(const std::string& context, NodeId from, Index index) {
  if (from == options_.id) {
    answered_reads_.push_back({context, index});
    return;
  }
  Message message{.type = MessageType::kReadIndexResponse, .to = from, .index = index};
  message.entries.push_back({.data = context});
  Send(std::move(message));
}

// This member's own are asked again by whoever waits; others ask again by themselves.
void Raft::FailReads() {
  for (const std::vector<PendingRead>& reads :
       {reads_.TakeAll(), std::exchange(early_reads_, {})}) {
    for (const PendingRead& read : reads) {
      if (read.from == options_.id) failed_reads_.push_back(read.context);
    }
  }
}

}  // namespace bascule::raft
