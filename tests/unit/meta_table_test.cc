// The metadata table: what each command changes, and that nothing but commands changes it.
#include "replication/meta/table/meta_table.h"

#include <doctest/doctest.h>

#include "core/base/text.h"
#include "tests/support/sim_rng.h"
#include "tests/unit/meta_samples.h"

namespace bascule::metadata {

TEST_CASE("a created stream has the index of its command as id and first epoch") {
  MetaTable table = TableWith({"b1"});
  const auto applied = table.Apply(MetadataIndex(5), EncodeCreateStream(SampleStream("s", 2)));
  REQUIRE(applied.result.ok());
  REQUIRE(applied.deltas.size() == 1);
  const auto& created = std::get<StreamCreated>(applied.deltas[0]).stream;
  CHECK(created.id == StreamId(5));
  REQUIRE(created.partitions.size() == 2);
  CHECK(created.partitions[1].leader_epoch == LeaderEpoch(5));
  CHECK(created.partitions[1].leader == "b1");
  CHECK(created.partitions[1].isr == Names{"b1"});
  const StreamDescription* found = table.Find("s");
  REQUIRE(found != nullptr);
  CHECK(table.Find(StreamId(5)) == found);
  CHECK(found->subject == "s.in");
  CHECK(found->group == "g");
  CHECK(found->created == Timestamp(1234));
  CHECK(found->overrides == SampleStream("s").overrides);
  CHECK(table.applied() == MetadataIndex(5));
  CHECK(table.LoadOf("b1").partitions == 2);
  CHECK(table.LoadOf("b1").leading == 2);
}

TEST_CASE("a name is given once, and again after its stream is deleted, with another id") {
  MetaTable table = TableWith({"b1"});
  CHECK(table.Apply(MetadataIndex(11), EncodeCreateStream(SampleStream("s"))).result.ok());
  const auto again = table.Apply(MetadataIndex(12), EncodeCreateStream(SampleStream("s")));
  CHECK(absl::IsAlreadyExists(again.result));
  CHECK(again.deltas.empty());
  CHECK(table.Find("s")->id == StreamId(11));
  const auto deleted = table.Apply(MetadataIndex(13), EncodeDeleteStream("s"));
  REQUIRE(deleted.deltas.size() == 1);
  CHECK(std::get<StreamDeleted>(deleted.deltas[0]).id == StreamId(11));
  CHECK(table.Find("s") == nullptr);
  CHECK(table.Find(StreamId(11)) == nullptr);
  CHECK(table.LoadOf("b1").partitions == 0);
  CHECK(table.LoadOf("b1").leading == 0);
  CHECK(absl::IsNotFound(table.Apply(MetadataIndex(14), EncodeDeleteStream("s")).result));
  table.Apply(MetadataIndex(15), EncodeCreateStream(SampleStream("s")));
  CHECK(table.Find("s")->id == StreamId(15));
}

TEST_CASE("a stream on a broker that was removed meanwhile is not made") {
  MetaTable table = TableWith({"b1", "b2"});
  CHECK(table.Apply(MetadataIndex(5), EncodeRemoveBroker("b2", true)).result.ok());
  const auto made = table.Apply(MetadataIndex(6),
                                EncodeCreateStream(SampleStream("s", 1, {"b2"}), {"b1", 1, 1, 0}));
  CHECK(absl::IsAborted(made.result));
  CHECK(made.deltas.empty());
  CHECK(table.streams().empty());
}

TEST_CASE(
    "R2a: a new process of a broker leads all its partitions under a new epoch, others stay") {
  MetaTable table = TableWith({"b1", "b2"});
  table.Apply(MetadataIndex(11), EncodeCreateStream(SampleStream("mine", 2)));
  table.Apply(MetadataIndex(12), EncodeCreateStream(SampleStream("theirs", 1, {"b2"})));
  const auto applied = table.Apply(MetadataIndex(13), EncodeRegisterBroker(Broker("b1", 42)));
  CHECK(applied.result.ok());
  REQUIRE(applied.deltas.size() == 2);
  for (const MetaDelta& delta : applied.deltas) {
    const auto& changed = std::get<PartitionChanged>(delta);
    CHECK(changed.id == StreamId(11));
    CHECK(changed.partition.leader_epoch == LeaderEpoch(13));
    CHECK(changed.partition.version == 1);  // R1b
    CHECK(changed.partition.isr == Names{"b1"});
  }
  CHECK(table.Find("theirs")->partitions[0].leader_epoch == LeaderEpoch(12));
  // The same process again, with another address: nothing else changes.
  BrokerRegistration moved = Broker("b1", 42);
  moved.port = 9999;
  CHECK(table.Apply(MetadataIndex(14), EncodeRegisterBroker(moved)).deltas.empty());
  CHECK(table.FindBroker("b1")->port == 9999);
}

TEST_CASE("R2a: an epoch is raised for one partition, when its leader asks") {
  MetaTable table = TableWith({"b1", "b2"});
  table.Apply(MetadataIndex(11), EncodeCreateStream(SampleStream("s", 2)));
  const PartitionKey key{StreamId(11), PartitionId(1)};
  const auto raised = table.Apply(MetadataIndex(14), EncodeRaiseEpoch(key));
  CHECK(raised.result.ok());
  REQUIRE(raised.deltas.size() == 1);
  CHECK(std::get<PartitionChanged>(raised.deltas[0]).partition.leader_epoch == LeaderEpoch(14));
  CHECK(table.Find("s")->partitions[0].leader_epoch == LeaderEpoch(11));
  CHECK(table.Find("s")->partitions[1].leader_epoch == LeaderEpoch(14));
  CHECK(table.Apply(MetadataIndex(15), EncodeRaiseEpoch(key, "b1")).result.ok());
  const auto other = table.Apply(MetadataIndex(16), EncodeRaiseEpoch(key, "b2"));
  CHECK(absl::IsFailedPrecondition(other.result));
  CHECK(other.deltas.empty());
  for (const PartitionKey none :
       {PartitionKey{StreamId(2), PartitionId(0)}, PartitionKey{StreamId(11), PartitionId(2)},
        PartitionKey{StreamId(11), PartitionId(-1)}}) {
    const auto missing = table.Apply(MetadataIndex(17), EncodeRaiseEpoch(none));
    CHECK(absl::IsNotFound(missing.result));
    CHECK(missing.deltas.empty());
  }
}

TEST_CASE("R6, R7: brokers fenced in one command leave their partitions, and come back to them") {
  MetaTable table = TableWith({"b1", "b2", "b3"});
  table.Apply(MetadataIndex(11), EncodeCreateStream(SampleStream("one", 1, {"b1"})));
  table.Apply(MetadataIndex(12), EncodeCreateStream(SampleStream("three", 1, {"b2", "b1", "b3"})));
  const auto fenced = table.Apply(MetadataIndex(13), EncodeFenceBrokers({{"b1", 1}, {"b2", 2}}));
  CHECK(fenced.result.ok());
  CHECK(fenced.deltas.size() == 2);  // each partition once
  CHECK(table.FindBroker("b1")->fenced);
  const PartitionDescription& one = table.Find("one")->partitions[0];
  CHECK(one.leader == "");
  CHECK(one.isr == Names{});
  CHECK(one.elr == Names{"b1"});
  CHECK(one.leader_epoch == LeaderEpoch(13));
  CHECK(one.version == 1);
  const PartitionDescription& three = table.Find("three")->partitions[0];
  CHECK(three.leader == "b3");
  CHECK(three.isr == Names{"b3"});
  CHECK(three.elr == Names{});  // min ISR 1 is kept
  CHECK(table.LoadOf("b1").leading == 0);
  CHECK(table.LoadOf("b1").partitions == 2);
  CHECK(table.LoadOf("b3").leading == 1);
  // The same process comes back: it held everything.
  const auto back = table.Apply(MetadataIndex(14), EncodeRegisterBroker(Broker("b1", 1)));
  REQUIRE(back.deltas.size() == 1);
  CHECK(table.Find("one")->partitions[0].leader == "b1");
  CHECK(table.Find("one")->partitions[0].isr == Names{"b1"});
  CHECK(table.Find("one")->partitions[0].elr == Names{});
  CHECK(table.Find("one")->partitions[0].leader_epoch == LeaderEpoch(14));
  CHECK(table.LoadOf("b1").leading == 1);
}

TEST_CASE("fencing leaves alone who registered anew, who is fenced, and who is not there") {
  MetaTable table = TableWith({"b1"});
  table.Apply(MetadataIndex(11), EncodeCreateStream(SampleStream("s")));
  CHECK(table.Apply(MetadataIndex(12), EncodeFenceBrokers({{"b1", 99}, {"b9", 1}})).deltas.empty());
  CHECK_FALSE(table.FindBroker("b1")->fenced);
  CHECK(table.Apply(MetadataIndex(13), EncodeFenceBrokers({{"b1", 1}})).deltas.size() == 1);
  CHECK(table.Apply(MetadataIndex(14), EncodeFenceBrokers({{"b1", 1}})).deltas.empty());
  // A stream may be placed there by a command that was on its way: it waits for its broker.
  table.Apply(MetadataIndex(15), EncodeCreateStream(SampleStream("late")));
  CHECK(table.Find("late")->partitions[0].leader == "");
  CHECK(table.Find("late")->partitions[0].elr == Names{"b1"});
  table.Apply(MetadataIndex(16), EncodeRegisterBroker(Broker("b1", 2)));
  CHECK(table.Find("late")->partitions[0].leader == "b1");
}

TEST_CASE("R6b: what a broker lost leaves ISR and ELR in the registering command") {
  MetaTable table = TableWith({"b1"});
  table.Apply(MetadataIndex(11), EncodeCreateStream(SampleStream("s", 2)));
  BrokerRegistration damaged = Broker("b1", 2);
  damaged.lost = {{StreamId(11), PartitionId(1)}};
  CHECK(table.Apply(MetadataIndex(12), EncodeRegisterBroker(damaged)).deltas.size() == 2);
  CHECK(table.Find("s")->partitions[0].leader == "b1");
  const PartitionDescription& lost = table.Find("s")->partitions[1];
  CHECK(lost.leader == "");
  CHECK(lost.isr == Names{});
  CHECK(lost.elr == Names{});
  CHECK(lost.replicas == Names{"b1"});  // who knew it last
  BrokerRegistration emptied = Broker("b1", 3);
  emptied.lost_all = true;
  table.Apply(MetadataIndex(13), EncodeRegisterBroker(emptied));
  CHECK(table.Find("s")->partitions[0].leader == "");
  CHECK(table.Find("s")->partitions[0].elr == Names{});
}

TEST_CASE("R6b: another disk under a known server id waits until the old session is over") {
  MetaTable table = TableWith({"b1"});
  table.Apply(MetadataIndex(11), EncodeCreateStream(SampleStream("s")));
  BrokerRegistration other = Broker("b1", 2);
  other.node = PeerId(77);
  const auto refused = table.Apply(MetadataIndex(12), EncodeRegisterBroker(other));
  CHECK(absl::IsAlreadyExists(refused.result));
  CHECK(refused.result.message() ==
        "server id b1 is in use by the broker at b1:9293 with another data directory; stop that "
        "one, or give this one an id of its own");
  CHECK(table.FindBroker("b1")->node == PeerId(1));
  table.Apply(MetadataIndex(13), EncodeFenceBrokers({{"b1", 1}}));
  CHECK(table.Apply(MetadataIndex(14), EncodeRegisterBroker(other)).result.ok());
  CHECK(table.FindBroker("b1")->node == PeerId(77));
  CHECK(table.Find("s")->partitions[0].leader == "");
  CHECK(table.Find("s")->partitions[0].elr == Names{});
}

TEST_CASE("a process that was replaced does not register again, however late its command comes") {
  MetaTable table = TableWith({"b1"});
  CHECK(table.Apply(MetadataIndex(12), EncodeRegisterBroker(Broker("b1", 2))).result.ok());
  const auto late = table.Apply(MetadataIndex(13), EncodeRegisterBroker(Broker("b1", 1)));
  CHECK(absl::IsFailedPrecondition(late.result));
  CHECK(table.FindBroker("b1")->incarnation == 2);
  MetaTable restored;
  REQUIRE(restored.Restore(MetadataIndex(13), table.Snapshot()).ok());
  CHECK_FALSE(restored.Apply(MetadataIndex(14), EncodeRegisterBroker(Broker("b1", 1))).result.ok());
}

TEST_CASE("only members register, once the group has told who they are") {
  MetaTable table;
  table.ApplyMembers(MetadataIndex(1), {{PeerId(1), "b1", "b1:9293", true}});
  CHECK(table.Apply(MetadataIndex(2), EncodeRegisterBroker(Broker("b1", 1))).result.ok());
  CHECK(absl::IsFailedPrecondition(
      table.Apply(MetadataIndex(3), EncodeRegisterBroker(Broker("b2", 2))).result));
  CHECK(table.brokers().size() == 1);
}

TEST_CASE("R6a: lowered min ISR empties the ELR; other settings are merged") {
  MetaTable table = TableWith({"b1", "b2", "b3"});
  StreamDescription stream = SampleStream("s", 1, {"b1", "b2", "b3"});
  stream.overrides.min_isr = 3;
  table.Apply(MetadataIndex(11), EncodeCreateStream(stream));
  table.Apply(MetadataIndex(12), EncodeFenceBrokers({{"b3", 3}}));
  CHECK(table.Find("s")->partitions[0].elr == Names{"b3"});
  StreamOverrides changes;
  changes.retention_max_bytes = 5;
  const auto kept = table.Apply(MetadataIndex(13), EncodeUpdateStream("s", changes));
  REQUIRE(kept.deltas.size() == 1);
  CHECK(std::get<StreamUpdated>(kept.deltas[0]).stream.overrides.retention_max_bytes == 5);
  CHECK(std::get<StreamUpdated>(kept.deltas[0]).stream.overrides.min_isr == 3);
  changes = {};
  changes.min_isr = 2;
  const auto lowered = table.Apply(MetadataIndex(14), EncodeUpdateStream("s", changes));
  REQUIRE(lowered.deltas.size() == 2);
  const auto& partition = std::get<PartitionChanged>(lowered.deltas[1]).partition;
  CHECK(partition.elr == Names{});
  CHECK(partition.version == 2);
  CHECK(partition.leader_epoch == LeaderEpoch(11));
  CHECK(table.Find("s")->overrides.retention_max_bytes == 5);
  CHECK(absl::IsNotFound(table.Apply(MetadataIndex(15), EncodeUpdateStream("t", changes)).result));
}

TEST_CASE("a broker is removed when it is away and nothing hangs on it, or by force") {
  MetaTable table = TableWith({"b1", "b2"});
  table.Apply(MetadataIndex(11), EncodeCreateStream(SampleStream("s", 1, {"b2"})));
  const auto remove = [&](uint64_t index, bool force) {
    return table.Apply(MetadataIndex(index), EncodeRemoveBroker("b2", force)).result;
  };
  CHECK(remove(12, false).message() ==
        "broker b2 at b2:9293 is alive; stop it first, or force its removal");
  table.Apply(MetadataIndex(13), EncodeFenceBrokers({{"b2", 2}}));
  CHECK(remove(14, false).message() ==
        "broker b2 holds the only replica of 1 partitions; delete their streams first, or force "
        "its removal");
  CHECK(remove(15, true).ok());
  CHECK(table.FindBroker("b2") == nullptr);
  CHECK(table.Find("s")->partitions[0].elr == Names{});
  CHECK(absl::IsNotFound(remove(16, true)));
}

TEST_CASE("the cluster's id is given once; the feature level waits for the last broker") {
  MetaTable table = TableWith({"b1"});
  CHECK(table.Apply(MetadataIndex(11), EncodeInitCluster("c")).result.ok());
  CHECK(table.Apply(MetadataIndex(12), EncodeInitCluster("c")).result.ok());
  CHECK(absl::IsFailedPrecondition(table.Apply(MetadataIndex(13), EncodeInitCluster("d")).result));
  CHECK(table.cluster_id() == "c");
  BrokerRegistration old = Broker("b2", 2);
  old.feature_level = 0;
  table.Apply(MetadataIndex(14), EncodeRegisterBroker(old));
  CHECK(absl::IsFailedPrecondition(
      table.Apply(MetadataIndex(15), EncodeRaiseFeatureLevel(1)).result));
  table.Apply(MetadataIndex(16), EncodeRegisterBroker(Broker("b2", 3)));
  CHECK(table.Apply(MetadataIndex(17), EncodeRaiseFeatureLevel(1)).result.ok());
  CHECK(table.feature_level() == 1);
  CHECK(
      absl::IsFailedPrecondition(table.Apply(MetadataIndex(18), EncodeRegisterBroker(old)).result));
  CHECK(absl::IsUnimplemented(
      table.Apply(MetadataIndex(19), EncodeRaiseFeatureLevel(kFeatureLevel + 1)).result));
}

TEST_CASE("an unknown command says which, and changes nothing but the index") {
  MetaTable table = TableWith({"b1"});
  table.Apply(MetadataIndex(5), EncodeCreateStream(SampleStream("s")));
  // Field 15 of Command: none of ours. And bytes that are no protobuf at all.
  for (const std::string& bytes :
       {std::string("\x7a\x00", 2), std::string("\xff\xff"), std::string()}) {
    const auto applied = table.Apply(MetadataIndex(9), bytes);
    CHECK(absl::IsUnimplemented(applied.result));
    CHECK(applied.result.message() ==
          "metadata command 9 is unknown to this version of the program; install a newer one");
    CHECK(applied.deltas.empty());
  }
  CHECK(table.streams().size() == 1);
}

TEST_CASE("two tables that apply the same commands are the same, byte for byte") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    MetaTable one;
    MetaTable other;
    uint64_t index = 0;
    for (const std::string& command : SampleHistory(seed, 80)) {
      ++index;
      const auto a = one.Apply(MetadataIndex(index), command);
      const auto b = other.Apply(MetadataIndex(index), command);
      CHECK(a.result == b.result);
      CHECK(a.deltas.size() == b.deltas.size());
      CHECK(one.Snapshot() == other.Snapshot());
    }
  }
}

TEST_CASE("a restored table is the one that was saved, and goes on as it would have") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    MetaTable straight;
    MetaTable saved;
    uint64_t index = 0;
    for (const std::string& command : SampleHistory(seed, 80)) {
      ++index;
      straight.Apply(MetadataIndex(index), command);
      // What it held before is gone.
      MetaTable restored = TableWith({"b1"});
      restored.Apply(MetadataIndex(11), EncodeCreateStream(SampleStream("stale")));
      REQUIRE(restored.Restore(saved.applied(), saved.Snapshot()).ok());
      restored.Apply(MetadataIndex(index), command);
      saved = restored;
      REQUIRE(saved.Snapshot() == straight.Snapshot());
      CHECK(saved.applied() == straight.applied());
      for (const std::string broker : {"b0", "b1", "b2"}) {
        CHECK(saved.LoadOf(broker).leading == straight.LoadOf(broker).leading);
        CHECK(saved.LoadOf(broker).partitions == straight.LoadOf(broker).partitions);
      }
    }
  }
}

TEST_CASE("loads are what the partitions say, after any history; epochs and versions only rise") {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    MetaTable table;
    std::map<PartitionKey, std::pair<LeaderEpoch, uint64_t>> seen;
    uint64_t index = 0;
    for (const std::string& command : SampleHistory(seed, 100)) {
      table.Apply(MetadataIndex(++index), command);
      std::map<std::string, BrokerLoad> loads;
      for (const auto& [name, stream] : table.streams()) {
        for (const PartitionDescription& p : stream.partitions) {
          for (const std::string& replica : p.replicas) ++loads[replica].partitions;
          if (!p.leader.empty()) ++loads[p.leader].leading;
          if (!p.leader.empty()) CHECK(table.IsLive(p.leader));
          auto& [epoch, version] = seen[{stream.id, p.id}];
          CHECK(p.leader_epoch >= epoch);
          CHECK(p.version >= version);
          epoch = p.leader_epoch;
          version = p.version;
        }
      }
      for (const std::string broker : {"b0", "b1", "b2"}) {
        CHECK(table.LoadOf(broker).partitions == loads[broker].partitions);
        CHECK(table.LoadOf(broker).leading == loads[broker].leading);
      }
    }
  }
}

TEST_CASE("what lies between two tables leads from the one to the other") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const auto commands = SampleHistory(seed, 100);
    MetaTable before;
    MetaTable after;
    for (size_t i = 0; i < commands.size(); ++i) {
      if (i < 50) before.Apply(MetadataIndex(i + 1), commands[i]);
      after.Apply(MetadataIndex(i + 1), commands[i]);
    }
    std::map<std::string, StreamDescription> streams(before.streams().begin(),
                                                     before.streams().end());
    for (const MetaDelta& delta : Differences(before, after)) {
      if (const auto* created = std::get_if<StreamCreated>(&delta)) {
        CHECK_FALSE(streams.contains(created->stream.name));
        streams[created->stream.name] = created->stream;
      } else if (const auto* deleted = std::get_if<StreamDeleted>(&delta)) {
        CHECK(streams.at(deleted->name).id == deleted->id);
        streams.erase(deleted->name);
      } else if (const auto* updated = std::get_if<StreamUpdated>(&delta)) {
        streams.at(updated->stream.name).overrides = updated->stream.overrides;
      } else {
        const auto& changed = std::get<PartitionChanged>(delta);
        CHECK(streams.at(changed.name).id == changed.id);
        streams.at(changed.name).partitions.at(static_cast<size_t>(changed.partition.id.value())) =
            changed.partition;
      }
    }
    REQUIRE(streams.size() == after.streams().size());
    for (const auto& [name, stream] : after.streams()) {
      CHECK(streams.at(name).id == stream.id);
      CHECK(streams.at(name).overrides == stream.overrides);
      for (size_t i = 0; i < stream.partitions.size(); ++i) {
        CHECK(streams.at(name).partitions[i].version == stream.partitions[i].version);
        CHECK(streams.at(name).partitions[i].leader == stream.partitions[i].leader);
      }
    }
  }
}

TEST_CASE(
    "a snapshot that does not parse, or is a newer version's, is refused and changes nothing") {
  MetaTable table = TableWith({"b1"});
  const std::string before = table.Snapshot();
  CHECK(absl::IsDataLoss(table.Restore(MetadataIndex(1), "\xff\xff")));
  // Field 5, the feature level: 99.
  CHECK(absl::IsUnimplemented(table.Restore(MetadataIndex(1), "\x28\x63")));
  // A stream that is younger than the snapshot.
  MetaTable other = TableWith({"b1"});
  other.Apply(MetadataIndex(11), EncodeCreateStream(SampleStream("s")));
  std::string snapshot = other.Snapshot();
  REQUIRE(snapshot.substr(0, 2) == "\x08\x0b");
  snapshot[1] = 10;
  CHECK(absl::IsDataLoss(table.Restore(MetadataIndex(10), snapshot)));
  CHECK(absl::IsDataLoss(table.Restore(MetadataIndex(9), snapshot)));
  CHECK(table.Snapshot() == before);
}

TEST_CASE("text that is no UTF-8 (a rack from a configuration) is kept as it is") {
  MetaTable table;
  BrokerRegistration odd = Broker("b1", 1);
  odd.rack = "\xff\xfe";
  CHECK(table.Apply(MetadataIndex(1), EncodeRegisterBroker(odd)).result.ok());
  MetaTable restored;
  REQUIRE(restored.Restore(table.applied(), table.Snapshot()).ok());
  CHECK(restored.FindBroker("b1")->rack == "\xff\xfe");
}

TEST_CASE("no bytes as command or snapshot harm the table") {
  SimRng rng(7);
  for (int round = 0; round < 20000; ++round) {
    MetaTable table = TableWith({"b1", "b2"});
    table.Apply(MetadataIndex(11), EncodeCreateStream(SampleStream("s", 2, {"b1", "b2"})));
    const auto commands = SampleHistory(rng.Next(), 3);
    std::string bytes = round % 2 == 0 ? table.Snapshot() : commands[rng.Below(3)];
    for (uint64_t flips = 1 + rng.Below(4); flips > 0 && !bytes.empty(); --flips)
      bytes[rng.Below(bytes.size())] = static_cast<char>(rng.Next());
    if (round % 2 == 0) {
      (void)table.Restore(MetadataIndex(12), bytes);
    } else {
      table.Apply(MetadataIndex(12), bytes);
    }
    uint64_t index = 12;
    for (const std::string& command : commands) table.Apply(MetadataIndex(++index), command);
    (void)table.Snapshot();
  }
}

}  // namespace bascule::metadata
