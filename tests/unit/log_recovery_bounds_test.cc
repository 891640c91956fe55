// The lines 11 to 13 of the list in core/log/recovery.h: where a log begins, and what is missing.
#include <doctest/doctest.h>

#include "core/log/recovery.h"
#include "tests/unit/log_files.h"

namespace bascule::log {
namespace {

// Offsets 0 to 2, 3 to 5 and 6 to 8 in three segments, the last one active; bounds as given.
struct ThreeSegments {
  explicit ThreeSegments(LogBounds bounds = {Offset(0), Offset(6), 1}, uint64_t seed = 1)
      : fs(seed) {
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
  SimFileSystem fs;
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
  request.known_end = KnownEnd{Offset(8), Offset(8)};
  const RecoveredLog log = Recover(world.fs, request);
  REQUIRE(log.damaged.size() == 1);
  CHECK(log.damaged[0].to == Offset(8));
  CHECK(End(log) == Offset(8));
}

TEST_CASE("12. what a failed log gave out without the disk is not given again") {
  enum Gone { kActive, kSegments, kDirectory };
  for (const Gone gone : {kActive, kSegments, kDirectory}) {
    CAPTURE(static_cast<int>(gone));
    ThreeSegments world;
    if (gone == kDirectory) REQUIRE(world.fs.RemoveTree(kLogDirectory).ok());
    if (gone == kActive) world.Remove(Offset(6));
    if (gone == kSegments)
      for (const int64_t base : {0, 3, 6}) world.Remove(Offset(base));
    const Offset from(gone == kActive ? 6 : 0);
    RecoveryRequest request = Request();
    request.known_end = KnownEnd{Offset(4), Offset(12)};
    const RecoveredLog log = Recover(world.fs, request);
    REQUIRE(log.damaged.size() == 1);
    CHECK(log.damaged[0].from == from);
    CHECK(log.damaged[0].to == Offset(12));
    CHECK(End(log) == Offset(12));
    SimRng rng(1);
    world.fs.Crash(rng, {UnsyncedFate::kLost, EntryFate::kLost});
    // Nobody has to know it any more.
    world.CheckLost(from, Offset(12), Offset(12));
  }
}

TEST_CASE("12. what a failed log gave out and the page cache still has is kept, on the disk too") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SimFileSystem fs(seed);
    SegmentFile segment(Offset(0));
    PutFile(fs, LogPath(Offset(0)), segment.AddMany(1, 900).bytes);
    const size_t synced = segment.bytes.size();
    segment.AddMany(3, 900);
    const size_t given = segment.bytes.size();
    segment.AddMany(1, 900);
    {
      const auto file = fs.Open(LogPath(Offset(0)), OpenMode::kReadWrite);
      REQUIRE(file.ok());
      REQUIRE((*file)->WriteAt(FilePosition(synced), segment.bytes.substr(synced)).ok());
      fs.faults().FailAfter(1, kSync, absl::StatusCode::kInternal);
      REQUIRE_FALSE((*file)->Sync().ok());
    }
    RecoveryRequest request = Request();
    request.known_end = KnownEnd{Offset(1), Offset(4)};
    const RecoveredLog log = Recover(fs, request);
    CHECK(log.damaged.empty());
    CHECK(End(log) == Offset(4));
    SimRng rng(seed);
    fs.Crash(rng, {UnsyncedFate::kLost, EntryFate::kLost});
    CHECK(fs.DurableBytes(LogPath(Offset(0))) == segment.bytes.substr(0, given));
  }
}

TEST_CASE("bounds vouch for nothing that is in the page cache alone") {
  for (uint64_t call = 1; call <= 30; ++call) {
    CAPTURE(call);
    SimFileSystem fs(call);
    SegmentFile segment(Offset(0));
    PutFile(fs, LogPath(Offset(0)), segment.AddMany(1, 900).bytes);
    const size_t synced = segment.bytes.size();
    segment.AddMany(3, 900);
    {
      const auto file = fs.Open(LogPath(Offset(0)), OpenMode::kReadWrite);
      REQUIRE(file.ok());
      REQUIRE((*file)->WriteAt(FilePosition(synced), segment.bytes.substr(synced)).ok());
    }
    RecoveryRequest request = Request();
    request.known_end = KnownEnd{Offset(1), Offset(4)};
    fs.faults().PowerOffAfter(call);
    (void)RecoverLog(fs, request).status();
    SimRng rng(call);
    fs.Crash(rng, {UnsyncedFate::kLost, EntryFate::kKept});
    CHECK(Recover(fs).damaged.empty());
  }
}

// The bounds `next` as a process leaves them that died of a failed sync: in the page cache, and on
// the disk by luck only.
void LeaveUnsynced(ThreeSegments& world, const LogBounds& next) {
  const auto file = world.fs.Open(world.kBounds, OpenMode::kReadWrite);
  REQUIRE(file.ok());
  REQUIRE((*file)
              ->WriteAt(FilePosition(next.sequence % 2 * kLogBoundsSlotStride),
                        EncodeLogBounds({{kLogStream, PartitionId(0)}, next}))
              .ok());
  world.fs.faults().FailAfter(1, kSync, absl::StatusCode::kInternal);
  REQUIRE_FALSE((*file)->Sync().ok());
  world.fs.Kill();
}

TEST_CASE("11. bounds that only the page cache has cost nothing when the power goes") {
  for (uint64_t call = 1; call <= 30; ++call) {
    CAPTURE(call);
    ThreeSegments world({Offset(0), Offset(6), 2}, call);
    LeaveUnsynced(world, {Offset(3), Offset(6), 3});
    world.fs.faults().PowerOffAfter(call);
    (void)RecoverLog(world.fs, Request()).status();
    SimRng rng(call);
    world.fs.Crash(rng, {UnsyncedFate::kLost, EntryFate::kKept});
    const RecoveredLog log = Recover(world.fs);
    CHECK(log.damaged.empty());
    CHECK(End(log) == Offset(9));
  }
}

TEST_CASE("retention does not lose both slots of bounds to a torn write over an unsynced one") {
  for (uint64_t seed = 0; seed < 160; ++seed) {
    CAPTURE(seed);
    ThreeSegments world({Offset(0), Offset(6), 1}, seed);
    REQUIRE(world.fs.Remove(world.kBounds).ok());
    const auto store = [&](const LogBounds& bounds) {
      return StoreLogBounds(world.fs, kLogDirectory, {{kLogStream, PartitionId(0)}, bounds});
    };
    REQUIRE(store({Offset(0), Offset(6), 1}).ok());
    REQUIRE(store({Offset(3), Offset(6), 2}).ok());
    world.Remove(Offset(0));
    LeaveUnsynced(world, {Offset(3), Offset(9), 3});
    world.fs.faults().PowerOffAfter(1 + seed % 8);
    (void)store({Offset(6), Offset(9), 4});
    SimRng rng(seed);
    world.fs.Crash(rng, {UnsyncedFate::kTornLast, EntryFate::kKept});
    const RecoveredLog log = Recover(world.fs);
    CHECK(log.damaged.empty());
    CHECK(log.bounds.start >= Offset(3));
  }
}

TEST_CASE("a new log.bounds whose name did not reach the disk is made anew") {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SimFileSystem fs(seed);
    REQUIRE(fs.CreateDirectories(kLogDirectory).ok());
    fs.faults().FailAfter(1, kSyncDir, absl::StatusCode::kInternal);
    REQUIRE_FALSE(RecoverLog(fs, Request()).ok());
    (void)Recover(fs);
    SimRng rng(seed);
    fs.Crash(rng, {UnsyncedFate::kLost, EntryFate::kLost});
    CHECK(LoadLogBounds(fs, kLogDirectory).ok());
  }
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
  CHECK(status.ToString().find("move this file alone out of the directory") != std::string::npos);
  CHECK(world.fs.Exists(LogPath(Offset(0))));
}

}  // namespace
}  // namespace bascule::log
