#include "core/log/inspect.h"

#include <doctest/doctest.h>

#include "core/log/file_owner.h"
#include "core/log/log_bounds.h"
#include "tests/unit/log_files.h"

namespace bascule::log {
namespace {

LogReport Inspect(SimFileSystem& fs, InspectDepth depth = InspectDepth::kBytes) {
  absl::StatusOr<LogReport> report =
      InspectLog(fs, {kLogDirectory, std::nullopt}, depth,
                 [](uint64_t done, uint64_t all) { CHECK(done <= all); });
  INFO(report.status().ToString());
  REQUIRE(report.ok());
  return *std::move(report);
}

std::vector<std::string> Directories(const absl::StatusOr<FoundLogs>& found) {
  std::vector<std::string> directories;
  for (const FoundLog& log : found->logs) directories.push_back(log.directory);
  return directories;
}

// Offsets 0 to 9 in a sealed, 10 to 14 in the active segment.
struct TwoSegments {
  TwoSegments() {
    PutFile(fs, LogPath(Offset(0)), sealed.AddMany(10, 100).Sealed());
    PutFile(fs, LogPath(Offset(10)), active.AddMany(5, 100).bytes + std::string(5000, '\0'));
  }
  SimFileSystem fs{1};
  SegmentFile sealed{Offset(0)};
  SegmentFile active{Offset(10)};
};

bool Mentions(const std::vector<std::string>& sentences, const std::string& words) {
  for (const std::string& sentence : sentences) {
    if (sentence.find(words) != std::string::npos) return true;
  }
  return false;
}

TEST_CASE("a sound log") {
  TwoSegments log;
  for (const InspectDepth depth : {InspectDepth::kFooters, InspectDepth::kBytes}) {
    const LogReport report = Inspect(log.fs, depth);
    CHECK(report.sound());
    CHECK(report.directory == kLogDirectory);
    CHECK(report.stream == kLogStream);
    REQUIRE(report.segments.size() == 2);
    CHECK(report.segments[0].sealed);
    CHECK(report.segments[0].facts.record_count == 10);
    CHECK(report.segments[0].batches == (depth == InspectDepth::kBytes ? 10u : 0u));
    CHECK_FALSE(report.segments[1].sealed);
    CHECK(report.segments[1].batches == 5);
    CHECK(report.segments[1].facts.end_offset == Offset(15));
    CHECK(report.segments[1].remarks.empty());
  }
}

TEST_CASE("a flipped bit anywhere in a sealed segment is found and named") {
  const size_t size = SegmentFile(Offset(0)).AddMany(10, 100).Sealed().size();
  for (size_t at = 0; at < size; ++at) {
    TwoSegments log;
    log.fs.FlipBit(LogPath(Offset(0)), at, static_cast<int>(at % 8));
    const LogReport report = Inspect(log.fs);
    INFO("byte ", at);
    // Without its magic there is no footer, as after a crash: the next start writes it again.
    const bool healed = at >= size - sizeof(kFooterMagic) && !report.segments[0].remarks.empty();
    CHECK(report.sound() == healed);
  }
}

TEST_CASE("damage is told with its place and its offset, and what is behind it is walked on") {
  TwoSegments log;
  log.fs.FlipBit(LogPath(Offset(0)), log.sealed.starts[4].value() + 110, 0);
  log.fs.FlipBit(LogPath(Offset(10)), log.active.starts[1].value() + 110, 0);
  const LogReport report = Inspect(log.fs);
  CHECK_FALSE(report.sound());
  CHECK(report.segments[0].batches == 9);
  CHECK(Mentions(report.segments[0].problems,
                 Concat("damaged at byte ", log.sealed.starts[4], " (offset 4 and after)")));
  CHECK(Mentions(report.segments[1].problems,
                 Concat("damaged at byte ", log.active.starts[1], " (offset 11 and after)")));
  // The footers alone do not show it.
  CHECK(Inspect(log.fs, InspectDepth::kFooters).segments[0].problems.empty());
}

TEST_CASE("a torn tail is a remark: the next start cuts it") {
  TwoSegments log;
  log.fs.TruncateDurably(LogPath(Offset(10)), log.active.starts[4].value() + 50);
  const LogReport report = Inspect(log.fs);
  CHECK(report.sound());
  CHECK(report.segments[1].facts.end_offset == Offset(14));
  CHECK(Mentions(report.segments[1].remarks, Concat("torn tail from byte ", log.active.starts[4])));
}

TEST_CASE("a segment under the name that an opening gives it for a moment is part of the log") {
  TwoSegments world;
  REQUIRE(world.fs.Rename(LogPath(Offset(0)), LogPath(Offset(0)) + ".again").ok());
  PutFile(world.fs, LogPath(Offset(10)) + ".again", "of an older opening");
  PutFile(world.fs, JoinPath(kLogDirectory, "notes.again"), "somebody's");
  const LogReport report = Inspect(world.fs);
  CHECK(report.sound());
  REQUIRE(report.segments.size() == 2);
  CHECK(report.segments[0].path == LogPath(Offset(0)) + ".again");
  CHECK(report.segments[1].path == LogPath(Offset(10)));
  CHECK(Directories(FindLogs(world.fs, kLogDirectory)) == std::vector{std::string(kLogDirectory)});
}

TEST_CASE("missing and overlapping segments are problems of the log") {
  TwoSegments log;
  PutFile(log.fs, LogPath(Offset(20)), SegmentFile(Offset(20)).AddMany(5).bytes);
  PutFile(log.fs, LogPath(Offset(23)), SegmentFile(Offset(23)).bytes);
  const LogReport report = Inspect(log.fs);
  CHECK_FALSE(report.sound());
  CHECK(Mentions(report.problems, "offsets 15 to 19 are missing"));
  CHECK(Mentions(report.problems, "overlaps the segment before it, which ends at 25"));
}

TEST_CASE("a segment under another's name, a wrong count, a batch that goes back") {
  SimFileSystem fs(1);
  SegmentFile file(Offset(3));
  file.AddMany(2);
  ++file.facts.record_count;
  PutFile(fs, LogPath(Offset(2)), file.Sealed());
  SegmentFile back(Offset(5));
  back.Add(MakeBatch({Offset(5), {"a", "b"}})).Add(MakeBatch({Offset(6), {"c"}}));
  PutFile(fs, LogPath(Offset(5)), back.Sealed());
  const LogReport report = Inspect(fs);
  CHECK(Mentions(report.segments[0].problems, "another base offset than its name"));
  CHECK(Mentions(report.segments[0].problems, "holds 2 messages, its footer says 3"));
  CHECK(Mentions(report.segments[1].problems, "offset 6 at byte"));
}

TEST_CASE("files of another partition are problems, each by its name") {
  const std::string bounds = JoinPath(kLogDirectory, kLogBoundsFileName);
  const StoredLogBounds others{{StreamId(8), PartitionId(0)}, {Offset(12), Offset(40), 1}};
  const auto foreign = [](const std::string& path, int stream, int partition) {
    return Concat(path, " belongs to stream id ", stream, " partition ", partition,
                  ", not to stream id 7 partition 0");
  };
  SUBCASE("log.bounds") {
    TwoSegments log;
    PutFile(log.fs, bounds, EncodeLogBounds(others));
    for (const InspectDepth depth : {InspectDepth::kFooters, InspectDepth::kBytes}) {
      const LogReport report = Inspect(log.fs, depth);
      // And what it says of both ends is not believed.
      CHECK(report.problems == std::vector<std::string>{foreign(bounds, 8, 0)});
      CHECK(report.segments.size() == 2);
      CHECK(report.stream == kLogStream);
    }
  }
  SUBCASE("a segment") {
    TwoSegments log;
    std::string bytes = log.fs.VisibleBytes(LogPath(Offset(10)));
    bytes.replace(0, kSegmentHeaderBytes,
                  EncodeSegmentHeader({kLogStream, PartitionId(1), Offset(10)}));
    PutFile(log.fs, LogPath(Offset(10)), bytes);
    CHECK(Inspect(log.fs).problems == std::vector<std::string>{foreign(LogPath(Offset(10)), 7, 1)});
  }
  SUBCASE("a whole directory in another's place, and a copy in any place") {
    TwoSegments log;
    REQUIRE(log.fs.CreateDirectories("/data/streams/8").ok());
    for (const char* place : {"/data/streams/8/1", "/elsewhere"}) {
      for (const Offset base : {Offset(0), Offset(10)}) {
        PutFile(log.fs, JoinPath(place, SegmentFileName(base)), log.fs.VisibleBytes(LogPath(base)));
      }
      const auto report = InspectLog(log.fs, {place, std::nullopt}, InspectDepth::kBytes,
                                     [](uint64_t, uint64_t) {});
      REQUIRE(report.ok());
      CHECK(report->sound() == (place == std::string("/elsewhere")));
      CHECK(report->problems.size() == (report->sound() ? 0u : 2u));
      CHECK(report->stream == (report->sound() ? kLogStream : StreamId(8)));
    }
  }
}

TEST_CASE("whose a directory is by its place") {
  const PartitionKey key{StreamId(8), PartitionId(1)};
  CHECK(OwnerByPlace("/data/streams/8/1") == key);
  CHECK(OwnerByPlace("streams/8/1/") == key);
  for (const char* other : {"", "/", "8/1", "/backup/8/1", "/data/streams/8", "/data/streams/a/1",
                            "/data/streams/8/b", "/data/streams"}) {
    CAPTURE(other);
    CHECK_FALSE(OwnerByPlace(other).has_value());
  }
}

TEST_CASE("a compacted segment is sound") {
  SimFileSystem fs(1);
  SegmentFile file(Offset(0));
  file.Add(MakeBatch({Offset(4), {"a"}})).Add(MakeBatch({Offset(9), {"b"}}));
  file.facts.end_offset = file.facts.compacted_through = Offset(20);
  PutFile(fs, LogPath(Offset(0)), file.Sealed());
  PutFile(fs, LogPath(Offset(20)), SegmentFile(Offset(20)).bytes);
  CHECK(Inspect(fs).sound());
}

TEST_CASE("looking changes nothing") {
  TwoSegments log;
  log.fs.TruncateDurably(LogPath(Offset(10)), log.active.starts[4].value() + 50);
  PutFile(log.fs, JoinPath(kLogDirectory, "x.tmp"), "x");
  const uint64_t before = log.fs.faults().Calls(kChangingOps & ~kOpen);
  Inspect(log.fs);
  CHECK(log.fs.faults().Calls(kChangingOps & ~kOpen) == before);
}

TEST_CASE("logs are found from the data directory down to their own") {
  SimFileSystem fs(1);
  const std::vector<std::string> logs = {"/data/streams/3/0", "/data/streams/7/0",
                                         "/data/streams/7/1"};
  for (const std::string& log : logs)
    PutFile(fs, JoinPath(log, SegmentFileName(Offset(0))), SegmentFile(Offset(0)).bytes);
  PutFile(fs, JoinPath("/data/trash/9/0", SegmentFileName(Offset(0))), "");
  PutFile(fs, "/data/recovery.points", "");
  CHECK(Directories(FindLogs(fs, "/data")) == logs);
  CHECK(Directories(FindLogs(fs, "/data/streams")) == logs);
  CHECK(FindLogs(fs, "/data/streams/7")->logs.size() == 2);
  CHECK(FindLogs(fs, "/data/streams/7/1")->logs.size() == 1);
  CHECK(FindLogs(fs, "/data/streams/7/1")->points_problem ==
        "/data/recovery.points: file is too short");
  REQUIRE(fs.CreateDirectories("/elsewhere").ok());
  CHECK(absl::IsNotFound(FindLogs(fs, "/elsewhere").status()));
  CHECK_FALSE(FindLogs(fs, "/nowhere").ok());
}

TEST_CASE("what is missing at either end is a problem, as far as anything durable knows the ends") {
  TwoSegments log;
  const StoredLogBounds bounds{{kLogStream, PartitionId(0)}, {Offset(0), Offset(12), 1}};
  PutFile(log.fs, kLogDirectory + std::string("/log.bounds"), EncodeLogBounds(bounds));
  CHECK(Inspect(log.fs).sound());
  REQUIRE(log.fs.Remove(LogPath(Offset(0))).ok());
  CHECK(Mentions(Inspect(log.fs).problems, "offsets 0 to 9 are missing before"));
  REQUIRE(log.fs.Remove(LogPath(Offset(10))).ok());
  CHECK(Mentions(Inspect(log.fs).problems, "offsets 0 to 11 are missing at the end of the log"));
  CHECK(Inspect(log.fs).stream == kLogStream);
  CHECK(FindLogs(log.fs, kLogDirectory)->logs.size() == 1);
  log.fs.FlipBit(kLogDirectory + std::string("/log.bounds"), 33, 1);
  CHECK(Mentions(Inspect(log.fs).problems, "log.bounds: neither of its two slots is sound"));
}

TEST_CASE("recovery.points names the logs that are gone, and where the others end") {
  TwoSegments log;
  RecoveryPointSet points;
  points.partitions[{kLogStream, PartitionId(0)}] = {log.active.facts, Offset(0)};
  points.partitions[{kLogStream, PartitionId(1)}] = {log.active.facts, Offset(4)};
  points.partitions[{kLogStream, PartitionId(2)}];  // never held anything
  REQUIRE(SaveRecoveryPoints(log.fs, "/data", points).ok());
  const auto found = FindLogs(log.fs, "/data");
  CHECK(Directories(found) == std::vector<std::string>{"/data/streams/7/0", "/data/streams/7/1"});
  CHECK(Directories(FindLogs(log.fs, "/data/streams/7/1")).size() == 1);
  const auto ignore = [](uint64_t, uint64_t) {};
  const auto whole = InspectLog(log.fs, found->logs[0], InspectDepth::kBytes, ignore);
  CHECK(whole->sound());
  const auto gone = InspectLog(log.fs, found->logs[1], InspectDepth::kBytes, ignore);
  CHECK(Mentions(gone->problems, "the directory is missing although it held data"));
  CHECK(Mentions(gone->problems, "offsets 4 to 14 are missing"));
  // A tail that was cut behind the point is no torn one.
  log.fs.TruncateDurably(LogPath(Offset(10)), log.active.starts[3].value());
  const auto cut = InspectLog(log.fs, found->logs[0], InspectDepth::kBytes, ignore);
  CHECK(Mentions(cut->problems, "offsets 13 to 14 are missing at the end of the log"));
}

}  // namespace
}  // namespace bascule::log
