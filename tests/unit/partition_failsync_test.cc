// A sync that fails drops the pages that it had: readers go on seeing them, and later syncs succeed
// without them. Whatever the partition was doing when the failure arrived, nothing is acked on top
// of it, and no offset is given again. BASCULE_TEST_SEEDS=5000 runs that many of the random ones.
#include <cstdlib>

#include "replication/meta/table/command_fence_brokers.h"
#include "tests/unit/partition_broker.h"

namespace bascule::partition {
namespace {

// One stream "s" on a machine whose partitions' syncs fail when asked to.
class FailsyncWorld {
 public:
  explicit FailsyncWorld(uint64_t seed) : rng(seed * 31 + 7), machine(seed) {
    machine.fs.faults().below = "/data/streams/";
    CHECK(machine.Create("s").ok());
    change_ = {table().Find("s")->id, "s", table().Find("s")->partitions.at(0)};
  }

  // The flush is under way when it returns.
  void Publish(int count, AckPolicy policy = AckPolicy::kAll, size_t padding = 0) {
    std::vector<TestMessage> messages;
    for (int i = 0; i < count; ++i) {
      TestMessage message;
      message.inbox = Concat("m", sent_++);
      message.value = message.inbox + " " + std::string(padding, 'x');
      message.policy = policy;
      messages.push_back(std::move(message));
    }
    if (machine.Listens("s")) machine.Publish("s", messages);
  }
  void FailNext(SimOpMask calls, uint64_t n = 1) {
    machine.fs.faults().FailAfter(n, calls, absl::StatusCode::kInternal);
  }
  // As metadata's delta: led here, or by nobody, in the next epoch.
  void Deliver(bool led) {
    change_.partition.leader_epoch = change_.partition.leader_epoch + 1;
    change_.partition.leader = led ? "b1" : "";
    change_.partition.isr.clear();
    if (led) change_.partition.isr.push_back("b1");
    machine.broker->partitions->OnDelta(change_, [](const absl::Status&) {});
  }
  void Fence() {
    const metadata::RegisteredBroker* broker = table().FindBroker("b1");
    machine.broker->group->Propose(metadata::EncodeFenceBrokers({{"b1", broker->incarnation}}),
                                   [](const absl::Status&) {});
  }
  void UpdateSettings() {
    StreamOverrides changes;
    changes.segment_max_bytes = 1;  // the smallest there is
    changes.retention_max_messages = static_cast<int64_t>(Between(rng, 1000, 2000));
    machine.broker->metadata.UpdateStream("s", changes, 5 * kSecond, [](const absl::Status&) {});
  }

  // Power loss, with nothing kept that was not synced; then everything acked must be there.
  void CrashAndCheck() {
    machine.Crash({UnsyncedFate::kLost, EntryFate::kSome});
    StartAndCheck();
  }
  void StartAndCheck() {
    machine.fs.faults().Clear();
    machine.Start();
    machine.RunFor(3 * kSecond);
    const PartitionStatus status = machine.Status("s");
    CHECK_MESSAGE(status.degraded.empty(), status.degraded);
    const PartitionContent content = machine.Read("s");
    std::map<Offset, std::string> acked;
    for (const SentAck& ack : machine.acks.sent) {
      if (ack.error != AckError::kOk) continue;
      CHECK_MESSAGE(acked.emplace(ack.offset, ack.inbox).second, "offset ", ack.offset,
                    " was given twice");
      const auto found = content.messages.find(ack.offset);
      REQUIRE_MESSAGE(found != content.messages.end(), ack.inbox, " was acked at ", ack.offset);
      CHECK(found->second.substr(0, found->second.find(' ')) == ack.inbox);
    }
  }
  size_t Acked() const {
    size_t acked = 0;
    for (const SentAck& ack : machine.acks.sent) acked += ack.error == AckError::kOk ? 1 : 0;
    return acked;
  }

  const metadata::MetaTable& table() { return machine.broker->metadata.table(); }

  SimRng rng;
  Machine machine;

 private:
  PartitionChanged change_;
  int sent_ = 0;
};

}  // namespace

TEST_CASE("failsync: a failure that arrives in standby is not forgotten by the next epoch") {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    INFO("seed ", seed);
    FailsyncWorld world(seed);
    world.Publish(3);
    world.machine.RunFor(kSecond);
    world.FailNext(kSync);
    world.Publish(3);
    if (seed % 2 == 0) {
      world.Fence();  // it registers again by itself, and is given the lead
    } else {
      world.Deliver(false);
      world.machine.RunFor(std::chrono::milliseconds(100));
      world.Deliver(true);
    }
    world.machine.RunFor(5 * kSecond);
    world.Publish(4);
    world.machine.RunFor(kSecond);
    CHECK(world.Acked() == 7);
    world.CrashAndCheck();
  }
}

TEST_CASE("failsync: the epoch that comes before the second is over reopens with the cut too") {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    INFO("seed ", seed);
    FailsyncWorld world(seed);
    world.Publish(3);
    world.machine.RunFor(kSecond);
    world.FailNext(kSync);
    world.Publish(3);
    REQUIRE(world.machine.scheduler.RunUntil(
        [&] { return !world.machine.Status("s").degraded.empty(); }, kSecond));
    world.Fence();  // it registers again by itself, and is given the lead
    world.machine.RunFor(5 * kSecond);
    world.Publish(4);
    world.machine.RunFor(kSecond);
    CHECK(world.Acked() == 7);
    world.CrashAndCheck();
  }
}

TEST_CASE(
    "failsync: an orderly stop does not leave what the failed sync dropped to the next start") {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    INFO("seed ", seed);
    FailsyncWorld world(seed);
    world.Publish(3);
    world.machine.RunFor(kSecond);
    world.FailNext(kSync);
    world.Publish(3);
    if (seed % 2 == 0) world.machine.RunFor(std::chrono::milliseconds(seed));
    if (seed % 4 == 0) world.Deliver(false);
    world.machine.StopCleanly();
    world.StartAndCheck();
    world.Publish(4);
    world.machine.RunFor(kSecond);
    CHECK(world.Acked() == 7);
    world.CrashAndCheck();
  }
}

TEST_CASE(
    "failsync: a preallocation whose sync fails ends the reign, also when nothing is flushed") {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    INFO("seed ", seed);
    FailsyncWorld world(seed);
    const LeaderEpoch before = world.machine.Status("s").leader_epoch;
    // The first append asks for both; whichever of the two fails.
    world.FailNext(kSync);
    world.Publish(3);
    if (seed % 2 == 0) world.Deliver(false);
    world.machine.RunFor(std::chrono::milliseconds(100));
    if (seed % 2 == 0) world.Deliver(true);
    world.machine.RunFor(5 * kSecond);
    CHECK(world.machine.Status("s").leader_epoch > before);
    world.Publish(3);
    world.machine.RunFor(kSecond);
    world.CrashAndCheck();
  }
}

TEST_CASE("failsync: no ack is ever taken back, whatever fails while whatever happens") {
  const char* many = std::getenv("BASCULE_TEST_SEEDS");
  const uint64_t seeds = many != nullptr ? std::strtoull(many, nullptr, 10) : 30;
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    INFO("seed ", seed);
    FailsyncWorld world(seed);
    for (int life = 0; life < 3; ++life) {
      for (uint64_t steps = Between(world.rng, 10, 80); steps > 0; --steps) {
        switch (world.rng.Below(9)) {
          case 0:
            world.FailNext(world.rng.Below(4) == 0 ? kSyncDir : kSync, Between(world.rng, 1, 4));
            break;
          case 1:
            world.Fence();
            break;
          case 2:
            world.UpdateSettings();
            break;
          case 3:
            world.machine.RunFor(std::chrono::microseconds(world.rng.Below(4'000'000)));
            break;
          case 4:
            for (uint64_t n = world.rng.Below(12); n > 0; --n) world.machine.scheduler.Step();
            break;
          default:
            world.Publish(static_cast<int>(Between(world.rng, 1, 5)),
                          world.rng.Below(2) == 0 ? AckPolicy::kAll : AckPolicy::kLeader,
                          world.rng.Below(3) == 0 ? 9'000 : 0);
        }
      }
      const uint64_t end = world.rng.Below(4);
      if (end == 0) world.machine.StopCleanly();
      if (end == 1) world.machine.Kill();
      if (end <= 1) {
        world.StartAndCheck();
      } else {
        world.CrashAndCheck();
      }
    }
  }
}

}  // namespace bascule::partition
