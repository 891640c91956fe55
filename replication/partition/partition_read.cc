// The reading half of Partition: positions to offsets, and reads.
#include <algorithm>
#include <limits>

#include "core/base/check.h"
#include "core/base/text.h"
#include "replication/partition/partition.h"

namespace bascule::partition {
namespace {

constexpr int kMaxFindRetries = 100;

}  // namespace

void Partition::Locate(const StartPosition& start, const StopPosition& stop, Direction direction,
                       LocateDone done) {
  env_.log.shard.Post(
      [self = shared_from_this(), start, stop, direction, done = std::move(done)]() mutable {
        self->DoLocate(start, stop, direction, std::move(done));
      });
}

void Partition::DoLocate(const StartPosition& start, const StopPosition& stop, Direction direction,
                         LocateDone done) {
  const bool elsewhere =
      state_ == State::kStandby || state_ == State::kDeposed || state_ == State::kFollowing;
  if (elsewhere && !start.any_replica)
    return done(absl::FailedPreconditionError("Server not partition leader"));
  if (const absl::Status serving = NotServing(start.any_replica); !serving.ok())
    return done(serving);
  WithTimestamps(start, stop,
                 [self = shared_from_this(), log = log_, cuts = log_->cuts(), start, stop,
                  direction, done = std::move(done)](absl::StatusOr<Offset> start_by_time,
                                                     absl::StatusOr<Offset> stop_by_time) mutable {
                   // The role may have ended meanwhile.
                   if (const absl::Status serving = self->NotServing(start.any_replica);
                       !serving.ok())
                     return done(serving);
                   if (!self->log_) return done(self->why_);
                   // What was found was cut, and something else stands there.
                   if (self->log_ != log || log->cuts() != cuts)
                     return self->DoLocate(start, stop, direction, std::move(done));
                   if (!start_by_time.ok()) return done(start_by_time.status());
                   if (!stop_by_time.ok()) return done(stop_by_time.status());
                   done(self->Range(start, stop, direction, *start_by_time, *stop_by_time));
                 });
}

// Looks up what is asked for by time; log_end() stands in for what is not.
void Partition::WithTimestamps(
    const StartPosition& start, const StopPosition& stop,
    absl::AnyInvocable<void(absl::StatusOr<Offset>, absl::StatusOr<Offset>)> then) {
  auto find_stop = [self = shared_from_this(), stop,
                    then = std::move(then)](absl::StatusOr<Offset> found) mutable {
    if (stop.kind != StopPosition::Kind::kTimestamp || !self->log_) return then(found, Offset());
    // Nothing is newer than the end of time.
    constexpr Timestamp kLast(std::numeric_limits<int64_t>::max());
    if (stop.timestamp == kLast) return then(found, self->log_->log_end());
    self->FindOffset(stop.timestamp + 1,
                     [found, then = std::move(then)](absl::StatusOr<Offset> stop_found) mutable {
                       then(std::move(found), std::move(stop_found));
                     });
  };
  if (start.kind != StartPosition::Kind::kTimestamp) return find_stop(Offset());
  FindOffset(start.timestamp, std::move(find_stop));
}

// What a read found stays visible in the partition's state, not only to the reader who met it.
absl::Status Partition::NoteDamage(absl::Status status) {
  if (absl::IsDataLoss(status)) damage_read_ = std::string(status.message());
  return status;
}

// The first offset with a timestamp >= `timestamp`; log_end() when every record is older.
void Partition::FindOffset(Timestamp timestamp,
                           absl::AnyInvocable<void(absl::StatusOr<Offset>)> then) {
  std::optional<log::SegmentReadPlan> plan = log_->PlanFindTimestamp(timestamp);
  if (!plan) return then(log_->log_end());
  env_.log.disk_pool.Post([self = shared_from_this(), plan = *std::move(plan), timestamp,
                           then = std::move(then)]() mutable {
    absl::StatusOr<Offset> found =
        log::FindTimestamp(self->env_.log.fs, std::move(plan), timestamp);
    self->env_.log.shard.Post(
        [self, timestamp, found = std::move(found), then = std::move(then)]() mutable {
          // The segment went meanwhile: retention.
          const bool gone = absl::IsNotFound(found.status()) && self->log_ != nullptr;
          if (gone && self->find_retries_++ < kMaxFindRetries)
            return self->FindOffset(timestamp, std::move(then));
          self->find_retries_ = 0;
          // A file that vanished by itself; to a client "not found" would mean a deleted stream.
          if (absl::IsNotFound(found.status())) {
            found = absl::DataLossError(found.status().message());
          }
          if (!found.ok()) found = self->NoteDamage(found.status());
          then(std::move(found));
        });
  });
}

// Nobody starts past it. A new leader knows less to be committed than subscribers may have been shown by the one
// before it: what its log held at first comes to be committed, or its reign ends. A follower lags: whoever names an
// offset to it was shown the one before by somebody.
Offset Partition::StartLimit() const {
  if (state_ == State::kFollowing) return Offset(std::numeric_limits<int64_t>::max());
  return std::max(Committed(), inherited_end_);
}

absl::StatusOr<ReadRange> Partition::Range(const StartPosition& start, const StopPosition& stop,
                                           Direction direction, Offset start_by_time,
                                           Offset stop_by_time) const {
  const Offset oldest = log_->log_start();
  const Offset end = log_->log_end();
  const bool empty = oldest == end;
  Offset from;
  switch (start.kind) {
    case StartPosition::Kind::kNewOnly:
      from = end;
      break;
    case StartPosition::Kind::kOffset:
      from = Offset(std::max<int64_t>(start.offset, 0));
      break;
    case StartPosition::Kind::kEarliest:
      from = oldest;
      break;
    case StartPosition::Kind::kLatest:
      from = empty ? end : std::max(oldest, log_->last_message_end() - 1);
      break;
    case StartPosition::Kind::kTimestamp:
      from = start_by_time;
      break;
  }
  // A lost beginning is none of what retention took: the log begins with it, and the read says what is missing.
  if (direction == Direction::kForward) from = std::max(from, oldest);
  std::optional<Offset> last;
  switch (stop.kind) {
    case StopPosition::Kind::kOnCancel:
      break;
    case StopPosition::Kind::kOffset:
      if (stop.offset != -1) last = Offset(stop.offset);
      break;
    case StopPosition::Kind::kLatest:
      if (empty) return absl::ResourceExhaustedError("Stream is empty");
      last = end - 1;
      break;
    case StopPosition::Kind::kTimestamp:
      if (empty) {
        return absl::InternalError(
            "Failed to lookup offset for timestamp: failed to find log segment for timestamp: EOF");
      }
      if (stop_by_time <= oldest) {
        return absl::InternalError(
            "Failed to lookup offset for timestamp: timestamp is before the beginning of the log");
      }
      last = stop_by_time - 1;
      break;
  }
  if (last && *last < from) {
    return absl::InvalidArgumentError(
        Concat("Stop offset is before start offset: ", *last, " < ", from));
  }
  const Offset committed = Committed();
  if (direction == Direction::kForward) return ReadRange{std::min(from, StartLimit()), last};
  if (committed == oldest)
    return absl::InternalError("Failed to create stream reader: segment not found");
  from = std::min(from, committed - 1);
  // Downwards only a stop at the start itself can be met.
  if (last && *last != from) last.reset();
  return ReadRange{from, last};
}

void Partition::Read(const ReadRequest& request, ReadDone done) {
  env_.log.shard.Post([self = shared_from_this(), request, done = std::move(done)]() mutable {
    self->DoRead(request, std::move(done));
  });
}

void Partition::CancelRead(ReaderId reader) {
  env_.log.shard.Post([self = shared_from_this(), reader] {
    self->watch_.Cancel(reader);
    self->readers_.erase(reader);
  });
}

void Partition::DoRead(const ReadRequest& request, ReadDone done) {
  if (const absl::Status serving = NotServing(request.any_replica); !serving.ok())
    return done(serving);
  const bool reverse = request.direction == Direction::kReverse;
  const Offset committed = Committed();
  if (!readers_.contains(request.reader) &&
      readers_.size() >= limits::kMaxSubscribersPerPartition) {
    return done(absl::ResourceExhaustedError(Concat(
        "partition has its limit of ", limits::kMaxSubscribersPerPartition, " subscribers")));
  }
  Reader& reader = readers_[request.reader];
  if (!reverse && request.from >= committed) {
    // By our own watch: it must not keep us.
    watch_.Wait(request.reader, request.from,
                [weak = weak_from_this(), request,
                 done = std::move(done)](const absl::Status& woken) mutable {
                  if (!woken.ok()) return done(woken);
                  if (const auto self = weak.lock()) self->DoRead(request, std::move(done));
                });
    return;
  }
  absl::StatusOr<log::CommitLog::ReadStep> step =
      log_->Read(request.from, committed, reverse, request.max_bytes, reader.place);
  if (!step.ok()) return done(NoteDamage(step.status()));
  if (step->result) return FinishRead(request, *std::move(step->result), std::move(done));
  env_.log.disk_pool.Post([self = shared_from_this(), log = log_, plan = *std::move(step->plan),
                           request, done = std::move(done)]() mutable {
    absl::StatusOr<log::SegmentReadResult> result =
        ReadSegment(self->env_.log.fs, plan, log::ReadWait::kWait);
    self->env_.log.shard.Post([self, log = std::move(log), plan = std::move(plan), request,
                               result = std::move(result), done = std::move(done)]() mutable {
      // Reopened meanwhile: what the old files said counts no more.
      if (self->log_ != log && self->NotServing(request.any_replica).ok() &&
          self->readers_.contains(request.reader))
        return self->DoRead(request, std::move(done));
      if (absl::IsNotFound(result.status()) && self->log_ == log) {
        // Retention was faster: on with the oldest. A file that vanished by itself is lost data.
        if (log->log_start() > plan.footer.base_offset)
          return self->DoRead(request, std::move(done));
        result = absl::DataLossError(Concat(plan.path, " is missing; restore it from a copy"));
      }
      if (!result.ok()) return done(self->NoteDamage(result.status()));
      if (const absl::Status serving = self->NotServing(request.any_replica); !serving.ok())
        return done(serving);
      // Gone meanwhile: going on would bring it back, and park it for ever.
      const auto reader_here = self->readers_.find(request.reader);
      if (reader_here == self->readers_.end())
        return done(absl::CancelledError("the reader has gone"));
      log->NoteRead(plan, *result, reader_here->second.place);
      self->FinishRead(request, *std::move(result), std::move(done));
    });
  });
}

void Partition::FinishRead(const ReadRequest& request, log::SegmentReadResult result,
                           ReadDone done) {
  const bool reverse = request.direction == Direction::kReverse;
  if (result.batches.empty()) {
    // The segment held nothing there (compacted away): on to the next one.
    ReadRequest next = request;
    BASCULE_CHECK(reverse ? result.next < request.from : result.next > request.from);
    next.from = result.next;
    return DoRead(next, std::move(done));
  }
  done(ReadChunk{std::move(result.batches), result.next, Committed()});
}

void Partition::ListGaps(Offset from, size_t most, GapsDone done) {
  env_.log.shard.Post([self = shared_from_this(), from, most, done = std::move(done)]() mutable {
    self->DoListGaps(from, most, std::move(done));
  });
}

void Partition::DoListGaps(Offset from, size_t most, GapsDone done) {
  if (const absl::Status serving = NotServing(/*any_replica=*/true); !serving.ok())
    return done(serving);
  std::optional<log::SegmentReadPlan> plan = log_->PlanFindGaps(from, Committed());
  if (!plan) return done(GapPage{});
  env_.log.disk_pool.Post([self = shared_from_this(), log = log_, plan = *std::move(plan), most,
                           done = std::move(done)]() mutable {
    absl::StatusOr<log::FoundGaps> found = log::FindGaps(self->env_.log.fs, plan, most);
    self->env_.log.shard.Post([self, log = std::move(log), plan = std::move(plan), most,
                               found = std::move(found), done = std::move(done)]() mutable {
      // Reopened meanwhile, or retention was faster.
      const bool gone = absl::IsNotFound(found.status()) && self->log_ == log &&
                        log->log_start() > plan.footer.base_offset;
      if (self->log_ != log || gone) return self->DoListGaps(plan.from, most, std::move(done));
      if (const absl::Status serving = self->NotServing(true); !serving.ok()) return done(serving);
      // A file that vanished by itself; to a client "not found" would mean a deleted stream.
      if (absl::IsNotFound(found.status())) found = absl::DataLossError(found.status().message());
      if (!found.ok()) return done(self->NoteDamage(found.status()));
      GapPage page;
      for (const log::FoundGaps::Gap& gap : found->gaps) {
        const wire::GapRecord& record = gap.record;
        page.gaps.push_back(
            {gap.offset, {record.from, record.to, ToGapReason(record.reason), record.count}});
      }
      if (self->log_->PlanFindGaps(found->next, self->Committed())) page.next = found->next;
      done(std::move(page));
    });
  });
}

}  // namespace bascule::partition
