#include "core/log/commit_log.h"

#include <doctest/doctest.h>

#include "tests/unit/log_files.h"

namespace bascule::log {
namespace {

using std::chrono::milliseconds;

using Strings = std::vector<std::string>;

TEST_CASE("what is appended is readable at once and durable after the flush") {
  LogAtWork world;
  CommitLog& log = world.Open();
  CHECK(log.last_message_end() == Offset(0));
  CHECK_FALSE(log.TakeFlush());
  REQUIRE(world.Append({"a", "b"}).ok());
  REQUIRE(world.Append({"c"}).ok());
  CHECK(log.log_end() == Offset(3));
  CHECK(log.flushed_end() == Offset(0));
  CHECK(log.last_message_end() == Offset(3));
  CHECK(log.last_timestamp() == world.clock.Wall());
  const auto all = world.ReadAll(Offset(0));
  REQUIRE(all.ok());
  REQUIRE(all->size() == 3);
  CHECK((*all)[1] == ReadMessage{Offset(1), world.clock.Wall() - 1, "b"});
  REQUIRE(world.Flush().ok());
  CHECK(log.flushed_end() == Offset(3));
  CHECK_FALSE(log.dirty());
  const std::string path = LogPath(Offset(0));
  CHECK(world.fs.DurableBytes(path) == world.fs.VisibleBytes(path));
}

TEST_CASE("appends go on while a flush runs; it covers what came before it, no more") {
  LogAtWork world;
  CommitLog& log = world.Open();
  REQUIRE(world.AppendMany(2).ok());
  const auto first = log.TakeFlush();
  REQUIRE(first);
  CHECK(log.busy());
  REQUIRE(world.AppendMany(1).ok());
  CHECK_FALSE(log.TakeFlush());  // one at a time
  REQUIRE(log.FlushDone(*first, absl::OkStatus()).ok());
  CHECK(log.flushed_end() == Offset(2));
  CHECK(log.Point().active.end_offset == Offset(2));
  REQUIRE(world.Flush().ok());
  CHECK(log.flushed_end() == Offset(3));
}

TEST_CASE("a failing sync moves nothing") {
  LogAtWork world;
  world.Open();
  REQUIRE(world.AppendMany(2).ok());
  world.fs.faults().FailAfter(1, kSync, absl::StatusCode::kInternal);
  CHECK(absl::IsInternal(world.Flush()));
  CHECK(world.log->flushed_end() == Offset(0));
  CHECK(world.log->Point().active.end_offset == Offset(0));
  CHECK_FALSE(world.log->busy());
}

TEST_CASE("a failing sync of the directory fails the flush after a roll") {
  LogAtWork world;
  world.Open();
  REQUIRE(world.AppendMany(2).ok());
  REQUIRE(world.log->Roll().ok());
  REQUIRE(world.AppendMany(1).ok());
  world.fs.faults().FailAfter(1, kSyncDir, absl::StatusCode::kInternal);
  CHECK(absl::IsInternal(world.Flush()));
  CHECK(world.log->flushed_end() == Offset(0));
  world.scheduler.RunUntilIdle();
  CHECK(ReadFooter(**world.fs.Open(LogPath(Offset(0)), OpenMode::kRead),
                   world.fs.VisibleBytes(LogPath(Offset(0))).size())
            .status()
            .code() == absl::StatusCode::kNotFound);
}

TEST_CASE("a log rolls by bytes, and never an empty segment") {
  LogAtWork world(/*segment_bytes=*/2000);
  CommitLog& log = world.Open();
  CHECK_FALSE(log.ShouldRoll());
  int batches = 0;
  while (!log.ShouldRoll()) {
    REQUIRE(world.AppendMany(1, 200).ok());
    ++batches;
  }
  CHECK(log.Describe().bytes >= 2000);
  CHECK(log.Describe().bytes < 2400);
  REQUIRE(log.Roll().ok());
  CHECK(log.active_base() == Offset(batches));
  CHECK_FALSE(log.ShouldRoll());
  CHECK(log.Describe().segments == 2);
}

TEST_CASE("a log rolls by the age of its segment's first record; Clean does it too") {
  LogAtWork world;
  world.options.limits.segment_max_age = milliseconds(100);
  CommitLog& log = world.Open();
  world.clock.Advance(milliseconds(500));
  log.Clean();
  CHECK(log.Describe().segments == 1);  // empty: nothing grows old
  REQUIRE(world.AppendMany(1).ok());
  world.clock.Advance(milliseconds(60));
  REQUIRE(world.AppendMany(1).ok());
  log.Clean();
  CHECK(log.Describe().segments == 1);
  world.clock.Advance(milliseconds(40));
  log.Clean();
  CHECK(log.Describe().segments == 2);
  CHECK(log.active_base() == Offset(2));
}

TEST_CASE("what retention took from an idle log is no file that vanished to the next flush") {
  LogAtWork world;
  world.options.limits.segment_max_age = milliseconds(100);
  world.options.limits.retention.max_age = milliseconds(1000);
  CommitLog& log = world.Open();
  for (int round = 0; round < 2; ++round) {
    REQUIRE(world.AppendMany(2).ok());
    REQUIRE(world.Flush().ok());
    world.clock.Advance(milliseconds(200));
    log.Clean();  // rolls; nothing is dirty
    world.scheduler.RunUntilIdle();
    CHECK(log.Describe().segments == 2);
    world.clock.Advance(milliseconds(2000));
    log.Clean();
    world.scheduler.RunUntilIdle();
    CHECK(log.Describe().segments == 1);
    CHECK(log.log_start() == log.log_end());
  }
  REQUIRE(world.AppendMany(1).ok());
  CHECK(world.Flush().ok());
  CHECK(log.trust().ok());
  CHECK(log.flushed_end() == Offset(5));
}

TEST_CASE("a rolled segment is sealed only behind the flush that made it durable") {
  LogAtWork world;
  CommitLog& log = world.Open();
  REQUIRE(world.AppendMany(3).ok());
  REQUIRE(log.Roll().ok());
  REQUIRE(world.AppendMany(1).ok());
  world.scheduler.RunUntilIdle();
  const std::string path = LogPath(Offset(0));
  const size_t data = world.fs.VisibleBytes(path).size();
  CHECK(world.fs.HasUnsyncedBytes(path));
  log.Point();
  REQUIRE(world.Flush().ok());
  CHECK(world.fs.DurableBytes(path).size() > data);
  size_t needed = 0;
  const std::string bytes = world.fs.DurableBytes(path);
  const auto footer = ParseFooter(bytes, bytes.size(), needed);
  REQUIRE(footer.ok());
  CHECK(footer->end_offset == Offset(3));
  CHECK(footer->record_count == 3);
  CHECK_FALSE(world.fs.Exists(IndexPath(Offset(0))));  // its index is inside now
  CHECK(world.ReadAll(Offset(0))->size() == 4);
}

TEST_CASE("a segment that cannot be sealed stays readable, and the next start seals it") {
  LogAtWork world;
  world.Open();
  REQUIRE(world.AppendMany(3).ok());
  REQUIRE(world.log->Roll().ok());
  REQUIRE(world.AppendMany(1).ok());
  world.fs.faults().FailAfter(1, kWrite, absl::StatusCode::kInternal);
  REQUIRE(world.Flush().ok());
  CHECK(world.ReadAll(Offset(0))->size() == 4);
  world.log.reset();
  world.Open();
  CHECK(world.log->damaged().empty());
  CHECK(world.ReadAll(Offset(0))->size() == 4);
  const std::string bytes = world.fs.DurableBytes(LogPath(Offset(0)));
  size_t needed = 0;
  CHECK(ParseFooter(bytes, bytes.size(), needed).ok());
}

TEST_CASE("what was flushed survives a crash with everything unsynced lost") {
  LogAtWork world(/*segment_bytes=*/1000);
  world.Open();
  for (int i = 0; i < 30; ++i) {
    if (world.log->ShouldRoll()) REQUIRE(world.log->Roll().ok());
    REQUIRE(world.AppendMany(1, 200).ok());
  }
  REQUIRE(world.Flush().ok());
  REQUIRE(world.AppendMany(5).ok());
  world.log.reset();
  SimRng rng(1);
  world.fs.Crash(rng, {UnsyncedFate::kLost, EntryFate::kLost});
  world.Open();
  CHECK(world.log->log_end() == Offset(30));
  CHECK(world.log->Describe().messages == 30);
  CHECK(world.ReadAll(Offset(0))->size() == 30);
}

TEST_CASE("no space at an append: the log is as before, and heals") {
  LogAtWork world;
  world.Open();
  REQUIRE(world.AppendMany(2).ok());
  world.fs.SetCapacity(world.fs.VisibleBytes(LogPath(Offset(0))).size() + 50);
  const absl::Status full = world.AppendMany(1, 500);
  CHECK(absl::IsResourceExhausted(full));
  CHECK(full.ToString().find(LogPath(Offset(0))) != std::string::npos);
  CHECK(world.log->log_end() == Offset(2));
  CHECK(world.ReadAll(Offset(0))->size() == 2);
  world.fs.SetCapacity(1 << 20);
  REQUIRE(world.AppendMany(1).ok());
  REQUIRE(world.Flush().ok());
  world.log.reset();
  world.Open();
  CHECK(world.ReadAll(Offset(0))->size() == 3);
}

TEST_CASE("no space at a roll: the log goes on in the old segment, and the next roll succeeds") {
  for (const SimOp op : {kOpen, kWrite}) {
    LogAtWork world;
    world.Open();
    REQUIRE(world.AppendMany(2).ok());
    world.fs.faults().FailAfter(1, op, absl::StatusCode::kResourceExhausted);
    CHECK(absl::IsResourceExhausted(world.log->Roll()));
    CHECK(world.log->active_base() == Offset(0));
    CHECK(world.Files() == Strings{SegmentFileName(Offset(0))});
    REQUIRE(world.AppendMany(1).ok());
    REQUIRE(world.log->Roll().ok());
    REQUIRE(world.AppendMany(1).ok());
    REQUIRE(world.Flush().ok());
    CHECK(world.ReadAll(Offset(0))->size() == 4);
  }
}

TEST_CASE("the recovery point tells the next start where to begin") {
  LogAtWork world;
  world.Open();
  REQUIRE(world.AppendMany(200, 1000).ok());
  REQUIRE(world.Flush().ok());
  const RecoveryPoint point = world.log->Point();
  REQUIRE(world.AppendMany(3).ok());
  REQUIRE(world.Flush().ok());
  CHECK(point.active.end_offset == Offset(200));
  REQUIRE(world.fs.Exists(IndexPath(Offset(0))));
  const std::string index = world.fs.VisibleBytes(IndexPath(Offset(0)));
  CHECK(index.size() / kIndexEntryBytes >= 5);
  CHECK(ParseIndexEntry(index)->offset == Offset(0));
  world.log.reset();
  world.Open(point);
  CHECK(world.log->log_end() == Offset(203));
  CHECK(world.log->Describe().messages == 203);
}

TEST_CASE("gap records take offsets, are counted, and are no messages") {
  LogAtWork world;
  world.Open();
  REQUIRE(world.AppendMany(1).ok());
  REQUIRE(world.log->Append(GapBatch(Offset(1), 12)).ok());
  REQUIRE(world.log->Append(GapBatch(Offset(2), -1)).ok());
  CHECK(world.log->log_end() == Offset(3));
  CHECK(world.log->last_message_end() == Offset(1));
  CHECK(world.log->Describe().messages == 1);
  CHECK(world.log->Describe().gap_records == 2);
  CHECK(world.log->Describe().messages_in_gaps == 12);
  REQUIRE(world.Flush().ok());
  world.log.reset();
  world.Open();
  CHECK(world.log->last_message_end() == Offset(1));
  CHECK(world.log->Describe().messages_in_gaps == 12);
  REQUIRE(world.log->Roll().ok());  // an empty active segment knows no message: the one before does
  CHECK(world.log->last_message_end() == Offset(1));
}

// --- preallocation ---

TEST_CASE("zeros are laid ahead of the data; an append waits only where they are being laid") {
  LogAtWork world;
  world.options.preallocate = true;
  int ready = 0;
  world.Open();
  world.log->SetReady([&] { ++ready; });
  CHECK(world.log->CanAppend(1 << 20));
  REQUIRE(world.AppendMany(1).ok());
  CHECK(world.log->busy());
  CHECK(world.log->CanAppend(1000));           // before the first page that is being zeroed
  CHECK_FALSE(world.log->CanAppend(100'000));  // into it
  CHECK_FALSE(world.log->ShouldRoll());
  world.scheduler.RunUntilIdle();
  CHECK(ready == 1);
  CHECK(world.log->CanAppend(100'000));
  const std::string path = LogPath(Offset(0));
  CHECK(world.fs.DurableBytes(path).size() >= limits::kPreallocateMinBytes);
  REQUIRE(world.AppendMany(1).ok());
  CHECK_FALSE(world.log->busy());  // enough is ahead
  REQUIRE(world.Flush().ok());
  world.log->Trim();
  CHECK(world.fs.VisibleBytes(path).size() == world.log->Point().active.data_end.value());
  CHECK(world.ReadAll(Offset(0))->size() == 2);
  REQUIRE(world.AppendMany(1).ok());
  world.scheduler.RunUntilIdle();
  CHECK(world.fs.VisibleBytes(path).size() >= limits::kPreallocateMinBytes);
  CHECK(world.ReadAll(Offset(0))->size() == 3);
}

TEST_CASE("no space for zeros: appends go on without them") {
  LogAtWork world;
  world.options.preallocate = true;
  world.Open();
  world.fs.SetCapacity(20'000);
  REQUIRE(world.AppendMany(1).ok());
  world.scheduler.RunUntilIdle();
  CHECK_FALSE(world.log->busy());
  world.fs.SetCapacity(1 << 20);
  REQUIRE(world.AppendMany(1).ok());
  world.scheduler.RunUntilIdle();
  REQUIRE(world.Flush().ok());
  CHECK(world.ReadAll(Offset(0))->size() == 2);
}

TEST_CASE("a failed sync of zeros fails the flush beside it: it may have dropped data pages too") {
  LogAtWork world;
  world.options.preallocate = true;
  world.Open();
  REQUIRE(world.AppendMany(1).ok());
  world.fs.faults().FailAfter(1, kSync, absl::StatusCode::kInternal);
  const absl::Status status = world.Flush();
  CHECK(absl::IsInternal(status));
  CHECK(world.log->flushed_end() == Offset(0));
}

TEST_CASE("failsync: a log that failed once is failed for good, and only reads go on") {
  for (const bool zeros : {false, true}) {
    LogAtWork world;
    world.options.preallocate = zeros;
    world.Open();
    int ready = 0;
    world.log->SetReady([&] { ++ready; });
    REQUIRE(world.AppendMany(1).ok());
    world.fs.faults().FailAfter(1, kSync, absl::StatusCode::kInternal);
    if (zeros) {
      world.scheduler.RunUntilIdle();  // nobody flushes
      CHECK(ready == 1);
    } else {
      CHECK(absl::IsInternal(world.Flush()));
    }
    CHECK(absl::IsInternal(world.log->trust()));
    const uint64_t changes = world.fs.faults().Calls(kChangingOps);
    CHECK(world.log->dirty());
    CHECK_FALSE(world.log->TakeFlush().has_value());
    CHECK(absl::IsInternal(world.AppendMany(1)));
    CHECK(absl::IsInternal(world.log->Roll()));
    world.log->Clean();
    world.log->Trim();
    CHECK(world.log->Point().active.end_offset == Offset(0));
    world.scheduler.RunUntilIdle();
    CHECK(world.fs.faults().Calls(kChangingOps) == changes);
    CHECK(world.log->log_end() == Offset(1));
    CHECK(world.log->flushed_end() == Offset(0));
  }
}

TEST_CASE("a segment whose sealing failed is sealed by the next cleaning; the log stays trusted") {
  for (const SimOp op : {kSync, kWrite}) {
    LogAtWork world;
    world.Open();
    const std::string path = JoinPath(kLogDirectory, SegmentFileName(Offset(0)));
    const auto sealed = [&] {
      auto file = world.fs.Open(path, OpenMode::kRead);
      REQUIRE(file.ok());
      return ReadFooter(**file, *(*file)->Size()).ok();
    };
    REQUIRE(world.AppendMany(3).ok());
    REQUIRE(world.Flush().ok());
    REQUIRE(world.log->Roll().ok());
    world.fs.faults().FailAfter(1, op, absl::StatusCode::kResourceExhausted);
    world.scheduler.RunUntilIdle();
    CHECK_FALSE(sealed());
    CHECK(world.log->trust().ok());
    REQUIRE(world.AppendMany(1).ok());
    REQUIRE(world.Flush().ok());
    CHECK_FALSE(sealed());  // not at every flush
    world.log->Clean();
    world.scheduler.RunUntilIdle();
    CHECK(sealed());
    CHECK(world.ReadAll(Offset(0))->size() == 4);
  }
}

TEST_CASE("a log is at rest when no pool works on its files, and says so after what came of it") {
  LogAtWork world;
  world.Open();
  int rests = 0;
  world.log->WhenAtRest([&] { ++rests; });
  CHECK(rests == 1);  // at once
  REQUIRE(world.AppendMany(1).ok());
  auto ticket = world.log->TakeFlush();
  world.log->WhenAtRest([&] { ++rests; });
  world.log->WhenAtRest([&] { ++rests; });
  world.scheduler.RunUntilIdle();
  CHECK(rests == 1);
  CHECK(world.log->FlushDone(*ticket, absl::OkStatus()).ok());
  CHECK(rests == 1);
  world.scheduler.RunUntilIdle();
  CHECK(rests == 3);
  // Hints too: the next log of these files must not meet them.
  (void)world.log->Point();
  CHECK(world.log->busy());
  world.log->WhenAtRest([&] { ++rests; });
  world.scheduler.RunUntilIdle();
  CHECK(rests == 4);
  CHECK_FALSE(world.log->busy());
}

TEST_CASE("sealing cuts off the zeros") {
  LogAtWork world;
  world.options.preallocate = true;
  world.Open();
  REQUIRE(world.AppendMany(2).ok());
  world.scheduler.RunUntilIdle();
  REQUIRE(world.log->Roll().ok());
  REQUIRE(world.AppendMany(1).ok());
  REQUIRE(world.Flush().ok());
  CHECK(world.fs.DurableBytes(LogPath(Offset(0))).size() < 1000);
}

// --- time ---

TEST_CASE("after the clock was ahead, segments age and go by when they were stored") {
  LogAtWork world;
  world.options.limits.segment_max_age = std::chrono::hours(1);
  world.options.limits.retention.max_age = std::chrono::hours(3);
  world.Open();
  const auto append = [&] {
    const Timestamp wall = world.clock.Wall();
    if (world.log->ShouldRoll()) REQUIRE(world.log->Roll().ok());
    wire::BatchBuilder builder;
    builder.Begin(world.log->log_end(), LeaderEpoch(1), std::max(wall, world.log->last_timestamp()),
                  Offset(0), 0);
    builder.Add("");
    REQUIRE(world.log->Append(builder.Finish(wall)).ok());
    REQUIRE(world.Flush().ok());
  };
  append();
  CHECK(world.log->TimestampsAhead() == Duration());
  world.clock.JumpWall(std::chrono::hours(240));
  append();
  world.clock.JumpWall(-std::chrono::hours(240));
  CHECK(world.log->TimestampsAhead() == std::chrono::hours(240));
  for (int hour = 0; hour < 6; ++hour) {
    append();
    world.clock.Advance(std::chrono::hours(1));
    world.log->Clean();
    world.scheduler.RunUntilIdle();
    CHECK(world.log->TimestampsAhead() == std::chrono::hours(240 - hour - 1));
  }
  // Offsets 2 to 7 were stored an hour apart, and three hours are kept: so it is after a restart.
  CHECK(world.log->log_start() == Offset(5));
  world.log.reset();
  world.Open();
  world.clock.Advance(std::chrono::hours(2));
  world.log->Clean();
  world.scheduler.RunUntilIdle();
  CHECK(world.log->log_start() == Offset(7));
}

}  // namespace
}  // namespace bascule::log
