#include "replication/isr/follower_replica.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/base/text.h"

namespace bascule::isr {

FollowerReplica::FollowerReplica(Options options, Offset log_end, Offset flushed_end,
                                 Offset high_watermark)
    : options_(std::move(options)),
      next_question_(options_.first_question),
      log_end_(log_end),
      flushed_end_(flushed_end),
      high_watermark_(std::min(high_watermark, log_end)) {
  CheckInvariants();
}

void FollowerReplica::CheckInvariants() const {
  BASCULE_CHECK_GE(high_watermark_, Offset(0));
  BASCULE_CHECK_LE(high_watermark_, log_end_);
  BASCULE_CHECK_LE(flushed_end_, log_end_);
  if (acknowledged_) BASCULE_CHECK_LE(*acknowledged_, OwnPosition());
}

ReconcileQuestion FollowerReplica::Ask(const LogEpochs& log) {
  BASCULE_CHECK(phase_ == Phase::kAsking);
  BASCULE_CHECK(log.Valid());
  BASCULE_CHECK_EQ(log.end, log_end_);
  asked_ = log;
  return {options_.epoch, options_.self, options_.incarnation, next_question_++, log};
}

FollowerReplica::Verdict FollowerReplica::OnAnswer(const ReconcileAnswer& answer) {
  const bool ours = answer.epoch == options_.epoch && answer.incarnation == options_.incarnation &&
                    answer.number == last_question() && answer.number >= options_.first_question;
  if (phase_ != Phase::kAsking || !ours) return {};
  const auto stop = [&](std::string why) {
    phase_ = Phase::kDiverged;
    return Verdict{Todo::kStop, answer.common_end, std::move(why)};
  };
  if (answer.lost) {
    return stop(Concat("the log ends at ", log_end_,
                       ", before what this replica has acknowledged in the same epoch"));
  }
  if (answer.common_end > log_end_ || answer.common_end < asked_.start)
    return stop(Concat("the leader names ", answer.common_end,
                       " as the end of what both have, and the log ends at ", log_end_));
  if (answer.anew) {
    if (answer.leader_start < high_watermark_) {  // R9
      return stop(Concat("the leader's log begins at ", answer.leader_start,
                         " and has nothing in common with this one, where everything below ",
                         high_watermark_, " is committed"));
    }
    phase_ = Phase::kCutting;
    anew_ = true;
    return {Todo::kBeginAnew, answer.leader_start};
  }
  if (answer.common_end < high_watermark_) {  // R9
    return stop(Concat("the leader's log parts from this one at ", answer.common_end,
                       ", below what is committed here (", high_watermark_, ")"));
  }
  if (answer.common_end < log_end_ && asked_.last() == options_.epoch) {  // R3a
    if (std::exchange(asked_again_, true)) {
      return stop(Concat("the leader lacks records of its own epoch ", options_.epoch, " from ",
                         answer.common_end, " on, which this replica has"));
    }
    return {Todo::kAskAgain};
  }
  if (answer.common_end < log_end_) {
    phase_ = Phase::kCutting;
    return {Todo::kCut, answer.common_end};
  }
  phase_ = Phase::kFollowing;
  return {Todo::kFollow};
}

void FollowerReplica::OnCut(Offset log_end, Offset flushed_end) {
  BASCULE_CHECK(phase_ == Phase::kCutting);
  // What was before is committed and dropped elsewhere.
  if (std::exchange(anew_, false)) high_watermark_ = log_end;
  log_end_ = log_end;
  flushed_end_ = flushed_end;
  phase_ = Phase::kFollowing;
  CheckInvariants();
}

FollowerReplica::FrameVerdict FollowerReplica::OnFrame(LeaderEpoch epoch, Offset base,
                                                       Offset end) const {
  if (epoch < options_.epoch) return FrameVerdict::kOld;
  if (epoch > options_.epoch) return FrameVerdict::kNewer;
  if (phase_ != Phase::kFollowing) return FrameVerdict::kNotYet;
  if (base == log_end_) return FrameVerdict::kAppend;
  return end <= log_end_ ? FrameVerdict::kHave : FrameVerdict::kElsewhere;
}

std::optional<Offset> FollowerReplica::OnAppended(Offset log_end) {
  BASCULE_CHECK(phase_ == Phase::kFollowing);
  BASCULE_CHECK_GE(log_end, log_end_);
  log_end_ = log_end;
  return ShowCommitted();
}

void FollowerReplica::OnFlushed(Offset flushed_end) {
  BASCULE_CHECK_GE(flushed_end, flushed_end_);
  BASCULE_CHECK_LE(flushed_end, log_end_);
  flushed_end_ = flushed_end;
}

std::optional<Acknowledgement> FollowerReplica::Acknowledge() {
  if (phase_ != Phase::kFollowing || acknowledged_ == OwnPosition()) return std::nullopt;
  acknowledged_ = OwnPosition();
  return Acknowledgement{options_.self, options_.incarnation, options_.epoch, *acknowledged_};
}

std::optional<Offset> FollowerReplica::OnHighWatermark(LeaderEpoch epoch, Offset high_watermark) {
  if (epoch != options_.epoch || phase_ != Phase::kFollowing) return std::nullopt;
  leaders_ = std::max(leaders_, high_watermark);
  return ShowCommitted();
}

std::optional<Offset> FollowerReplica::ShowCommitted() {
  const Offset shown = std::min(leaders_, log_end_);  // R10
  if (shown <= high_watermark_) return std::nullopt;
  high_watermark_ = shown;
  CheckInvariants();
  return high_watermark_;
}

}  // namespace bascule::isr
