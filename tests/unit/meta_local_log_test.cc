// The metadata log of one broker: what it keeps through crashes, and what it refuses.
#include "replication/meta/local_metadata_log.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "core/base/text.h"
#include "tests/support/sim_executor.h"
#include "tests/support/sim_file_system.h"

namespace bascule {
namespace {

constexpr char kLog[] = "/data/meta/log";
constexpr char kSnapshot[] = "/data/meta/snapshot";

// Remembers every command; its snapshot is the list.
class Commands final : public MetadataState {
 public:
  absl::Status Apply(MetadataIndex index, std::string_view command) override {
    CHECK(index.value() == list.size() + 1);
    if (command == "from the future") return absl::UnimplementedError("unknown command");
    list.emplace_back(command);
    return command == "refused" ? absl::NotFoundError("no such thing") : absl::OkStatus();
  }
  std::string Snapshot() const override {
    std::string all;
    for (const std::string& command : list) all += command + "\n";
    return all;
  }
  absl::Status Restore(std::string_view snapshot) override {
    list.clear();
    for (size_t end; (end = snapshot.find('\n')) != std::string_view::npos;) {
      list.emplace_back(snapshot.substr(0, end));
      snapshot.remove_prefix(end + 1);
    }
    return absl::OkStatus();
  }
  std::vector<std::string> list;
};

class LogWorldOfMeta {
 public:
  explicit LogWorldOfMeta(uint64_t seed = 1)
      : scheduler(clock, seed), home(scheduler.NewExecutor("home")), fs(seed) {}
  ~LogWorldOfMeta() { scheduler.DropAll(); }

  absl::Status TryOpen() {
    log.reset();
    scheduler.DropAll();
    state = Commands();
    auto opened = LocalMetadataLog::Open(fs, home, "/data/meta", state);
    if (opened.ok()) log = *std::move(opened);
    return opened.status();
  }
  void Open() {
    const absl::Status opened = TryOpen();
    REQUIRE_MESSAGE(opened.ok(), opened.ToString());
  }
  void Propose(const std::string& command) {
    log->Propose(command, [this, command](const absl::Status& status) {
      answers.emplace_back(command, status);
    });
  }
  absl::Status ProposeAndRun(const std::string& command) {
    Propose(command);
    scheduler.RunUntilIdle();
    REQUIRE_FALSE(answers.empty());
    return answers.back().second;
  }
  // What was answered OK is there, in order, once; nothing that was refused is.
  void CheckKept() {
    std::vector<std::string> acked;
    for (const auto& [command, status] : answers) {
      if (status.ok()) acked.push_back(command);
      if (absl::IsUnavailable(status)) {
        CHECK(std::count(state.list.begin(), state.list.end(), command) == 0);
      }
    }
    size_t at = 0;
    for (const std::string& command : state.list) {
      CHECK(std::count(state.list.begin(), state.list.end(), command) == 1);
      if (at < acked.size() && command == acked[at]) ++at;
    }
    CHECK(at == acked.size());
  }

  SimClock clock;
  SimScheduler scheduler;
  SimExecutor& home;
  SimFileSystem fs;
  Commands state;
  std::unique_ptr<LocalMetadataLog> log;
  std::vector<std::pair<std::string, absl::Status>> answers;
};

}  // namespace

TEST_CASE("commands are answered when they are on the disk, those of one moment by one sync") {
  LogWorldOfMeta world;
  world.Open();
  const uint64_t before = world.fs.faults().Calls(kSync);
  for (int i = 0; i < 20; ++i) world.Propose(Concat("c", i));
  CHECK(world.answers.empty());
  world.scheduler.RunUntilIdle();
  CHECK(world.answers.size() == 20);
  CHECK(world.fs.faults().Calls(kSync) == before + 1);
  CHECK_FALSE(world.fs.HasUnsyncedBytes(kLog));
  CHECK(world.log->applied() == MetadataIndex(20));
}

TEST_CASE("the proposer gets what Apply says, and the command stays in the log") {
  LogWorldOfMeta world;
  world.Open();
  CHECK(absl::IsNotFound(world.ProposeAndRun("refused")));
  CHECK(world.ProposeAndRun("fine").ok());
  world.Open();
  CHECK(world.state.list == std::vector<std::string>{"refused", "fine"});
  CHECK(world.log->applied() == MetadataIndex(2));
}

TEST_CASE("golden bytes of a log with one record and of its snapshot") {
  LogWorldOfMeta world;
  world.Open();
  CHECK(world.ProposeAndRun("hi").ok());
  const std::string log = world.fs.VisibleBytes(kLog);
  REQUIRE(log.size() == 8 + 24 + 2);
  CHECK(log.substr(0, 8) == std::string("BSCM\x01\0\0\0", 8));
  CHECK(log.substr(12, 20) == std::string("\x02\0\0\0\x01\0\0\0\0\0\0\0\x08\0\0\0\0\0\0\0", 20));
  CHECK(log.substr(32) == "hi");
  world.Open();
  const std::string snapshot = world.fs.VisibleBytes(kSnapshot);
  REQUIRE(snapshot.size() == 16 + 3 + 4);
  CHECK(snapshot.substr(0, 19) == std::string("BSCN\x01\0\0\0\x01\0\0\0\0\0\0\0hi\n", 19));
  CHECK(world.fs.VisibleBytes(kLog).size() == 8);
}

TEST_CASE("a torn tail is cut and the log goes on behind it") {
  for (size_t cut = 1; cut < 28; ++cut) {
    LogWorldOfMeta world;
    world.Open();
    CHECK(world.ProposeAndRun("first").ok());
    const size_t whole = world.fs.VisibleBytes(kLog).size();
    CHECK(world.ProposeAndRun("torn").ok());
    world.fs.TruncateDurably(kLog, whole + 28 - cut);
    world.Open();
    CHECK(world.state.list == std::vector<std::string>{"first"});
    CHECK(world.ProposeAndRun("next").ok());
    world.Open();
    CHECK(world.state.list == std::vector<std::string>{"first", "next"});
  }
}

TEST_CASE("damage before what was durable is refused with a text that says what to do") {
  LogWorldOfMeta world;
  world.Open();
  CHECK(world.ProposeAndRun("first").ok());
  CHECK(world.ProposeAndRun("second").ok());
  world.fs.FlipBit(kLog, 8 + 24 + 1, 3);  // in "first"
  const absl::Status opened = world.TryOpen();
  CHECK(absl::IsDataLoss(opened));
  CHECK(opened.message() ==
        "/data/meta/log is damaged at byte 8, with more records behind; restore the directory "
        "/data/meta from a backup");
}

TEST_CASE("of a group that was not synced any part may come back: all of it is cut") {
  for (int missing = 0; missing < 3; ++missing) {
    LogWorldOfMeta world;
    world.Open();
    CHECK(world.ProposeAndRun("synced").ok());
    const size_t group = world.fs.VisibleBytes(kLog).size();
    for (const char* command : {"one", "two", "six"}) world.Propose(command);
    world.scheduler.RunUntilIdle();
    const size_t record = 24 + 3;
    // The disk got the others of the group, and not this one.
    world.fs.FlipBit(kLog, group + static_cast<size_t>(missing) * record + 25, 1);
    world.Open();
    CHECK(world.state.list.size() == static_cast<size_t>(1 + missing));
    CHECK(world.ProposeAndRun("next").ok());
    world.Open();
    CHECK(world.state.list.back() == "next");
  }
}

TEST_CASE("a file that is none of ours, a newer version and a bad snapshot are refused") {
  LogWorldOfMeta world;
  world.Open();
  CHECK(world.ProposeAndRun("first").ok());
  SUBCASE("log magic") {
    world.fs.FlipBit(kLog, 0, 0);
    CHECK(absl::IsDataLoss(world.TryOpen()));
  }
  SUBCASE("log version") {
    world.fs.FlipBit(kLog, 4, 1);
    const absl::Status opened = world.TryOpen();
    CHECK(absl::IsFailedPrecondition(opened));
    CHECK(opened.message() == "/data/meta/log was written by a newer version of this program");
  }
  SUBCASE("log too short") {
    world.fs.TruncateDurably(kLog, 7);
    CHECK(absl::IsDataLoss(world.TryOpen()));
  }
  SUBCASE("any bit of the snapshot") {
    world.Open();  // takes one
    const size_t size = world.fs.VisibleBytes(kSnapshot).size();
    for (size_t at = 0; at < size; ++at) {
      world.fs.FlipBit(kSnapshot, at, 5);
      const absl::Status opened = world.TryOpen();
      CHECK(absl::IsDataLoss(opened));
      CHECK(opened.message() ==
            "/data/meta/snapshot is damaged; restore the directory /data/meta from a backup");
      world.fs.FlipBit(kSnapshot, at, 5);
    }
    world.Open();
    CHECK(world.state.list == std::vector<std::string>{"first"});
  }
}

TEST_CASE("a command of a newer version stops the start") {
  LogWorldOfMeta world;
  world.Open();
  CHECK(absl::IsUnimplemented(world.ProposeAndRun("from the future")));
  CHECK(absl::IsUnimplemented(world.TryOpen()));
}

TEST_CASE("power loss at any changing call loses nothing answered and refuses no start") {
  for (uint64_t n = 1; n <= 60; ++n) {
    for (uint64_t fate = 0; fate < 6; ++fate) {
      LogWorldOfMeta world(n * 10 + fate);
      INFO("call ", n, " fate ", fate);
      world.fs.faults().PowerOffAfter(n);
      for (int life = 0; life < 3 && world.TryOpen().ok(); ++life) {
        for (int i = 0; i < 4; ++i) {
          // A group of several sectors: any part of it may be on the disk.
          for (int k = 0; k < 3; ++k) {
            world.Propose(Concat(life, "-", i, "-", k, std::string(i == 2 ? 3000 : 10, 'x')));
          }
          world.scheduler.RunUntilIdle();
        }
      }
      world.log.reset();
      world.fs.Crash(world.scheduler.rng());
      world.Open();
      world.CheckKept();
      CHECK(world.ProposeAndRun("after").ok());
      world.Open();
      CHECK(world.state.list.back() == "after");
    }
  }
}

TEST_CASE("power loss while the log is replaced by a snapshot loses nothing") {
  bool survived = false;
  for (uint64_t n = 1; !survived; ++n) {
    REQUIRE(n < 100);
    LogWorldOfMeta world(n);
    world.Open();
    for (uint64_t i = 1; i < LocalMetadataLog::kSnapshotEvery; ++i) world.Propose(Concat("c", i));
    world.scheduler.RunUntilIdle();
    world.fs.faults().PowerOffAfter(n);
    world.Propose("last");
    world.scheduler.RunUntilIdle();
    survived = !world.fs.faults().power_is_off();
    world.log.reset();
    world.fs.Crash(world.scheduler.rng());
    world.Open();
    const size_t answered = static_cast<size_t>(std::count_if(
        world.answers.begin(), world.answers.end(), [](const auto& a) { return a.second.ok(); }));
    CHECK(world.state.list.size() >= answered);
    CHECK(world.ProposeAndRun("after").ok());
    world.Open();
    CHECK(world.state.list.back() == "after");
  }
}

TEST_CASE("a full disk refuses commands for good, and takes new ones when there is room") {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    LogWorldOfMeta world(seed);
    world.Open();
    CHECK(world.ProposeAndRun("before").ok());
    world.fs.faults().FailAfter(1, kWrite, absl::StatusCode::kResourceExhausted);
    // The first of the two may have been written whole.
    world.Propose("refused for want of room");
    CHECK(absl::IsUnavailable(world.ProposeAndRun(std::string(300, 'r'))));
    // What was refused does not come back by a crash either.
    if (seed % 2 == 0) {
      world.log.reset();
      world.fs.Crash(world.scheduler.rng());
      world.Open();
      CHECK(world.state.list == std::vector<std::string>{"before"});
    }
    CHECK(world.log->degraded().empty());
    CHECK(world.ProposeAndRun("after").ok());
    world.Open();
    CHECK(world.state.list == std::vector<std::string>{"before", "after"});
  }
}

TEST_CASE("a failed sync is not tried again: the outcome is unknown, and nothing more is taken") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    LogWorldOfMeta world(seed);
    world.Open();
    CHECK(world.ProposeAndRun("before").ok());
    world.fs.faults().FailAfter(1, kSync, absl::StatusCode::kInternal);
    CHECK(absl::IsInternal(world.ProposeAndRun("unknown")));
    CHECK(world.log->degraded().find("failed to sync") != std::string::npos);
    const uint64_t syncs = world.fs.faults().Calls(kSync);
    CHECK(absl::IsUnavailable(world.ProposeAndRun("refused")));
    CHECK(world.fs.faults().Calls(kSync) == syncs);
    // The next process sees the page cache. What it finds it must make durable itself: a later
    // sync of the same file would not.
    world.log.reset();
    world.fs.Kill();
    world.Open();
    const auto seen = world.state.list;
    CHECK(world.ProposeAndRun("after").ok());
    world.log.reset();
    world.fs.Crash(world.scheduler.rng());
    world.Open();
    CHECK(world.state.list.size() == seen.size() + 1);
    CHECK(world.state.list.back() == "after");
  }
}

TEST_CASE("a snapshot that finds no room leaves the log as it is") {
  for (uint64_t n = 1; n <= 2; ++n) {  // the snapshot, then the new log
    LogWorldOfMeta world(n);
    world.Open();
    for (uint64_t i = 1; i < LocalMetadataLog::kSnapshotEvery; ++i) world.Propose(Concat("c", i));
    world.scheduler.RunUntilIdle();
    // The first write is the command's own.
    world.fs.faults().FailAfter(1 + n, kWrite, absl::StatusCode::kResourceExhausted);
    CHECK(world.ProposeAndRun("last").ok());
    CHECK(world.log->degraded().empty());
    CHECK(world.ProposeAndRun("after").ok());
    CHECK(world.ProposeAndRun("and more").ok());
    world.log.reset();
    world.fs.Crash(world.scheduler.rng());
    world.Open();
    CHECK(world.state.list.size() == LocalMetadataLog::kSnapshotEvery + 2);
    CHECK(world.state.list.back() == "and more");
  }
}

}  // namespace bascule
