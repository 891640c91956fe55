// Streams whose partitions stand on several brokers: what is changed in one reaches all of them.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>

#include "tests/sim/start_world.h"

namespace bascule {

using std::chrono::seconds;

TEST_CASE("broker streams: an update reaches every partition, wherever it is led, each time") {
  constexpr int kPartitions = 9;
  StartWorld world(3);
  for (uint64_t i = 1; i <= 3; ++i) world.Start(i);
  world.kernel.scheduler().RunFor(seconds(5));
  StreamSpec spec;
  spec.name = spec.subject = "wide";
  spec.partitions = kPartitions;
  REQUIRE(world
              .Await([&](auto done) {
                world.At(1).broker().streams().CreateStream(spec, seconds(5), std::move(done));
              })
              .ok());
  std::map<std::string, int> leading;
  for (const PartitionDescription& partition : world.At(1).table().Find("wide")->partitions)
    ++leading[partition.leader];
  REQUIRE(leading.size() == 3);

  std::map<std::string, AckError> acks;
  world.bus.on_ack = [&](const BusAck& ack) { acks[ack.inbox] = ack.error; };
  int sent = 0;
  const auto count = [&](AckError wanted) {
    acks.clear();
    for (int i = 0; i < kPartitions; ++i) {
      partition::TestMessage message;
      message.value = std::string(100, 'v');
      message.inbox = Concat("inbox", sent++);
      CHECK(world.bus.Publish(i == 0 ? "wide" : Concat("wide.", i), message) == 1);
    }
    CHECK(world.Within(seconds(10), [&] { return acks.size() == kPartitions; }));
    return std::count_if(acks.begin(), acks.end(),
                         [wanted](const auto& ack) { return ack.second == wanted; });
  };
  CHECK(count(AckError::kOk) == kPartitions);
  for (const int64_t most : {50, 200, 99}) {
    CAPTURE(most);
    StreamOverrides changes;
    changes.max_message_bytes = most;
    REQUIRE(world
                .Await([&](auto done) {
                  world.At(2).broker().streams().UpdateStream("wide", changes, seconds(5),
                                                              std::move(done));
                })
                .ok());
    world.kernel.scheduler().RunFor(seconds(1));
    CHECK(count(most < 100 ? AckError::kTooLarge : AckError::kOk) == kPartitions);
  }
}

}  // namespace bascule
