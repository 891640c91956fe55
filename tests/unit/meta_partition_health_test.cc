// What a cluster's status says of its partitions.
#include "replication/meta/cluster/partition_health.h"

#include <doctest/doctest.h>

#include "replication/meta/cluster/cluster_messages.h"
#include "tests/unit/meta_samples.h"
#include "tests/unit/meta_world.h"

namespace bascule::metadata {
namespace {

struct HealthTable {
  MetaTable table = TableWith({"b1", "b2", "b3"});
  uint64_t index = 10;

  void Apply(const std::string& command) {
    REQUIRE(table.Apply(MetadataIndex(++index), command).result.ok());
  }
  void Add(const std::string& name, const Names& replicas, int min_isr, int partitions = 1) {
    StreamDescription stream = SampleStream(name, partitions, replicas);
    stream.overrides.min_isr = min_isr;
    Apply(EncodeCreateStream(stream));
  }
  // "all, leaderless, below min ISR, under-replicated"
  std::string Counts() const {
    const PartitionCounts c = CountPartitions(table);
    return Concat(c.all, " ", c.leaderless, " ", c.below_min_isr, " ", c.under_replicated);
  }
};

}  // namespace

TEST_CASE(
    "partition health: what is short of replicas, blocked or led by nobody, with the reason") {
  HealthTable world;
  for (const char* name : {"a", "b", "c", "d"}) world.Add(name, {"b1", "b2", "b3"}, 0, 2);
  world.Add("pair", {"b1", "b3"}, 2);
  world.Add("one", {"b3"}, 1);
  CHECK(world.Counts() == "10 0 0 0");
  CHECK(PartitionTroubles(world.table).empty());
  world.Apply(EncodeFenceBrokers({{"b3", 3}}));
  CHECK(world.Counts() == "10 1 1 9");
  CHECK(PartitionTroubles(world.table) ==
        Names{"1 partitions have no leader",
              "nothing is committed in 1 partition of stream pair: fewer replicas are in sync than "
              "min ISR",
              "not all replicas are in sync in 9 partitions of streams a, b, c and 2 more: without "
              "b3 (gone)"});
  // Back, and not in sync yet.
  world.Apply(EncodeRegisterBroker(Broker("b3", 33)));
  CHECK(world.Counts() == "10 0 1 9");
  CHECK(PartitionTroubles(world.table).back().ends_with("without b3 (behind)"));
}

TEST_CASE("partition health: the counts reach who asks by way of the leader") {
  ClusterStatus status;
  status.partitions = {10, 1, 2, 3};
  const auto again = DecodeClusterStatus(EncodeClusterStatus(status));
  REQUIRE(again.ok());
  CHECK(again->partitions.all == 10);
  CHECK(again->partitions.leaderless == 1);
  CHECK(again->partitions.below_min_isr == 2);
  CHECK(again->partitions.under_replicated == 3);
}

}  // namespace bascule::metadata
