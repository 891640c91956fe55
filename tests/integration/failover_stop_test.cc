// Brokers that stand still, and brokers that are stopped in order, under load.
#include <csignal>

#include "tests/integration/failover_parts.h"
#include "tests/integration/failover_world.h"

namespace bascule::cluster_job {
namespace {

using std::chrono::milliseconds;
using StopClock = FailoverWorld::Clock;

// Within this a stopped process has stopped on every processor.
constexpr milliseconds kStandsStill{5};
// Shorter than anything that has a broker replaced.
constexpr milliseconds kShortStop{250};

// Until it is replaced.
FailoverMoments StopInItsTracks(FailoverWorld& world, int leader, bool led_metadata) {
  world.PlaceMetadataLeader(leader, led_metadata);
  const auto blow_by_wall = std::chrono::system_clock::now();
  const auto blow = StopClock::now();
  world.at(leader).Signal(SIGSTOP);
  const double acked = world.AwaitAck(blow, blow + kStandsStill);
  world.at(leader).Signal(SIGCONT);
  world.AwaitWhole();
  FailoverMoments moments = MomentsOf(world.cluster(), leader, led_metadata, blow_by_wall);
  moments[kAcked] = acked;
  return moments;
}

// Until it has stood still for kShortStop; milliseconds without acks.
double StopBriefly(FailoverWorld& world, int leader) {
  const auto blow = StopClock::now();
  world.at(leader).Signal(SIGSTOP);
  // Nobody else acks meanwhile, so this is how long it stands still.
  (void)world.flood().AckedAfter(blow + kStandsStill, kShortStop);
  world.at(leader).Signal(SIGCONT);
  const double acked = world.AwaitAck(blow, StopClock::now());
  world.AwaitWhole();
  return acked;
}

TEST_CASE("cluster failover: the partition's leader stands still and goes on, again and again") {
  FailoverWorld world;
  FailoverTable plain;
  FailoverTable with_metadata;
  std::vector<double> briefly;
  int round = 0;
  do {
    const int leader = world.PartitionLeader();
    if (round % 3 == 0) plain.Add(StopInItsTracks(world, leader, false));
    if (round % 3 == 1) briefly.push_back(StopBriefly(world, leader));
    if (round % 3 == 2) with_metadata.Add(StopInItsTracks(world, leader, true));
    world.LetFlow(++round);
  } while (world.TimeIsLeft(8) || round < 3);
  world.Finish("stood still");
  MESSAGE("stood still until replaced, plain: ", plain.Summary());
  MESSAGE("stood still until replaced, with the metadata leader: ", with_metadata.Summary());
  MESSAGE("stood still for ", kShortStop.count(), " ms: time without acks ", Distribution(briefly));
}

// One after the other is stopped and started, as an upgrade does it.
TEST_CASE("cluster failover: brokers are stopped in order one after another under load") {
  FailoverOptions options;
  options.insists = true;
  FailoverWorld world(options);
  std::vector<double> gaps;
  const auto note_gap = [&] {
    gaps.push_back(static_cast<double>(world.flood().TakeLongestGap().count()));
  };
  int rounds = 0;
  do {
    for (int i = 0; i < 3; ++i) {
      world.at(i).Stop();
      note_gap();
      world.at(i).Start();
      world.AwaitWhole();
      note_gap();
    }
    ++rounds;
  } while (world.TimeIsLeft(6));
  const FailoverFlood::Result result = world.Finish("stopped in order");
  MESSAGE("stopped in order, ", rounds, " rounds of three: longest time between two acks ",
          Max(gaps), " ms; of each stop and each start ", Distribution(gaps));
  CHECK(result.unacked == 0);
  CHECK(Max(gaps) <= 5000);
  CheckFailoverBars("stopped in order", 0, Max(gaps), 300, 300);
}

}  // namespace
}  // namespace bascule::cluster_job
