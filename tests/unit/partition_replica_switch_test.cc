// What one broker says to another, between the channel and the shards.
#include "replication/partition/replica_switch.h"

#include <doctest/doctest.h>

#include <memory>
#include <vector>

#include "tests/support/sim_clock.h"
#include "tests/support/sim_executor.h"

namespace bascule::partition {
namespace {

class CountingPort final : public ReplicaPort {
 public:
  explicit CountingPort(PartitionKey key) : key_(key) {}
  PartitionKey key() const override { return key_; }
  void OnReplicaPart(const std::shared_ptr<const IncomingFrame>&, const ReplicaPart&) override {}
  void EndOfFrame() override {}
  void OnLine(const std::string&, ReplicaLane, bool) override {}
  void OnReplicaTick() override { ++ticks; }
  int ticks = 0;

 private:
  const PartitionKey key_;
};

TEST_CASE("replica switch: a tick is one task for each shard, whatever the number of partitions") {
  SimClock clock;
  SimScheduler scheduler(clock, 1);
  SimExecutor& one = scheduler.NewExecutor("one");
  SimExecutor& two = scheduler.NewExecutor("two");
  ReplicaSwitch replicas({&one, &two});
  std::vector<std::shared_ptr<CountingPort>> ports;
  for (int i = 0; i < 100; ++i) {
    ports.push_back(std::make_shared<CountingPort>(PartitionKey{StreamId(1), PartitionId(i)}));
    SimExecutor& shard = replicas.ShardOf(ports.back()->key()) == 0 ? one : two;
    shard.Post([&replicas, port = ports.back()] { replicas.Enter(port); });
  }
  scheduler.RunFor(std::chrono::milliseconds(10));
  replicas.Tick();
  CHECK(one.waiting() == 1);
  CHECK(two.waiting() == 1);
  scheduler.RunFor(std::chrono::milliseconds(10));
  for (const auto& port : ports) CHECK(port->ticks == 1);
}

}  // namespace
}  // namespace bascule::partition
