// Whole brokers, one of whose disks fails below the logs while the machine stays up: what it led is led
// by those whose disks do not.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/sim/start_world.h"

namespace bascule {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr char kSubject[] = "s";

// Three brokers with one stream of three replicas, which the metadata's leader need not lead.
struct FailingDiskWorld : StartWorld {
  FailingDiskWorld() : StartWorld(3) {
    bus.on_ack = [this](const BusAck& ack) { acks.push_back(ack); };
    for (uint64_t i = 1; i <= 3; ++i) Start(i);
    REQUIRE(Within(seconds(30), [&] {
      const metadata::MetaTable& table = At(1).table();
      return table.feature_level() >= metadata::kReplicasLevel && table.brokers().size() == 3;
    }));
    StreamSpec spec;
    spec.name = spec.subject = kSubject;
    spec.replication_factor = 3;
    REQUIRE(Await([&](auto done) {
              At(1).broker().streams().CreateStream(spec, seconds(5), std::move(done));
            }).ok());
    REQUIRE(Within(seconds(30), [&] { return Publish(); }));
    REQUIRE(Within(seconds(30), [&] { return IsrSize() == 3; }));
    for (uint64_t i = 1; i <= 3; ++i) Disk(i).faults().below = "data/streams";
  }
  uint64_t Leader() {
    const std::string leader = LeaderOf(1, kSubject);
    return leader.empty() ? 0 : static_cast<uint64_t>(leader.back() - '0');
  }
  size_t IsrSize() { return At(1).table().Find(kSubject)->partitions[0].isr.size(); }
  // Whether one more message is acked within half a second.
  bool Publish() {
    const std::string inbox = Concat("ack.", ++published);
    Send(inbox);
    return Within(milliseconds(500), [&] {
      return std::any_of(acks.begin(), acks.end(), [&](const BusAck& ack) {
        return ack.inbox == inbox && ack.error == AckError::kOk;
      });
    });
  }
  void Send(const std::string& inbox) {
    partition::TestMessage message;
    message.value = "v";
    message.inbox = inbox;
    message.policy = AckPolicy::kAll;
    (void)bus.Publish(kSubject, message);
  }
  std::vector<BusAck> acks;
  int published = 0;
};

}  // namespace

TEST_CASE("a leader whose sync fails yields at once to a replica in sync, and is in sync again") {
  FailingDiskWorld world;
  for (int round = 0; round < 4; ++round) {
    INFO("round ", round);
    const uint64_t before = world.Leader();
    REQUIRE(before != 0);
    world.Disk(before).faults().FailAfter(1, kSync, absl::StatusCode::kInternal);
    world.Send("ack.failing");
    CHECK_MESSAGE(world.Within(milliseconds(100), [&] { return world.Leader() != before; }),
                  world.kernel.Notes());
    // Soon: the first may come before it listens.
    CHECK((world.Publish() || world.Publish()));
    CHECK(world.Within(seconds(30), [&] { return world.IsrSize() == 3; }));
    CHECK(world.Publish());
  }
}

TEST_CASE("a leader whose log cannot be opened any more yields, and tries on as a follower") {
  FailingDiskWorld world;
  const uint64_t before = world.Leader();
  SimFaults& faults = world.Disk(before).faults();
  // Whom it would yield to is not there: it stays, and yields when somebody is.
  for (uint64_t i = 1; i <= 3; ++i) {
    if (i != before) world.kernel.Kill(i);
  }
  faults.FailAfter(1, kAllOps, absl::StatusCode::kInternal, kForever);
  world.Send("ack.failing");
  world.kernel.scheduler().RunFor(seconds(3));
  for (uint64_t i = 1; i <= 3; ++i) {
    if (i != before) world.Start(i);
  }
  const uint64_t other = before == 1 ? 2 : 1;
  CHECK_MESSAGE(world.Within(seconds(10),
                             [&] {
                               const std::string leader = world.LeaderOf(other, kSubject);
                               return !leader.empty() && leader != Concat("b", before);
                             }),
                world.kernel.Notes());
  CHECK(world.Within(seconds(30), [&] { return world.Publish(); }));
  faults.Clear();
  CHECK(world.Within(seconds(60), [&] { return world.IsrSize() == 3; }));
  CHECK(world.Publish());
}

TEST_CASE("where no other replica is in sync the leader goes on with what it has, once it can") {
  FailingDiskWorld world;
  const uint64_t before = world.Leader();
  for (uint64_t i = 1; i <= 3; ++i) {
    if (i != before) world.At(i).bus().Disconnect();
  }
  // With all disks failing nobody serves; as soon as one does not, somebody does.
  for (uint64_t i = 1; i <= 3; ++i)
    world.Disk(i).faults().FailAfter(1, kAllOps, absl::StatusCode::kInternal, kForever);
  CHECK_FALSE(world.Publish());
  world.kernel.scheduler().RunFor(seconds(5));
  CHECK_FALSE(world.Publish());
  for (uint64_t i = 1; i <= 3; ++i) {
    world.Disk(i).faults().Clear();
    if (!world.At(i).bus().connected()) world.At(i).bus().Reconnect();
  }
  CHECK(world.Within(seconds(60), [&] { return world.Publish(); }));
  CHECK(world.Within(seconds(60), [&] { return world.IsrSize() == 3; }));
}

}  // namespace bascule
