// An orderly stop gives away what the broker leads.
#include "replication/broker/hand_over.h"

#include <doctest/doctest.h>

#include <map>

#include "core/base/limits.h"
#include "tests/unit/meta_world.h"

namespace bascule::metadata {
namespace {

using std::chrono::seconds;

// How many partitions each broker leads, as b1 knows.
std::map<std::string, int> Leads(MetaWorld& world) {
  std::map<std::string, int> leads;
  for (const auto& [name, stream] : world[1].table().streams()) {
    for (const PartitionDescription& partition : stream.partitions) ++leads[partition.leader];
  }
  return leads;
}

void CreateReplicated(MetaWorld& world, const std::string& name, int32_t partitions,
                      int32_t replicas) {
  StreamSpec spec;
  spec.name = spec.subject = name;
  spec.partitions = partitions;
  spec.replication_factor = replicas;
  REQUIRE(world.Await(world[1].Create(spec)).ok());
}

}  // namespace

TEST_CASE("hand-over: more partitions than requests are taken at once, all given away, spread") {
  MetaWorld world(3);
  world.Run(seconds(8));
  for (int i = 0; i < 40; ++i) CreateReplicated(world, Concat("s", i), 100, 3);
  const std::map<std::string, int> before = Leads(world);
  REQUIRE(before.at("b2") > 1024);
  bool done = false;
  world[2].home.Post([&] {
    broker::HandOver(*world[2].frontend, "b2", world.clock, limits::kHandOverTimeout,
                     [&done] { done = true; });
  });
  REQUIRE(world.scheduler.RunUntil([&] { return done; }, limits::kHandOverTimeout));
  world.Run(seconds(1));
  std::map<std::string, int> after = Leads(world);
  CHECK(after["b2"] == 0);
  CHECK(after["b1"] > before.at("b1") + before.at("b2") / 3);
  CHECK(after["b3"] > before.at("b3") + before.at("b2") / 3);
}

TEST_CASE("hand-over: what nobody else has in sync is kept, and nobody waits for it") {
  MetaWorld world(3);
  world.Run(seconds(8));
  CreateReplicated(world, "copied", 3, 3);
  CreateReplicated(world, "alone", 3, 1);
  const StreamDescription& copied = *world[1].table().Find("copied");
  for (const PartitionDescription& partition : copied.partitions) {
    if (partition.leader != "b2") continue;
    const isr::IsrProposal only{
        partition.leader_epoch, partition.version, {{"b2", world[2].self.incarnation}}, {}};
    world[2].frontend->RequestIsrChange({copied.id, partition.id}, only, [] {});
  }
  world.Run(seconds(1));
  const std::map<std::string, int> before = Leads(world);
  REQUIRE(before.at("b2") == 2);
  bool done = false;
  world[2].home.Post([&] {
    broker::HandOver(*world[2].frontend, "b2", world.clock, limits::kHandOverTimeout,
                     [&done] { done = true; });
  });
  world.Run(std::chrono::milliseconds(1));
  CHECK(done);
  world.Run(seconds(1));
  CHECK(Leads(world) == before);
}

}  // namespace bascule::metadata
