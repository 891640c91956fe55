#include "replication/partition/partition.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/base/logging.h"

namespace bascule {
namespace {

LogLimits LimitsOf(const StreamSettings& settings) {
  return {
      static_cast<uint64_t>(settings.segment_max_bytes),
      settings.segment_max_age,
      {settings.retention_max_bytes, settings.retention_max_messages, settings.retention_max_age}};
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
      acks_(env_.acks, {options_.stream, options_.base_subject}, options_.settings.leader_acks) {}

Partition::~Partition() = default;

void Partition::Lead(RecoveredLog recovered, LeaderEpoch epoch, const std::vector<std::string>& isr,
                     int min_isr) {
  if (state_ == State::kClosed) return;
  for (const std::string& note : recovered.notes)
    LogWarning("stream ", options_.stream, ": ", note);
  const Offset end_before = log_ ? log_->log_end() : Offset();
  LogOptions log_options;
  log_options.directory = ParentPath(recovered.segments.back().path);
  log_options.stream = options_.key.stream;
  log_options.partition = options_.key.partition;
  log_options.limits = LimitsOf(options_.settings);
  log_ = CommitLog::Create(env_.log, std::move(log_options), std::move(recovered));
  log_->SetReady([this] { AppendPending(); });  // the log goes before us
  // Everything recovery kept is durable here; alone in the ISR that is committed.
  const bool alone = isr.size() == 1;
  const Offset knew = replica_ ? std::min(replica_->high_watermark(), log_->log_end()) : Offset();
  const Offset known = alone ? log_->log_end() : std::max(knew, log_->log_start());  // R5c
  replica_.emplace(options_.broker, epoch, isr, min_isr, options_.settings.durability,
                   log_->log_end(), log_->flushed_end(), known);
  if (state_ == State::kStandby && epoch <= resigned_) return;
  state_ = State::kLeading;
  why_ = absl::OkStatus();
  for (auto& [id, reader] : readers_) reader.place = ReadPlace{};
  if (end_before > log_->log_end()) {
    NoteMissed(static_cast<uint64_t>(end_before - log_->log_end()), env_.log.clock.Wall());
  }
  AppendPending();
}

bool Partition::EnterEpoch(LeaderEpoch epoch, const std::vector<std::string>& isr, int min_isr) {
  const bool sound = (state_ == State::kLeading || state_ == State::kStandby) && log_;
  if (!sound) return false;
  const Offset knew = replica_ ? replica_->high_watermark() : log_->log_start();
  replica_.emplace(options_.broker, epoch, isr, min_isr, options_.settings.durability,
                   log_->log_end(), log_->flushed_end(), knew);
  state_ = State::kLeading;
  why_ = absl::OkStatus();
  Advance(replica_->OnFlushed(log_->flushed_end()));
  AppendPending();
  return true;
}

void Partition::Resign(LeaderEpoch epoch) {
  resigned_ = epoch;
  if (state_ == State::kClosed || state_ == State::kFailed) return;
  state_ = State::kStandby;
  why_ = absl::FailedPreconditionError("Server not partition leader");
  feed_.reset();
  pending_.clear();
  acks_.Abandon();
  watch_.EndAll(why_);
  RunDrained();
}

void Partition::Reconfigure(const StreamSettings& settings) {
  options_.settings = settings;
  acks_.SetLeaderAcks(settings.leader_acks);
  if (log_) log_->SetLimits(LimitsOf(settings));
  Clean();
}

void Partition::Listen(Since since, absl::AnyInvocable<void(absl::Status)> listening) {
  if (state_ == State::kClosed) return listening(why_);
  FeedOptions feed;
  feed.subject = PartitionSubject(options_.base_subject, options_.key.partition);
  feed.group = options_.group;
  feed.partition_subject = feed.subject;
  feed.reply_acks = options_.settings.reply_acks;
  feed.record_internal_subjects = options_.settings.record_internal_subjects;
  feed.optimistic_concurrency_control = options_.settings.optimistic_concurrency_control;
  feed.max_message_bytes = options_.max_message_bytes;
  const Timestamp heard_until =
      std::max(options_.created, log_ ? log_->last_timestamp() : Timestamp());
  feed_ = env_.feeds.Open(
      feed, *this, env_.log.shard,
      [weak = weak_from_this(), since, heard_until,
       listening = std::move(listening)](const absl::Status& status) mutable {
        const auto self = weak.lock();
        if (self) self->listening_ = status;
        if (self && status.ok() && since == Since::kAway) {
          self->RecordGap({heard_until, self->env_.log.clock.Wall(), GapReason::kNotListening, -1});
        }
        listening(status);
      });
}

void Partition::Drain(absl::AnyInvocable<void()> done) {
  env_.log.shard.Post([self = shared_from_this(), done = std::move(done)]() mutable {
    self->feed_.reset();
    self->drained_.push_back(std::move(done));
    self->AppendPending();
    if (self->state_ == State::kLeading)
      self->StartFlush();  // under `os` too: a clean stop loses nothing
    self->RunDrained();
  });
}

void Partition::RunDrained() {
  const auto at_work = [this] {
    if (state_ != State::kLeading) return false;
    if (!pending_.empty() || log_->dirty()) return true;
    // What cannot be written although there is a place for it (a full disk) is not waited for.
    const bool gaps_due = missed_ > 0 || !pending_gaps_.empty();
    return gaps_due && !log_->CanAppend(limits::kBatchTargetBytes);
  };
  if (at_work()) return;
  for (auto& done : std::exchange(drained_, {})) done();
}

void Partition::Close(const absl::Status& why) {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  why_ = why;
  feed_.reset();
  pending_.clear();
  acks_.Abandon();
  watch_.EndAll(why);
  readers_.clear();
  if (log_) {
    log_->SetReady(nullptr);
    log_->Trim();
  }
  replica_.reset();
  log_.reset();
}

void Partition::FailOpening(absl::Status why) {
  if (state_ == State::kClosed) return;
  state_ = State::kFailed;
  why_ = std::move(why);
  LogError("stream ", options_.stream, " partition ", options_.key.partition,
           " cannot be opened: ", why_.message());
}

void Partition::Fail(const absl::Status& why) {
  if (state_ != State::kLeading) return;
  state_ = State::kFailed;
  why_ = why;
  LogError("stream ", options_.stream, " partition ", options_.key.partition,
           " stops taking messages: ", why.message(), "; it is checked and reopened by itself");
  acks_.Abandon();
  env_.events.OnFailed(options_.key, log_->flushed_end(), why);
  RunDrained();
}

std::optional<RecoveryPoint> Partition::Point() {
  if (state_ != State::kLeading) return std::nullopt;
  return log_->Point();
}

void Partition::Clean() {
  if (state_ == State::kLeading) log_->Clean();
}

void Partition::OnIdleTick() {
  if (state_ != State::kLeading) return;
  if (options_.settings.durability == Durability::kOs) StartFlush();
  if (!appended_since_tick_ && !log_->dirty()) log_->Trim();
  appended_since_tick_ = false;
  log_->CheckFiles(
      [weak = weak_from_this(), log = std::weak_ptr<CommitLog>(log_)](const absl::Status& gone) {
        const std::shared_ptr<Partition> self = weak.lock();
        if (self && self->log_ && self->log_ == log.lock()) self->Fail(gone);
      });
  AppendPending();
}

void Partition::OnDiskSpace() { AppendPending(); }

absl::Status Partition::NotServing() const {
  switch (state_) {
    case State::kOpening:
      return absl::UnavailableError("partition is opening; try again");
    case State::kStandby:
    case State::kClosed:
      return why_;
    case State::kFailed:
      if (log_) return absl::OkStatus();  // what is durable can be read
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
  status.high_watermark = replica_->high_watermark();
  status.last_message_end = log_->last_message_end();
  status.leader_epoch = replica_->epoch();
  status.leader = true;
  const CommitLog::Stat stat = log_->Describe();
  status.bytes = stat.bytes;
  status.segments = stat.segments;
  status.gap_records = stat.gap_records;
  status.messages_in_gaps = stat.messages_in_gaps;
  status.lost_records = stat.lost;
  status.first_received = stat.first_timestamp;
  status.latest_received = std::max(latest_received_, log_->last_timestamp());
  status.messages_received = messages_received_;
  status.messages_refused = messages_refused_;
  if (state_ == State::kFailed)
    status.degraded = Concat("takes no messages: ", FromAbsl(why_.message()));
  if (env_.disk_full)
    status.degraded = "takes no messages: free disk space is below the reserve; free some space";
  if (!listening_.ok()) {
    status.degraded = Concat("does not hear its subject: ", FromAbsl(listening_.message()));
  }
  const auto also = [&status](std::string_view text) {
    if (!status.degraded.empty()) status.degraded += "; ";
    status.degraded += text;
  };
  if (!damage_read_.empty()) also(damage_read_);
  for (const DamagedRange& range : log_->damaged())
    also(Concat("offsets ", range.from, " to ", range.to - 1, " are lost: ", range.cause));
  const Duration ahead = log_->TimestampsAhead();
  if (ahead >= limits::kClockStepNoticed) also(ClockBehind(ahead));
  return status;
}

void Partition::Describe(absl::AnyInvocable<void(absl::StatusOr<PartitionStatus>)> done) {
  env_.log.shard.Post([self = shared_from_this(), done = std::move(done)]() mutable {
    const absl::Status serving = self->NotServing();
    if (!serving.ok()) return done(serving);
    done(self->Status());
  });
}

}  // namespace bascule
