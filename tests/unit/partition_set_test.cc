// What becomes of metadata's deltas: directories, lists, epochs, trash.
#include "replication/meta/table/command_fence_brokers.h"
#include "tests/unit/partition_broker.h"

namespace bascule::partition {
namespace {

log::RecoveryPointSet DurablePoints(Machine& machine) {
  auto points = log::ParseRecoveryPoints(machine.fs.DurableBytes("/data/recovery.points"));
  REQUIRE(points.ok());
  return *std::move(points);
}

std::vector<std::string> StreamDirectories(Machine& machine) {
  std::vector<std::string> names;
  const auto entries = machine.fs.List("/data/streams");
  if (!entries.ok()) return names;
  for (const DirectoryEntry& entry : *entries) names.push_back(entry.name);
  return names;
}

}  // namespace

TEST_CASE("a created stream listens, takes messages and stands in a directory named by its id") {
  Machine machine(1);
  CHECK(machine.Create("s", 3).ok());
  CHECK(machine.Listens("s"));
  CHECK(machine.Listens("s.2"));
  const std::string directory = machine.DirectoryOf("s");
  for (int i = 0; i < 3; ++i) CHECK(machine.fs.Exists(Concat(directory, "/", i)));
  machine.Publish("s.1", Values(0, 5, "i"));
  machine.RunFor(kSecond);
  CHECK(machine.acks.sent.size() == 5);
  CHECK(machine.Read("s", 1).messages.size() == 5);
  CHECK(machine.Read("s", 0).messages.empty());
}

TEST_CASE(
    "C4: who was answered before a stream listened finds one gap, whatever NATS thinks later") {
  Machine machine(4);
  machine.feeds.hold_back = true;
  CHECK(machine.Create("s").ok());  // NATS is waited for no longer than that
  auto& listening = machine.feeds.held.at(0);
  CHECK(machine.Status("s").gap_records == 0);
  for (int round = 0; round < 3; ++round) {
    listening(absl::OkStatus());
    machine.RunFor(kSecond);
    CHECK(machine.Status("s").gap_records == 1);
    listening(absl::PermissionDeniedError("no permission any more"));
    machine.RunFor(kSecond);
    CHECK(machine.Status("s").gap_records == 1);
  }
}

TEST_CASE("a partition is durably listed before its directory is made") {
  Machine machine(2);
  bool looked = false;
  machine.fs.OnSync([&](const std::string& path) {
    if (path.find("/data/streams/") != 0) return;
    looked = true;
    CHECK(DurablePoints(machine).partitions.contains({kFirstStream, PartitionId(0)}));
  });
  CHECK(machine.Create("s").ok());
  machine.fs.OnSync(nullptr);
  CHECK(machine.broker->catalog.Find("s")->stream.id == kFirstStream);
  CHECK(looked);
}

TEST_CASE("a partition that cannot be listed is not opened") {
  Machine machine(3);
  machine.fs.faults().FailAfter(1, kRename, absl::StatusCode::kInternal);
  CHECK(absl::IsInternal(machine.Create("s")));  // the stream exists all the same
  CHECK_FALSE(machine.Listens("s"));
  const auto located = Ask<absl::StatusOr<ReadRange>>(machine.scheduler, [&](auto done) {
    machine.Port("s").Locate({}, {}, Direction::kForward, std::move(done));
  });
  CHECK(absl::IsUnavailable(located.status()));
  // It is tried again by itself.
  machine.RunFor(5 * kSecond);
  CHECK(machine.Listens("s"));
  CHECK(DurablePoints(machine).partitions.contains({kFirstStream, PartitionId(0)}));
}

TEST_CASE(
    "a partition is not opened for as long as it cannot be listed, however often that is tried") {
  Machine machine(3);
  for (const std::string name : {"s", "t"}) {
    machine.fs.faults().FailAfter(1, kRename, absl::StatusCode::kInternal, 4);
    CHECK(absl::IsInternal(machine.Create(name)));
    machine.RunFor(2 * kSecond);  // tries again
    CHECK_FALSE(machine.Listens(name));
    CHECK_FALSE(machine.fs.Exists(machine.DirectoryOf(name)));
    machine.RunFor(5 * kSecond);
    CHECK(machine.Listens(name));
    CHECK(DurablePoints(machine).partitions.contains(
        {machine.broker->catalog.Find(name)->stream.id, PartitionId(0)}));
  }
}

TEST_CASE("a directory that was listed and is gone is damage, not a new partition") {
  Machine machine(4);
  CHECK(machine.Create("s").ok());
  machine.Publish("s", Values(0, 5, "i"));
  machine.RunFor(kSecond);
  const std::string directory = machine.DirectoryOf("s");
  machine.StopCleanly();
  REQUIRE(machine.fs.RemoveTree(directory).ok());
  REQUIRE(machine.fs.SyncDir("/data/streams").ok());
  machine.Start();
  const PartitionStatus status = machine.Status("s");
  CHECK(status.degraded.find("offsets 0 to 4 are lost") != std::string::npos);
  CHECK(status.log_end >= Offset(5));  // offsets are not given twice
  // It goes on behind them.
  machine.Publish("s", Values(5, 6, "i"));
  machine.RunFor(kSecond);
  CHECK(machine.acks.Find("i5")->offset >= Offset(5));
}

TEST_CASE("a stream comes back after stop, kill and crash with everything acked") {
  Machine machine(5);
  CHECK(machine.Create("s").ok());
  int sent = 0;
  for (int life = 0; life < 6; ++life) {
    machine.Publish("s", Values(sent, sent + 10, "i"));
    sent += 10;
    machine.RunFor(kSecond);
    if (life % 3 == 0) machine.StopCleanly();
    if (life % 3 == 1) machine.Kill();
    if (life % 3 == 2) machine.Crash();
    machine.Start();
    machine.RunFor(kSecond);
    const auto content = machine.Read("s");
    CHECK(content.messages.size() == static_cast<size_t>(sent));
    CHECK(content.gaps.size() == static_cast<size_t>(life) + 1);  // C4: RF 1 was away
  }
  CHECK(machine.acks.sent.size() == static_cast<size_t>(sent));
}

TEST_CASE("R2, R2a: each process leads under an epoch of its own") {
  Machine machine(6);
  CHECK(machine.Create("s").ok());
  LeaderEpoch before = machine.Status("s").leader_epoch;
  for (int life = 0; life < 3; ++life) {
    if (life == 1) {
      machine.StopCleanly();
    } else {
      machine.Kill();
    }
    machine.Start();
    const LeaderEpoch now = machine.Status("s").leader_epoch;
    CHECK(now > before);
    before = now;
  }
}

TEST_CASE("R1, R2a: a failed sync is followed by a new epoch by way of the metadata log") {
  Machine machine(7);
  CHECK(machine.Create("s").ok());
  machine.Publish("s", Values(0, 3, "good"));
  machine.RunFor(kSecond);
  const LeaderEpoch before = machine.Status("s").leader_epoch;
  machine.fs.faults().FailAfter(1, kSync, absl::StatusCode::kInternal);
  machine.Publish("s", Values(3, 6, "bad"));
  machine.RunFor(std::chrono::milliseconds(500));
  CHECK(machine.Status("s").leader_epoch == before);
  CHECK_FALSE(machine.Status("s").degraded.empty());
  machine.RunFor(5 * kSecond);
  CHECK(machine.Status("s").leader_epoch > before);
  CHECK(machine.Status("s").degraded.empty());
  machine.Publish("s", Values(6, 8, "new"));
  machine.RunFor(kSecond);
  CHECK(machine.acks.sent.size() == 5);
  // What the page cache showed after the failed sync was not taken for stored.
  machine.Crash();
  machine.Start();
  CHECK(machine.Status("s").degraded.empty());
  const auto content = machine.Read("s");
  CHECK(content.messages.size() == 5);
  for (const SentAck& ack : machine.acks.sent) {
    REQUIRE(content.messages.contains(ack.offset));
    CHECK(ack.inbox.ends_with(content.messages.at(ack.offset).substr(1)));
  }
}

TEST_CASE("a new epoch that the metadata log has no room for is asked for again") {
  Machine machine(8);
  CHECK(machine.Create("s").ok());
  machine.Publish("s", Values(0, 3, "good"));
  machine.RunFor(kSecond);
  machine.fs.faults().FailAfter(1, kSync, absl::StatusCode::kInternal);
  machine.Publish("s", Values(3, 6, "bad"));
  machine.RunFor(std::chrono::milliseconds(500));
  machine.fs.faults().FailAfter(1, kWrite, absl::StatusCode::kResourceExhausted, 3);
  machine.RunFor(20 * kSecond);
  CHECK(machine.Status("s").degraded.empty());
  machine.Publish("s", Values(6, 7, "new"));
  machine.RunFor(kSecond);
  CHECK(machine.acks.Find("new6") != nullptr);
}

TEST_CASE("a deleted stream is gone: catalog, feed, directory, list, also after a crash") {
  for (uint64_t seed = 10; seed < 30; ++seed) {
    Machine machine(seed);
    CHECK(machine.Create("s").ok());
    CHECK(machine.Create("kept").ok());
    machine.Publish("s", Values(0, 5, "i"));
    machine.RunFor(kSecond);
    std::optional<absl::Status> ended;
    machine.Port("s").Read({ReaderId(1), Direction::kForward, Offset(5), 4096},
                           [&](const absl::StatusOr<ReadChunk>& chunk) { ended = chunk.status(); });
    machine.RunFor(std::chrono::milliseconds(10));
    const std::string directory = machine.DirectoryOf("s");
    CHECK(machine.Delete("s").ok());
    CHECK(machine.broker->catalog.Find("s") == nullptr);
    CHECK_FALSE(machine.Listens("s"));
    REQUIRE(ended.has_value());
    CHECK(ended->message() == "commit log was deleted");
    if (seed % 2 == 0) machine.Crash();
    if (seed % 2 == 0) machine.Start();
    machine.RunFor(kSecond);
    CHECK_FALSE(machine.fs.Exists(directory));
    CHECK(StreamDirectories(machine).size() == 1);
    CHECK(machine.broker->catalog.Find("s") == nullptr);
    machine.StopCleanly();
    CHECK(DurablePoints(machine).partitions.size() == 1);
  }
}

TEST_CASE("a stream deleted while it is being opened stays gone") {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    Machine machine(seed);
    StreamSpec spec;
    spec.name = spec.subject = "s";
    std::optional<absl::Status> created;
    std::optional<absl::Status> deleted;
    machine.broker->metadata.CreateStream(spec, 5 * kSecond,
                                          [&](const absl::Status& s) { created = s; });
    for (uint64_t steps = 0; steps < seed; ++steps) machine.scheduler.Step();
    machine.broker->metadata.DeleteStream("s", 5 * kSecond,
                                          [&](const absl::Status& s) { deleted = s; });
    machine.RunFor(10 * kSecond);
    INFO("seed ", seed);
    CHECK(created.has_value());
    REQUIRE(deleted.has_value());
    if (!deleted->ok()) {
      CHECK_MESSAGE(absl::IsNotFound(*deleted),
                    deleted->ToString());  // came before the creation was applied
      continue;
    }
    CHECK(machine.broker->catalog.Find("s") == nullptr);
    CHECK_FALSE(machine.Listens("s"));
    machine.StopCleanly();
    machine.Start();
    machine.RunFor(kSecond);
    CHECK(machine.broker->catalog.Find("s") == nullptr);
    CHECK(StreamDirectories(machine).empty());
  }
}

TEST_CASE("a broker that is fenced while it opens a stream leads it once it is registered again") {
  for (uint64_t seed = 1; seed <= 120; ++seed) {
    INFO("seed ", seed);
    Machine machine(seed);
    StreamSpec spec;
    spec.name = spec.subject = "s";
    machine.broker->metadata.CreateStream(spec, 5 * kSecond, [](const absl::Status&) {});
    const metadata::BrokerSession session{
        "b1", machine.broker->metadata.table().FindBroker("b1")->incarnation};
    // It registers again by itself, perhaps before the log of its first reign is recovered.
    for (uint64_t fencing = 0; fencing < 3; ++fencing) {
      machine.RunFor(std::chrono::microseconds(seed * 97 * (fencing + 1) % 4000));
      for (uint64_t steps = 0; steps < seed % 7; ++steps) machine.scheduler.Step();
      machine.broker->group->Propose(metadata::EncodeFenceBrokers({session}),
                                     [](const absl::Status&) {});
    }
    machine.RunFor(10 * kSecond);
    REQUIRE(machine.Listens("s"));
    machine.Publish("s", Values(0, 5, "i"));
    machine.RunFor(kSecond);
    CHECK(machine.acks.sent.size() == 5);
    CHECK(machine.Read("s").messages.size() == 5);
    const LeaderEpoch epoch =
        machine.broker->metadata.table().Find("s")->partitions.at(0).leader_epoch;
    CHECK(machine.Status("s").leader_epoch == epoch);
  }
}

TEST_CASE("a partition that is given up while it is being opened neither leads nor listens") {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    INFO("seed ", seed);
    Machine machine(seed);
    StreamSpec spec;
    spec.name = spec.subject = "s";
    machine.broker->metadata.CreateStream(spec, 5 * kSecond, [](const absl::Status&) {});
    const metadata::MetaTable& table = machine.broker->metadata.table();
    REQUIRE(machine.scheduler.RunUntil([&] { return table.Find("s") != nullptr; }, kSecond));
    // As when this broker is fenced, and takes its time to register again.
    PartitionChanged change{table.Find("s")->id, "s", table.Find("s")->partitions.at(0)};
    const PartitionDescription led = change.partition;
    int settled = 0;
    const auto deliver = [&] {
      change.partition.leader_epoch = change.partition.leader_epoch + 1;
      machine.broker->partitions->OnDelta(change, [&](const absl::Status&) { ++settled; });
    };
    machine.RunFor(std::chrono::microseconds(seed * 97 % 5000));
    change.partition.leader.clear();
    change.partition.isr.clear();
    deliver();
    if (seed % 2 == 0) {
      machine.RunFor(kSecond);
      CHECK_FALSE(machine.Listens("s"));
    }
    change.partition.leader = led.leader;
    change.partition.isr = led.isr;
    deliver();
    machine.RunFor(kSecond);
    CHECK(settled == 2);
    REQUIRE(machine.Listens("s"));
    machine.Publish("s", Values(0, 5, "i"));
    machine.RunFor(kSecond);
    CHECK(machine.acks.sent.size() == 5);
    CHECK(machine.Status("s").leader_epoch == change.partition.leader_epoch);
  }
}

TEST_CASE("at start trash is emptied and directories of no stream go, younger ones stay") {
  Machine machine(9);
  CHECK(machine.Create("s").ok());
  const MetadataIndex applied = machine.broker->metadata.table().applied();
  machine.StopCleanly();
  for (const std::string& path :
       {std::string("/data/trash/77/0"), std::string("/data/streams/1/0"),
        Concat("/data/streams/", applied.value() + 50, "/0"), std::string("/data/streams/notes")}) {
    REQUIRE(machine.fs.CreateDirectories(path).ok());
  }
  machine.Start();
  machine.RunFor(kSecond);
  CHECK_FALSE(machine.fs.Exists("/data/trash/77"));
  CHECK_FALSE(machine.fs.Exists("/data/streams/1"));  // the registration's index: no stream's
  CHECK(machine.fs.Exists(Concat("/data/streams/", applied.value() + 50)));
  CHECK(machine.fs.Exists("/data/streams/notes"));
  CHECK(machine.fs.Exists(machine.DirectoryOf("s")));
}

TEST_CASE("directories whose streams may have been lost with a quorum stay, after each such loss") {
  Machine machine(10);
  const auto path = [](uint64_t id) { return Concat("/data/streams/", id); };
  for (uint64_t id = 10; id <= 45; id += 5)
    REQUIRE(machine.fs.CreateDirectories(path(id) + "/0").ok());
  const IndexRanges doubtful = {{MetadataIndex(10), MetadataIndex(20)},
                                {MetadataIndex(30), MetadataIndex(40)}};
  machine.home.Post(
      [&] { machine.broker->partitions->OnTakeOver({}, MetadataIndex(1000), doubtful); });
  machine.RunFor(kSecond);
  for (const uint64_t kept : {15, 20, 35, 40}) CHECK(machine.fs.Exists(path(kept)));
  for (const uint64_t gone : {10, 25, 30, 45}) CHECK_FALSE(machine.fs.Exists(path(gone)));
}

TEST_CASE("a clean stop notes exactly where every log ends") {
  Machine machine(11);
  CHECK(machine.Create("s", 2).ok());
  machine.Publish("s", Values(0, 5));
  machine.Publish("s.1", Values(5, 7));
  machine.StopCleanly();
  const log::RecoveryPointSet points = DurablePoints(machine);
  REQUIRE(points.partitions.size() == 2);
  CHECK(points.partitions.at({kFirstStream, PartitionId(0)}).active.end_offset == Offset(5));
  CHECK(points.partitions.at({kFirstStream, PartitionId(1)}).active.end_offset == Offset(2));
  machine.Start();
  machine.RunFor(kSecond);
  CHECK(machine.Read("s").messages.size() == 5);
}

TEST_CASE("recovery points follow the logs") {
  Machine machine(12);
  CHECK(machine.Create("s").ok());
  machine.Publish("s", Values(0, 5));
  machine.RunFor(kSecond);
  const PartitionKey key{kFirstStream, PartitionId(0)};
  CHECK(DurablePoints(machine).partitions.at(key).active.end_offset == Offset(5));
}

TEST_CASE("below the reserve no message is taken; with room again it is, without a restart") {
  Machine machine(13, false);
  machine.reserve_bytes = 100'000'000;
  machine.Start();
  CHECK(machine.Create("s").ok());
  machine.fs.SetCapacity(90'000'000);
  machine.RunFor(3 * kSecond);
  machine.Publish("s", Values(0, 2, "full"));
  machine.Publish("s", Values(2, 5));
  machine.RunFor(kSecond);
  CHECK(machine.acks.Find("full0")->error == AckError::kUnavailable);
  CHECK(machine.Create("another").ok());  // metadata still has room
  machine.fs.SetCapacity(uint64_t{1} << 40);
  machine.RunFor(3 * kSecond);
  machine.Publish("s", Values(5, 6, "after"));
  machine.RunFor(kSecond);
  CHECK(machine.acks.Find("after5")->error == AckError::kOk);
  CHECK(machine.Status("s").messages_in_gaps == 3);
}

}  // namespace bascule::partition
