#include "tests/sim/log_world.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "core/base/text.h"
#include "core/wire/record.h"

namespace bascule {
namespace {

constexpr char kDirectory[] = "/data/streams/7/0";
constexpr size_t kReadBytes = 3000;  // several reads per segment

}  // namespace

LogWorld::LogWorld(uint64_t seed, LogWorldOptions options)
    : seed_(seed),
      options_(options),
      rng_(seed),
      scheduler_(clock_, seed + 1),
      shard_(&scheduler_.NewExecutor("shard", {.tells_idle = seed % 2 == 0})),
      pool_(&scheduler_.NewExecutor(
          "pool", {.order = TaskOrder::kAny, .max_delay = std::chrono::milliseconds(2)})),
      fs_(seed + 2),
      budget_(64 * 1024),
      sync_(fs_, *pool_, clock_) {}

LogWorld::~LogWorld() {
  log_.reset();
  scheduler_.DropAll();
}

absl::StatusOr<log::RecoveredLog> LogWorld::TryRecover() {
  return log::RecoverLog(fs_, {kDirectory, StreamId(7), PartitionId(0), point_, known_end_});
}

void LogWorld::Recover() {
  fs_.faults().rates = SimFaultRates{};
  fs_.faults().rates.short_read = options_.short_read;
  absl::StatusOr<log::RecoveredLog> recovered = TryRecover();
  INFO("seed ", seed_, " life ", life_, ": ", recovered.status().ToString());
  REQUIRE(recovered.ok());
  Adopt(*std::move(recovered));
}

void LogWorld::RecoverThroughCrashes(int crashes) {
  for (int i = 0; i < crashes; ++i) {
    fs_.faults().PowerOffAfter(1 + rng_.Below(12));
    const absl::StatusOr<log::RecoveredLog> half = TryRecover();
    (void)half;  // done or not: the power goes now
    fs_.Crash(rng_);
  }
  Recover();
}

void LogWorld::Adopt(log::RecoveredLog recovered) {
  ++life_;
  failed_ = false;
  known_end_.reset();
  if (!damaged_) {
    INFO("seed ", seed_, " life ", life_);
    CHECK(recovered.damaged.empty());
  }
  known_damage_ = recovered.damaged;
  said_lost_.clear();
  log::LogOptions log_options;
  log_options.directory = kDirectory;
  log_options.stream = StreamId(7);
  log_options.limits.segment_max_bytes = options_.segment_bytes;
  log_options.preallocate = options_.preallocate;
  log_options.limits.retention.max_messages = options_.retention_messages;
  log_ = log::CommitLog::Create({fs_, clock_, *shard_, *pool_, budget_}, log_options,
                                std::move(recovered));
  const Offset end = log_->log_end();
  INFO("seed ", seed_, " life ", life_, " end ", end.value(), " durable before ",
       durable_end_.value());
  if (damaged_) {
    if (point_) CHECK(end >= point_->active.end_offset);
  } else {
    CHECK(end >= durable_end_);
  }
  if (!told_.empty()) CHECK(end <= std::prev(told_.end())->first + 1);
  const Offset start = log_->log_start();
  CHECK((start == Offset(0) || options_.retention_messages > 0));
  CheckAgainstModel(ReadForward(start, end), start, end);
  // What recovery kept is durable; what it cut will be told anew.
  told_.erase(told_.lower_bound(end), told_.end());
  durable_end_ = end;
  fs_.faults().rates.write = options_.write_error;
  fs_.faults().rates.sync = options_.sync_error;
  fs_.faults().rates.sync_dir = options_.sync_dir_error;
  fs_.faults().rates.no_wait_unavailable = options_.no_wait_miss;
}

void LogWorld::AppendOne() {
  const size_t bound = 8 * (options_.max_value + 64) + 4096;
  if (failed_ || !log_->CanAppend(bound)) return;
  const Timestamp now = std::max(clock_.Wall(), log_->last_timestamp());
  if (log_->ShouldRoll() && !log_->Roll().ok()) return;
  wire::BatchBuilder builder;
  const bool first = log_->log_end() == log_->active_base();
  builder.Begin(log_->log_end(), LeaderEpoch(life_), now, log_->flushed_end(),
                first ? wire::kFirstOfSegment : 0);
  std::map<Offset, Told> telling;
  for (uint64_t n = 1 + rng_.Below(8); n > 0; --n) {
    std::string value =
        Concat("seed ", seed_, " life ", life_, " offset ", builder.next_offset(), " ");
    value.append(rng_.Below(options_.max_value), static_cast<char>('a' + rng_.Below(26)));
    std::string body;
    wire::AppendValue(body, value);
    telling[builder.next_offset()] = {std::move(value), now};
    builder.Add(body);
  }
  if (log_->Append(builder.Finish(clock_.Wall())).ok())
    told_.insert(telling.begin(), telling.end());
}

void LogWorld::StartFlush() {
  if (failed_) return;
  auto ticket = log_->TakeFlush();
  if (!ticket) return;
  sync_.Flush(*std::move(ticket), *shard_,
              [this, log = log_](const log::FlushTicket& done, const absl::Status& status) {
                if (log != log_ || failed_) return;
                if (log_->FlushDone(done, status).ok()) {
                  durable_end_ = std::max(durable_end_, log_->flushed_end());
                  CheckFlushed();
                } else {
                  failed_ = true;  // as a partition does: nothing more until it is reopened
                }
              });
}

// What FlushDone called durable is on the simulated disk, byte for byte.
void LogWorld::CheckFlushed() {
  const log::SegmentFooter active = log_->Point().active;
  const std::string path = JoinPath(kDirectory, log::SegmentFileName(active.base_offset));
  const size_t end = active.data_end.value();
  INFO("seed ", seed_, " life ", life_, " flushed to ", active.end_offset.value());
  REQUIRE(fs_.DurableBytes(path).substr(0, end) == fs_.VisibleBytes(path).substr(0, end));
}

// As RecoveryPointWriter does, without its file.
void LogWorld::SavePoint() {
  if (!failed_) point_ = log_->Point();
}

void LogWorld::Live(int steps) {
  for (int i = 0; i < steps; ++i) {
    switch (rng_.Below(12)) {
      case 0:
      case 1:
      case 2:
      case 3:
        AppendOne();
        break;
      case 4:
      case 5:
        StartFlush();
        break;
      case 6:
        SavePoint();
        break;
      case 7:
        scheduler_.RunFor(std::chrono::microseconds(rng_.Below(3000)));
        break;
      case 8:
        if (rng_.Below(4) == 0) log_->Trim();
        break;
      case 9:
        log_->Clean();
        break;
      default:
        scheduler_.Step();
        break;
    }
    if (failed_ && !log_->busy()) {
      // The partition reopens its log and trusts nothing behind its last good sync.
      known_end_ = log::KnownEnd{log_->flushed_end(), log_->flushed_end()};
      log_.reset();
      scheduler_.RunUntilIdle();
      Recover();
    }
  }
}

void LogWorld::Crash() {
  log_.reset();
  scheduler_.DropAll();
  fs_.Crash(rng_);
}

void LogWorld::Kill() {
  log_.reset();
  scheduler_.DropAll();
  fs_.Kill();
}

void LogWorld::FlipRandomBit() {
  const auto entries = fs_.List(kDirectory);
  REQUIRE(entries.ok());
  if (entries->empty()) return;
  const std::string path = JoinPath(kDirectory, (*entries)[rng_.Below(entries->size())].name);
  const size_t bytes = fs_.DurableBytes(path).size();
  if (bytes > 0) fs_.FlipBit(path, rng_.Below(bytes), static_cast<int>(rng_.Below(8)));
}

void LogWorld::LoseRandomSegment() {
  const auto entries = fs_.List(kDirectory);
  REQUIRE(entries.ok());
  std::vector<std::string> segments;
  for (const DirectoryEntry& entry : *entries) {
    if (log::ParseSegmentFileName(entry.name)) segments.push_back(entry.name);
  }
  REQUIRE(fs_.Remove(JoinPath(kDirectory, segments[rng_.Below(segments.size())])).ok());
  REQUIRE(fs_.SyncDir(kDirectory).ok());
}

absl::StatusOr<log::SegmentReadResult> LogWorld::ReadStep(Offset from, bool reverse,
                                                          log::ReadPlace& place) {
  ASSIGN_OR_RETURN(log::CommitLog::ReadStep step,
                   log_->Read(from, log_->log_end(), reverse, kReadBytes, place));
  if (step.result) return *std::move(step.result);
  ASSIGN_OR_RETURN(log::SegmentReadResult result,
                   log::ReadSegment(fs_, *step.plan, log::ReadWait::kWait));
  log_->NoteRead(*step.plan, result, place);
  return result;
}

std::map<Offset, LogWorld::Told> LogWorld::ReadForward(Offset from, Offset to) {
  std::map<Offset, Told> read;
  log::ReadPlace place;
  Offset at = std::max(from, log_->log_start());
  while (at < to) {
    absl::StatusOr<log::SegmentReadResult> step = ReadStep(at, false, place);
    if (absl::IsDataLoss(step.status()) && damaged_) {
      said_lost_.insert(at);
      at += 1;  // said so; what lies behind must still be readable
      continue;
    }
    INFO("seed ", seed_, " life ", life_, " at ", at.value(), ": ", step.status().ToString());
    REQUIRE(step.ok());
    std::string_view rest = step->batches.view();
    while (!rest.empty()) {
      wire::BatchHeader header;
      std::string_view payload;
      REQUIRE(wire::ParseBatch(rest, header, payload) == wire::BatchParse::kOk);
      rest.remove_prefix(header.total_bytes());
      wire::RecordCursor cursor(payload);
      std::string_view bytes;
      wire::RecordView record;
      while (cursor.Next(bytes)) {
        REQUIRE(wire::ParseRecord(bytes, record));
        if (record.offset >= at)
          read[record.offset] = {std::string(record.value.value_or("")), record.timestamp};
      }
    }
    REQUIRE(step->next > at);
    at = step->next;
  }
  return read;
}

void LogWorld::CheckAgainstModel(const std::map<Offset, Told>& read, Offset from, Offset to) {
  for (auto it = told_.lower_bound(from); it != told_.end() && it->first < to; ++it) {
    const auto found = read.find(it->first);
    INFO("seed ", seed_, " life ", life_, " offset ", it->first.value());
    if (found == read.end() && damaged_) {
      REQUIRE(said_lost_.contains(it->first));  // never in silence
      continue;
    }
    REQUIRE(found != read.end());
    REQUIRE(found->second.value == it->second.value);
    REQUIRE(found->second.timestamp == it->second.timestamp);
  }
  INFO("seed ", seed_, " life ", life_);
  for (const auto& [offset, told] : read) REQUIRE(told_.contains(offset));
}

void LogWorld::CheckReads() {
  const Offset end = log_->log_end();
  const Offset start = log_->log_start();
  if (end == start) return;
  const Offset from = start + static_cast<int64_t>(rng_.Below(static_cast<uint64_t>(end - start)));
  CheckAgainstModel(ReadForward(from, end), from, end);
  if (damaged_) return;
  // Backwards: every offset, descending.
  Offset expect = from;
  log::ReadPlace place;
  while (expect >= start) {
    const absl::StatusOr<log::SegmentReadResult> step = ReadStep(expect, true, place);
    INFO("seed ", seed_, " life ", life_, " at ", expect.value(), ": ", step.status().ToString());
    REQUIRE(step.ok());
    wire::BatchHeader header;
    std::string_view payload;
    REQUIRE(wire::ParseBatch(step->batches.view(), header, payload) == wire::BatchParse::kOk);
    REQUIRE(header.base_offset <= expect);
    REQUIRE(step->next == header.base_offset - 1);
    expect = step->next;
  }
  // By time: the first offset that was told at or after the time of `from`.
  const auto told = told_.find(from);
  REQUIRE(told != told_.end());
  const Timestamp time = told->second.timestamp;
  const auto first = std::find_if(told_.lower_bound(start), told_.end(),
                                  [&](const auto& t) { return t.second.timestamp >= time; });
  const auto plan = log_->PlanFindTimestamp(time);
  REQUIRE(plan.has_value());
  const absl::StatusOr<Offset> found = log::FindTimestamp(fs_, *plan, time);
  REQUIRE(found.ok());
  CHECK(*found == first->first);
}

}  // namespace bascule
