// The appending half of Partition.
#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/base/logging.h"
#include "replication/partition/partition.h"

namespace bascule::partition {

void Partition::Enqueue(const std::shared_ptr<const IngressBatch>& batch,
                        const IngressRecord& record) {
  ++messages_received_;  // whatever becomes of it
  pending_.push_back({batch, &record});
}

void Partition::RecordGap(const GapReport& gap) {
  CheckOnShard();
  pending_gaps_.push_back(gap);
  AppendPending();
}

bool Partition::MayAppend() const {
  return state_ == State::kLeading && !env_.disk_full &&
         acks_.waiting() < options_.in_flight_records;
}

// For all of a hand-over: Enqueue, which runs for each record, does not ask for its thread.
void Partition::AppendPending() {
  CheckOnShard();
  if (state_ == State::kOpening) return;  // waits for Lead
  if (state_ == State::kFollowing) return PostDrained();
  if (state_ != State::kLeading || env_.disk_full) {
    RefusePending();
    return PostDrained();
  }
  while (!pending_.empty() && MayAppend()) {
    if (!AppendBatch()) break;
  }
  while (pending_.empty() && (missed_ > 0 || !pending_gaps_.empty()) && MayAppend()) {
    if (!AppendGap()) break;
  }
  if (options_.settings.durability == Durability::kFsync) StartFlush();
  PostDrained();
}

// As a task of its own: whoever drains may close us, and we may be inside a call of the log.
void Partition::PostDrained() {
  if (drained_.empty()) return;
  env_.log.shard.Post([self = shared_from_this()] { self->RunDrained(); });
}

std::optional<AckError> Partition::Refusal(const PendingRecord& pending, Offset next) const {
  const IngressRecord& record = *pending.record;
  const auto own_limit = static_cast<uint64_t>(options_.settings.max_message_bytes);
  const bool over_own = own_limit > 0 && record.payload_bytes > own_limit;
  if (over_own || record.payload_bytes > options_.max_message_bytes) return AckError::kTooLarge;
  const std::string_view expected_stream = pending.batch->View(record.expected_stream);
  if (!expected_stream.empty() && expected_stream != options_.stream) return AckError::kWrongStream;
  const bool checks_offset = record.ack_format == AckFormat::kJetStream ||
                             options_.settings.optimistic_concurrency_control;
  if (checks_offset && record.expected_offset != -1) {
    // Gap records are not the publishers' business: whoever knows the newest message is up to date.
    const Offset expected(record.expected_offset);
    const Offset least = next == log_->log_end() ? log_->last_message_end() : next;
    if (expected < least || expected > next) return AckError::kIncorrectOffset;
  }
  return std::nullopt;
}

void Partition::RefuseOne(const PendingRecord& pending, AckError error, Timestamp now) {
  ++messages_refused_;
  // Whoever waits is told; whoever does not would never know, so the log tells.
  if (pending.record->ack_format == AckFormat::kNone) NoteMissed(1, now);
  acks_.Refuse(*pending.batch, *pending.record, error, log_ ? log_->log_end() : Offset(), now);
}

// What was heard and not appended.
void Partition::RefusePending() {
  const Timestamp now = env_.log.clock.Wall();
  for (const PendingRecord& pending : pending_) RefuseOne(pending, AckError::kUnavailable, now);
  pending_.clear();
  acks_.Release(Offset(), Offset(), now);
}

void Partition::NoteMissed(uint64_t count, Timestamp now) {
  if (missed_ == 0) missed_from_ = now;
  missed_ += count;
  missed_to_ = now;
}

// The clock now. Once per time that it falls behind the newest timestamp, a word about it.
Timestamp Partition::NoteClock() {
  const Duration ahead = log_->TimestampsAhead();
  const bool behind = ahead >= limits::kClockStepNoticed;
  if (behind != std::exchange(clock_behind_, behind)) {
    if (behind) {
      LogWarning("stream ", options_.stream, " partition ", options_.key.partition, ": ",
                 ClockBehind(ahead));
    } else {
      LogInfo("stream ", options_.stream, " partition ", options_.key.partition,
              ": the clock has passed the newest timestamp; messages get the time again");
    }
  }
  return env_.log.clock.Wall();
}

void Partition::BeginBatch(Timestamp now, uint8_t attributes) {
  if (log_->ShouldRoll()) {
    const absl::Status rolled = log_->Roll();
    // A segment past its size goes on; a log that cannot be written at all fails at the append.
    // Unflushed segments cannot be sealed, and retention waits for that.
    if (rolled.ok() && options_.settings.durability == Durability::kOs) StartFlush();
    if (!rolled.ok())
      LogWarning("stream ", options_.stream,
                 ": cannot begin a new segment: ", FromAbsl(rolled.message()));
  }
  const bool first = log_->log_end() == log_->active_base();
  // What the disk has: under `os` less than what readers see, because a crash may take the rest.
  const Offset committed = std::min(replica_->high_watermark(), log_->flushed_end());
  builder_.Begin(log_->log_end(), replica_->epoch(), now, committed,
                 static_cast<uint8_t>(attributes | (first ? wire::kFirstOfSegment : 0)));
}

// Moves pending records into the batch being built, until it is full or nothing is left.
void Partition::TakePending(Timestamp now) {
  size_t taken = 0;
  for (; taken < pending_.size(); ++taken) {
    PendingRecord& pending = pending_[taken];
    const bool full = builder_.bytes() + pending.record->body.length > limits::kBatchTargetBytes ||
                      builder_.records() >= limits::kBatchMaxRecords;
    if (full && builder_.records() > 0) break;
    if (const auto refused = Refusal(pending, builder_.next_offset())) {
      RefuseOne(pending, *refused, now);
      continue;
    }
    builder_.Add(pending.batch->View(pending.record->body));
    in_batch_.push_back(std::move(pending));
  }
  pending_.erase(pending_.begin(), pending_.begin() + static_cast<ptrdiff_t>(taken));
  latest_received_ = now;
}

// One batch of what is pending; false when nothing can be appended now.
bool Partition::AppendBatch() {
  const size_t bound = pending_.front().record->body.length + limits::kBatchTargetBytes +
                       limits::kRecordOverheadBytes;
  if (!log_->CanAppend(bound)) return false;
  const Timestamp wall = NoteClock();
  const Timestamp now = std::max(wall, log_->last_timestamp());  // R11
  BeginBatch(now, 0);
  in_batch_.clear();
  TakePending(now);
  Offset offset = log_->log_end();
  const size_t batch_bytes = builder_.bytes();
  const absl::Status appended =
      in_batch_.empty() ? absl::OkStatus() : log_->Append(builder_.Finish(wall));
  for (const PendingRecord& pending : in_batch_) {
    if (appended.ok()) {
      acks_.Add(*pending.batch, *pending.record, offset, now);
      ++offset;
    } else if (absl::IsResourceExhausted(appended)) {
      RefuseOne(pending, AckError::kUnavailable, now);  // a torn batch never comes back
    } else {
      NoteMissed(1, now);  // outcome unknown: nobody is told that it was not stored (R14)
    }
  }
  const bool stored = appended.ok() && !in_batch_.empty();
  if (stored) appended_bytes_ += batch_bytes;
  in_batch_.clear();
  if (!stored) acks_.Release(Offset(), Offset(), now);
  if (!appended.ok()) return OnAppendError(appended);
  if (!stored) return true;
  appended_since_tick_ = true;
  Advance(replica_->OnAppended(log_->log_end(), env_.log.clock.Monotonic()));
  PumpAll();
  return true;
}

bool Partition::AppendGap() {
  if (!log_->CanAppend(limits::kBatchTargetBytes)) return false;
  const Timestamp wall = NoteClock();
  const Timestamp now = std::max(wall, log_->last_timestamp());
  const bool missed = missed_ > 0;
  const GapReport gap = missed ? GapReport{missed_from_, missed_to_, GapReason::kNotWritable,
                                           static_cast<int64_t>(missed_)}
                               : pending_gaps_.front();
  BeginBatch(now, wire::kControl);
  builder_.Add(
      wire::EncodeGapBody({gap.from, gap.to, static_cast<uint32_t>(gap.reason), gap.count}));
  if (const absl::Status appended = log_->Append(builder_.Finish(wall)); !appended.ok())
    return OnAppendError(appended);
  LogWarning("stream ", options_.stream, " partition ", options_.key.partition, ": ",
             gap.count >= 0 ? Concat(gap.count, " messages are") : std::string("messages may be"),
             " missing before offset ", log_->log_end() - 1, " (", ToText(gap.reason), ")");
  if (missed) {
    missed_ = 0;
  } else {
    pending_gaps_.pop_front();
  }
  Advance(replica_->OnAppended(log_->log_end(), env_.log.clock.Monotonic()));
  PumpAll();
  return true;
}

// A full disk refuses this batch and heals by itself; anything else ends this log's reign. Always
// false.
bool Partition::OnAppendError(const absl::Status& error) {
  if (absl::IsResourceExhausted(error)) {
    LogWarning("stream ", options_.stream, ": ", FromAbsl(error.message()),
               "; messages are refused until there is space");
    RefusePending();  // it would meet the same, and nothing may come by to try it
  } else {
    Fail(error);
  }
  return false;
}

void Partition::StartFlush() {
  const bool at_work = state_ == State::kLeading || state_ == State::kFollowing;
  if (!at_work && (!draining_ || state_ == State::kClosed || !log_ || !log_->trust().ok())) return;
  std::optional<log::FlushTicket> ticket = log_->TakeFlush();
  if (!ticket) return;
  env_.sync.Flush(*std::move(ticket), env_.log.shard,
                  [self = shared_from_this(), log = log_](const log::FlushTicket& done,
                                                          const absl::Status& status) {
                    const absl::Status flushed = log->FlushDone(done, status);
                    if (self->log_ == log) self->OnFlushed(flushed);
                  });
}

// The log may also have lost its trust, in a role or none.
void Partition::OnLogReady() {
  if (!log_->trust().ok() && !log_->given_up()) Fail(log_->trust());
  if (state_ == State::kFollowing && !incoming_.empty()) {
    AppendIncoming();
    EndOfFrame();
  }
  AppendPending();
}

void Partition::OnFlushed(const absl::Status& flushed) {
  if (!flushed.ok()) return Fail(flushed);
  if (state_ == State::kFollowing) {
    env_.events.OnDurable();
    follower_->OnFlushed(log_->flushed_end());
    SendAcknowledgement();
    if (options_.settings.durability == Durability::kFsync || !drained_.empty()) StartFlush();
    return RunDrained();
  }
  if (state_ != State::kLeading) {
    StartFlush();  // while it drains
    return RunDrained();
  }
  env_.events.OnDurable();
  const std::optional<Offset> moved = replica_->OnFlushed(log_->flushed_end());
  Advance(moved);
  if (!moved) {
    // LEADER acks wait for our disk only.
    acks_.Release(log_->flushed_end(), replica_->high_watermark(), env_.log.clock.Wall());
  }
  if (!pending_.empty()) {
    AppendPending();
  } else if (options_.settings.durability == Durability::kFsync || !drained_.empty()) {
    StartFlush();
  }
  RunDrained();
}

void Partition::Advance(std::optional<Offset> high_watermark) {
  if (!high_watermark) return;
  const bool synced = options_.settings.durability == Durability::kFsync;
  const Offset leader_durable = synced ? log_->flushed_end() : log_->log_end();
  acks_.Release(leader_durable, *high_watermark, env_.log.clock.Wall());
  watch_.Notify(*high_watermark);
  if (!outgoing_.empty()) TellHighWatermarkSoon();
}

}  // namespace bascule::partition
