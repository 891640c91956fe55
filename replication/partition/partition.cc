#include "replication/partition/partition.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/base/logging.h"

namespace bascule::partition {
namespace {

log::LogLimits LimitsOf(const StreamSettings& settings) {
  return {
      static_cast<uint64_t>(settings.segment_max_bytes),
      settings.segment_max_age,
      {settings.retention_max_bytes, settings.retention_max_messages, settings.retention_max_age}};
}

FeedRules RulesOf(const StreamSettings& settings) {
  FeedRules rules;
  rules.reply_acks = settings.reply_acks;
  rules.record_internal_subjects = settings.record_internal_subjects;
  rules.optimistic_concurrency_control = settings.optimistic_concurrency_control;
  return rules;
}

}  // namespace

std::string ClockBehind(Duration ahead) {
  const int64_t seconds = std::chrono::duration_cast<std::chrono::seconds>(ahead).count();
  const std::string span = seconds < 2 * 60          ? Concat(seconds, " s")
                           : seconds < 2 * 3600      ? Concat(seconds / 60, " minutes")
                           : seconds < 2 * 24 * 3600 ? Concat(seconds / 3600, " hours")
                                                     : Concat(seconds / 86400, " days");
  return Concat("the newest timestamp is ", span,
                " ahead of this broker's clock, which was wrong then or is now: new messages get "
                "the same timestamp until the clock has passed it, and retention goes by when they "
                "were stored; if the clock is wrong, set it right");
}

Partition::Partition(PartitionEnvironment env, PartitionOptions options)
    : env_(env),
      options_(std::move(options)),
      acks_(env_.acks, {options_.stream, options_.base_subject, options_.key, options_.created},
            options_.settings.leader_acks) {}

Partition::~Partition() = default;

// In the place of a log that is at rest, or of none.
void Partition::TakeLog(log::RecoveredLog recovered) {
  BASCULE_CHECK(!log_ || !log_->busy());
  for (const std::string& note : recovered.notes)
    LogWarning("stream ", options_.stream, ": ", note);
  log::LogOptions log_options;
  log_options.directory = ParentPath(recovered.segments.back().path);
  log_options.stream = options_.key.stream;
  log_options.partition = options_.key.partition;
  log_options.limits = LimitsOf(options_.settings);
  log_ = log::CommitLog::Create(env_.log, std::move(log_options), std::move(recovered));
  log_->SetReady([this] { OnLogReady(); });  // the log goes before us
  failure_told_ = false;
  acked_unsynced_ = Offset();
  for (auto& [id, reader] : readers_) reader.place = log::ReadPlace{};
}

void Partition::Open(log::RecoveredLog recovered) {
  CheckOnShard();
  if (state_ == State::kClosed) return;
  const Offset end_before = log_ ? log_->log_end() : Offset();
  const bool followed = follower_.has_value();
  TakeLog(std::move(recovered));
  if (!clean_timer_.armed()) CleanEvery(options_.settings.cleaner_interval);
  // What a follower lacks the leader has.
  if (end_before > log_->log_end() && !followed) {
    NoteMissed(static_cast<uint64_t>(end_before - log_->log_end()), env_.log.clock.Wall());
  }
  if (replica_) {
    // Readers of what a failed reign committed go on; it moves no more.
    const Offset known = std::clamp(replica_->high_watermark(), log_->log_start(), log_->log_end());
    Reign(replica_->epoch(), {0, 1, {{options_.broker, 0, true, true, false}}}, known);
  } else if (state_ == State::kFailed) {
    state_ = State::kOpening;  // it could not be opened before
  }
  CheckInvariants();
}

bool Partition::Defer(NextRole next) {
  if (!log_ || !log_->cutting() || !log_->trust().ok()) return false;
  // R3: what is cut is cut. Until then nothing is led or followed.
  if (state_ != State::kStandby) StandBy();
  next_role_ = std::move(next);
  return true;
}

void Partition::TakeNextRole() {
  const NextRole next = *std::exchange(next_role_, std::nullopt);
  if (next.view) return Lead(next.epoch, *next.view);
  Follow(next.epoch, next.leader, next.counted);
}

void Partition::TakeDurability() {
  const auto next = std::exchange(next_durability_, std::nullopt);
  if (!next) return;
  // What was acked without the disk stays acked.
  if (options_.settings.durability == Durability::kOs && replica_)
    acked_unsynced_ = log_->log_end();
  options_.settings.durability = *next;
}

// R5c: what this replica knew to be committed in whatever role.
Offset Partition::KnownHighWatermark() const {
  Offset known = high_watermark_;
  if (replica_) known = std::max(known, replica_->high_watermark());
  if (follower_) known = std::max(known, follower_->high_watermark());
  return known;
}

Offset Partition::Committed() const {
  return follower_ ? follower_->high_watermark() : replica_->high_watermark();
}

void Partition::Lead(LeaderEpoch epoch, const isr::PartitionView& view) {
  CheckOnShard();
  if (state_ == State::kClosed || Defer({epoch, {}, false, view})) return;
  acks_.SetEpoch(epoch);  // refusals too
  BASCULE_CHECK(log_ != nullptr);
  if (state_ == State::kFollowing) EndRole(absl::OkStatus());
  if (!log_->trust().ok()) {
    // Told already, perhaps in standby, and not reopened yet: it may listen, and takes nothing.
    state_ = State::kFailed;
    why_ = log_->trust();
    return;
  }
  TakeDurability();
  Offset knew = KnownHighWatermark();
  took_over_ = follower_.has_value();
  follower_.reset();
  leader_.reset();
  knew = std::max(knew, log_->log_start());
  Reign(epoch, view, std::clamp(knew, log_->log_start(), log_->log_end()));
  inherited_end_ = log_->log_end();
  state_ = State::kLeading;
  why_ = absl::OkStatus();
  (void)replica_->OnFlushed(log_->flushed_end());
  Advance(replica_->high_watermark());
  CheckInvariants();
  AnswerEarly();
  AppendPending();
}

void Partition::Reign(LeaderEpoch epoch, const isr::PartitionView& view, Offset high_watermark) {
  replica_.emplace(
      isr::LeaderReplica::Options{options_.broker, epoch, options_.settings.durability,
                                  options_.max_lag, options_.max_silence},
      view, isr::LeaderReplica::Positions{log_->log_end(), log_->flushed_end(), high_watermark},
      env_.log.clock.Monotonic());
  // Of an earlier epoch they say nothing (R4a); who has asked already is answered.
  for (auto& [broker, out] : outgoing_) {
    auto early = std::exchange(out.early, std::nullopt);
    out = Outgoing{};
    out.early = std::move(early);
  }
  NoteReplicas(view);
}

void Partition::OnView(LeaderEpoch epoch, const isr::PartitionView& view) {
  CheckOnShard();
  if (next_role_ && next_role_->view && next_role_->epoch == epoch) next_role_->view = view;
  if (state_ != State::kLeading || replica_->epoch() != epoch) return;
  NoteReplicas(view);
  Advance(replica_->OnView(view, env_.log.clock.Monotonic()));
  AnswerEarly();
  ProposeIsr();
  if (!pending_.empty()) AppendPending();  // it may have waited for acks
}

void Partition::StandBy() {
  CheckOnShard();
  next_role_.reset();
  if (state_ == State::kClosed) return;
  EndRole(Moved());
  state_ = State::kStandby;
  CheckInvariants();
  RunDrained();
}

// Nothing is taken, acknowledged or read in it any more.
void Partition::EndRole(absl::Status why) {
  uncounted_role_.reset();
  high_watermark_ = KnownHighWatermark();
  feed_.reset();
  RefusePending();
  incoming_.clear();
  acks_.EndUnknown();
  // Who reads finds the new leader.
  watch_.EndAll(why.ok() ? Moved() : why);
  why_ = std::move(why);
}

void Partition::Rest(absl::AnyInvocable<void(std::optional<log::KnownEnd>)> done) {
  CheckOnShard();
  if (!log_) return done(std::nullopt);
  // Not to be kept alive by its own log.
  log_->WhenAtRest([weak = weak_from_this(), done = std::move(done)]() mutable {
    const auto self = weak.lock();
    if (!self || !self->log_ || self->log_->trust().ok()) return done(std::nullopt);
    if (self->log_->given_up()) return done(std::nullopt);  // all of it
    const log::CommitLog& log = *self->log_;
    const bool synced = self->options_.settings.durability == Durability::kFsync;
    const Offset acked =
        synced ? std::min(self->acked_unsynced_, log.given_end()) : log.given_end();
    done(log::KnownEnd{log.flushed_end(), std::max(log.flushed_end(), acked)});
  });
}

void Partition::Reconfigure(const StreamSettings& settings) {
  CheckOnShard();
  if (settings.cleaner_interval != options_.settings.cleaner_interval && clean_timer_.armed())
    CleanEvery(settings.cleaner_interval);
  // What is committed in this epoch stands on the durability that the epoch began with.
  const Durability durability = options_.settings.durability;
  options_.settings = settings;
  if (replica_) {
    next_durability_ = settings.durability;
    options_.settings.durability = durability;
  }
  acks_.SetLeaderAcks(settings.leader_acks);
  if (feed_) feed_->SetRules(RulesOf(settings));
  if (log_) log_->SetLimits(LimitsOf(settings));
  Clean();
}

void Partition::Listen(Since since, absl::AnyInvocable<void(absl::Status)> listening) {
  CheckOnShard();
  if (state_ == State::kClosed) return listening(why_);
  FeedOptions feed;
  feed.subject = PartitionSubject(options_.base_subject, options_.key.partition);
  feed.group = options_.group;
  feed.partition_subject = feed.subject;
  feed.rules = RulesOf(options_.settings);
  feed.max_message_bytes = options_.max_message_bytes;
  const Timestamp heard_until =
      std::max(options_.created, log_ ? log_->last_timestamp() : Timestamp());
  feed_ = env_.feeds.Open(
      feed, *this, env_.log.shard,
      [weak = weak_from_this(), since, heard_until, heard = false,
       listening = std::move(listening)](const absl::Status& status) mutable {
        const auto self = weak.lock();
        if (self) self->listening_ = status;
        const bool first = status.ok() && !std::exchange(heard, true);  // later the bus tells
        if (self && first && since == Since::kAway) {
          const GapReason reason =
              self->took_over_ ? GapReason::kLeaderMoved : GapReason::kNotListening;
          self->RecordGap({heard_until, self->env_.log.clock.Wall(), reason, -1});
        }
        listening(status);
      });
}

void Partition::Drain(absl::AnyInvocable<void()> done) {
  env_.log.shard.Post([self = shared_from_this(), done = std::move(done)]() mutable {
    self->feed_.reset();
    self->draining_ = true;
    self->drained_.push_back(std::move(done));
    self->AppendPending();
    self->StartFlush();  // under `os` too, in whatever role: a clean stop loses nothing
    self->RunDrained();
  });
}

void Partition::RunDrained() {
  const auto at_work = [this] {
    if (state_ != State::kLeading)
      return state_ != State::kClosed && log_ && log_->trust().ok() && log_->dirty() &&
             !log_->cutting();
    if (!pending_.empty() || log_->dirty()) return true;
    // What cannot be written although there is a place for it (a full disk) is not waited for.
    const bool gaps_due = missed_ > 0 || !pending_gaps_.empty();
    return gaps_due && !log_->CanAppend(limits::kBatchTargetBytes);
  };
  if (at_work()) return;
  for (auto& done : std::exchange(drained_, {})) done();
}

void Partition::Close(const absl::Status& why, absl::AnyInvocable<void()> closed) {
  CheckOnShard();
  if (state_ != State::kClosed) {
    state_ = State::kClosed;
    why_ = why;
    feed_.reset();
    clean_timer_.Cancel();
    pending_.clear();
    acks_.Abandon();
    watch_.EndAll(why);
    readers_.clear();
    if (log_) {
      log_->SetReady(nullptr);
      log_->Trim();
    }
    replica_.reset();
    follower_.reset();
    incoming_.clear();
    outgoing_.clear();
    next_role_.reset();
    tell_timer_.Cancel();
    closing_ = std::move(log_);
    CheckInvariants();
    RunDrained();
  }
  if (!closing_) return closed();
  closing_->WhenAtRest([weak = weak_from_this(), closed = std::move(closed)]() mutable {
    if (const auto self = weak.lock()) self->closing_.reset();
    closed();
  });
}

void Partition::FailOpening(absl::Status why) {
  CheckOnShard();
  if (state_ == State::kClosed) return;
  const bool told = state_ == State::kFailed && why == why_;  // it is tried every second
  state_ = State::kFailed;
  why_ = std::move(why);
  if (told) return;
  LogError("stream ", options_.stream, " partition ", options_.key.partition,
           " cannot be opened: ", why_.message());
}

void Partition::Fail(const absl::Status& why) {
  if (std::exchange(failure_told_, true)) return;
  LogError("stream ", options_.stream, " partition ", options_.key.partition,
           " stops taking messages: ", why.message(), "; it is checked and reopened by itself");
  if (state_ == State::kLeading || state_ == State::kFollowing) {
    state_ = State::kFailed;
    why_ = why;
    incoming_.clear();
    acks_.Abandon();
  }
  env_.events.OnFailed(options_.key, log_->flushed_end(), why);
  RunDrained();
}

void Partition::CheckInvariants() const {
  CheckOnShard();
  acks_.CheckInvariants();
  if (state_ == State::kClosed) {
    BASCULE_CHECK(!log_ && !replica_ && !feed_ && !clean_timer_.armed());
    BASCULE_CHECK(pending_.empty() && acks_.waiting() == 0);
    return;
  }
  BASCULE_CHECK(!closing_);
  BASCULE_CHECK(in_batch_.empty());
  if (state_ == State::kLeading) {
    BASCULE_CHECK(log_ && replica_ && why_.ok());
    BASCULE_CHECK(!failure_told_);
  } else {
    BASCULE_CHECK_EQ(acks_.waiting(), 0u);
  }
  // It may listen already when it is to lead as soon as a cut has ended.
  const bool leads_next = next_role_ && next_role_->view;
  if (state_ == State::kStandby && !leads_next) BASCULE_CHECK(!feed_);
  if (!log_) return;
  BASCULE_CHECK_LE(log_->flushed_end(), log_->log_end());
  BASCULE_CHECK(incoming_.empty() || state_ == State::kFollowing);
  BASCULE_CHECK(!next_role_ || log_->cutting());
  if (state_ == State::kFollowing) {
    BASCULE_CHECK(follower_ && leader_ && !feed_ && pending_.empty());
    follower_->CheckInvariants();
  }
  if (!replica_) return;
  replica_->CheckInvariants();
  BASCULE_CHECK_LE(replica_->high_watermark(), log_->log_end());
  // Committed is durable here too, where that is promised.
  const bool synced = options_.settings.durability == Durability::kFsync;
  const Offset durable = std::max(log_->flushed_end(), acked_unsynced_);
  if (synced) BASCULE_CHECK_LE(replica_->high_watermark(), durable);
}

std::optional<log::RecoveryPoint> Partition::Point() {
  CheckOnShard();
  if (!log_) return std::nullopt;
  return log_->Point();
}

void Partition::CleanEvery(std::chrono::milliseconds interval) {
  clean_timer_.Repeat(interval, [this] { Clean(); });
}

void Partition::Clean() {
  CheckOnShard();
  if (state_ == State::kLeading) log_->Clean(replica_->high_watermark(), /*may_roll=*/true);
  if (state_ == State::kFollowing) log_->Clean(follower_->high_watermark(), /*may_roll=*/false);
}

void Partition::OnIdleTick() {
  CheckOnShard();
  CheckInvariants();
  if (state_ != State::kLeading && state_ != State::kFollowing) return;
  if (log_->cutting()) return;
  if (options_.settings.durability == Durability::kOs) StartFlush();
  if (!appended_since_tick_ && !log_->dirty()) log_->Trim();
  appended_since_tick_ = false;
  log_->CheckFiles([weak = weak_from_this(),
                    log = std::weak_ptr<log::CommitLog>(log_)](const absl::Status& gone) {
    const std::shared_ptr<Partition> self = weak.lock();
    if (self && self->log_ && self->log_ == log.lock()) self->Fail(gone);
  });
  AppendPending();
}

void Partition::OnDiskSpace() {
  CheckOnShard();
  if (state_ == State::kFollowing) return;  // it asks every second
  AppendPending();
}

absl::Status Partition::Moved() {
  return absl::UnavailableError("leadership of the partition has moved; subscribe again");
}

absl::Status Partition::NotServing(bool any_replica) const {
  switch (state_) {
    case State::kOpening:
      return absl::UnavailableError("partition is opening; try again");
    case State::kFollowing:
      return any_replica ? absl::OkStatus() : why_;  // R10
    case State::kStandby:
    case State::kDeposed:
    case State::kClosed:
      return why_;
    case State::kFailed:
      if (log_ && replica_) return absl::OkStatus();  // what is durable can be read
      return absl::Status(absl::StatusCode::kUnavailable, why_.message());
    case State::kLeading:
      return absl::OkStatus();
  }
  return absl::OkStatus();
}

PartitionStatus Partition::Status() const {
  PartitionStatus status;
  status.log_start = log_->log_start();
  status.log_end = log_->log_end();
  status.flushed_end = log_->flushed_end();
  status.high_watermark = Committed();
  status.last_message_end = log_->last_message_end();
  status.leader_epoch = follower_ ? follower_->epoch() : replica_->epoch();
  status.leader = !follower_;
  if (!follower_) {
    for (const auto& [broker, out] : outgoing_) {
      const auto standing = replica_->StandingOf(broker);
      if (standing)
        status.replicas.push_back(
            {broker, standing->in_isr, standing->doubtful, standing->acknowledged});
    }
  }
  const log::CommitLog::Stat stat = log_->Describe();
  status.bytes = stat.bytes;
  status.segments = stat.segments;
  status.gap_records = stat.gap_records;
  status.messages_in_gaps = stat.messages_in_gaps;
  status.lost_records = stat.lost;
  status.first_received = stat.first_timestamp;
  status.latest_received = std::max(latest_received_, log_->last_timestamp());
  status.messages_received = messages_received_;
  status.messages_refused = messages_refused_;
  const auto also = [&status](std::string_view text) {
    if (!status.degraded.empty()) status.degraded += "; ";
    status.degraded += text;
  };
  if (state_ == State::kFailed) also(Concat("takes no messages: ", FromAbsl(why_.message())));
  if (env_.disk_full)
    also("takes no messages: free disk space is below the reserve; free some space");
  if (!listening_.ok()) also(Concat("does not hear its subject: ", FromAbsl(listening_.message())));
  if (!damage_read_.empty()) also(damage_read_);
  if (!diverged_.empty()) also(Concat("has diverged from its leader: ", diverged_));
  for (const log::DamagedRange& range : log_->damaged())
    also(Concat("offsets ", range.from, " to ", range.to - 1, " are lost: ", range.cause));
  const Duration ahead = log_->TimestampsAhead();
  if (ahead >= limits::kClockStepNoticed) also(ClockBehind(ahead));
  return status;
}

void Partition::Describe(absl::AnyInvocable<void(absl::StatusOr<PartitionStatus>)> done) {
  env_.log.shard.Post([self = shared_from_this(), done = std::move(done)]() mutable {
    const absl::Status serving = self->NotServing(/*any_replica=*/true);
    if (!serving.ok()) return done(serving);
    done(self->Status());
  });
}

}  // namespace bascule::partition
