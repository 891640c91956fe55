// The following half of replication: the log is brought in line with the leader's (R3 to R3c), then
// what the leader sends is appended, made durable and acknowledged (R4).
#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/base/logging.h"
#include "replication/partition/partition.h"

namespace bascule::partition {
namespace {

constexpr size_t kSharedPart = 2;

}  // namespace

void Partition::Follow(LeaderEpoch epoch, const std::string& leader, bool counted) {
  CheckOnShard();
  if (state_ == State::kClosed || Defer({epoch, leader, counted, std::nullopt})) return;
  EndRole(Moved());
  BASCULE_CHECK(log_ != nullptr);
  if (!log_->trust().ok()) {
    state_ = State::kFailed;  // told already; it is reopened, and follows then
    why_ = log_->trust();
    return;
  }
  TakeDurability();
  replica_.reset();
  follower_.reset();
  diverged_.clear();
  leader_ = env_.replicas.LinkTo(leader);
  if (!log_->damaged().empty()) return FollowDamaged({epoch, leader, counted, std::nullopt});
  const Offset knew = std::clamp(KnownHighWatermark(), log_->log_start(), log_->log_end());
  state_ = State::kFollowing;
  BeginEpoch(epoch, knew);
  CheckInvariants();
  Ask();
}

// One that has left ISR and ELR for it (R6b) is followed with an empty log: the leader has all of it. Of
// damage that came later the metadata knows nothing, so this replica may be the next leader: what it holds
// stays.
void Partition::FollowDamaged(NextRole role) {
  state_ = State::kStandby;
  if (role.counted) {
    LogError(
        "stream ", options_.stream, " partition ", options_.key.partition,
        ": this replica is damaged and counts as in sync, so it is neither followed with nor given "
        "up until the "
        "leader has left it out; restart the broker to have it checked and fetched anew at once");
    uncounted_role_ = std::move(role);
    return;
  }
  next_role_ = std::move(role);
  BeginAnew(Offset(0), "it is damaged here");
}

void Partition::OnCounted(bool counted) {
  CheckOnShard();
  if (next_role_) next_role_->counted = counted;
  if (counted || !uncounted_role_) return;
  const NextRole role = *std::exchange(uncounted_role_, std::nullopt);
  Follow(role.epoch, role.leader, false);
}

// With the log as it is, and nothing known of the leader's.
void Partition::BeginEpoch(LeaderEpoch epoch, Offset high_watermark) {
  follower_.emplace(isr::FollowerReplica::Options{options_.broker, options_.incarnation, epoch,
                                                  options_.settings.durability, questions_ + 1},
                    log_->log_end(), log_->flushed_end(), high_watermark);
}

isr::LogEpochs Partition::OwnEpochs() const {
  return {log_->log_start(), log_->log_end(), log_->Epochs()};
}

// Asked again every second until it is answered: the leader may not know yet that it leads.
void Partition::Ask() {
  isr::ReconcileQuestion question = follower_->Ask(OwnEpochs());
  questions_ = question.number;
  const LeaderEpoch epoch = follower_->epoch();
  leader_->Add({options_.key, epoch, std::move(question)});
}

// What the leader sends does not go on where our log ends, or cannot be what it sent. At once, and then at the
// next tick: an answer that changes nothing is not asked for as often as frames come.
void Partition::AskAnew(std::string_view why) {
  DropIncoming();
  if (std::exchange(asked_anew_, true)) return;
  LogWarning("stream ", options_.stream, " partition ", options_.key.partition, ": broker ",
             leader_->broker(), " leads, and ", why, ": asking it where the logs part");
  Ask();
}

// There is no room for what it sends. Held back, that would hold back what goes to others too: it is asked for
// again at the next tick.
void Partition::AskLater(std::string_view why) {
  if (!std::exchange(no_room_, true)) {
    LogWarning("stream ", options_.stream, " partition ", options_.key.partition,
               ": cannot follow broker ", leader_->broker(), " now, and tries every second: ", why);
  }
  DropIncoming();
}

// What comes next is no answer to our last question any more.
void Partition::DropIncoming() {
  incoming_.clear();
  high_watermark_ = follower_->high_watermark();
  BeginEpoch(follower_->epoch(), high_watermark_);
}

void Partition::OnAnswer(const isr::ReconcileAnswer& answer) {
  if (log_->cutting()) return;
  using Todo = isr::FollowerReplica::Todo;
  const isr::FollowerReplica::Verdict verdict = follower_->OnAnswer(answer);
  switch (verdict.todo) {
    case Todo::kNothing:
      return;
    case Todo::kFollow:
      if (log_->dirty()) StartFlush();
      return SendAcknowledgement();
    case Todo::kCut:
      return BeginCut(verdict.offset);
    case Todo::kBeginAnew:
      return BeginAnew(verdict.offset, "the leader's begins there and has nothing that is here");
    case Todo::kAskAgain:
      return Ask();
    case Todo::kStop:
      return Diverge(verdict.why);
  }
}

// R9: nothing is cut, appended or acknowledged any more in this epoch.
void Partition::Diverge(const std::string& why) {
  diverged_ = why;
  LogError("stream ", options_.stream, " partition ", options_.key.partition,
           ": this replica and its leader's, on broker ", leader_->broker(),
           ", have diverged: ", why,
           ". It is kept as it is and takes part no more. Compare both with "
           "bascule log; to take the leader's for true stop this broker, move the directory of the "
           "partition away and start it again");
}

void Partition::BeginCut(Offset to) {
  LogInfo("stream ", options_.stream, " partition ", options_.key.partition, ": cuts its log from ",
          log_->log_end(), " to ", to, ", where it parts from that of broker ", leader_->broker());
  log_->PlanCut(to, [weak = weak_from_this(), log = log_.get()](absl::StatusOr<Offset> planned) {
    const auto self = weak.lock();
    if (!self || self->log_.get() != log) return;
    if (!planned.ok()) return self->OnCutEnded(planned.status());
    self->env_.events.LowerPoint(self->options_.key, self->log_->Point(),
                                 [weak, log](const absl::Status& lowered) {
                                   const auto there = weak.lock();
                                   if (!there || there->log_.get() != log) return;
                                   if (!lowered.ok()) {
                                     there->log_->AbandonCut();
                                     return there->OnCutEnded(lowered);
                                   }
                                   there->log_->Cut([weak, log](const absl::Status& cut) {
                                     const auto here = weak.lock();
                                     if (here && here->log_.get() == log) here->OnCutEnded(cut);
                                   });
                                 });
  });
}

void Partition::BeginAnew(Offset at, std::string_view why) {
  LogWarning("stream ", options_.stream, " partition ", options_.key.partition,
             ": gives up its log, which ends at ", log_->log_end(), ", and begins it anew at ", at,
             " from that of broker ", leader_->broker(), ": ", why);
  log_->PlanAnew(at, [weak = weak_from_this(), log = log_.get()](const absl::Status& planned) {
    const auto self = weak.lock();
    if (!self || self->log_.get() != log) return;
    if (!planned.ok()) return self->OnCutEnded(planned);
    self->env_.events.LowerPoint(
        self->options_.key, self->log_->Point(), [weak, log](const absl::Status& lowered) {
          const auto there = weak.lock();
          if (!there || there->log_.get() != log) return;
          // Without it the disk fails, and the log is to be looked at anew whatever it holds.
          if (!lowered.ok()) LogError("cannot write recovery points: ", lowered.message());
          there->log_->BeginAnew([weak, log](absl::StatusOr<log::RecoveredLog> begun) {
            const auto here = weak.lock();
            if (!here || here->log_.get() != log) return;
            if (!begun.ok()) return here->OnCutEnded(begun.status());
            here->TakeLog(*std::move(begun));
            here->OnCutEnded(absl::OkStatus());
          });
        });
  });
}

// The role that came meanwhile is taken; else this one goes on.
void Partition::OnCutEnded(const absl::Status& status) {
  if (state_ == State::kClosed) return;
  if (!log_->trust().ok()) {
    next_role_.reset();
    return Fail(log_->trust());
  }
  if (next_role_) return TakeNextRole();
  if (state_ != State::kFollowing || follower_->phase() != isr::FollowerReplica::Phase::kCutting)
    return;
  if (absl::IsDataLoss(status))
    return Diverge(Concat("the log cannot be cut: ", FromAbsl(status.message())));
  if (!status.ok()) return AskLater(FromAbsl(status.message()));  // no room for recovery.points
  follower_->OnCut(log_->log_end(), log_->flushed_end());
  CheckInvariants();
  if (log_->dirty()) StartFlush();
  SendAcknowledgement();
}

void Partition::TakeAppend(const std::shared_ptr<const IncomingFrame>& frame,
                           const ReplicaPart& part) {
  if (state_ != State::kFollowing || draining_) return;  // what comes after a stop is not ours
  if (part.epoch < follower_->epoch()) {
    env_.replicas.LinkTo(frame->from)->Add({options_.key, follower_->epoch(), RefusalPart{}});
    return;
  }
  const auto& append = std::get<AppendPart>(part.what);
  // Of another question's answer, or of an epoch that its delta will tell of (R2, R3c).
  if (part.epoch != follower_->epoch() || append.number != follower_->last_question() ||
      follower_->phase() != isr::FollowerReplica::Phase::kFollowing ||
      frame->from != leader_->broker())
    return;
  incoming_.push_back({frame, &part});
  if (incoming_.size() == 1) AppendIncoming();
}

// In order; what waits for a place in the log is tried again when that says so (OnLogReady).
void Partition::AppendIncoming() {
  while (!incoming_.empty() && state_ == State::kFollowing) {
    const Incoming incoming = incoming_.front();
    const Taken taken = AppendOne(incoming);
    if (taken == Taken::kWait) return;
    if (taken == Taken::kDropped || incoming_.empty()) return;  // all of them
    incoming_.pop_front();
  }
}

Partition::Taken Partition::AppendOne(const Incoming& incoming) {
  const auto& append = std::get<AppendPart>(incoming.part->what);
  std::string_view batches = append.batches;
  // What is here already: the leader's line broke, and it sent again what may have been lost.
  wire::BatchHeader header;
  while (!batches.empty() && wire::ParseBatchHeader(batches, header) == wire::BatchParse::kOk &&
         header.end() <= log_->log_end() && header.total_bytes() <= batches.size())
    batches.remove_prefix(header.total_bytes());
  if (!batches.empty() && header.base_offset != log_->log_end()) {
    AskAnew(Concat("its next batch begins at ", header.base_offset, ", this log ends at ",
                   log_->log_end()));
    return Taken::kDropped;
  }
  const auto checked =
      CheckBatches(batches, log_->log_end(), log_->last_epoch(), follower_->epoch());
  if (!checked.ok()) {
    AskAnew(FromAbsl(checked.status().message()));
    return Taken::kDropped;
  }
  bool wait = false;
  for (const CheckedBatch& batch : *checked) {
    const absl::Status appended = RollAndAppend(*incoming.frame, batch, wait);
    if (wait) break;  // for the rest of it
    if (appended.ok()) {
      appended_since_tick_ = true;
      no_room_ = false;
      continue;
    }
    if (absl::IsResourceExhausted(appended)) {
      AskLater(FromAbsl(appended.message()));
    } else {
      Fail(appended);
    }
    return Taken::kDropped;
  }
  std::optional<Offset> moved = follower_->OnAppended(log_->log_end());
  if (const auto told = follower_->OnHighWatermark(follower_->epoch(), append.high_watermark))
    moved = told;
  if (moved) watch_.Notify(*moved);
  return wait ? Taken::kWait : Taken::kAll;
}

// R12: the leader says where segments begin.
absl::Status Partition::RollAndAppend(const IncomingFrame& frame, const CheckedBatch& batch,
                                      bool& wait) {
  if (env_.disk_full)
    return absl::ResourceExhaustedError("free disk space is below the reserve; free some space");
  const bool first = (batch.header.attributes & wire::kFirstOfSegment) != 0;
  wait = !log_->CanAppend(batch.bytes.size());
  if (!wait && first && log_->log_end() > log_->active_base()) {
    wait = !log_->CanRoll();
    if (!wait) RETURN_IF_ERROR(log_->Roll());
  }
  if (wait) return absl::OkStatus();
  // What is kept in memory keeps its owner: a small batch is not to keep a large frame.
  if (batch.bytes.size() < frame.bytes.size() / kSharedPart)
    return log_->Append(Bytes(std::string(batch.bytes)));
  return log_->Append(Bytes(frame.bytes.owner(), batch.bytes));
}

void Partition::EndOfFrame() {
  CheckOnShard();
  if (state_ != State::kFollowing) return;
  if (options_.settings.durability == Durability::kFsync) {
    StartFlush();
  } else {
    SendAcknowledgement();
  }
}

void Partition::SendAcknowledgement() {
  if (state_ != State::kFollowing) return;
  if (const auto ack = follower_->Acknowledge())
    leader_->Add({options_.key, follower_->epoch(), *ack});
}

}  // namespace bascule::partition
