// Networks between brokers are cut, both ways and one way, under load; NATS is reached by all of them, so
// a leader that nobody follows any more still hears what is published.
#include <functional>

#include "tests/integration/failover_world.h"

namespace bascule::cluster_job {
namespace {

using std::chrono::seconds;
using CutClock = FailoverWorld::Clock;

// `leader` of the partition, and the two others.
struct CutTrio {
  int leader;
  int one;
  int other;
};

struct CutKind {
  std::string what;
  std::function<absl::Status(CutNetwork&, const CutTrio&)> cut;
};

absl::Status CutOff(CutNetwork& network, int alone) {
  std::vector<int> sides(3, 0);
  sides[static_cast<size_t>(alone)] = 1;
  return network.Cut(sides);
}

std::vector<CutKind> CutKinds() {
  return {
      {"the leader is cut off",
       [](CutNetwork& network, const CutTrio& trio) { return CutOff(network, trio.leader); }},
      {"what the leader sends is lost",
       [](CutNetwork& network, const CutTrio& trio) {
         RETURN_IF_ERROR(network.CutOneWay(trio.leader, trio.one));
         return network.CutOneWay(trio.leader, trio.other);
       }},
      {"what is sent to the leader is lost",
       [](CutNetwork& network, const CutTrio& trio) {
         RETURN_IF_ERROR(network.CutOneWay(trio.one, trio.leader));
         return network.CutOneWay(trio.other, trio.leader);
       }},
      {"what the leader sends to one follower is lost",
       [](CutNetwork& network, const CutTrio& trio) {
         return network.CutOneWay(trio.leader, trio.one);
       }},
      {"what one follower sends to the leader is lost",
       [](CutNetwork& network, const CutTrio& trio) {
         return network.CutOneWay(trio.one, trio.leader);
       }},
      {"a follower is cut off",
       [](CutNetwork& network, const CutTrio& trio) { return CutOff(network, trio.one); }},
  };
}

TEST_CASE("cluster failover: networks are cut both ways and one way under load") {
  auto network = CutNetwork::Make(3);
  if (!network.ok()) {
    MESSAGE("skipped: ", network.status().message());
    return;
  }
  FailoverOptions options;
  options.network = network->get();
  FailoverWorld world(options);
  const std::vector<CutKind> kinds = CutKinds();
  size_t round = 0;
  do {
    const CutKind& kind = kinds[round % kinds.size()];
    const int leader = world.PartitionLeader();
    // Left to chance: who leads it is told to go only from a broker's own machine.
    const int metadata_leader = world.cluster().AwaitLeader();
    const auto blow = CutClock::now();
    const absl::Status cut = kind.cut(**network, {leader, (leader + 1) % 3, (leader + 2) % 3});
    REQUIRE_MESSAGE(cut.ok(), cut.message());
    const double wait = world.AwaitAck(blow, CutClock::now());
    const auto healing = CutClock::now();
    const absl::Status healed = (*network)->Heal();
    REQUIRE_MESSAGE(healed.ok(), healed.message());
    world.AwaitWhole();
    world.cluster().AwaitAllLive();
    const auto took = std::chrono::duration<double, std::milli>(CutClock::now() - healing);
    MESSAGE(kind.what, " (", IdOf(leader), "; ", IdOf(metadata_leader),
            " leads the metadata): ", wait, " ms without acks, healed after ", took.count(), " ms");
    ++round;
  } while (world.TimeIsLeft(0) || round < kinds.size());
  world.Finish("cut");
}

}  // namespace
}  // namespace bascule::cluster_job
