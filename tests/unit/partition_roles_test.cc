// What a change of role or settings does to a partition that runs.
#include "replication/meta/table/command_alter_isr.h"
#include "replication/meta/table/command_create_stream.h"
#include "replication/meta/table/command_fence_brokers.h"
#include "replication/meta/table/command_register_broker.h"
#include "replication/meta/table/command_update_stream.h"
#include "tests/unit/partition_broker.h"

namespace bascule::partition {
namespace {

absl::Status Propose(Machine& machine, std::string command) {
  return Ask<absl::Status>(machine.scheduler, [&](auto done) {
    machine.broker->group->Propose(std::move(command), std::move(done));
  });
}

std::string Fence(Machine& machine) {
  const metadata::RegisteredBroker* broker = machine.broker->metadata.table().FindBroker("b1");
  return metadata::EncodeFenceBrokers({{"b1", broker->incarnation}});
}

std::string LeaderOf(Machine& machine, const std::string& stream) {
  return machine.broker->catalog.Find(stream)->stream.partitions[0].leader;
}

}  // namespace

TEST_CASE("R6: a fenced broker's partition has no leader, takes nothing, and says who led it") {
  // It registers again by itself, so the state in between is looked at step by step; in some runs the
  // shard hears of it when that is over.
  int seen = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Machine machine(seed);
    CHECK(machine.Create("s").ok());
    machine.Publish("s", Values(0, 3, "a"));
    machine.RunFor(kSecond);
    bool nobody = false;
    CHECK(Propose(machine, Fence(machine)).ok());
    for (int i = 0; i < 10'000 && !nobody; ++i) {
      nobody = LeaderOf(machine, "s").empty() && !machine.Listens("s");
      if (!nobody) machine.scheduler.Step();
    }
    if (!nobody) continue;
    ++seen;
    const auto elr = machine.broker->catalog.Find("s")->stream.partitions[0].elr;
    CHECK(elr == std::vector<std::string>{"b1"});
  }
  CHECK(seen >= 5);
}

TEST_CASE("R7: once registered again the broker leads on, in a later epoch, with all it had") {
  Machine machine(2);
  CHECK(machine.Create("s").ok());
  machine.Publish("s", Values(0, 3, "a"));
  machine.RunFor(kSecond);
  const LeaderEpoch before = machine.Status("s").leader_epoch;
  CHECK(Propose(machine, Fence(machine)).ok());
  machine.RunFor(5 * kSecond);
  CHECK(LeaderOf(machine, "s") == "b1");
  CHECK(machine.Listens("s"));
  const PartitionStatus status = machine.Status("s");
  CHECK(status.leader_epoch > before);
  CHECK(status.high_watermark == status.log_end);
  machine.Publish("s", Values(3, 5, "b"));
  machine.RunFor(kSecond);
  CHECK(machine.acks.Find("b4")->error == AckError::kOk);
  const PartitionContent content = machine.Read("s");
  CHECK(content.messages.size() == 5);
  CHECK(std::is_sorted(content.epochs.begin(), content.epochs.end()));
  CHECK(content.gaps.size() == 1);  // C4: nobody listened meanwhile
}

TEST_CASE("a read that waits ends when the partition is led here no more") {
  Machine machine(3);
  CHECK(machine.Create("s").ok());
  std::optional<absl::Status> ended;
  machine.Port("s").Read({ReaderId(1), Direction::kForward, Offset(0), 1024},
                         [&](const absl::StatusOr<ReadChunk>& chunk) { ended = chunk.status(); });
  machine.RunFor(kSecond);
  CHECK_FALSE(ended.has_value());
  CHECK(Propose(machine, Fence(machine)).ok());
  machine.RunFor(kSecond);
  REQUIRE(ended.has_value());
  CHECK(
      absl::IsUnavailable(*ended));  // clients find the new leader; FailedPrecondition says paused
  CHECK(ended->message() == "leadership of the partition has moved; subscribe again");
}

TEST_CASE(
    "R1, R5: what metadata changes within an epoch counts at once: another ISR, another broker") {
  for (const bool fenced : {false, true}) {
    CAPTURE(fenced);
    Machine machine(7);
    metadata::BrokerRegistration other;
    other.id = "b2";
    other.incarnation = 22;
    REQUIRE(Propose(machine, metadata::EncodeRegisterBroker(other)).ok());
    StreamDescription stream;
    stream.name = stream.subject = "s";
    stream.overrides.min_isr = 1;
    stream.partitions.push_back({PartitionId(0), "", LeaderEpoch(), {"b1", "b2"}, {}, {}, 0});
    REQUIRE(Propose(machine, metadata::EncodeCreateStream(stream)).ok());
    machine.RunFor(kSecond);
    TestMessage message;
    message.value = "v";
    message.inbox = "a0";
    message.policy = AckPolicy::kAll;
    machine.Publish("s", {message});
    machine.RunFor(kSecond);
    // b2 is in the ISR and acknowledges nothing.
    CHECK(machine.acks.Find("a0") == nullptr);
    CHECK(machine.Status("s").high_watermark == Offset(0));
    const LeaderEpoch epoch = machine.Status("s").leader_epoch;
    const metadata::MetaTable& table = machine.broker->metadata.table();
    const uint64_t ours = table.FindBroker("b1")->incarnation;
    const StreamId id = table.Find("s")->id;
    const std::string command =
        fenced ? metadata::EncodeFenceBrokers({{"b2", 22}})
               : metadata::EncodeAlterIsr({{{id, PartitionId(0)},
                                            "b1",
                                            epoch,
                                            table.Find("s")->partitions[0].version,
                                            {{"b1", ours}}}});
    REQUIRE(Propose(machine, command).ok());
    machine.RunFor(kSecond);
    CHECK(machine.Status("s").leader_epoch == epoch);
    CHECK(machine.Status("s").high_watermark == Offset(1));
    REQUIRE(machine.acks.Find("a0") != nullptr);
    CHECK(machine.acks.Find("a0")->error == AckError::kOk);
  }
}

TEST_CASE("a stream that stands elsewhere is known, but not opened") {
  Machine machine(4);
  StreamDescription stream;
  stream.name = stream.subject = "far";
  stream.partitions.push_back({PartitionId(0), "", LeaderEpoch(), {"b2"}, {}, {}, 0});
  CHECK(Propose(machine, metadata::EncodeCreateStream(stream)).ok());
  machine.RunFor(kSecond);
  const auto entry = machine.broker->catalog.Find("far");
  REQUIRE(entry != nullptr);
  REQUIRE(entry->partitions.size() == 1);
  CHECK(entry->partitions[0] == nullptr);
  CHECK_FALSE(machine.Listens("far"));
  CHECK_FALSE(machine.fs.Exists(machine.DirectoryOf("far")));
  CHECK(machine.Delete("far").ok());
  CHECK(machine.broker->catalog.Find("far") == nullptr);
}

TEST_CASE("other limits count for a log that is open, and after a restart") {
  Machine machine(5);
  CHECK(machine.Create("s").ok());
  machine.Publish("s", Values(0, 20, "a"));
  machine.RunFor(kSecond);
  StreamOverrides changes;
  changes.retention_max_messages = 4;
  changes.segment_max_bytes = 1;  // the smallest there is
  CHECK(Ask<absl::Status>(machine.scheduler, [&](auto done) {
          machine.broker->metadata.UpdateStream("s", changes, 5 * kSecond, std::move(done));
        }).ok());
  CHECK(machine.broker->catalog.Find("s")->settings.retention_max_messages == 4);
  // Whole segments go, and the one that is written to stays.
  const std::string large(limits::kMinSegmentBytes, 'x');
  for (int i = 0; i < 12; ++i) {
    TestMessage message;
    message.value = large;
    machine.Publish("s", {message});
    machine.RunFor(kSecond);
  }
  machine.RunFor(std::chrono::minutes(6));  // the cleaner's interval
  const Offset start = machine.Status("s").log_start;
  CHECK(start > Offset(20));
  machine.StopCleanly();
  machine.Start();
  CHECK(machine.broker->catalog.Find("s")->settings.retention_max_messages == 4);
  CHECK(machine.Status("s").log_start == start);
}

TEST_CASE("what changed of a stream is still shown after the next change, of whatever kind") {
  Machine machine(6);
  CHECK(machine.Create("s", 3).ok());
  const auto shown = [&] { return machine.broker->catalog.Find("s"); };
  const auto update = [&](const StreamOverrides& changes) {
    CHECK(Ask<absl::Status>(machine.scheduler, [&](auto done) {
            machine.broker->metadata.UpdateStream("s", changes, 5 * kSecond, std::move(done));
          }).ok());
  };
  for (int64_t round = 1; round <= 2; ++round) {
    CAPTURE(round);
    StreamOverrides first;
    first.retention_max_messages = 4 * round;
    update(first);
    StreamOverrides second;
    second.retention_max_bytes = 1'000'000 * round;
    update(second);
    CHECK(shown()->settings.retention_max_messages == 4 * round);
    // The broker leads all partitions anew, each by a change of its own.
    machine.broker->group->Propose(
        metadata::EncodeFenceBrokers(
            {{"b1", machine.broker->metadata.table().FindBroker("b1")->incarnation}}),
        [](const absl::Status&) {});
    machine.RunFor(10 * kSecond);
    CHECK(shown()->settings.retention_max_messages == 4 * round);
    CHECK(shown()->settings.retention_max_bytes == 1'000'000 * round);
    const auto& known = machine.broker->metadata.table().Find("s")->partitions;
    REQUIRE(shown()->stream.partitions.size() == known.size());
    for (size_t i = 0; i < known.size(); ++i) {
      CHECK(known[i].leader == "b1");
      CHECK(shown()->stream.partitions[i].leader == known[i].leader);
      CHECK(shown()->stream.partitions[i].leader_epoch == known[i].leader_epoch);
    }
  }
}

TEST_CASE("what a metadata leader binds in a stream counts in its open partition") {
  Machine machine(8);
  // Of an older version, which wrote nothing of it into the stream.
  StreamDescription old;
  old.name = old.subject = "s";
  PartitionDescription& partition = old.partitions.emplace_back();
  partition.leader = "b1";
  partition.replicas = {"b1"};
  machine.broker->group->Propose(metadata::EncodeCreateStream(old), [](const absl::Status&) {});
  machine.RunFor(kSecond);
  REQUIRE(machine.Listens("s"));
  CHECK(machine.feeds.rules["s"].reply_acks == ReplyAcks::kOff);
  StreamOverrides bound;
  bound.reply_acks = ReplyAcks::kJetStream;
  bound.optimistic_concurrency_control = true;
  bound.record_internal_subjects = true;
  machine.broker->group->Propose(metadata::EncodeUpdateStream("s", bound),
                                 [](const absl::Status&) {});
  machine.RunFor(kSecond);
  CHECK(machine.feeds.rules["s"].reply_acks == ReplyAcks::kJetStream);
  CHECK(machine.feeds.rules["s"].optimistic_concurrency_control);
  CHECK(machine.feeds.rules["s"].record_internal_subjects);
}

TEST_CASE("a min ISR that is lowered commits at once, not in the next epoch") {
  PartitionWorldOptions options;
  options.start = false;
  PartitionWorld world(options);
  world.Lead(LeaderEpoch(1), std::nullopt, {"self"}, 2);
  TestMessage message;
  message.value = "v";
  message.inbox = "i";
  message.policy = AckPolicy::kAll;
  world.Publish({message});
  CHECK(world.acks.Find("i") == nullptr);
  world.partition->OnView(LeaderEpoch(2), ViewOf({"self"}, 1));  // of another epoch
  CHECK(world.acks.Find("i") == nullptr);
  world.partition->OnView(LeaderEpoch(1), ViewOf({"self"}, 1));
  CHECK(world.Status().high_watermark == Offset(1));
  CHECK(world.acks.Find("i")->error == AckError::kOk);
}

TEST_CASE(
    "a partition cleans itself in its interval, the one that counts now, until it is closed") {
  PartitionWorldOptions options;
  options.settings.segment_max_bytes = 500;
  options.settings.cleaner_interval = std::chrono::seconds(60);
  PartitionWorld world(options);
  for (int i = 0; i < 20; ++i) world.Publish(Values(i, i + 1));
  options.settings.retention_max_messages = 2;
  options.settings.cleaner_interval = std::chrono::seconds(1);
  world.partition->Reconfigure(options.settings);
  world.Run();
  Offset start = world.Status().log_start;  // it was cleaned at that
  for (int i = 20; i < 40; ++i) world.Publish(Values(i, i + 1));
  CHECK(world.Status().log_start == start);
  world.scheduler.RunFor(std::chrono::milliseconds(1500));
  CHECK(world.Status().log_start > start);
  options.settings.cleaner_interval = std::chrono::seconds(60);
  world.partition->Reconfigure(options.settings);
  world.Run();
  start = world.Status().log_start;
  for (int i = 40; i < 60; ++i) world.Publish(Values(i, i + 1));
  world.scheduler.RunFor(std::chrono::seconds(59));
  CHECK(world.Status().log_start == start);  // what waited with the old one is over
  const size_t files = world.SegmentPaths().size();
  world.partition->Close(absl::UnavailableError("closed"));
  world.scheduler.RunFor(std::chrono::seconds(600));
  CHECK(world.SegmentPaths().size() == files);
}

TEST_CASE("a shorter cleaner interval counts at once") {
  Machine machine(9);
  StreamOverrides rarely;
  rarely.cleaner_interval = std::chrono::hours(1000);
  rarely.segment_max_bytes = 1;
  rarely.retention_max_messages = 2;
  REQUIRE(machine.Create("s", 1, 5 * kSecond, rarely).ok());
  StreamOverrides changes;
  changes.cleaner_interval = std::chrono::seconds(5);
  CHECK(Ask<absl::Status>(machine.scheduler, [&](auto done) {
          machine.broker->metadata.UpdateStream("s", changes, 5 * kSecond, std::move(done));
        }).ok());
  for (int i = 0; i < 12; ++i) {
    TestMessage message;
    message.value = std::string(limits::kMinSegmentBytes, 'x');
    machine.Publish("s", {message});
    machine.RunFor(kSecond);
  }
  machine.RunFor(10 * kSecond);
  CHECK(machine.Status("s").log_start > Offset(5));
}

}  // namespace bascule::partition
