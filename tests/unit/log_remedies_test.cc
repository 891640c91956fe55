// Every remedy that a message about a log names, carried out: the log is well again afterwards.
#include <doctest/doctest.h>

#include <functional>

#include "core/log/inspect.h"
#include "tests/unit/log_files.h"

namespace bascule::log {
namespace {

constexpr char kElsewhere[] = "/elsewhere";

// Offsets 0 to 2, 3 to 5 and 6 to 8, opened once, so that all that is known of it is known.
struct Healthy {
  Healthy() {
    PutFile(fs, LogPath(Offset(0)), SegmentFile(Offset(0)).AddMany(3).Sealed());
    PutFile(fs, LogPath(Offset(3)), SegmentFile(Offset(3)).AddMany(3).Sealed());
    PutFile(fs, LogPath(Offset(6)), active.AddMany(3).bytes);
    point = RecoveryPoint{active.facts, Offset(0)};
    Recover(fs, Request(point));
    REQUIRE(fs.CreateDirectories(kElsewhere).ok());
  }
  void Move(const std::string& from, const std::string& to) {
    REQUIRE(fs.Rename(from, to).ok());
    REQUIRE(fs.SyncDir(ParentPath(from)).ok());
    REQUIRE(fs.SyncDir(ParentPath(to)).ok());
  }
  SegmentFile active{Offset(6)};
  SimFileSystem fs{1};
  RecoveryPoint point;
};

struct Case {
  const char* name;
  const char* remedy;  // as the message has it
  std::function<void(Healthy&)> hurt;
  std::function<void(Healthy&)> remedied;
};

std::string CopyOf(Offset base) { return Concat(kElsewhere, "/", base); }

Case Vanished(const char* name, Offset base) {
  return {name, "restore the file from a copy",
          [base](Healthy& log) { log.Move(LogPath(base), CopyOf(base)); },
          [base](Healthy& log) { log.Move(CopyOf(base), LogPath(base)); }};
}

const std::vector<Case> kCases = {
    Vanished("the first segment is gone", Offset(0)),
    Vanished("one in the middle is gone", Offset(3)),
    Vanished("the newest is gone", Offset(6)),
    {"a segment was cut", "restore the file from a copy",
     [](Healthy& log) {
       PutFile(log.fs, CopyOf(Offset(6)), log.fs.VisibleBytes(LogPath(Offset(6))));
       log.fs.TruncateDurably(LogPath(Offset(6)), 100);
     },
     [](Healthy& log) { log.Move(CopyOf(Offset(6)), LogPath(Offset(6))); }},
    {"another partition's directory", "move the directory back to its place",
     [](Healthy& log) {
       log.Move(kLogDirectory, "/elsewhere/own");
       PutFile(log.fs, LogPath(Offset(0)), EncodeSegmentHeader({StreamId(8), PartitionId(0), {}}));
     },
     [](Healthy& log) {
       log.Move(kLogDirectory, "/elsewhere/other");
       log.Move("/elsewhere/own", kLogDirectory);
     }},
    {"another partition's log.bounds", "move this file alone out of the directory, the log opens",
     [](Healthy& log) {
       PutFile(log.fs, JoinPath(kLogDirectory, kLogBoundsFileName),
               EncodeLogBounds({{StreamId(8), PartitionId(0)}, {Offset(6), Offset(6), 1}}));
     },
     [](Healthy& log) {
       log.Move(JoinPath(kLogDirectory, kLogBoundsFileName), "/elsewhere/log.bounds");
     }},
    {"another partition's segment", "move this file alone out of the directory, and restore",
     [](Healthy& log) {
       log.Move(LogPath(Offset(3)), CopyOf(Offset(3)));
       PutFile(log.fs, LogPath(Offset(3)),
               EncodeSegmentHeader({kLogStream, PartitionId(1), Offset(3)}));
     },
     [](Healthy& log) {
       log.Move(LogPath(Offset(3)), "/elsewhere/other");
       log.Move(CopyOf(Offset(3)), LogPath(Offset(3)));
     }},
    {"a segment of another name", "give it back its name",
     [](Healthy& log) { log.Move(LogPath(Offset(3)), LogPath(Offset(4))); },
     [](Healthy& log) { log.Move(LogPath(Offset(4)), LogPath(Offset(3))); }},
    {"two segments that overlap", "move one of the two out of the directory",
     [](Healthy& log) {
       PutFile(log.fs, LogPath(Offset(2)), SegmentFile(Offset(2)).AddMany(1).Sealed());
     },
     [](Healthy& log) { log.Move(LogPath(Offset(2)), CopyOf(Offset(2))); }},
};

TEST_CASE("remedies for a log that is not as it was work") {
  for (const Case& one : kCases) {
    CAPTURE(std::string(one.name));
    Healthy log;
    one.hurt(log);
    const absl::StatusOr<RecoveredLog> hurt = RecoverLog(log.fs, Request(log.point));
    std::string said(hurt.status().message());
    if (hurt.ok()) {
      // Opened around the damage: the reader is told.
      REQUIRE_FALSE(hurt->damaged.empty());
      SimClock clock;
      SimScheduler scheduler(clock, 1);
      SimExecutor& executor = scheduler.NewExecutor("all");
      TailCacheBudget budget(1 << 20);
      LogOptions options;
      options.directory = kLogDirectory;
      const Offset lost = hurt->damaged[0].from;
      const auto open =
          CommitLog::Create({log.fs, clock, executor, executor, budget}, options, *hurt);
      said = std::string(open->CheckDamage(lost).message());
    }
    CHECK_MESSAGE(said.find(one.remedy) != std::string::npos, said);
    one.remedied(log);
    const RecoveredLog healed = Recover(log.fs, Request(log.point));
    CHECK(healed.damaged.empty());
    CHECK(End(healed) == Offset(9));
    CHECK(healed.bounds.start == Offset(0));
    const auto report = InspectLog(log.fs, {kLogDirectory, log.point}, InspectDepth::kBytes,
                                   [](uint64_t, uint64_t) {});
    REQUIRE(report.ok());
    CHECK(report->sound());
  }
}

}  // namespace
}  // namespace bascule::log
