// Who leads: timeouts, pre-votes, votes, and a leader's check that it is still heard.
#include <algorithm>
#include <utility>

#include "replication/meta/raft/raft.h"

namespace bascule::raft {
namespace {

// Election timeouts that a member without a vote waits for the others.
constexpr int kPatienceWithoutVote = 2;
// Then it waits as long as everybody: who cannot win does not disturb for ever.
constexpr int kHurriedElections = 4;

}  // namespace

void Raft::Reset(Term term) {
  if (term != term_) {
    term_ = term;
    vote_ = NodeId();
  }
  leader_ = NodeId();
  election_elapsed_ = 0;
  heartbeat_elapsed_ = 0;
  election_timeout_ = DrawTimeout();
  transferring_to_ = NodeId();
  votes_.clear();
  progress_.clear();
  uncommitted_bytes_ = 0;
  FailReads();
}

void Raft::BecomeFollower(Term term, NodeId leader) {
  Reset(term);
  role_ = Role::kFollower;
  leader_ = leader;
}

// Neither the term nor the vote changes: a pre-vote promises nothing.
void Raft::BecomePreCandidate() {
  role_ = Role::kPreCandidate;
  leader_ = NodeId();
  votes_.clear();
  election_elapsed_ = 0;
  election_timeout_ = DrawTimeout();
}

void Raft::BecomeCandidate() {
  Reset(term_ + 1);
  role_ = Role::kCandidate;
  vote_ = options_.id;
}

void Raft::BecomeLeader() {
  Reset(term_);
  role_ = Role::kLeader;
  leader_ = options_.id;
  for (const std::vector<NodeId>* ids : {&configuration_.voters, &configuration_.learners}) {
    for (const NodeId id : *ids)
      progress_.emplace(id, Progress(log_.last() + 1, options_.max_inflight));
  }
  const auto self = progress_.find(options_.id);
  if (self != progress_.end()) {
    self->second.Acknowledge(log_.stable());
    self->second.recent_active = true;
  }
  // This commits what earlier terms left. Some of that may be a membership change that is not
  // applied: none is proposed before all of it is.
  pending_conf_ = AppendOwn(EntryType::kNormal, "").first;
  BroadcastAppend();
}

void Raft::TickElection() {
  ++election_elapsed_;
  const int patience = configuration_.IsVoter(options_.id) ? 1 : kPatienceWithoutVote;
  if (election_elapsed_ < election_timeout_ * patience) return;
  election_elapsed_ = 0;
  hurried_ = std::max(0, hurried_ - 1);
  Stand(false);
}

// As if it had been silent for the shortest election timeout.
void Raft::OnLeaderLost(NodeId leader) {
  if (role_ != Role::kFollower || leader == NodeId() || leader != leader_) return;
  hurried_ = kHurriedElections;
  election_elapsed_ = std::max(election_elapsed_, options_.election_ticks);
  election_timeout_ = election_elapsed_ + DrawTimeout();
}

// Whoever lost the leader is in a hurry, a few times: several stand at once, and share the votes. It takes
// more than a heartbeat's time: a leader that lives shows itself meanwhile.
int Raft::DrawTimeout() {
  const int ticks = options_.election_ticks;
  if (hurried_ == 0) return ticks + static_cast<int>(options_.random(static_cast<uint64_t>(ticks)));
  const auto spread = static_cast<uint64_t>(std::max(1, ticks / 2));
  return options_.heartbeat_ticks + 1 + static_cast<int>(options_.random(spread));
}

void Raft::TickLeader() {
  ++heartbeat_elapsed_;
  ++election_elapsed_;
  for (auto& [id, progress] : progress_) {
    if (progress.silent_ticks < Progress::kNeverHeard) ++progress.silent_ticks;
    if (progress.state() == ProgressState::kSnapshot &&
        ++progress.snapshot_ticks >= options_.snapshot_retry_ticks) {
      progress.AbortSnapshot();
    }
  }
  if (election_elapsed_ >= options_.election_ticks) {
    election_elapsed_ = 0;
    transferring_to_ = NodeId();
    if (!HeardOfQuorum()) return BecomeFollower(term_, NodeId());
  }
  if (heartbeat_elapsed_ >= options_.heartbeat_ticks) {
    heartbeat_elapsed_ = 0;
    BroadcastHeartbeat(reads_.Newest());
  }
}

// Asked once per election timeout; everybody must be heard of anew for the next.
bool Raft::HeardOfQuorum() {
  size_t heard = 0;
  for (auto& [id, progress] : progress_) {
    const bool active = id == options_.id || std::exchange(progress.recent_active, false);
    if (active && configuration_.IsVoter(id)) ++heard;
  }
  return IsQuorum(heard);
}

// Also who has no vote (any more): it may be the only one with the longest log while voters who do
// not know yet that it lost its vote cannot do without that. It resigns once they know
// (ResignAsRemoved). Votes are counted of voters only, its own is none.
bool Raft::MayStand() const {
  return role_ != Role::kLeader && !configuration_.voters.empty() && !snapshot_to_install_ &&
         log_.applied() >= log_.first() - 1 && !HasUnappliedConfChange();
}

bool Raft::HasUnappliedConfChange() const {
  for (Index at = log_.applied() + 1; at <= log_.committed(); ++at) {
    if (log_.At(at).type == EntryType::kConfChange) return true;
  }
  return false;
}

void Raft::Campaign() { Stand(false); }

void Raft::Stand(bool transfer) {
  if (!MayStand()) return;
  if (transfer) {
    BecomeCandidate();
  } else {
    BecomePreCandidate();
  }
  votes_[options_.id] = true;
  AskForVotes(transfer);
  CountVotes(transfer);
}

void Raft::AskForVotes(bool transfer) {
  const bool pre = role_ == Role::kPreCandidate;
  for (const NodeId id : configuration_.voters) {
    if (id == options_.id) continue;
    Send({.type = pre ? MessageType::kPreVote : MessageType::kVote,
          .to = id,
          .term = pre ? term_ + 1 : term_,
          .log_term = log_.last_term(),
          .index = log_.last(),
          .context = transfer ? std::string(kTransferContext) : std::string()});
  }
}

void Raft::HandleVote(const Message& message) {
  const bool pre = message.type == MessageType::kPreVote;
  const bool free = vote_ == message.from || (vote_ == NodeId() && leader_ == NodeId()) ||
                    (pre && message.term > term_);
  const bool granted = free && log_.IsUpToDate(message.index, message.log_term);
  Send({.type = pre ? MessageType::kPreVoteResponse : MessageType::kVoteResponse,
        .to = message.from,
        .term = granted ? message.term : term_,
        .reject = !granted});
  if (granted && !pre) {
    election_elapsed_ = 0;
    vote_ = message.from;
  }
}

void Raft::HandleVoteResponse(const Message& message) {
  votes_.emplace(message.from, !message.reject);
  CountVotes(false);
}

void Raft::CountVotes(bool transfer) {
  size_t granted = 0;
  size_t refused = 0;
  for (const auto& [id, vote] : votes_) {
    if (!configuration_.IsVoter(id)) continue;
    ++(vote ? granted : refused);
  }
  if (IsQuorum(granted)) {
    if (role_ == Role::kCandidate) return BecomeLeader();
    BecomeCandidate();
    votes_[options_.id] = true;
    AskForVotes(transfer);
    return CountVotes(transfer);
  }
  if (refused >= configuration_.voters.size() - configuration_.voters.size() / 2) {
    BecomeFollower(term_, NodeId());
  }
}

}  // namespace bascule::raft
