#include "replication/isr/leader_replica.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"

namespace bascule::isr {

LeaderReplica::LeaderReplica(Options options, const PartitionView& view, Positions positions,
                             MonotonicTime now)
    : options_(std::move(options)),
      log_end_(positions.log_end),
      flushed_end_(positions.flushed_end),
      high_watermark_(positions.high_watermark),
      epoch_start_(positions.log_end) {
  TakeOver(view, now);
  CheckInvariants();
}

void LeaderReplica::CheckInvariants() const {
  BASCULE_CHECK_GE(high_watermark_, Offset(0));
  BASCULE_CHECK_LE(high_watermark_, log_end_);
  BASCULE_CHECK_LE(flushed_end_, log_end_);
  BASCULE_CHECK_LE(epoch_start_, log_end_);
  BASCULE_CHECK_GE(min_isr_, 1);
  BASCULE_CHECK(!proposal_under_way_ || outcome_unknown_);
  for (const Follower& follower : followers_) {
    BASCULE_CHECK(follower.view.broker != options_.self);
    BASCULE_CHECK(!follower.proposed || outcome_unknown_);
  }
}

LeaderReplica::Follower* LeaderReplica::Find(const std::string& broker) {
  const auto it = std::find_if(followers_.begin(), followers_.end(),
                               [&](const Follower& f) { return f.view.broker == broker; });
  return it == followers_.end() ? nullptr : &*it;
}

const LeaderReplica::Follower* LeaderReplica::Find(const std::string& broker) const {
  return const_cast<LeaderReplica*>(this)->Find(broker);
}

void LeaderReplica::TakeOver(const PartitionView& view, MonotonicTime now) {
  BASCULE_CHECK_GE(view.min_isr, 1);
  const bool settled = view.version > version_;
  std::vector<Follower> next;
  bool leads = false;
  for (const ReplicaView& replica : view.replicas) {
    if (replica.broker == options_.self) {
      BASCULE_CHECK(!std::exchange(leads, true));
      BASCULE_CHECK(replica.in_isr);
      own_incarnation_ = replica.incarnation;
      continue;
    }
    BASCULE_CHECK(std::none_of(next.begin(), next.end(),
                               [&](const Follower& f) { return f.view.broker == replica.broker; }));
    Follower& follower = next.emplace_back();
    follower.level = now;
    if (const Follower* known = Find(replica.broker)) {
      // R4a: the positions of another life say nothing of this one's disk. Its time to be level
      // again runs on: whoever restarts all the time is not waited for.
      const bool same = known->view.incarnation == replica.incarnation;
      const bool was_level = known->acknowledged && *known->acknowledged >= log_end_;
      if (same) {
        follower = *known;
      } else if (!was_level) {
        follower.level = known->level;
      }
      follower.proposed = known->proposed && !settled;
    }
    follower.view = replica;
  }
  BASCULE_CHECK(leads);
  followers_ = std::move(next);
  min_isr_ = view.min_isr;
  version_ = view.version;
  if (settled) proposal_under_way_ = outcome_unknown_ = false;
}

std::optional<Offset> LeaderReplica::OnView(const PartitionView& view, MonotonicTime now) {
  BASCULE_CHECK_GE(view.version, version_);  // the metadata log's order
  TakeOver(view, now);
  CheckInvariants();
  return Advance();
}

std::optional<Offset> LeaderReplica::OnAppended(Offset log_end, MonotonicTime now) {
  BASCULE_CHECK_GE(log_end, log_end_);
  for (Follower& follower : followers_) {  // who was level until now has all of its time from now
    if (follower.acknowledged && *follower.acknowledged >= log_end_) follower.level = now;
  }
  log_end_ = log_end;
  return Advance();
}

std::optional<Offset> LeaderReplica::OnFlushed(Offset flushed_end) {
  BASCULE_CHECK_GE(flushed_end, flushed_end_);
  BASCULE_CHECK_LE(flushed_end, log_end_);
  flushed_end_ = flushed_end;
  return Advance();
}

std::optional<Offset> LeaderReplica::OnAcknowledged(const Acknowledgement& ack, MonotonicTime now) {
  if (ack.epoch != options_.epoch) return std::nullopt;
  Follower* follower = Find(ack.broker);
  if (follower == nullptr || follower->view.incarnation != ack.incarnation) return std::nullopt;
  // Nobody has what we have not: it would count for what comes to stand there.
  if (ack.position > log_end_) return std::nullopt;
  const Offset position = std::max(follower->acknowledged.value_or(ack.position), ack.position);
  // R8. Whoever comes to what we had when it last spoke is as far behind as that is long ago.
  if (position >= log_end_) {
    follower->level = now;
  } else if (follower->acknowledged && position >= follower->end_at_last_ack) {
    follower->level = std::max(follower->level, follower->last_ack);
  }
  follower->acknowledged = position;
  follower->end_at_last_ack = log_end_;
  follower->last_ack = now;
  return Advance();
}

int LeaderReplica::CommittedMembers() const {
  int members = 1;
  for (const Follower& follower : followers_) members += follower.view.in_isr ? 1 : 0;
  return members;
}

// R5: the least acknowledged position over the widest ISR, our own included. R5a: only while the
// committed ISR has min ISR members. R7b: a doubtful member holds it until it is verified. Never
// back.
std::optional<Offset> LeaderReplica::Advance() {
  if (CommittedMembers() < min_isr_) return std::nullopt;
  Offset least = OwnPosition();
  for (const Follower& follower : followers_) {
    if (!follower.view.in_isr && !follower.proposed) continue;
    if (!follower.acknowledged || follower.view.doubtful) return std::nullopt;
    least = std::min(least, *follower.acknowledged);
  }
  if (least <= high_watermark_) return std::nullopt;
  BASCULE_CHECK_LE(least, log_end_);
  high_watermark_ = least;
  return high_watermark_;
}

// R8: as good as an old member. For who is doubtful too (R7b).
bool LeaderReplica::MayJoin(const Follower& follower) const {
  return follower.view.live && follower.acknowledged && *follower.acknowledged >= high_watermark_ &&
         *follower.acknowledged >= epoch_start_;
}

bool LeaderReplica::Lags(const Follower& follower, MonotonicTime now) const {
  if (follower.acknowledged && *follower.acknowledged >= log_end_) return false;
  const MonotonicTime heard = std::max(follower.level, follower.last_ack);
  return Between(follower.level, now) > options_.max_lag ||
         Between(heard, now) > options_.max_silence;
}

std::optional<IsrProposal> LeaderReplica::Propose(MonotonicTime now) {
  if (proposal_under_way_) return std::nullopt;
  IsrProposal proposal{options_.epoch, version_, {{options_.self, own_incarnation_}}, {}};
  bool other = false;
  for (const Follower& follower : followers_) {
    bool member = follower.view.in_isr;
    if (member && Lags(follower, now)) member = false;
    if (!member && !follower.view.in_isr && MayJoin(follower) && !Lags(follower, now))
      member = true;
    // First the outcome of what was proposed before, by way of the set as it is (R5b).
    if (outcome_unknown_) member = follower.view.in_isr;
    if (member) proposal.isr.push_back({follower.view.broker, follower.view.incarnation});
    if (member && follower.view.in_isr && follower.view.doubtful && MayJoin(follower))
      proposal.verified.push_back(follower.view.broker);
    other = other || member != follower.view.in_isr;
  }
  if (!other && !outcome_unknown_ && proposal.verified.empty()) return std::nullopt;
  for (const IsrProposal::Member& member : proposal.isr) {
    if (Follower* follower = Find(member.broker)) follower->proposed = true;
  }
  proposal_under_way_ = outcome_unknown_ = true;
  CheckInvariants();
  return proposal;
}

void LeaderReplica::ProposalEnded() { proposal_under_way_ = false; }

std::optional<ReconcileAnswer> LeaderReplica::Answer(const ReconcileQuestion& question,
                                                     const LogEpochs& own) const {
  BASCULE_CHECK_EQ(own.end, log_end_);
  const Follower* follower = Find(question.broker);
  if (question.epoch != options_.epoch || !question.log.Valid()) return std::nullopt;
  if (follower == nullptr || follower->view.incarnation != question.incarnation)
    return std::nullopt;
  const bool lost = follower->acknowledged && question.log.end < *follower->acknowledged;
  const std::optional<Offset> common = CommonEnd(own, question.log);
  Offset kept = question.log.start;
  if (common && *common > kept) kept = *common;
  const bool anew = kept < own.start;
  return ReconcileAnswer{
      question.epoch, question.incarnation, question.number, kept, own.start, anew, lost};
}

std::optional<LeaderReplica::Standing> LeaderReplica::StandingOf(const std::string& broker) const {
  if (broker == options_.self) return Standing{OwnPosition(), {}, true, false};
  const Follower* follower = Find(broker);
  if (follower == nullptr) return std::nullopt;
  return Standing{follower->acknowledged, follower->level, follower->view.in_isr,
                  follower->view.doubtful};
}

}  // namespace bascule::isr
