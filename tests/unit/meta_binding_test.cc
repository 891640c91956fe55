// Which settings are written into a stream when it is made, by whom, and what becomes of streams
// that lack them.
#include <doctest/doctest.h>

#include "tests/unit/meta_samples.h"
#include "tests/unit/meta_world.h"

namespace bascule::metadata {
namespace {

StreamSettings Defaults(Durability durability, LeaderAcks leader_acks) {
  StreamSettings defaults;
  defaults.durability = durability;
  defaults.leader_acks = leader_acks;
  defaults.retention_max_bytes = 99;
  return defaults;
}

const StreamOverrides& SettingsOn(MetaWorld& world, uint64_t broker, const std::string& stream) {
  const StreamDescription* found = world[broker].table().Find(stream);
  REQUIRE(found != nullptr);
  return found->overrides;
}

TEST_CASE("what binds comes from the metadata leader, whoever is asked, and stays") {
  MetaWorld world(3);
  world[1].frontend->SetStreamDefaults(Defaults(Durability::kOs, LeaderAcks::kCommitted));
  StreamSpec spec = Spec("s");
  spec.overrides.leader_acks = LeaderAcks::kLocal;
  CHECK(world.Await(world[2].Create(spec)).ok());
  world.group.Elect(PeerId(2));
  world.Run(std::chrono::seconds(2));
  CHECK(world.Await(world[1].Create("t")).ok());
  world.Run(std::chrono::seconds(1));
  for (const uint64_t broker : {1, 2, 3}) {
    CHECK(SettingsOn(world, broker, "s").durability == Durability::kOs);
    CHECK(SettingsOn(world, broker, "s").leader_acks == LeaderAcks::kLocal);
    CHECK_FALSE(SettingsOn(world, broker, "s").retention_max_bytes.has_value());
    CHECK(SettingsOn(world, broker, "t").durability == Durability::kFsync);
    // The same on every broker, whatever its own defaults are.
    const StreamOverrides& s = SettingsOn(world, broker, "s");
    CHECK(OpenBindings(s, StreamSettings(), 1) == StreamOverrides());
  }
}

TEST_CASE("streams that lack what binds get it from the first leader that can give it, once") {
  MetaWorld world(2);
  world[2].frontend->SetStreamDefaults(Defaults(Durability::kOs, LeaderAcks::kCommitted));
  for (const char* name : {"a", "b", "c"}) {
    StreamDescription stream = SampleStream(name);
    stream.overrides = {};
    if (stream.name == "b") stream.overrides.durability = Durability::kFsync;
    world[1].log->Propose(EncodeCreateStream(stream), [](const absl::Status& s) { CHECK(s.ok()); });
  }
  world.Run(std::chrono::milliseconds(100));  // the feature level is not raised yet
  CHECK_FALSE(SettingsOn(world, 1, "a").durability.has_value());
  world.group.Elect(PeerId(2));
  world.Run(std::chrono::seconds(3));
  for (const uint64_t broker : {1, 2}) {
    CHECK(SettingsOn(world, broker, "a").durability == Durability::kOs);
    CHECK(SettingsOn(world, broker, "b").durability == Durability::kFsync);
    CHECK(SettingsOn(world, broker, "b").leader_acks == LeaderAcks::kCommitted);
    CHECK(SettingsOn(world, broker, "c").min_isr == 0);
  }
  world.Run(std::chrono::seconds(10));  // everything else that the beginning of a group proposes
  const MetadataIndex applied = world[1].table().applied();
  world.group.Elect(PeerId(1));
  world.Run(std::chrono::seconds(3));
  CHECK(world[1].table().applied() == applied);
  CHECK(SettingsOn(world, 1, "a").durability == Durability::kOs);
}

TEST_CASE(
    "a default min ISR that the replicas cannot meet refuses new streams and stops no old one") {
  MetaWorld world(2);
  StreamSettings defaults;
  defaults.min_isr = 2;
  StreamDescription old = SampleStream("old");
  old.overrides = {};
  world[1].log->Propose(EncodeCreateStream(old), [](const absl::Status& s) { CHECK(s.ok()); });
  for (const uint64_t broker : {1, 2}) world[broker].frontend->SetStreamDefaults(defaults);
  CHECK(world.Await(world[1].Create("s")).message() ==
        "Invalid minIsr 2, replicationFactor 1: nothing would ever be committed; it comes from "
        "clustering.min.insync.replicas, ask for at most 1");
  StreamSpec spec = Spec("s");
  spec.overrides.min_isr = 1;
  CHECK(world.Await(world[1].Create(spec)).ok());
  world.group.Elect(PeerId(2));
  world.Run(std::chrono::seconds(3));
  CHECK(SettingsOn(world, 2, "old").min_isr == 0);
}

TEST_CASE("settings are encoded as versions before wrote them, and unknown ones are passed over") {
  StreamOverrides all;
  all.retention_max_bytes = 77;
  all.retention_max_messages = 5;
  all.retention_max_age = std::chrono::milliseconds(1000);
  all.cleaner_interval = std::chrono::milliseconds(1);
  all.segment_max_bytes = 65536;
  all.segment_max_age = std::chrono::milliseconds(7);
  all.min_isr = 2;
  all.optimistic_concurrency_control = true;
  all.durability = Durability::kOs;
  all.reply_acks = ReplyAcks::kJetStream;
  all.leader_acks = LeaderAcks::kCommitted;
  all.record_internal_subjects = true;
  const std::string fields(
      "\x08\x4d\x10\x05\x18\xe8\x07\x20\x01\x28\x80\x80\x04\x30\x07\x38\x02\x40\x01\x48\x01\x50\x01"
      "\x58\x01\x60\x01",
      27);
  const std::string head("\x2a\x20\x0a\x01s\x12\x1b", 7);
  CHECK(EncodeUpdateStream("s", all) == head + fields);

  MetaTable table = TableWith({"b1"});
  StreamDescription stream = SampleStream("s");
  stream.overrides = {};
  CHECK(table.Apply(MetadataIndex(9), EncodeCreateStream(stream)).result.ok());
  // Field 99, and field 1 with another wire type.
  const std::string more("\x98\x06\x01\x0a\x01x", 6);
  const std::string longer("\x2a\x26\x0a\x01s\x12\x21", 7);
  CHECK(table.Apply(MetadataIndex(10), longer + fields + more).result.ok());
  CHECK(table.Find("s")->overrides == all);
}

}  // namespace
}  // namespace bascule::metadata
