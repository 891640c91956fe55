// What a partition says and does when its files vanish, its beginning is lost, or the clock jumps.
#include "tests/unit/partition_broker.h"

namespace bascule {
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
  const Offset behind = *ParseSegmentFileName(segments[1].substr(segments[1].rfind('/') + 1));
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
}  // namespace bascule
