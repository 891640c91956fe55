// Replicas of a partition when something else goes wrong too: damage at run time, reads and begins that fail,
// roles that come in between, memory.
#include <doctest/doctest.h>

#include "tests/unit/partition_group.h"

namespace bascule::partition {
namespace {

std::vector<TestMessage> Padded(int from, int to, size_t bytes = 20) {
  std::vector<TestMessage> messages = Values(from, to, "i");
  for (TestMessage& message : messages) {
    message.policy = AckPolicy::kAll;
    message.value.resize(std::max(bytes, message.value.size()), 'x');
  }
  return messages;
}

StreamSettings SmallSegments() {
  StreamSettings settings;
  settings.segment_max_bytes = 4 * 1024;
  return settings;
}

std::string FirstSegment() { return JoinPath(kGroupDirectory, log::SegmentFileName(Offset())); }

}  // namespace

TEST_CASE("replica faults: damage at run time costs nothing of the rest while the replica counts") {
  PartitionGroup group(SmallSegments());
  group.Elect(1, 1, {1, 2, 3});
  group.Run();
  for (int i = 0; i < 20; ++i) {
    group.Publish(1, Padded(i, i + 1, 1000));
    group.Run();
  }
  REQUIRE(group[2].fs.Remove(FirstSegment()).ok());
  group.Run(std::chrono::seconds(31));
  group[2].partition->OnIdleTick();
  group.Run();
  const std::vector<std::string> held = group[2].Records();
  REQUIRE(held.size() < 20);
  REQUIRE(held.size() > 10);
  group.Elect(3, 2, {2, 3});
  group.Run(std::chrono::seconds(5));
  CHECK(group[2].Records() == held);
  // Whoever leads goes on, and it may be the damaged one.
  SUBCASE("it is left out, and fetched anew") {
    group[2].partition->OnCounted(true);
    group.Run(std::chrono::seconds(5));
    CHECK(group[2].Records() == held);
    group[2].partition->OnCounted(false);
    group.Run(std::chrono::seconds(5));
    CHECK(group[2].Records() == group[3].Records());
    CHECK(group[2].Records().size() == 20);
  }
  SUBCASE("it leads") {
    group.Elect(2, 3, {2}, 1, {1, 3});
    group.Run(std::chrono::seconds(1));
    CHECK(group.Status(2).log_end == Offset(20));
    CHECK(group[2].Records() == held);
  }
}

TEST_CASE("replica faults: a role that comes right after a failed beginning of the log is taken") {
  StreamSettings settings = SmallSegments();
  settings.retention_max_bytes = 16 * 1024;
  settings.cleaner_interval = std::chrono::milliseconds(50);
  PartitionGroup group(settings);
  group.Elect(1, 1, {1, 2}, 2, {3});
  group.Run();
  for (int i = 0; i < 60; ++i) {
    group.Publish(1, Padded(i, i + 1, 1000));
    group.Run(std::chrono::milliseconds(20));
  }
  REQUIRE(group.Status(1).log_start > Offset(20));
  group[3].fs.faults().FailAfter(1, kWrite, absl::StatusCode::kResourceExhausted);
  group[3].partition->Follow(LeaderEpoch(1), "b1", false);
  REQUIRE(
      group.scheduler.RunUntil([&] { return group[3].failures == 1; }, std::chrono::seconds(5)));
  group[3].partition->Follow(LeaderEpoch(2), "b2", false);
  group.Run();
  group[3].Open();
  group.Elect(2, 3, {1, 2});
  group.Run(std::chrono::seconds(5));
  CHECK(group[3].Records() == group[2].Records());
}

TEST_CASE("replica faults: what could not be read once is sent at the next tick") {
  PartitionGroup group(SmallSegments());
  group.Elect(1, 1, {1, 2}, 2, {3});
  group.Run();
  for (int i = 0; i < 100; ++i) {
    group.Publish(1, Padded(i, i + 1, 1000));
    group.Run(std::chrono::milliseconds(5));
  }
  group[1].fs.faults().FailAfter(1, kOpen, absl::StatusCode::kInternal);
  group[3].partition->Follow(LeaderEpoch(1), "b1", false);
  group.Run(std::chrono::seconds(2));
  CHECK(group[3].Records().size() < 100);
  group[1].partition->OnReplicaTick();
  group.Run(std::chrono::seconds(2));
  CHECK(group[3].Records() == group[1].Records());
}

TEST_CASE("replica faults: a small batch in memory does not keep the large frame that it came in") {
  PartitionGroup group;
  group.Elect(1, 1, {1, 2, 3});
  group.Run();
  group.Publish(1, Padded(0, 1));
  group.Run();
  REQUIRE(group[2].Records().size() == 1);
  wire::BatchBuilder builder;
  builder.Begin(Offset(1), LeaderEpoch(1), group.clock.Wall(), Offset(1), 0);
  std::string body;
  wire::AppendValue(body, "small");
  builder.Add(body);
  const Bytes batch(std::string(builder.Finish(group.clock.Wall())));
  PeerIdentity from;
  from.id = PeerId(1);
  from.server_id = "b1";
  std::vector<std::weak_ptr<const void>> owners;
  for (uint64_t number = 1; number <= 5; ++number) {  // of the question that was answered
    ReplicaFrameBuilder frame;
    frame.AddAppend(kGroupKey, LeaderEpoch(1), Offset(1), number, batch);
    frame.AddAppend({StreamId(99), PartitionId(0)}, LeaderEpoch(1), Offset(0), number,
                    Bytes(std::string(size_t{1} << 20, 'x')));
    std::string bytes;
    for (const Bytes& piece : frame.Take()) bytes += piece.view();
    Bytes whole(std::move(bytes));
    owners.push_back(whole.owner());
    group[2].replicas.OnReplicaFrame(from, ReplicaLane::kTail, std::move(whole), nullptr);
    group.Run();
  }
  CHECK(group[2].Records().size() == 2);
  for (const auto& owner : owners) CHECK(owner.expired());
}

TEST_CASE("replica faults: acknowledgements do not wait behind what else waits for the line") {
  ReplicaLink link("b2");
  link.Up(ReplicaLane::kTail);
  for (int i = 0; i < 3; ++i) {
    CHECK(link.AddAppend(ReplicaLane::kTail, kGroupKey, LeaderEpoch(1), 1, Offset(0),
                         Bytes(std::string(900 * 1024, 'x'))));
  }
  link.Add({kGroupKey, LeaderEpoch(1), isr::Acknowledgement{"b1", 1, LeaderEpoch(1), Offset(7)}});
  std::string first;
  for (const Bytes& piece : link.Next(ReplicaLane::kTail)) first += piece.view();
  const auto parts = ParseReplicaFrame(first);
  REQUIRE(parts.ok());
  REQUIRE(parts->size() == 1);
  CHECK(std::holds_alternative<isr::Acknowledgement>(parts->front().what));
  for (int i = 0; i < 3; ++i) CHECK_FALSE(link.Next(ReplicaLane::kTail).empty());
  CHECK(link.Next(ReplicaLane::kTail).empty());
}

TEST_CASE(
    "replica faults: under os nothing is taken after a stop has drained, and what was taken is on "
    "the disk") {
  StreamSettings settings;
  settings.durability = Durability::kOs;
  PartitionGroup group(settings);
  group.Elect(1, 1, {1, 2, 3});
  group.Run();
  group.Publish(1, Padded(0, 3));
  group.Run();
  SUBCASE("following") {}
  SUBCASE("in standby") { group[2].partition->StandBy(); }
  bool drained = false;
  group[2].partition->Drain([&] { drained = true; });
  REQUIRE(group.scheduler.RunUntil([&] { return drained; }, std::chrono::seconds(5)));
  group.Publish(1, Padded(3, 6));
  group.Run();
  SimRng rng(1);
  const size_t held = group[2].Records().size();
  group[2].fs.Crash(rng, {UnsyncedFate::kLost, EntryFate::kLost});
  CHECK(group[2].Records().size() == held);
  CHECK(held == 3);
}

TEST_CASE("replica faults: who catches up is read for slower while the partition is published to") {
  const auto until_level = [](bool load) {
    PartitionGroup group(SmallSegments());
    group.Elect(1, 1, {1, 2}, 2, {3});
    group.Run();
    for (int i = 0; i < 40; ++i) {
      group.Publish(1, Padded(i * 4, i * 4 + 4, 50'000));
      group.Run(std::chrono::milliseconds(5));
    }
    group[1].partition->OnReplicaTick();
    group[1].partition->OnReplicaTick();  // that was before
    const size_t behind = group.Status(1).bytes;
    group[3].partition->Follow(LeaderEpoch(1), "b1", false);
    const MonotonicTime begun = group.clock.Monotonic();
    for (int i = 0; i < 10'000 && group.Status(3).log_end < group.Status(1).log_end; ++i) {
      if (load && i % 10 == 0) group.Publish(1, Padded(1000 + i, 1001 + i));
      group.Run(std::chrono::milliseconds(1));
    }
    CHECK(group.Status(3).log_end == group.Status(1).log_end);
    const double seconds =
        static_cast<double>(Between(begun, group.clock.Monotonic()).count()) / 1e9;
    return static_cast<double>(behind) / seconds;  // bytes per second
  };
  const double beside_load = until_level(true);
  CHECK(beside_load <= 1.2 * static_cast<double>(limits::kCatchUpBesideLoad));
  CHECK(until_level(false) >= 1.5 * beside_load);
}

}  // namespace bascule::partition
