// What a partition says and does when its files vanish, its beginning is lost, or the clock jumps.
#include "tests/unit/partition_broker.h"

namespace bascule::partition {
namespace {

bool Says(const PartitionStatus& status, const std::string& words) {
  return status.degraded.find(words) != std::string::npos;
}

// Offsets acked OK, each once.
std::set<Offset> Acked(const RecordingAcks& acks) {
  std::set<Offset> offsets;
  for (const SentAck& ack : acks.sent) {
    if (ack.error != AckError::kOk) continue;
    CHECK_MESSAGE(offsets.insert(ack.offset).second, "two acks for ", ack.offset.value());
  }
  return offsets;
}

TEST_CASE("a lost beginning: earliest says so, OLDEST stays, what is behind it is read") {
  PartitionWorldOptions options;
  options.settings.segment_max_bytes = 500;
  PartitionWorld world(options);
  for (int i = 0; i < 20; ++i) world.Publish(Values(i, i + 1));
  const std::vector<std::string> segments = world.SegmentPaths();
  REQUIRE(segments.size() > 2);
  const Offset behind = *log::ParseSegmentFileName(segments[1].substr(segments[1].rfind('/') + 1));
  world.partition->Close(absl::UnavailableError("stopped"));
  REQUIRE(world.fs.Remove(segments[0]).ok());
  for (uint64_t life = 2; life < 4; ++life) {
    world.NewPartition();
    world.Lead(LeaderEpoch(life));
    const PartitionStatus status = world.Status();
    CHECK(status.log_start == Offset(0));
    CHECK(status.lost_records == static_cast<uint64_t>(behind.value()));
    CHECK(Says(status, Concat("offsets 0 to ", behind - 1, " are lost: the segments ")));
    const auto earliest = world.Locate({StartPosition::Kind::kEarliest, 0, {}});
    REQUIRE(earliest.ok());
    CHECK(earliest->from == Offset(0));
    CHECK(absl::IsDataLoss(world.Read(Offset(0)).status()));
    CHECK(absl::IsDataLoss(world.Read(behind - 1, Direction::kReverse).status()));
    CHECK(world.Read(behind).ok());
    world.partition->Close(absl::UnavailableError("stopped"));
  }
  world.NewPartition();
  world.Lead(LeaderEpoch(9));
}

TEST_CASE("everything lost: no empty replay, no offset given again") {
  Machine machine(21);
  REQUIRE(machine.Create("s").ok());
  machine.Publish("s", Values(0, 5, "i"));
  machine.RunFor(kSecond);
  const std::string directory = machine.DirectoryOf("s") + "/0";
  machine.StopCleanly();
  REQUIRE(machine.fs.RemoveTree(directory).ok());
  for (int life = 0; life < 2; ++life) {
    machine.Start();
    machine.RunFor(kSecond);
    CHECK(machine.Status("s").log_start == Offset(0));
    CHECK(machine.Status("s").lost_records == 5);
    CHECK(Says(machine.Status("s"), Concat("the end of the log in ", directory, " is gone")) ==
          (life == 0));
    CHECK(Says(machine.Status("s"), "offsets 0 to 4 are lost"));
    machine.Publish("s", Values(10 + life, 11 + life, "n"));
    machine.RunFor(kSecond);
    machine.StopCleanly();
  }
  CHECK(*Acked(machine.acks).rbegin() > Offset(5));
}

TEST_CASE("a directory that vanishes under a running broker: nothing is acked into it") {
  for (const bool idle : {false, true}) {
    Machine machine(22);
    REQUIRE(machine.Create("s").ok());
    machine.Publish("s", Values(0, 5, "i"));
    machine.RunFor(kSecond);
    const std::string directory = machine.DirectoryOf("s") + "/0";
    // Twice, for what is armed again.
    for (int round = 0; round < 2; ++round) {
      CAPTURE(round);
      const size_t acked = Acked(machine.acks).size();
      const Offset end = machine.Status("s").log_end;
      REQUIRE(machine.fs.RemoveTree(directory).ok());
      if (!idle) machine.Publish("s", Values(10 + 10 * round, 13 + 10 * round, "lost"));
      machine.RunFor(limits::kLogFilesCheckPeriod + 10 * kSecond);
      CHECK(Acked(machine.acks).size() == acked);
      const PartitionStatus status = machine.Status("s");
      CHECK(Says(status, directory));
      CHECK(status.lost_records >= static_cast<uint64_t>(end.value()));
      CHECK(machine.fs.Exists(directory));
      machine.Publish("s", Values(100 + round, 101 + round, "new"));
      machine.RunFor(kSecond);
      CHECK(Acked(machine.acks).size() == acked + 1);
      CHECK(*Acked(machine.acks).rbegin() >= end);
    }
  }
}

TEST_CASE("durability os: files that vanish cost what was in them, and no offset twice") {
  enum Gone { kDirectory, kSegments, kActive };
  for (const Gone gone : {kDirectory, kSegments, kActive}) {
    for (const bool stops : {false, true}) {
      CAPTURE(static_cast<int>(gone));
      CAPTURE(stops);
      Machine machine(23);
      StreamOverrides os;
      os.durability = Durability::kOs;
      REQUIRE(machine.Create("s", 1, 5 * kSecond, os).ok());
      machine.Publish("s", Values(0, 5, "i"));
      machine.RunFor(20 * kSecond);  // flushed, and in recovery.points
      const std::string directory = machine.DirectoryOf("s") + "/0";
      machine.Publish("s", Values(5, 9, "i"));
      machine.RunFor(std::chrono::milliseconds(100));
      REQUIRE(Acked(machine.acks).size() == 9);
      if (gone == kDirectory) REQUIRE(machine.fs.RemoveTree(directory).ok());
      const auto entries = machine.fs.List(directory);
      for (const DirectoryEntry& entry :
           gone == kDirectory ? std::vector<DirectoryEntry>() : *entries) {
        if (gone == kSegments || log::ParseSegmentFileName(entry.name))
          REQUIRE(machine.fs.Remove(JoinPath(directory, entry.name)).ok());
      }
      if (stops) {
        machine.StopCleanly();
        machine.Start();
      }
      machine.RunFor(limits::kLogFilesCheckPeriod + 10 * kSecond);
      const PartitionStatus status = machine.Status("s");
      CHECK(status.lost_records == 9);
      CHECK(Says(status, "offsets 0 to 8 are lost"));
      machine.Publish("s", Values(20, 23, "n"));
      machine.RunFor(kSecond);
      CHECK(Acked(machine.acks).size() == 12);
      CHECK(*Acked(machine.acks).rbegin() >= Offset(11));
    }
  }
}

TEST_CASE("what was acked under os before the stream became durable is not given again") {
  PartitionWorldOptions options;
  options.settings.durability = Durability::kOs;
  PartitionWorld world(options);
  world.Publish(Values(0, 5, "os"));
  CHECK(Acked(world.acks).size() == 5);
  StreamSettings synced = options.settings;
  synced.durability = Durability::kFsync;
  world.partition->Reconfigure(synced);
  world.fs.faults().FailAfter(1, kSync, absl::StatusCode::kInternal);
  world.partition->Lead(LeaderEpoch(2), ViewOf({"self"}, 1));
  world.Publish(Values(5, 8, "synced"));
  REQUIRE(world.failures.size() == 1);
  std::optional<log::KnownEnd> known;
  world.partition->Rest([&](std::optional<log::KnownEnd> end) { known = end; });
  world.Run();
  CHECK(known == log::KnownEnd{Offset(0), Offset(5)});
  for (const std::string& path : world.SegmentPaths()) REQUIRE(world.fs.Remove(path).ok());
  world.Lead(LeaderEpoch(9), known);
  world.Publish(Values(8, 10, "new"));
  CHECK(Acked(world.acks).size() == 7);
  CHECK(Says(world.Status(), "offsets 0 to 4 are lost"));
}

TEST_CASE("a clock that was ahead, or is behind, is told once per time, with how far") {
  PartitionWorld world;
  world.Publish(Values(0, 1));
  CHECK(world.Status().degraded.empty());
  for (int episode = 0; episode < 2; ++episode) {
    world.clock.JumpWall(std::chrono::hours(240));
    world.Publish(Values(1, 2));
    world.clock.JumpWall(-std::chrono::hours(240));
    CHECK(Says(world.Status(), "newest timestamp is 10 days ahead"));
    world.Publish(Values(2, 3));
    CHECK(Says(world.Status(), "newest timestamp is 10 days ahead"));
    world.clock.Advance(std::chrono::hours(240));
    world.Publish(Values(3, 4));
    CHECK(world.Status().degraded.empty());
    world.clock.JumpWall(-std::chrono::minutes(90));
    world.Publish(Values(4, 5));
    CHECK(Says(world.Status(), "newest timestamp is 90 minutes ahead"));
    world.clock.JumpWall(std::chrono::minutes(90));
    world.clock.JumpWall(-std::chrono::seconds(1));  // what is corrected all the time
    world.Publish(Values(5, 6));
    CHECK(world.Status().degraded.empty());
    world.clock.Advance(kSecond);
  }
}

}  // namespace
}  // namespace bascule::partition
