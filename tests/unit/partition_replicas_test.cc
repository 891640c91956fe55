// Three replicas of a partition: what is acknowledged is on all of them, whoever comes back is
// brought in line, and lines that break lose nothing.
#include <doctest/doctest.h>

#include "tests/unit/partition_group.h"

namespace bascule::partition {
namespace {

std::vector<TestMessage> AllAcked(int from, int to) {
  std::vector<TestMessage> messages = Values(from, to, "i");
  for (TestMessage& message : messages) message.policy = AckPolicy::kAll;
  return messages;
}

std::vector<TestMessage> Large(int from, int to, size_t bytes) {
  std::vector<TestMessage> messages = AllAcked(from, to);
  for (TestMessage& message : messages) message.value.resize(bytes, 'x');
  return messages;
}

bool ProposedAll(const GroupMachine& leader) {
  return std::any_of(leader.proposals.begin(), leader.proposals.end(),
                     [](const isr::IsrProposal& proposal) { return proposal.isr.size() == 3; });
}

}  // namespace

TEST_CASE("replicas: an ALL ack says that every in-sync replica has it on its disk") {
  PartitionGroup group;
  group.Elect(1, 1, {1, 2, 3});
  group.Run();
  group.Publish(1, AllAcked(0, 10));
  group.Run();
  CHECK(group[1].acks.sent.size() == 10);
  for (int n = 1; n <= 3; ++n) {
    CHECK(group[n].Records().size() == 10);
    CHECK(group[n].Records() == group[1].Records());
    group[n].fs.Kill();
  }
}

TEST_CASE("replicas: without a follower's disk there is no ALL ack and a LEADER ack") {
  PartitionGroup group;
  group.Elect(1, 1, {1, 2, 3});
  group.Run();
  group.lines.Cut(PeerId(3));
  group.Publish(1, AllAcked(0, 1));
  group.Publish(1, Values(1, 2, "leader"));
  group.Run();
  CHECK(group[1].acks.Find("i0") == nullptr);
  CHECK(group[1].acks.Find("leader1") != nullptr);
  group.lines.Heal();
  group.Run(std::chrono::seconds(2));
  CHECK(group[1].acks.Find("i0") != nullptr);
  CHECK(group[3].Records() == group[1].Records());
}

TEST_CASE("replicas: while messages flow the high watermark goes with them, and then by itself") {
  PartitionGroup group;
  group.Elect(1, 1, {1, 2, 3});
  group.Run();
  const int before = group.lines.high_watermarks;
  constexpr int kMessages = 1000;
  for (int i = 0; i < kMessages; ++i) {
    group.Publish(1, AllAcked(i, i + 1));
    group.Run(std::chrono::microseconds(50));
  }
  CHECK(group.lines.high_watermarks - before <= 2);
  CHECK(group.Status(2).high_watermark > Offset(kMessages / 2));
  group.Run();
  CHECK(group.lines.high_watermarks - before <= 6);
  CHECK(group.Status(2).high_watermark == Offset(kMessages));
  CHECK(group.Status(3).high_watermark == Offset(kMessages));
}

TEST_CASE("replicas: who steps down tells its publishers that the outcome is unknown") {
  PartitionGroup group;
  group.Elect(1, 1, {1, 2, 3});
  group.Run();
  group.lines.Cut(PeerId(1));
  group.Publish(1, AllAcked(0, 3));
  group.Run();
  CHECK(group[1].acks.sent.empty());
  group.Elect(2, 2, {2, 3});
  group.Run();
  REQUIRE(group[1].acks.sent.size() == 3);
  CHECK(group[1].acks.sent[0].error == AckError::kOutcomeUnknown);
}

TEST_CASE(
    "replicas: who is told of a newer epoch takes nothing, and goes on listening: it may lead that "
    "too") {
  PartitionGroup group;
  group.Elect(1, 1, {1, 2, 3});
  group.Run();
  Partition& old = *group[1].partition;
  SUBCASE("it listens already") {
    old.Listen(Partition::Since::kAway, [](const absl::Status&) {});
  }
  group[2].partition->Follow(LeaderEpoch(2), "b1", true);
  group[3].partition->Follow(LeaderEpoch(2), "b1", true);
  group.Publish(1, AllAcked(0, 1));
  group.Run(std::chrono::seconds(2));
  REQUIRE(group[1].acks.Find("i0") != nullptr);
  CHECK(group[1].acks.Find("i0")->error == AckError::kOutcomeUnknown);
  SUBCASE("it was about to") {
    old.Listen(Partition::Since::kAway, [](const absl::Status&) {});
  }
  group.Run(std::chrono::minutes(1));
  old.OnIdleTick();
  group.Publish(1, AllAcked(1, 2));
  group.Run();
  CHECK(group[1].acks.Find("i1")->error == AckError::kUnavailable);
  old.Lead(LeaderEpoch(2), group.view);
  group.Run();
  CHECK(group[1].feeds.listening.size() == 1);
  group.Publish(1, AllAcked(2, 3));
  group.Run(std::chrono::seconds(2));
  CHECK(group[1].acks.Find("i2")->error == AckError::kOk);
  CHECK(group[2].Records() == group[1].Records());
  group.Elect(2, 3, {1, 2, 3});
  group.Run();
  CHECK(group[1].feeds.listening.empty());
}

TEST_CASE("replicas: what an old leader alone has is cut and the new leader's taken") {
  PartitionGroup group;
  group.Elect(1, 1, {1, 2, 3});
  group.Run();
  group.Publish(1, AllAcked(0, 4));
  group.Run();
  group.lines.Cut(PeerId(1));
  group.Publish(1, AllAcked(100, 105));
  group.Run();
  group.Elect(2, 2, {2, 3}, 2, {1});
  group.Run();
  group.Publish(2, AllAcked(4, 6));
  group.Run();
  CHECK(group[2].acks.sent.size() == 2);
  group.lines.Heal();
  group.Elect(2, 3, {2, 3});
  group.Run(std::chrono::seconds(3));
  CHECK(group[2].Records().size() == 6);
  CHECK(group[1].Records() == group[2].Records());
  CHECK(group[3].Records() == group[2].Records());
  // It may join again now.
  CHECK(ProposedAll(group[2]));
  REQUIRE(group[1].point.has_value());
  CHECK(group[1].point->active.end_offset == Offset(4));
}

TEST_CASE("replicas: an empty one catches up from the disk while the tail goes on") {
  StreamSettings settings;
  settings.segment_max_bytes = 64 * 1024;
  PartitionGroup group(settings);
  group.Elect(1, 1, {1, 2}, 2, {3});
  group.Run();
  for (int i = 0; i < 100; ++i) {
    group.Publish(1, Large(i * 10, i * 10 + 10, 400));
    group.Run(std::chrono::milliseconds(5));
  }
  CHECK(group[1].acks.sent.size() == 1000);
  group[3].partition->Follow(LeaderEpoch(1), "b1", false);
  for (int i = 100; i < 110; ++i) {
    group.Publish(1, Large(i * 10, i * 10 + 10, 400));
    group.Run(std::chrono::milliseconds(5));
  }
  group.Run(std::chrono::seconds(3));
  CHECK(group.lines.frames[ReplicaLane::kCatchUp] > 0);
  CHECK(group[3].Records().size() == 1100);
  CHECK(group[3].Records() == group[1].Records());
  // R12: byte for byte, segments and all.
  const auto files = [&](int n) {
    std::map<std::string, std::string> bytes;
    const auto entries = group[n].fs.List(kGroupDirectory);
    REQUIRE(entries.ok());
    for (const DirectoryEntry& entry : *entries) {
      if (log::ParseSegmentFileName(entry.name))
        bytes[entry.name] = group[n].fs.VisibleBytes(JoinPath(kGroupDirectory, entry.name));
    }
    bytes.erase(std::prev(bytes.end()));  // the last one has room behind it
    return bytes;
  };
  CHECK(files(1).size() > 3);
  CHECK(files(1) == files(2));
  CHECK(files(1) == files(3));
  CHECK(ProposedAll(group[1]));
}

TEST_CASE("replicas: behind the leader's log start one begins anew") {
  StreamSettings settings;
  settings.segment_max_bytes = 4 * 1024;
  settings.retention_max_bytes = 16 * 1024;
  settings.cleaner_interval = std::chrono::milliseconds(50);
  PartitionGroup group(settings);
  group.Elect(1, 1, {1, 2}, 2, {3});
  group.Run();
  for (int i = 0; i < 100; ++i) {
    group.Publish(1, Large(i, i + 1, 1000));
    group.Run(std::chrono::milliseconds(20));
  }
  REQUIRE(group.Status(1).log_start > Offset(50));
  group[3].partition->Follow(LeaderEpoch(1), "b1", false);
  group.Run(std::chrono::seconds(3));
  REQUIRE_FALSE(group[3].Records().empty());
  CHECK(group[3].Records() == group[1].Records());
  CHECK(group[3].failures == 0);
  group.Publish(1, AllAcked(200, 201));
  group.Run();
  CHECK(group[3].Records() == group[1].Records());
}

TEST_CASE("replicas: lines that break again and again lose nothing and change nothing") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    StreamSettings settings;
    settings.segment_max_bytes = 8 * 1024;
    PartitionGroup group(settings, seed);
    SimRng rng(seed);
    group.Elect(1, 1, {1, 2, 3});
    group.Run();
    for (int i = 0; i < 200; ++i) {
      group.Publish(1, Large(i, i + 1, 100 + rng.Below(400)));
      group.Run(std::chrono::microseconds(rng.Below(2000)));
      if (rng.Below(10) == 0) group.lines.Cut(PeerId(1 + rng.Below(3)));
      if (rng.Below(5) == 0) group.lines.Heal();
    }
    group.lines.Heal();
    group.Run(std::chrono::seconds(5));
    CHECK(group[1].Records().size() == 200);
    CHECK(group[2].Records() == group[1].Records());
    CHECK(group[3].Records() == group[1].Records());
    CHECK(group[1].acks.sent.size() == 200);
  }
}

TEST_CASE("replicas: an epoch that begins while a cut is under way waits for it") {
  PartitionGroup group;
  group.Elect(1, 1, {1, 2, 3});
  group.Run();
  group.Publish(1, AllAcked(0, 4));
  group.Run();
  group.lines.Cut(PeerId(1));
  group.Publish(1, AllAcked(100, 105));
  group.Run();
  group.Elect(2, 2, {2, 3}, 2, {1});
  group.Run();
  group.lines.Heal();
  group[1].partition->Follow(LeaderEpoch(2), "b2", true);
  REQUIRE(group.scheduler.RunUntil([&] { return group[1].pool.waiting() > 0; },
                                   std::chrono::seconds(3)));
  group.Elect(1, 3, {1, 2, 3});  // in the middle of it
  group.Run(std::chrono::seconds(3));
  group.Publish(1, AllAcked(6, 8));
  group.Run();
  CHECK(group[1].Records() == group[2].Records());
  CHECK(group[1].Records() == group[3].Records());
  CHECK(group[1].acks.Find("i7") != nullptr);
}

TEST_CASE("replicas: a damaged log is given up for the leader's, once there is a leader") {
  PartitionGroup group;
  group.Elect(1, 1, {1, 2, 3});
  group.Run();
  for (int i = 0; i < 6; ++i) {
    group.Publish(1, AllAcked(i, i + 1));
    group.Run();
  }
  group[3].partition->Close(absl::UnavailableError("stopped"));
  group.Run();
  group[3].fs.Kill();
  const std::string path = JoinPath(kGroupDirectory, log::SegmentFileName(Offset()));
  group[3].fs.FlipBit(path, log::kSegmentHeaderBytes + wire::kBatchHeaderBytes + 1, 3);
  group[3].Start();
  group[3].partition->StandBy();
  group.Run();
  REQUIRE(group[3].Records() != group[1].Records());
  const std::string held = group[3].fs.VisibleBytes(path);
  group.Run(std::chrono::seconds(3));
  CHECK(group[3].fs.VisibleBytes(path) == held);  // nobody leads: it is all there is
  SUBCASE("it follows") { group.Elect(1, 2, {1, 2}); }
  SUBCASE("a newer epoch begins meanwhile") {
    group.Elect(1, 2, {1, 2});
    group.Elect(2, 3, {1, 2});
  }
  SUBCASE("nobody leads any more meanwhile") {
    group[3].partition->Follow(LeaderEpoch(2), "b1", false);
    group[3].partition->StandBy();
    group.Run();
    CHECK(group[3].Records().empty());
    group.Elect(1, 3, {1, 2});
  }
  group.Run(std::chrono::seconds(3));
  CHECK(group[3].Records() == group[1].Records());
  CHECK(group[3].Records().size() == 6);
  CHECK(group.Status(3).degraded.empty());
  CHECK(group[3].failures == 0);
}

TEST_CASE("replicas: a follower without room asks once a second, and goes on when there is room") {
  PartitionGroup group;
  group.Elect(1, 1, {1, 2, 3});
  group.Run();
  group[3].disk_full = true;
  const int before = group.lines.frames[ReplicaLane::kTail];
  for (int i = 0; i < 4; ++i) {
    group.Publish(1, AllAcked(i, i + 1));
    group.Run(std::chrono::seconds(1));
  }
  CHECK(group[3].Records().empty());
  CHECK(group.lines.frames[ReplicaLane::kTail] - before < 60);
  group[3].disk_full = false;
  group[3].partition->OnReplicaTick();
  group.Run();
  CHECK(group[3].Records() == group[1].Records());
}

}  // namespace bascule::partition
