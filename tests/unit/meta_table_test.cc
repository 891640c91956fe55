// The metadata table: what each command changes, and that nothing but commands changes it.
#include "replication/meta/meta_table.h"

#include <doctest/doctest.h>

#include "core/base/text.h"
#include "tests/support/sim_rng.h"

namespace bascule {
namespace {

StreamDescription Stream(const std::string& name, int partitions = 1,
                         const std::string& leader = "b1") {
  StreamDescription stream;
  stream.name = name;
  stream.subject = name + ".in";
  stream.group = "g";
  stream.created = Timestamp(1234);
  stream.overrides.retention_max_bytes = 77;
  stream.overrides.min_isr = 1;
  stream.overrides.durability = Durability::kOs;
  stream.overrides.reply_acks = ReplyAcks::kJetStream;
  stream.overrides.leader_acks = LeaderAcks::kCommitted;
  stream.overrides.segment_max_age = std::chrono::hours(3);
  stream.overrides.optimistic_concurrency_control = true;
  for (int i = 0; i < partitions; ++i) {
    stream.partitions.push_back({PartitionId(i), leader, LeaderEpoch(), {leader}, {leader}});
  }
  return stream;
}

// A random but plausible history, as commands.
std::vector<std::string> History(uint64_t seed, int length) {
  SimRng rng(seed);
  std::vector<std::string> commands;
  for (int i = 0; i < length; ++i) {
    const std::string name = Concat("s", rng.Below(8));
    switch (rng.Below(4)) {
      case 0:
        commands.push_back(EncodeDeleteStream(name));
        break;
      case 1:
        commands.push_back(EncodeRegisterBroker(Concat("b", rng.Below(3)), rng.Next()));
        break;
      case 2:
        commands.push_back(EncodeRaiseEpoch(StreamId(rng.Below(30)), PartitionId(0)));
        break;
      default:
        commands.push_back(EncodeCreateStream(Stream(name, static_cast<int>(1 + rng.Below(3)))));
    }
  }
  return commands;
}

}  // namespace

TEST_CASE("a created stream has the index of its command as id and first epoch") {
  MetaTable table;
  const auto applied = table.Apply(MetadataIndex(5), EncodeCreateStream(Stream("s", 2)));
  REQUIRE(applied.result.ok());
  REQUIRE(applied.deltas.size() == 1);
  const auto& created = std::get<StreamCreated>(applied.deltas[0]).stream;
  CHECK(created.id == StreamId(5));
  REQUIRE(created.partitions.size() == 2);
  CHECK(created.partitions[1].leader_epoch == LeaderEpoch(5));
  CHECK(created.partitions[1].isr == std::vector<std::string>{"b1"});
  const StreamDescription* found = table.Find("s");
  REQUIRE(found != nullptr);
  CHECK(found->subject == "s.in");
  CHECK(found->group == "g");
  CHECK(found->created == Timestamp(1234));
  CHECK(found->overrides == Stream("s").overrides);
  CHECK(table.applied() == MetadataIndex(5));
}

TEST_CASE("a name is given once, and again after its stream is deleted, with another id") {
  MetaTable table;
  CHECK(table.Apply(MetadataIndex(1), EncodeCreateStream(Stream("s"))).result.ok());
  const auto again = table.Apply(MetadataIndex(2), EncodeCreateStream(Stream("s")));
  CHECK(absl::IsAlreadyExists(again.result));
  CHECK(again.deltas.empty());
  CHECK(table.Find("s")->id == StreamId(1));
  const auto deleted = table.Apply(MetadataIndex(3), EncodeDeleteStream("s"));
  REQUIRE(deleted.deltas.size() == 1);
  CHECK(std::get<StreamDeleted>(deleted.deltas[0]).id == StreamId(1));
  CHECK(table.Find("s") == nullptr);
  CHECK(absl::IsNotFound(table.Apply(MetadataIndex(4), EncodeDeleteStream("s")).result));
  table.Apply(MetadataIndex(5), EncodeCreateStream(Stream("s")));
  CHECK(table.Find("s")->id == StreamId(5));
}

TEST_CASE("R2a: a registered broker leads all its partitions under a new epoch, others' stay") {
  MetaTable table;
  table.Apply(MetadataIndex(1), EncodeCreateStream(Stream("mine", 2, "b1")));
  table.Apply(MetadataIndex(2), EncodeCreateStream(Stream("theirs", 1, "b2")));
  const auto applied = table.Apply(MetadataIndex(3), EncodeRegisterBroker("b1", 42));
  CHECK(applied.result.ok());
  REQUIRE(applied.deltas.size() == 2);
  for (const MetaDelta& delta : applied.deltas) {
    const auto& changed = std::get<PartitionChanged>(delta);
    CHECK(changed.id == StreamId(1));
    CHECK(changed.partition.leader_epoch == LeaderEpoch(3));
  }
  CHECK(table.Find("theirs")->partitions[0].leader_epoch == LeaderEpoch(2));
}

TEST_CASE("R2a: an epoch is raised for one partition") {
  MetaTable table;
  table.Apply(MetadataIndex(1), EncodeCreateStream(Stream("s", 2)));
  const auto raised = table.Apply(MetadataIndex(4), EncodeRaiseEpoch(StreamId(1), PartitionId(1)));
  CHECK(raised.result.ok());
  REQUIRE(raised.deltas.size() == 1);
  CHECK(std::get<PartitionChanged>(raised.deltas[0]).partition.leader_epoch == LeaderEpoch(4));
  CHECK(table.Find("s")->partitions[0].leader_epoch == LeaderEpoch(1));
  CHECK(table.Find("s")->partitions[1].leader_epoch == LeaderEpoch(4));
  for (const auto& [stream, partition] : {std::pair(2, 0), std::pair(1, 2)}) {
    const auto none = table.Apply(
        MetadataIndex(5),
        EncodeRaiseEpoch(StreamId(static_cast<uint64_t>(stream)), PartitionId(partition)));
    CHECK(absl::IsNotFound(none.result));
    CHECK(none.deltas.empty());
  }
}

TEST_CASE("an unknown command says which, and changes nothing but the index") {
  MetaTable table;
  table.Apply(MetadataIndex(1), EncodeCreateStream(Stream("s")));
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
    for (const std::string& command : History(seed, 60)) {
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
    const auto commands = History(seed, 60);
    MetaTable straight;
    MetaTable saved;
    uint64_t index = 0;
    for (const std::string& command : commands) {
      ++index;
      straight.Apply(MetadataIndex(index), command);
      MetaTable restored;
      // What it held before is gone.
      restored.Apply(MetadataIndex(1), EncodeCreateStream(Stream("stale")));
      REQUIRE(restored.Restore(saved.Snapshot()).ok());
      restored.Apply(MetadataIndex(index), command);
      saved = restored;
      REQUIRE(saved.Snapshot() == straight.Snapshot());
      CHECK(saved.applied() == straight.applied());
    }
  }
}

TEST_CASE("a snapshot that does not parse is refused") {
  MetaTable table;
  CHECK(absl::IsDataLoss(table.Restore("\xff\xff")));
}

}  // namespace bascule
