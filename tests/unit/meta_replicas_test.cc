// The commands that replicas need: changes of the ISR, moved leaders, doubt (feature level 3).
#include <doctest/doctest.h>

#include "core/base/text.h"
#include "tests/unit/meta_samples.h"

namespace bascule::metadata {
namespace {

const PartitionKey kKey{StreamId(10), PartitionId(0)};

// Brokers b1 to b3, of the processes 1 to 3, and "s" on all of them, led by b1 in epoch 10, min ISR 2.
struct ReplicatedTable {
  MetaTable table = TableWith({"b1", "b2", "b3"});
  uint64_t index = 9;

  explicit ReplicatedTable(uint32_t level = kFeatureLevel) {
    if (level > 0) table.Apply(MetadataIndex(index), EncodeRaiseFeatureLevel(level));
    StreamDescription stream = SampleStream("s", 1, {"b1", "b2", "b3"});
    stream.overrides.min_isr = 2;
    REQUIRE(Apply(EncodeCreateStream(stream)).result.ok());
  }
  CommandOutcome Apply(const std::string& command) {
    return table.Apply(MetadataIndex(++index), command);
  }
  const PartitionDescription& partition() const { return *table.Find(kKey); }
  std::string Shown() const {
    const PartitionDescription& p = partition();
    std::string text = Concat(p.leader.empty() ? "-" : p.leader, " isr");
    for (const std::string& member : p.isr) text += " " + member;
    for (const ReplicaDoubt& doubt : p.doubtful)
      text += Concat(" doubt ", doubt.broker, "(", doubt.epoch, ",", doubt.end, ")");
    return text + Concat(" e", p.leader_epoch, " v", p.version);
  }
  IsrAlteration Alteration(std::vector<IsrAlteration::Member> isr) const {
    return {kKey, partition().leader, partition().leader_epoch, partition().version,
            std::move(isr)};
  }
  BrokerRegistration Doubtful(const std::string& id, uint64_t incarnation) const {
    BrokerRegistration registration = Broker(id, incarnation);
    registration.doubtful.push_back({kKey, LeaderEpoch(10), Offset(7)});
    return registration;
  }
};

}  // namespace

TEST_CASE(
    "replicas: an ISR change names the life whose acknowledgements count (R1c), and is carried out "
    "once") {
  ReplicatedTable world;
  CHECK(world.Shown() == "b1 isr b1 b2 b3 e10 v0");
  const IsrAlteration shrink = world.Alteration({{"b1", 1}, {"b2", 2}});
  const CommandOutcome shrunk = world.Apply(EncodeAlterIsr({shrink}));
  CHECK(shrunk.result.ok());
  REQUIRE(shrunk.deltas.size() == 1);
  CHECK(std::get<PartitionChanged>(shrunk.deltas[0]).partition.isr == Names{"b1", "b2"});
  CHECK(world.Shown() == "b1 isr b1 b2 e10 v1");
  const CommandOutcome again = world.Apply(EncodeAlterIsr({shrink}));
  CHECK(again.result.message() == "1 of 1 ISR changes are out of date");
  CHECK(again.deltas.empty());
  // b3 was replaced since it acknowledged.
  REQUIRE(world.Apply(EncodeRegisterBroker(Broker("b3", 33))).result.ok());
  CHECK_FALSE(world.Apply(EncodeAlterIsr({world.Alteration({{"b1", 1}, {"b2", 2}, {"b3", 3}})}))
                  .result.ok());
  CHECK(world.Shown() == "b1 isr b1 b2 e10 v1");
  CHECK(world.Apply(EncodeAlterIsr({world.Alteration({{"b1", 1}, {"b2", 2}, {"b3", 33}})}))
            .result.ok());
  CHECK(world.Shown() == "b1 isr b1 b2 b3 e10 v2");
  // Of who is a member already nothing is asked: that it stays is no news of its disk.
  CHECK(world.Apply(EncodeAlterIsr({world.Alteration({{"b1", 1}, {"b2", 99}})})).result.ok());
}

TEST_CASE("replicas: of several ISR changes in one command each stands by itself") {
  ReplicatedTable world;
  IsrAlteration stale = world.Alteration({{"b1", 1}});
  stale.version = 7;
  IsrAlteration unknown = world.Alteration({{"b1", 1}});
  unknown.partition = {StreamId(99), PartitionId(0)};
  const CommandOutcome outcome =
      world.Apply(EncodeAlterIsr({stale, world.Alteration({{"b1", 1}, {"b3", 3}}), unknown}));
  CHECK(outcome.result.message() == "2 of 3 ISR changes are out of date");
  CHECK(outcome.deltas.size() == 1);
  CHECK(world.Shown() == "b1 isr b1 b3 e10 v1");
}

TEST_CASE("replicas: the lead is moved in its epoch, to who is live and in sync, and counted") {
  ReplicatedTable world;
  CHECK(world.Apply(EncodeMoveLeader({StreamId(99), PartitionId(0)}, LeaderEpoch(10), "b2"))
            .result.message() == "partition does not exist");
  CHECK(world.Apply(EncodeMoveLeader(kKey, LeaderEpoch(9), "b2")).result.message() ==
        "partition 0 of stream s is in leader epoch 10, not 9");
  CHECK(world.Apply(EncodeMoveLeader(kKey, LeaderEpoch(10), "")).result.message() ==
        "partition 0 of stream s cannot be led by : it is not live and in sync");
  CHECK(world.table.LoadOf("b1").leading == 1);
  const CommandOutcome moved = world.Apply(EncodeMoveLeader(kKey, LeaderEpoch(10), "b2"));
  CHECK(moved.result.ok());
  CHECK(moved.deltas.size() == 1);
  CHECK(world.Shown() == "b2 isr b1 b2 b3 e14 v1");
  CHECK(world.table.LoadOf("b1").leading == 0);
  CHECK(world.table.LoadOf("b2").leading == 1);
  // Asked again, as whoever did not hear the answer does.
  CHECK(world.Apply(EncodeMoveLeader(kKey, LeaderEpoch(10), "b2")).deltas.empty());
  REQUIRE(world.Apply(EncodeFenceBrokers({{"b3", 3}})).result.ok());
  CHECK(world.Apply(EncodeMoveLeader(kKey, LeaderEpoch(14), "b3")).result.message() ==
        "partition 0 of stream s cannot be led by b3: it is not live and in sync");
}

TEST_CASE(
    "replicas: doubt is registered, kept in snapshots, and ended by an ISR change of that life") {
  ReplicatedTable world;
  const ReplicatedTable before;
  const CommandOutcome registered = world.Apply(EncodeRegisterBroker(world.Doubtful("b3", 33)));
  CHECK(registered.deltas.size() == 1);
  CHECK(world.Shown() == "b1 isr b1 b2 b3 doubt b3(10,7) e10 v0");
  MetaTable again;
  REQUIRE(again.Restore(world.table.applied(), world.table.Snapshot()).ok());
  CHECK(again.Find(kKey)->doubtful == world.partition().doubtful);
  CHECK(again.Snapshot() == world.table.Snapshot());
  // Who gets it as a snapshot is told too: doubt raises no version.
  const std::vector<MetaDelta> deltas = Differences(before.table, again);
  REQUIRE(deltas.size() == 1);
  CHECK(std::get<PartitionChanged>(deltas[0]).partition.doubtful.size() == 1);
  CHECK_FALSE(
      world.Apply(EncodeAlterIsr({world.Alteration({{"b1", 1}, {"b2", 2}, {"b3", 3, true}})}))
          .result.ok());
  CHECK(world.Apply(EncodeAlterIsr({world.Alteration({{"b1", 1}, {"b2", 2}, {"b3", 33, true}})}))
            .result.ok());
  CHECK(world.Shown() == "b1 isr b1 b2 b3 e10 v1");
}

TEST_CASE("replicas: a registration that is repeated brings no doubt back") {
  ReplicatedTable world;
  const std::string doubtful = EncodeRegisterBroker(world.Doubtful("b3", 33));
  REQUIRE(world.Apply(doubtful).result.ok());
  REQUIRE(world.Apply(EncodeAlterIsr({world.Alteration({{"b1", 1}, {"b2", 2}, {"b3", 33, true}})}))
              .result.ok());
  REQUIRE(world.partition().doubtful.empty());
  CHECK(world.Apply(doubtful).deltas.empty());
  CHECK(world.partition().doubtful.empty());
}

TEST_CASE("replicas: before feature level 3 a registration's doubt means nothing, on any version") {
  ReplicatedTable world(kReplicasLevel - 1);
  CHECK(world.Apply(EncodeRegisterBroker(world.Doubtful("b3", 33))).deltas.empty());
  CHECK(world.partition().doubtful.empty());
}

}  // namespace bascule::metadata
