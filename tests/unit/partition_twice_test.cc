// What a partition lends, counts or arms, the second time.
#include "tests/unit/partition_broker.h"

namespace bascule::partition {
namespace {

TestMessage Asking(const std::string& inbox, AckPolicy policy) {
  TestMessage message;
  message.value = inbox;
  message.inbox = inbox;
  message.policy = policy;
  return message;
}

TEST_CASE("each time that nothing could be written is a gap of its own, with its own beginning") {
  PartitionWorld world;
  std::vector<Timestamp> begins;
  for (int round = 0; round < 3; ++round) {
    world.clock.Advance(std::chrono::minutes(10));
    begins.push_back(world.clock.Wall());
    world.disk_full = true;
    world.partition->OnDiskSpace();
    world.Publish(Values(round * 10, round * 10 + 3));  // nobody waits
    world.clock.Advance(std::chrono::seconds(5));
    world.disk_full = false;
    world.partition->OnDiskSpace();
    world.Run();
  }
  const auto content = world.ReadAll();
  REQUIRE(content.gaps.size() == 3);
  for (size_t i = 0; i < 3; ++i) {
    CHECK(content.gaps[i].count == 3);
    CHECK(content.gaps[i].from >= begins[i]);
    CHECK(content.gaps[i].to <
          begins[i] + std::chrono::nanoseconds(std::chrono::seconds(5)).count());
  }
}

TEST_CASE("under durability os a full segment is flushed and sealed when the next one begins") {
  PartitionWorldOptions options;
  options.settings.durability = Durability::kOs;
  options.settings.segment_max_bytes = 500;
  PartitionWorld world(options);
  for (int i = 0; i < 30; ++i) world.Publish(Values(i, i + 1));
  const std::vector<std::string> paths = world.SegmentPaths();
  REQUIRE(paths.size() > 3);
  for (size_t i = 0; i + 2 < paths.size(); ++i) {
    CAPTURE(paths[i]);
    const auto file = world.fs.Open(paths[i], OpenMode::kRead);
    REQUIRE(file.ok());
    CHECK(log::ReadFooter(**file, *(*file)->Size()).ok());
  }
}

TEST_CASE("readers that end make room for others, again and again") {
  PartitionWorld world;
  world.Publish(Values(0, 3));
  uint64_t next = 1000;
  for (int round = 0; round < 3; ++round) {
    std::vector<ReaderId> readers;
    size_t served = 0;
    size_t refused = 0;
    for (size_t i = 0; i <= limits::kMaxSubscribersPerPartition; ++i) {
      readers.emplace_back(next++);
      world.partition->Read(
          {readers.back(), Direction::kForward, Offset(0), 4096},
          [&](const absl::StatusOr<ReadChunk>& chunk) { ++(chunk.ok() ? served : refused); });
    }
    world.Run();
    CHECK(served == limits::kMaxSubscribersPerPartition);
    CHECK(refused == 1);
    for (const ReaderId reader : readers) world.partition->CancelRead(reader);
    world.Run();
  }
}

TEST_CASE("a new epoch commits nothing that is not durable, however often it comes") {
  PartitionWorld world;
  for (uint64_t epoch = 2; epoch < 5; ++epoch) {
    const std::string inbox = Concat("epoch", epoch);
    world.Send({Asking(inbox, AckPolicy::kAll)});
    world.partition->Lead(LeaderEpoch(epoch), ViewOf({"self"}, 1));
    CHECK(world.acks.Find(inbox) == nullptr);
    world.Run();
    REQUIRE(world.acks.Find(inbox) != nullptr);
    CHECK(world.acks.Find(inbox)->durable_end > world.acks.Find(inbox)->offset);
  }
}

TEST_CASE("acks.leader counts as it was set last, back and forth") {
  PartitionWorldOptions options;
  options.start = false;
  PartitionWorld world(options);
  world.Lead(LeaderEpoch(1), std::nullopt, {"self", "other"}, 1);  // who never acknowledges
  StreamSettings settings = options.settings;
  for (int round = 0; round < 4; ++round) {
    settings.leader_acks = round % 2 == 0 ? LeaderAcks::kCommitted : LeaderAcks::kLocal;
    world.partition->Reconfigure(settings);
    const std::string inbox = Concat("round", round);
    world.Publish({Asking(inbox, AckPolicy::kLeader)});
    CHECK((world.acks.Find(inbox) != nullptr) == (round % 2 == 1));
  }
}

TEST_CASE(
    "a failed log is cut where its durability was promised, under `os` behind all that was given") {
  for (const Durability durability : {Durability::kFsync, Durability::kOs}) {
    PartitionWorldOptions options;
    options.settings.durability = durability;
    PartitionWorld world(options);
    world.Publish(Values(0, 3, "i"));
    world.fs.faults().FailAfter(1, kSync, absl::StatusCode::kInternal);
    world.Publish(Values(3, 6, "i"));
    world.partition->OnIdleTick();  // under `os` the flush comes now
    world.Run();
    REQUIRE(world.failures.size() == 1);
    std::optional<log::KnownEnd> known;
    world.partition->Rest([&](std::optional<log::KnownEnd> end) { known = end; });
    world.Run();
    REQUIRE(known.has_value());
    CHECK(known->given == (durability == Durability::kFsync ? Offset(3) : Offset(6)));
  }
}

TEST_CASE("retention comes round again and again") {
  Machine machine(31);
  StreamSpec spec;
  spec.name = spec.subject = "s";
  spec.overrides.retention_max_messages = 1;
  spec.overrides.segment_max_age = std::chrono::milliseconds(1000);
  spec.overrides.cleaner_interval = std::chrono::milliseconds(2000);
  REQUIRE(Ask<absl::Status>(machine.scheduler, [&](auto done) {
            machine.broker->metadata.CreateStream(spec, std::chrono::seconds(5), std::move(done));
          }).ok());
  Offset start;
  for (int round = 0; round < 4; ++round) {
    CAPTURE(round);
    machine.Publish("s", Values(round * 10, round * 10 + 4));
    machine.RunFor(10 * kSecond);
    const Offset now = machine.Status("s").log_start;
    if (round > 0) CHECK(now > start);
    start = now;
  }
}

TEST_CASE("recovery points of a log that never rests are written all the same") {
  Machine machine(32);
  REQUIRE(machine.Create("s").ok());
  const PartitionKey key{kFirstStream, PartitionId(0)};
  int written = 0;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 300; ++i) {
      machine.Publish("s", Values(i, i + 1));
      machine.RunFor(std::chrono::milliseconds(20));
    }
    const Offset end = machine.Status("s").log_end;
    const auto points = log::ParseRecoveryPoints(machine.fs.DurableBytes("/data/recovery.points"));
    REQUIRE(points.ok());
    const auto point = points->partitions.find(key);
    if (point != points->partitions.end() && point->second.active.end_offset + 299 > end) ++written;
  }
  CHECK(written == 3);
}

}  // namespace
}  // namespace bascule::partition
