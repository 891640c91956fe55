// The leading half of replication: what each follower is sent, and what it says.
#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/base/logging.h"
#include "replication/partition/partition.h"

namespace bascule::partition {

// Who the other replicas are, and in which life.
void Partition::NoteReplicas(const isr::PartitionView& view) {
  std::erase_if(outgoing_, [&view](const auto& known) {
    return std::none_of(
        view.replicas.begin(), view.replicas.end(),
        [&known](const isr::ReplicaView& replica) { return replica.broker == known.first; });
  });
  for (const isr::ReplicaView& replica : view.replicas) {
    if (replica.broker == options_.broker) continue;
    Outgoing& out = outgoing_[replica.broker];
    if (out.link != nullptr && out.incarnation == replica.incarnation) continue;
    std::optional<isr::ReconcileQuestion> early = std::exchange(out.early, std::nullopt);
    out = Outgoing{};
    out.link = env_.replicas.LinkTo(replica.broker);
    out.incarnation = replica.incarnation;
    out.early = std::move(early);
    (void)out.link->Stands();  // dialled before there is something to say
  }
}

void Partition::PumpAll() {
  for (auto& [broker, out] : outgoing_) Pump(out);
}

// A line is changed when all that the other one carried has arrived: it might be overtaken.
bool Partition::MaySend(Outgoing& out, ReplicaLane lane) const {
  if (out.lane == lane) return true;
  if (out.confirmed < *out.next) return false;
  out.lane = lane;
  return true;
}

void Partition::Pump(Outgoing& out) {
  if (state_ != State::kLeading || !out.next || out.reading || out.waits || out.unread) return;
  while (*out.next < log_->log_end()) {
    const std::optional<log::TailCache::Found> found = log_->ReadTail(*out.next);
    if (!found) return ReadBehind(out);
    if (!MaySend(out, ReplicaLane::kTail)) return;
    const Offset committed = replica_->high_watermark();
    if (!out.link->AddAppend(ReplicaLane::kTail, options_.key, replica_->epoch(), out.number,
                             committed, found->batches))
      return WaitForRoom(out);
    out.told = committed;
    out.next = found->next;
    out.place = log::ReadPlace{};  // it would keep a file that retention has deleted
  }
}

void Partition::WaitForRoom(Outgoing& out) {
  out.waits = true;
  out.link->WhenRoom(out.lane, env_.log.shard,
                     [weak = weak_from_this(), broker = out.link->broker(), serial = out.serial] {
                       const auto self = weak.lock();
                       Outgoing* there = self ? self->OutgoingTo(broker, serial) : nullptr;
                       if (there == nullptr) return;
                       there->waits = false;
                       self->Pump(*there);
                     });
}

Partition::Outgoing* Partition::OutgoingTo(const std::string& broker, uint64_t serial) {
  const auto found = outgoing_.find(broker);
  if (found == outgoing_.end() || found->second.serial != serial) return nullptr;
  return &found->second;
}

void Partition::ReadBehind(Outgoing& out) {
  if (!MaySend(out, ReplicaLane::kCatchUp)) return;
  out.reading = true;
  env_.log.disk_pool.Post(
      [self = shared_from_this(), log = log_, broker = out.link->broker(), serial = out.serial,
       plan = log_->PlanRead(*out.next, log_->log_end(), limits::kReplicaFrameTargetBytes,
                             out.place)]() mutable {
        auto result = log::ReadSegment(self->env_.log.fs, plan, log::ReadWait::kWait);
        self->env_.log.shard.Post([self, log = std::move(log), broker, serial,
                                   plan = std::move(plan), result = std::move(result)]() mutable {
          if (self->log_ == log) self->OnReadBehind(broker, serial, std::move(result), plan);
        });
      });
}

void Partition::OnReadBehind(const std::string& broker, uint64_t serial,
                             absl::StatusOr<log::SegmentReadResult> result,
                             const log::SegmentReadPlan& plan) {
  Outgoing* out = OutgoingTo(broker, serial);
  if (out == nullptr || state_ != State::kLeading) return;
  out->reading = false;
  if (!out->next || *out->next != plan.from) return Pump(*out);  // its line broke meanwhile
  if (absl::IsNotFound(result.status()) && *out->next < log_->log_start()) {
    // Retention was faster. It sees the hole, asks, and begins anew.
    out->next = log_->log_start();
    out->confirmed = log_->log_start();
    return Pump(*out);
  }
  if (!result.ok()) {
    out->unread = true;
    LogError("stream ", options_.stream, " partition ", options_.key.partition,
             ": cannot read what replica ", broker, " lacks from offset ", plan.from,
             " on: ", FromAbsl(NoteDamage(result.status()).message()), "; it is tried again");
    return;
  }
  log_->NoteRead(plan, *result, out->place);
  SendBehind(broker, serial, *result);
}

void Partition::SendBehind(const std::string& broker, uint64_t serial,
                           const log::SegmentReadResult& result) {
  Outgoing* out = OutgoingTo(broker, serial);
  if (out == nullptr || state_ != State::kLeading || !out->next) return;
  if (!result.batches.empty() &&
      !out->link->AddAppend(ReplicaLane::kCatchUp, options_.key, replica_->epoch(), out->number,
                            replica_->high_watermark(), result.batches)) {
    out->reading = true;  // it is held here till there is room, or the line is a new one
    out->link->WhenRoom(ReplicaLane::kCatchUp, env_.log.shard,
                        [weak = weak_from_this(), broker, serial, from = *out->next, result] {
                          const auto self = weak.lock();
                          Outgoing* there = self ? self->OutgoingTo(broker, serial) : nullptr;
                          if (there == nullptr) return;
                          there->reading = false;
                          if (there->next == from) return self->SendBehind(broker, serial, result);
                          self->Pump(*there);
                        });
    return;
  }
  out->next = result.next;
  const Duration pause = CatchUpPause(result.batches.size());
  if (pause <= Duration(0)) return Pump(*out);
  out->reading = true;  // the next is read after it
  env_.log.shard.After(pause, [weak = weak_from_this(), broker, serial] {
    const auto self = weak.lock();
    Outgoing* there = self ? self->OutgoingTo(broker, serial) : nullptr;
    if (there == nullptr) return;
    there->reading = false;
    self->Pump(*there);
  });
}

// After what was read for a follower that catches up. None where nothing was published lately.
Duration Partition::CatchUpPause(size_t bytes) const {
  const uint64_t lately = std::max(appended_bytes_, appended_lately_);
  if (lately == 0) return Duration(0);
  const double rate =
      static_cast<double>(std::max<uint64_t>(limits::kCatchUpBesideLoad, 2 * lately));
  return Duration(static_cast<int64_t>(static_cast<double>(bytes) / rate * 1e9));
}

void Partition::TellHighWatermarkSoon() {
  if (!tell_timer_.armed())
    tell_timer_.Start(limits::kHighWatermarkAlone, [this] { TellHighWatermark(); });
}

// Who has not acknowledged all that is under way is told when it has, or with the next batches.
void Partition::TellHighWatermark() {
  if (state_ != State::kLeading) return;
  const Offset committed = replica_->high_watermark();
  for (auto& [broker, out] : outgoing_) {
    if (!out.next || out.confirmed < *out.next || out.told >= committed) continue;
    out.link->Add({options_.key, replica_->epoch(), HighWatermarkPart{committed}});
    out.told = committed;
  }
}

void Partition::OnLine(const std::string& broker, ReplicaLane lane, bool up) {
  CheckOnShard();
  if (state_ == State::kFollowing && up && lane == ReplicaLane::kTail && leader_ != nullptr &&
      leader_->broker() == broker) {
    if (follower_->phase() == isr::FollowerReplica::Phase::kAsking) return Ask();
    follower_->ForgetAcknowledged();
    return SendAcknowledgement();
  }
  const auto found = outgoing_.find(broker);
  if (found == outgoing_.end()) return;
  Outgoing& out = found->second;
  if (lane == ReplicaLane::kTail) out.told = Offset();
  if (!up && out.next && out.lane == lane) out.next = out.confirmed;
  if (up) {
    AnswerEarly();
    Pump(out);
    if (lane == ReplicaLane::kTail) TellHighWatermarkSoon();
  }
}

void Partition::OnAcknowledgement(const std::string& from, isr::Acknowledgement ack) {
  if (state_ != State::kLeading) return;
  ack.broker = from;
  const auto found = outgoing_.find(from);
  if (found == outgoing_.end() || ack.epoch != replica_->epoch()) return;
  Outgoing& out = found->second;
  if (ack.incarnation != out.incarnation) return;
  if (std::exchange(out.answered, false)) {
    out.next = out.confirmed;
  }
  if (out.next && ack.position <= log_->log_end()) {
    out.confirmed = std::max(out.confirmed, ack.position);
    if (out.confirmed > *out.next) out.next = out.confirmed;  // sent before its line broke
  }
  Advance(replica_->OnAcknowledged(ack, env_.log.clock.Monotonic()));
  const auto standing = replica_->StandingOf(from);
  if (standing && (!standing->in_isr || standing->doubtful)) ProposeIsr();
  Pump(out);
  if (out.told < replica_->high_watermark()) TellHighWatermarkSoon();
  if (!pending_.empty()) AppendPending();  // it may have waited for acks
}

void Partition::OnQuestion(const std::string& from, isr::ReconcileQuestion question) {
  question.broker = from;
  Outgoing& out = outgoing_[from];
  if (out.link == nullptr) out.link = env_.replicas.LinkTo(from);
  out.early = std::move(question);
  AnswerEarly();
}

// What was asked before metadata told us of the epoch, or of the asker's life, or while our line to the
// asker does not stand, waits for that.
void Partition::AnswerEarly() {
  if (state_ != State::kLeading) return;
  for (auto& [broker, out] : outgoing_) {
    if (!out.early || !out.link->Stands()) continue;
    const LeaderEpoch epoch = replica_->epoch();
    if (out.early->epoch > epoch) continue;
    if (out.early->epoch < epoch) {
      out.link->Add({options_.key, epoch, RefusalPart{}});
      out.early.reset();
      continue;
    }
    const auto answer = replica_->Answer(*out.early, OwnEpochs());
    if (!answer) continue;
    out.early.reset();
    out.link->Add({options_.key, epoch, *answer});
    out.number = answer->number;
    out.serial = ++answers_;
    out.reading = out.waits = out.unread = false;
    out.place = log::ReadPlace{};
    out.lane = ReplicaLane::kTail;
    out.confirmed = answer->anew ? answer->leader_start : answer->common_end;
    out.next.reset();
    out.told = Offset();
    out.answered = !answer->lost;
  }
}

// R2: the others are in a newer epoch, and who leads it a delta will tell. It may be this broker, so it goes on
// listening; what it hears till then is refused.
void Partition::Depose() {
  high_watermark_ = KnownHighWatermark();
  state_ = State::kDeposed;
  RefusePending();
  acks_.EndUnknown();
  watch_.EndAll(Moved());
  why_ = Moved();
  CheckInvariants();
  RunDrained();
}

// R2: somebody was told of a newer epoch. Nothing is acknowledged any more; the delta is on its way.
void Partition::OnRefusal(const std::string& from, LeaderEpoch epoch) {
  if (state_ == State::kLeading && epoch > replica_->epoch()) {
    LogWarning("stream ", options_.stream, " partition ", options_.key.partition, ": broker ", from,
               " is in leader epoch ", epoch, ", this broker led ", replica_->epoch(),
               ": it stops and waits for the metadata");
    Depose();
  }
}

void Partition::ProposeIsr() {
  if (state_ != State::kLeading || outgoing_.empty()) return;
  auto proposal = replica_->Propose(env_.log.clock.Monotonic());
  if (!proposal) return;
  env_.events.ProposeIsr(options_.key, *std::move(proposal),
                         [weak = weak_from_this(), epoch = replica_->epoch()] {
                           const auto self = weak.lock();
                           if (self && self->replica_ && self->replica_->epoch() == epoch)
                             self->replica_->ProposalEnded();
                         });
}

void Partition::OnReplicaTick() {
  CheckOnShard();
  asked_anew_ = false;
  appended_lately_ = std::exchange(appended_bytes_, 0);
  if (state_ == State::kLeading) {
    for (auto& [broker, out] : outgoing_) {
      if (std::exchange(out.unread, false)) Pump(out);
    }
    return ProposeIsr();
  }
  if (state_ == State::kFollowing && follower_->phase() == isr::FollowerReplica::Phase::kAsking &&
      !log_->cutting())
    Ask();
}

void Partition::OnReplicaPart(const std::shared_ptr<const IncomingFrame>& frame,
                              const ReplicaPart& part) {
  CheckOnShard();
  if (state_ == State::kClosed) return;
  if (std::holds_alternative<AppendPart>(part.what)) return TakeAppend(frame, part);
  if (const auto* told = std::get_if<HighWatermarkPart>(&part.what)) {
    if (state_ != State::kFollowing || frame->from != leader_->broker()) return;
    if (const auto moved = follower_->OnHighWatermark(part.epoch, told->high_watermark))
      watch_.Notify(*moved);
    return;
  }
  if (const auto* ack = std::get_if<isr::Acknowledgement>(&part.what))
    return OnAcknowledgement(frame->from, *ack);
  if (const auto* question = std::get_if<isr::ReconcileQuestion>(&part.what))
    return OnQuestion(frame->from, *question);
  if (const auto* answer = std::get_if<isr::ReconcileAnswer>(&part.what)) {
    if (state_ == State::kFollowing && frame->from == leader_->broker()) OnAnswer(*answer);
    return;
  }
  OnRefusal(frame->from, part.epoch);
}

}  // namespace bascule::partition
