// The lines 11 to 13 of the list in core/log/recovery.h: where a log begins, and what is missing.
#include <doctest/doctest.h>

#include "core/log/recovery.h"
#include "tests/unit/log_files.h"

namespace bascule {
namespace {

// Offsets 0 to 2, 3 to 5 and 6 to 8 in three segments, the last one active; bounds as given.
struct ThreeSegments {
  explicit ThreeSegments(LogBounds bounds = {Offset(0), Offset(6), 1}) {
    PutFile(fs, LogPath(Offset(0)), first.AddMany(3, 100).Sealed());
    PutFile(fs, LogPath(Offset(3)), second.AddMany(3, 100).Sealed());
    PutFile(fs, LogPath(Offset(6)), third.AddMany(3, 100).bytes);
    SetBounds(bounds);
  }
  void SetBounds(const LogBounds& bounds) {
    PutFile(fs, kBounds, EncodeLogBounds({{kLogStream, PartitionId(0)}, bounds}));
  }
  void Remove(Offset base) {
    REQUIRE(fs.Remove(LogPath(base)).ok());
    REQUIRE(fs.SyncDir(kLogDirectory).ok());
  }
  // That [from, to) is lost, nothing else, and that it stays so after another opening and a crash.
  void CheckLost(Offset from, Offset to, Offset end) {
    for (int opening = 0; opening < 3; ++opening) {
      INFO("opening ", opening);
      const RecoveredLog log = Recover(fs, Request(point));
      REQUIRE(log.damaged.size() == 1);
      CHECK(log.damaged[0].from == from);
      CHECK(log.damaged[0].to == to);
      CHECK(log.damaged[0].cause.find(kLogDirectory) != std::string::npos);
      CHECK(log.bounds.start == std::min(from, log.segments.front().base()));
      CHECK(End(log) == end);
      SimRng rng(static_cast<uint64_t>(opening));
      fs.Crash(rng);
      if (opening == 1) point.reset();  // recovery.points is lost too
    }
  }
  const std::string kBounds = JoinPath(kLogDirectory, kLogBoundsFileName);
  SimFileSystem fs{1};
  SegmentFile first{Offset(0)}, second{Offset(3)}, third{Offset(6)};
  std::optional<RecoveryPoint> point;
};

TEST_CASE("11. segments before the durable log start: removed, durably; retention was at it") {
  ThreeSegments world({Offset(6), Offset(6), 4});
  const RecoveredLog log = Recover(world.fs);
  CHECK(log.damaged.empty());
  CHECK(log.segments.size() == 1);
  CHECK(log.bounds == LogBounds{Offset(6), Offset(6), 4});
  SimRng rng(1);
  world.fs.Crash(rng, {UnsyncedFate::kLost, EntryFate::kLost});
  CHECK_FALSE(world.fs.Exists(LogPath(Offset(0))));
  CHECK_FALSE(world.fs.Exists(LogPath(Offset(3))));
}

TEST_CASE("11. a file of another partition is not removed, whatever the log start says") {
  ThreeSegments world({Offset(6), Offset(6), 4});
  PutFile(world.fs, LogPath(Offset(3)),
          EncodeSegmentHeader({StreamId(8), PartitionId(0), Offset(3)}));
  CHECK(absl::IsFailedPrecondition(RecoverLog(world.fs, Request()).status()));
  CHECK(world.fs.Exists(LogPath(Offset(0))));
}

TEST_CASE("12. the first segment is gone: lost, at every start") {
  ThreeSegments world;
  world.Remove(Offset(0));
  world.CheckLost(Offset(0), Offset(3), Offset(9));
}

TEST_CASE("12. all but the active segment are gone: lost") {
  ThreeSegments world;
  world.Remove(Offset(0));
  world.Remove(Offset(3));
  world.CheckLost(Offset(0), Offset(6), Offset(9));
}

TEST_CASE("12. every segment is gone: lost, and no offset is given again") {
  ThreeSegments world;
  world.point = PointAt(world.third);
  for (const int64_t base : {0, 3, 6}) world.Remove(Offset(base));
  world.CheckLost(Offset(0), Offset(9), Offset(9));
}

TEST_CASE("12. the newest segment is gone: lost, and no offset is given again") {
  ThreeSegments world;
  world.point = PointAt(world.third);
  world.Remove(Offset(6));
  world.CheckLost(Offset(6), Offset(9), Offset(9));
}

TEST_CASE("12. the directory is gone, and the log had begun further on") {
  ThreeSegments world({Offset(3), Offset(6), 2});
  world.point = RecoveryPoint{world.third.facts, Offset(3)};
  REQUIRE(world.fs.RemoveTree(kLogDirectory).ok());
  world.CheckLost(Offset(3), Offset(9), Offset(9));
}

TEST_CASE("12. a failed log whose files are gone ends where it was durable") {
  ThreeSegments world;
  for (const int64_t base : {0, 3, 6}) world.Remove(Offset(base));
  RecoveryRequest request = Request();
  request.cut_at = Offset(8);
  const RecoveredLog log = Recover(world.fs, request);
  REQUIRE(log.damaged.size() == 1);
  CHECK(log.damaged[0].to == Offset(8));
  CHECK(End(log) == Offset(8));
}

TEST_CASE("13. no or damaged log.bounds: what there is, made durable anew") {
  for (const bool damaged : {false, true}) {
    ThreeSegments world({Offset(3), Offset(6), 2});
    world.Remove(Offset(0));
    if (damaged) {
      world.fs.FlipBit(world.kBounds, 32, 0);
    } else {
      REQUIRE(world.fs.Remove(world.kBounds).ok());
    }
    const RecoveredLog log = Recover(world.fs);
    CHECK(log.damaged.empty());
    CHECK(log.notes.size() == (damaged ? 1 : 0));
    SimRng rng(1);
    world.fs.Crash(rng, {UnsyncedFate::kLost, EntryFate::kLost});
    CHECK(LoadLogBounds(world.fs, kLogDirectory)->bounds.start == Offset(3));
    // From now on it is known.
    world.Remove(Offset(3));
    world.CheckLost(Offset(3), Offset(6), Offset(9));
  }
}

TEST_CASE("13. recovery.points stands in for a log.bounds that is gone") {
  ThreeSegments world;
  world.point = RecoveryPoint{world.third.facts, Offset(0)};
  REQUIRE(world.fs.Remove(world.kBounds).ok());
  world.Remove(Offset(0));
  world.CheckLost(Offset(0), Offset(3), Offset(9));
}

TEST_CASE("13. log.bounds of another partition: refused, and nothing is touched") {
  ThreeSegments world;
  PutFile(world.fs, world.kBounds,
          EncodeLogBounds({{StreamId(8), PartitionId(0)}, {Offset(6), Offset(6), 1}}));
  const absl::Status status = RecoverLog(world.fs, Request()).status();
  CHECK(absl::IsFailedPrecondition(status));
  CHECK(status.ToString().find("move the directory back") != std::string::npos);
  CHECK(world.fs.Exists(LogPath(Offset(0))));
}

}  // namespace
}  // namespace bascule
