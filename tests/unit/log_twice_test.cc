// What a log lends, counts or arms, the second time; and what stands where two pieces meet.
#include <doctest/doctest.h>

#include "core/log/batch_scanner.h"
#include "core/log/inspect.h"
#include "core/log/log_bounds.h"
#include "tests/unit/log_files.h"

namespace bascule::log {
namespace {

TEST_CASE("zeros laid ahead begin small with each segment, and grow with it") {
  LogAtWork world(uint64_t{64} << 20);
  world.options.preallocate = true;
  world.Open();
  for (int round = 0; round < 3; ++round) {
    CAPTURE(round);
    const std::string path = LogPath(world.log->active_base());
    REQUIRE(world.AppendMany(1).ok());
    REQUIRE(world.Flush().ok());
    CHECK(world.fs.VisibleBytes(path).size() <= 2 * limits::kPreallocateMinBytes);
    for (int i = 0; i < 60; ++i) {
      REQUIRE(world.AppendMany(1, 10'000).ok());
      REQUIRE(world.Flush().ok());
    }
    const uint64_t data = world.log->Point().active.data_end.value();
    CHECK(world.fs.VisibleBytes(path).size() >= data + 2 * limits::kPreallocateMinBytes);
    REQUIRE(world.log->Roll().ok());
  }
}

TEST_CASE(
    "no zeros are laid while large flushes come by, small ones between them or not; then again") {
  LogAtWork world(uint64_t{64} << 20);
  world.options.preallocate = true;
  world.Open();
  const std::string path = LogPath(world.log->active_base());
  const auto zeros = [&] {
    return world.fs.VisibleBytes(path).size() - world.log->Point().active.data_end.value();
  };
  const auto append = [&](size_t bytes) {
    REQUIRE(world.AppendMany(1, bytes).ok());
    world.scheduler.RunUntilIdle();  // an append waits where zeros are being laid
  };
  for (int round = 0; round < 5; ++round) {
    CAPTURE(round);
    for (int i = 0; i < 20; ++i) append(10'000);
    REQUIRE(world.Flush().ok());
    for (int i = 0; i < 3; ++i) {
      append(100);
      REQUIRE(world.Flush().ok());
    }
    // The first ones were laid before anything was flushed, and are used up first.
    if (round > 2) CHECK(zeros() == 0);
  }
  for (int i = 0; i < 60; ++i) {
    append(100);
    REQUIRE(world.Flush().ok());
  }
  CHECK(zeros() > 0);
}

TEST_CASE("a look at the files that a roll overtook is not the last one") {
  LogAtWork world;
  world.Open();
  const auto look = [&] {
    world.clock.Advance(limits::kLogFilesCheckPeriod);
    world.log->CheckFiles([](const absl::Status&) {});
  };
  for (int round = 0; round < 2; ++round) {
    REQUIRE(world.AppendMany(4).ok());
    REQUIRE(world.Flush().ok());
    look();
    REQUIRE(world.log->Roll().ok());  // before the pool has looked
    world.scheduler.RunUntilIdle();
  }
  REQUIRE(world.fs.Rename(LogPath(Offset(0)), "/data/aside").ok());
  look();
  world.scheduler.RunUntilIdle();
  CHECK(world.log->damaged().size() == 1);
}

TEST_CASE("what retention takes is no damage any more, whatever was known of its file") {
  LogAtWork world;
  world.options.limits.retention.max_messages = 5;
  world.Open();
  for (int round = 0; round < 2; ++round) {
    REQUIRE(world.AppendMany(4).ok());
    REQUIRE(world.Flush().ok());
    REQUIRE(world.log->Roll().ok());
    world.scheduler.RunUntilIdle();
    const Offset base = world.log->log_start();
    REQUIRE(world.fs.Rename(LogPath(base), Concat("/data/aside", round)).ok());
    world.clock.Advance(limits::kLogFilesCheckPeriod);
    world.log->CheckFiles([](const absl::Status&) {});
    world.scheduler.RunUntilIdle();
    CHECK(world.log->Describe().lost == (round == 0 ? 4 : 5));
    REQUIRE(world.AppendMany(5).ok());
    REQUIRE(world.Flush().ok());
    REQUIRE(world.log->Roll().ok());
    world.scheduler.RunUntilIdle();
    world.log->Clean();
    world.scheduler.RunUntilIdle();
    CHECK(world.log->log_start() > base);
    CHECK(world.log->damaged().empty());
    CHECK(world.log->Describe().lost == 0);
  }
}

TEST_CASE("with its beginning a log notes how far it was durable, each time") {
  LogAtWork world;
  world.options.limits.retention.max_messages = 2;
  world.Open();
  for (int round = 0; round < 3; ++round) {
    CAPTURE(round);
    REQUIRE(world.AppendMany(4).ok());
    REQUIRE(world.Flush().ok());
    REQUIRE(world.log->Roll().ok());
    REQUIRE(world.AppendMany(1).ok());
    REQUIRE(world.Flush().ok());
    world.log->Clean();
    world.scheduler.RunUntilIdle();
    const auto stored = LoadLogBounds(world.fs, kLogDirectory);
    REQUIRE(stored.ok());
    CHECK(stored->bounds.start == world.log->active_base());
    CHECK(stored->bounds.end == world.log->flushed_end());
  }
}

TEST_CASE("an index file that is ahead of the recovery point gives no entry twice") {
  SegmentFile file(Offset(0));
  std::vector<SegmentFooter> before;
  for (int i = 0; i < 12; ++i) {
    before.push_back(file.facts);
    file.AddMany(1, 20'000);
  }
  std::string entries;
  for (const IndexEntry& entry : file.index) AppendIndexEntry(entries, entry);
  for (const SegmentFooter& facts : before) {
    CAPTURE(facts.end_offset.value());
    SimFileSystem fs(1);
    PutFile(fs, LogPath(Offset(0)), file.bytes);
    PutFile(fs, IndexPath(Offset(0)), entries);
    const RecoveredLog log = Recover(fs, Request(RecoveryPoint{facts}));
    CHECK(End(log) == Offset(12));
    CHECK(log.segments.back().index.size() == file.index.size());
  }
}

TEST_CASE("a batch behind damage is found wherever the windows of the search end") {
  constexpr size_t kWindowBytes = 256 * limits::kKiB;
  for (const size_t windows : {1, 2}) {
    for (size_t damage = windows * kWindowBytes - 12; damage <= windows * kWindowBytes + 2;
         ++damage) {
      CAPTURE(damage);
      SimFileSystem fs(1);
      const std::string bytes = std::string(damage, 'x') + MakeBatch({Offset(3), {"found"}});
      PutFile(fs, "/data/f", bytes);
      const auto file = fs.Open("/data/f", OpenMode::kRead);
      REQUIRE(file.ok());
      BatchScanner scanner(**file, FilePosition(0), FilePosition(bytes.size()));
      const absl::StatusOr<bool> found = scanner.SeekBatch(FilePosition(0), Offset(0));
      REQUIRE(found.ok());
      CHECK(*found);
      CHECK(scanner.next_position() == FilePosition(damage));
    }
  }
}

TEST_CASE("where a log has to end says whichever knows more, bounds or recovery points") {
  SimFileSystem fs(1);
  SegmentFile file(Offset(0));
  file.AddMany(10);
  PutFile(fs, LogPath(Offset(0)), file.bytes);
  for (const int64_t by_bounds : {5, 15}) {
    CAPTURE(by_bounds);
    const StoredLogBounds bounds{{kLogStream, PartitionId(0)}, {Offset(0), Offset(by_bounds), 1}};
    PutFile(fs, JoinPath(kLogDirectory, kLogBoundsFileName), EncodeLogBounds(bounds));
    RecoveryPoint point = PointAt(file);
    point.active.end_offset = Offset(20 - by_bounds);
    const auto log =
        InspectLog(fs, {kLogDirectory, point}, InspectDepth::kBytes, [](uint64_t, uint64_t) {});
    REQUIRE(log.ok());
    REQUIRE(log->problems.size() == 1);
    CHECK(log->problems[0] == "offsets 10 to 14 are missing at the end of the log");
  }
}

TEST_CASE("who waits for a log at rest is called once, each time that it was busy") {
  LogAtWork world;
  CommitLog& log = world.Open();
  int rests = 0;
  for (int round = 1; round <= 3; ++round) {
    CAPTURE(round);
    REQUIRE(world.AppendMany(2).ok());
    const auto ticket = log.TakeFlush();
    REQUIRE(ticket);
    log.WhenAtRest([&] { ++rests; });
    world.scheduler.RunUntilIdle();
    CHECK(rests == 2 * round - 2);
    REQUIRE(log.FlushDone(*ticket, absl::OkStatus()).ok());
    world.scheduler.RunUntilIdle();
    CHECK(rests == 2 * round - 1);
    log.WhenAtRest([&] { ++rests; });  // at once
    CHECK(rests == 2 * round);
  }
}

TEST_CASE("zeros that cannot be laid are tried again with a later append, each time") {
  LogAtWork world;
  world.options.preallocate = true;
  world.Open();
  for (int round = 0; round < 3; ++round) {
    CAPTURE(round);
    const uint64_t before = world.fs.VisibleBytes(LogPath(Offset(0))).size();
    while (!world.log->busy()) REQUIRE(world.AppendMany(1, 1000).ok());
    world.fs.faults().FailAfter(1, kWrite, absl::StatusCode::kResourceExhausted);
    world.scheduler.RunUntilIdle();
    world.fs.faults().Clear();
    REQUIRE(world.AppendMany(1, 1000).ok());
    CHECK(world.log->busy());
    world.scheduler.RunUntilIdle();
    CHECK(world.fs.VisibleBytes(LogPath(Offset(0))).size() > before);
    CHECK(world.log->trust().ok());
  }
}

}  // namespace
}  // namespace bascule::log
