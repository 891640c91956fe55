#include "tests/sim/isr_machine.h"

#include <algorithm>
#include <utility>

#include "core/base/text.h"
#include "tests/sim/isr_mutated.h"

namespace bascule::isr {

LogEpochs EpochsOf(const Records& records) {
  LogEpochs log{Offset(0), Offset(static_cast<int64_t>(records.size())), {}};
  for (size_t i = 0; i < records.size(); ++i) {
    if (i == 0 || records[i].epoch > log.epochs.back().epoch)
      log.epochs.push_back({records[i].epoch, Offset(static_cast<int64_t>(i))});
  }
  return log;
}

size_t CommonLength(const Records& a, const Records& b) {
  const size_t least = std::min(a.size(), b.size());
  size_t same = 0;
  while (same < least && a[same] == b[same]) ++same;
  return same;
}

void IsrMachine::Start(Incarnation incarnation, size_t index) {
  up_ = true;
  incarnation_ = incarnation;
  if (!Mutated("act_before_reg")) seen_ = index;
  epoch_ = LeaderEpoch();
  leader_name_.clear();
  flushed_ = LogEnd();
  high_watermark_ = stored_high_watermark_;
  if (!Mutated("hw_not_clamped")) high_watermark_ = std::min(high_watermark_, LogEnd());
  questions_ = 0;
  resigned_ = proposing_ = false;
  ++reopened_;
}

void IsrMachine::Crash(size_t kept, Offset high_watermark, bool torn) {
  kept = std::min(kept, log_.size());  // only without R3b could the disk have more
  Records left = log_;
  if (Mutated("trunc_not_durable")) {  // new bytes over what was cut, but not durably
    left = durable_;
    left.resize(std::max(left.size(), kept));
  }
  std::copy_n(log_.begin(), kept, left.begin());
  if (!Mutated("trunc_not_durable")) left.resize(kept);
  log_ = durable_ = left;
  stored_high_watermark_ = high_watermark;
  torn_ = torn_ || torn;
  lost_ = lost_ || (options_.durability == Durability::kOs && !Mutated("os_unclean_stays"));
  ticket_.reset();
  ++generation_;
  up_ = false;
  leader_.reset();
  follower_.reset();
  kept_positions_.clear();
}

void IsrMachine::Damage(size_t kept) {
  if (kept < log_.size()) log_.resize(kept);
  durable_ = log_;
}

IsrMachine::Findings IsrMachine::TakeFindings() {
  Findings findings{std::exchange(lost_, false), {}};
  const bool torn = std::exchange(torn_, false);
  if (torn && !findings.lost) {
    findings.doubt =
        ReplicaDoubt{BrokerName(options_.number), EpochsOf(log_).last(), EpochsOf(log_).end};
  }
  return findings;
}

void IsrMachine::Enter(const MetadataState& state, size_t index, MonotonicTime now) {
  seen_ = index;
  min_isr_ = state.min_isr;
  const PartitionDescription& partition = state.partition;
  if (partition.leader_epoch == epoch_ && partition.leader == leader_name_) {
    if (leader_) leader_->OnView(state.View(), now);
    if (proposing_ && partition.version != proposed_at_) proposing_ = false;
    return Note();
  }
  epoch_ = partition.leader_epoch;
  leader_name_ = partition.leader;
  resigned_ = proposing_ = false;
  if (follower_) questions_ = std::max(questions_, follower_->last_question());
  leader_.reset();
  follower_.reset();
  if (leader_name_ == BrokerName(options_.number)) {
    Lead(state, now);
  } else if (!leader_name_.empty()) {
    Follow();
  }
  Note();
}

void IsrMachine::Lead(const MetadataState& state, MonotonicTime now) {
  const PartitionView view = state.View();
  leader_.emplace(
      LeaderReplica::Options{BrokerName(options_.number), epoch_, options_.durability,
                             options_.max_lag},
      view, LeaderReplica::Positions{LogEnd(), flushed_, std::min(high_watermark_, LogEnd())}, now);
  if (!Mutated("keep_acks")) return;
  for (const ReplicaView& replica : view.replicas) {
    const auto kept = kept_positions_.find(replica.broker);
    if (kept != kept_positions_.end())
      leader_->OnAcknowledged({replica.broker, replica.incarnation, epoch_, kept->second}, now);
  }
}

void IsrMachine::Follow() {
  if (follower_) questions_ = std::max(questions_, follower_->last_question());
  const bool early = Mutated("ack_before_durable");
  follower_.emplace(
      FollowerReplica::Options{BrokerName(options_.number), incarnation_, epoch_,
                               early ? Durability::kOs : options_.durability, questions_ + 1},
      LogEnd(), flushed_, high_watermark_);
}

// After whatever may have moved the high watermark.
void IsrMachine::Note() {
  if (leader_) high_watermark_ = std::max(high_watermark_, leader_->high_watermark());
  if (follower_) high_watermark_ = follower_->high_watermark();
  if (!leader_ || !Mutated("keep_acks")) return;
  for (int b = 0; BrokerName(b) <= "e"; ++b) {
    const auto standing = leader_->StandingOf(BrokerName(b));
    if (b != options_.number && standing && standing->acknowledged)
      kept_positions_[BrokerName(b)] = *standing->acknowledged;
  }
}

bool IsrMachine::CanFlush() const {
  return up_ && options_.durability == Durability::kFsync && flushed_ < LogEnd() && !ticket_;
}

void IsrMachine::Append(uint64_t serial, MonotonicTime now) {
  log_.push_back({epoch_, serial});
  leader_->OnAppended(LogEnd(), now);
  Note();
}

void IsrMachine::StartFlush() { ticket_ = Ticket{generation_, log_}; }

void IsrMachine::EndFlush() {
  const Ticket ticket = *std::exchange(ticket_, std::nullopt);
  const Records& covered = ticket.covered;
  if (covered.size() <= log_.size() && CommonLength(covered, log_) == covered.size()) {
    if (durable_.size() < covered.size()) durable_.resize(covered.size());
    std::copy(covered.begin(), covered.end(), durable_.begin());
  }
  if (ticket.generation != generation_ && !Mutated("flush_ticket_old")) return;  // R3b
  const Offset end = std::min(Offset(static_cast<int64_t>(covered.size())), LogEnd());
  if (end <= flushed_) return;
  flushed_ = end;
  if (leader_) leader_->OnFlushed(flushed_);
  if (follower_) follower_->OnFlushed(flushed_);
  Note();
}

void IsrMachine::FailSync(const MetadataState& state, MonotonicTime now) {
  if (Mutated("fsync_retry")) {  // the retry succeeds, without the pages
    flushed_ = LogEnd();
    if (leader_) leader_->OnFlushed(flushed_);
    if (follower_) follower_->OnFlushed(flushed_);
    return Note();
  }
  log_ = durable_;
  ticket_.reset();
  ++generation_;
  ++reopened_;
  flushed_ = LogEnd();
  high_watermark_ = std::min(high_watermark_, LogEnd());
  if (leader_) {
    const bool goes_on = Mutated("fsync_fail_continue");
    leader_.reset();
    if (goes_on) {
      Lead(state, now);
    } else {
      resigned_ = true;
    }
  } else if (follower_) {
    Follow();
  }
  Note();
}

Frame IsrMachine::FrameAt(size_t base, size_t records) const {
  Frame frame{epoch_, Offset(static_cast<int64_t>(base)), {}, high_watermark_};
  for (size_t i = base; i < std::min(log_.size(), base + records); ++i)
    frame.records.push_back(log_[i]);
  return frame;
}

void IsrMachine::OnFrame(const Frame& frame) {
  if (!up_ || !follower_) return;
  const Offset end = frame.base + static_cast<int64_t>(frame.records.size());
  if (!frame.records.empty() &&
      follower_->OnFrame(frame.epoch, frame.base, end) == FollowerReplica::FrameVerdict::kAppend) {
    log_.insert(log_.end(), frame.records.begin(), frame.records.end());
    follower_->OnAppended(LogEnd());
  }
  follower_->OnHighWatermark(frame.epoch, frame.high_watermark);
  Note();
}

bool IsrMachine::MayAsk() const {
  return up_ && follower_ && follower_->phase() == FollowerReplica::Phase::kAsking;
}

std::optional<Answered> IsrMachine::OnQuestion(const ReconcileQuestion& question) const {
  if (!up_ || !leader_) return std::nullopt;
  const auto answer = leader_->Answer(question, EpochsOf(log_));
  if (!answer) return std::nullopt;
  return Answered{*answer, log_};
}

IsrMachine::Reconciled IsrMachine::OnAnswer(const Answered& answered) {
  if (!up_ || !follower_) return Reconciled::kNo;
  const FollowerReplica::Verdict verdict = follower_->OnAnswer(answered.answer);
  size_t kept = log_.size();
  switch (verdict.todo) {
    case FollowerReplica::Todo::kNothing:
      return Reconciled::kNo;
    case FollowerReplica::Todo::kAskAgain:
      complaint_ = "R3 asks to cut a record of the current epoch";
      return Reconciled::kNo;
    case FollowerReplica::Todo::kStop:
    case FollowerReplica::Todo::kBeginAnew:
      complaint_ = Concat("a follower stops: ", verdict.why);
      return Reconciled::kNo;
    case FollowerReplica::Todo::kCut:
      kept = static_cast<size_t>(verdict.offset.value());
      break;
    case FollowerReplica::Todo::kFollow:
      break;
  }
  const size_t same = CommonLength(log_, answered.log);
  if (kept != same) {
    complaint_ = Concat("R3 keeps ", kept, " records where the logs of ", options_.number,
                        " and its leader part at ", same);
  }
  if (kept == log_.size()) return Reconciled::kFollows;
  const bool flushed = flushed_ > verdict.offset;
  Cut(kept);
  return flushed ? Reconciled::kFlushedCut : Reconciled::kCut;
}

// R3b: durable before anything is appended, and no flush begun before speaks for what comes.
void IsrMachine::Cut(size_t end) {
  log_.resize(end);
  if (!Mutated("trunc_not_durable") && durable_.size() > end) durable_.resize(end);
  flushed_ = std::min(flushed_, LogEnd());
  ++generation_;
  follower_->OnCut(LogEnd(), Mutated("cut_is_durable") ? LogEnd() : flushed_);
  Note();
}

std::optional<Acknowledgement> IsrMachine::Acknowledge(bool again) {
  if (!up_ || !follower_) return std::nullopt;
  if (again) follower_->ForgetAcknowledged();
  return follower_->Acknowledge();
}

void IsrMachine::OnAcknowledged(const Acknowledgement& ack, MonotonicTime now) {
  if (!up_ || !leader_) return;
  leader_->OnAcknowledged(ack, now);
  Note();
}

std::optional<IsrProposal> IsrMachine::Propose(MonotonicTime now) {
  auto proposal = leader_->Propose(now);
  if (proposal) {
    proposing_ = true;
    proposed_at_ = proposal->version;
  }
  return proposal;
}

void IsrMachine::ProposalEnded() {
  proposing_ = false;
  leader_->ProposalEnded();
}

void IsrMachine::BelieveReply(const MetadataState& state, MonotonicTime now) {
  if (state.partition.leader_epoch != epoch_ || !leader_) return;
  PartitionView view = state.View();
  view.min_isr = min_isr_;
  leader_->OnView(view, now);
  Note();
}

}  // namespace bascule::isr
