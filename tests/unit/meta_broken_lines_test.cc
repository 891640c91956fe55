// Brokers whose connections break: who is fenced, when, and who is not.
#include "replication/meta/cluster/broken_lines.h"

#include <doctest/doctest.h>

#include "replication/meta/table/commands.pb.h"
#include "tests/unit/meta_samples.h"
#include "tests/unit/meta_world.h"

namespace bascule::metadata {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

bool IsFencedAt(MetaWorld& world, uint64_t at, const std::string& broker) {
  return world[at].table().FindBroker(broker)->fenced;
}

// Milliseconds until `at` knows `broker` to be fenced; -1: not within `limit`.
int64_t MsUntilFenced(MetaWorld& world, uint64_t at, const std::string& broker,
                      Duration limit = seconds(5)) {
  const MonotonicTime began = world.clock.Monotonic();
  const bool fenced =
      world.scheduler.RunUntil([&] { return IsFencedAt(world, at, broker); }, limit);
  if (!fenced) return -1;
  return Between(began, world.clock.Monotonic()) / milliseconds(1);
}

// How often a broker was fenced, by the log.
size_t FencingsOf(MetaWorld& world, const std::string& broker) {
  size_t fencings = 0;
  for (MetadataIndex at(1); at <= world.group.last(); at += 1) {
    meta::Command command;
    if (!command.ParseFromString(world.group.command(at)) || !command.has_fence_brokers()) continue;
    for (const auto& session : command.fence_brokers().sessions())
      fencings += session.broker() == broker ? 1 : 0;
  }
  return fencings;
}

MonotonicTime AtMs(int ms) { return Add(MonotonicTime(1), milliseconds(ms)); }

PeerIdentity PeerOf(const std::string& id, uint64_t incarnation) {
  return {PeerId(static_cast<uint64_t>(id.back() - '0')), id, id + ":9293", incarnation, 1};
}

}  // namespace

TEST_CASE(
    "broken lines: who cannot be reached for 300 ms is gone, with those that follow at once") {
  MetaTable table = TableWith({"b1", "b2", "b3"});
  BrokenLines lines;
  lines.OnTable(table.brokers());
  lines.OnUp(PeerOf("b1", 1), AtMs(0));
  lines.OnUp(PeerOf("b2", 2), AtMs(0));
  lines.OnUp(PeerOf("b3", 3), AtMs(0));
  CHECK_FALSE(lines.NextGone(table.brokers()).has_value());
  lines.OnDown(PeerOf("b1", 1), AtMs(100));
  lines.OnDown(PeerOf("b2", 2), AtMs(115));
  lines.OnDown(PeerOf("b3", 3), AtMs(130));
  CHECK(lines.NextGone(table.brokers()) == AtMs(400));
  CHECK(lines.Gone(table.brokers(), AtMs(399)).empty());
  CHECK(lines.Gone(table.brokers(), AtMs(400)) == std::vector<BrokerSession>{{"b1", 1}, {"b2", 2}});
  lines.OnUp(PeerOf("b1", 1), AtMs(401));
  CHECK(lines.Gone(table.brokers(), AtMs(414)).empty());
  CHECK(lines.Gone(table.brokers(), AtMs(415)) == std::vector<BrokerSession>{{"b2", 2}, {"b3", 3}});
  lines.Restart(AtMs(500));
  CHECK(lines.NextGone(table.brokers()) == AtMs(800));
}

TEST_CASE("broken lines: a break counts against the process that was connected only") {
  MetaTable table = TableWith({"b1"});
  BrokenLines lines;
  lines.OnTable(table.brokers());
  lines.OnUp(PeerOf("b1", 1), AtMs(0));
  lines.OnDown(PeerOf("b1", 1), AtMs(100));
  CHECK(lines.Gone(table.brokers(), AtMs(500)).size() == 1);
  table.Apply(MetadataIndex(5), EncodeRegisterBroker(Broker("b1", 8)));
  lines.OnTable(table.brokers());
  CHECK(lines.Gone(table.brokers(), AtMs(500)).empty());
  // What broke before the process registered counts no more.
  lines.OnUp(PeerOf("b1", 9), AtMs(600));
  lines.OnDown(PeerOf("b1", 9), AtMs(700));
  table.Apply(MetadataIndex(6), EncodeRegisterBroker(Broker("b1", 9)));
  lines.OnTable(table.brokers());
  CHECK(lines.Gone(table.brokers(), AtMs(5000)).empty());
}

TEST_CASE("broken lines: who came back after a fencing is believed gone only if its line stood") {
  MetaTable table = TableWith({"b1"});
  BrokenLines lines;
  const auto apply = [&](uint64_t index, const std::string& command) {
    table.Apply(MetadataIndex(index), command);
    lines.OnTable(table.brokers());
  };
  lines.OnTable(table.brokers());
  lines.OnUp(PeerOf("b1", 1), AtMs(0));
  lines.OnDown(PeerOf("b1", 1), AtMs(100));
  apply(5, EncodeFenceBrokers({{"b1", 1}}));
  CHECK(lines.Gone(table.brokers(), AtMs(500)).empty());
  apply(6, EncodeRegisterBroker(Broker("b1", 1)));
  CHECK(lines.Gone(table.brokers(), AtMs(500)).empty());  // it registered after the break
  lines.OnUp(PeerOf("b1", 1), AtMs(1000));
  lines.OnDown(PeerOf("b1", 1), AtMs(10999));
  CHECK(lines.Gone(table.brokers(), AtMs(20000)).empty());
  lines.OnUp(PeerOf("b1", 1), AtMs(20000));
  lines.OnDown(PeerOf("b1", 1), AtMs(30000));
  CHECK(lines.Gone(table.brokers(), AtMs(30300)).size() == 1);
}

TEST_CASE("broken lines: whose heartbeats come is not gone, whenever they come") {
  constexpr int kHeartbeat = 200;
  constexpr int kLate = 20;
  const MetaTable table = TableWith({"b1"});
  for (int first = 0; first < kHeartbeat; ++first) {
    CAPTURE(first);
    BrokenLines lines;
    lines.OnTable(table.brokers());
    lines.OnUp(PeerOf("b1", 1), AtMs(0));
    lines.OnDown(PeerOf("b1", 1), AtMs(1000));
    lines.OnHeard({"b1", 1}, AtMs(1000 + first));
    if (first + kHeartbeat + kLate < 300)
      lines.OnHeard({"b1", 1}, AtMs(1000 + first + kHeartbeat + kLate));
    CHECK(lines.Gone(table.brokers(), AtMs(1300)).empty());
  }
}

TEST_CASE("broken lines: what a process sent before it died does not speak for it") {
  const MetaTable table = TableWith({"b1"});
  for (int late = 0; late <= 75; ++late) {
    BrokenLines lines;
    lines.OnTable(table.brokers());
    lines.OnUp(PeerOf("b1", 1), AtMs(0));
    lines.OnDown(PeerOf("b1", 1), AtMs(1000));
    lines.OnHeard({"b1", 1}, AtMs(1000 + late));
    CHECK(lines.Gone(table.brokers(), AtMs(1300)).size() == 1);
  }
}

TEST_CASE("broken lines: a killed broker is fenced within 450 ms, two at once in one command") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    MetaWorld world(5, seed);
    world.Run(seconds(1) + milliseconds(13) * seed);
    const uint64_t before = world.group.last().value();
    world.Kill(4);
    world.Run(milliseconds(15));
    world.Kill(5);
    const int64_t took = MsUntilFenced(world, 1, "b4", milliseconds(435));
    CHECK(took >= 280);
    CHECK(took <= 300);
    CHECK(IsFencedAt(world, 1, "b5"));
    CHECK(world.group.last().value() == before + 1);
    world.Run(seconds(5));
    for (const char* alive : {"b1", "b2", "b3"}) CHECK(FencingsOf(world, alive) == 0);
  }
}

TEST_CASE("broken lines: a leader that reaches no majority fences nobody for it") {
  MetaWorld world(4);
  world.Run(seconds(1));
  world.Kill(3);
  world.Kill(4);
  CHECK(MsUntilFenced(world, 1, "b3", milliseconds(1000)) == -1);
}

TEST_CASE("broken lines: a connection that is made again in time fences nobody") {
  MetaWorld world(3);
  world.Run(seconds(1));
  for (int i = 0; i < 20; ++i) {
    world.network.Cut(PeerId(1), PeerId(3));  // no heartbeat speaks for it
    world.Break(1, 3);
    world.Run(milliseconds(290));
    world.Connect(1, 3);
    world.network.Heal(PeerId(1), PeerId(3));
    world.Run(milliseconds(700));
  }
  CHECK(FencingsOf(world, "b3") == 0);
}

TEST_CASE("broken lines: who is heard of although our own connection is broken is not fenced") {
  MetaWorld world(3);
  world.Run(seconds(1));
  world.Break(1, 3);
  world.Run(seconds(10));
  CHECK(FencingsOf(world, "b3") == 0);
  // Then it is silence that ends its session.
  world.Stop(3);
  CHECK(MsUntilFenced(world, 1, "b3") >= 1700);
}

TEST_CASE("broken lines: a new leader knows it already and does not wait again") {
  MetaWorld world(5);
  world.Run(seconds(1));
  world.Kill(1);
  world.Kill(5);
  world.group.Elect(PeerId());
  world.Run(milliseconds(310));
  const uint64_t before = world.group.last().value();
  world.group.Elect(PeerId(2));
  CHECK(MsUntilFenced(world, 2, "b1", milliseconds(50)) >= 0);
  CHECK(IsFencedAt(world, 2, "b5"));
  CHECK(world.group.last().value() == before + 1);
  world.Run(seconds(5));
  CHECK(FencingsOf(world, "b3") + FencingsOf(world, "b4") == 0);
}

TEST_CASE("broken lines: a new leader fences nobody who registered since or is connected again") {
  MetaWorld world(4);
  world.Run(seconds(1));
  world.Kill(3);
  world.Break(2, 4);
  world.Run(milliseconds(100));
  world.Start(3);
  world.Register(3);
  world.Run(milliseconds(300));
  world.Connect(2, 4);
  world.group.Elect(PeerId(2));
  world.Run(seconds(5));
  CHECK(FencingsOf(world, "b3") == 0);
  CHECK(FencingsOf(world, "b4") == 0);
}

TEST_CASE("broken lines: a link that flaps for a minute fences its broker a few times at most") {
  size_t most = 0;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    MetaWorld world(3, seed, LeaderWorkOptions{});
    SimRng rng(seed);
    world.Run(seconds(1));
    for (int i = 0; i < 75; ++i) {
      world.network.Cut(PeerId(1), PeerId(3));
      world.Break(1, 3);
      world.Run(milliseconds(390 + rng.Below(20)));
      world.network.Heal(PeerId(1), PeerId(3));
      world.Connect(1, 3);
      world.Run(milliseconds(390 + rng.Below(20)));
    }
    most = std::max(most, FencingsOf(world, "b3"));
    CHECK(FencingsOf(world, "b3") >= 1);
    CHECK(FencingsOf(world, "b2") == 0);
    world.Run(seconds(5));
    CHECK_FALSE(IsFencedAt(world, 1, "b3"));
  }
  MESSAGE("fenced at most ", most, " times in a minute");
  CHECK(most <= 3);
}

TEST_CASE(
    "broken lines: a leader that stood still or was cut off does not fence the others for it") {
  MetaWorld world(7);  // three are no majority
  world.Run(seconds(1));
  const auto all = [&](auto what) {
    for (const uint64_t other : {2, 3, 4, 5, 6, 7}) what(other);
  };
  for (const int pause : {250, 370, 600, 3000, 30000}) {
    CAPTURE(pause);
    // One breaks just before, the others while it stands still.
    world.network.Isolate(PeerId(1));  // no heartbeat speaks for them
    world.Break(1, 2);
    world.Run(milliseconds(1));
    world.Home(1).StandStill(milliseconds(pause));
    world.Run(milliseconds(pause / 2));
    world.Break(1, 3);
    world.Run(milliseconds(pause - pause / 2));
    world.Break(1, 4);
    world.Run(milliseconds(30));
    world.network.isolated.clear();
    all([&](uint64_t other) { world.Connect(1, other); });
    world.Run(seconds(3));
  }
  // Its own cable.
  world.network.Isolate(PeerId(1));
  all([&](uint64_t other) { world.Break(1, other); });
  world.Run(milliseconds(600));
  world.network.isolated.clear();
  for (const uint64_t other : {2, 3, 4, 5, 6, 7}) {
    world.Connect(1, other);
    world.Run(milliseconds(50));
  }
  world.Run(seconds(5));
  for (const char* id : {"b2", "b3", "b4", "b5", "b6", "b7"}) CHECK(FencingsOf(world, id) == 0);
}

TEST_CASE("broken lines: who stood still before it leads gives the others time to be found again") {
  MetaWorld world(3);
  world.Run(seconds(1));
  world.network.Cut(PeerId(2), PeerId(3));
  world.Break(2, 3);
  world.Run(milliseconds(1));
  world.Home(2).StandStill(seconds(1));
  world.Run(milliseconds(500));
  world.group.Elect(PeerId(2));
  world.Run(milliseconds(550));
  world.Connect(2, 3);
  world.network.Heal(PeerId(2), PeerId(3));
  world.Run(seconds(5));
  CHECK(FencingsOf(world, "b3") == 0);
}

TEST_CASE("broken lines: a lost leader is told to the group after 100 ms and once") {
  MetaWorld world(5);
  world.Run(seconds(1));
  world.Break(2, 1);
  world.Break(3, 2);  // it does not lead
  world.Run(milliseconds(60));
  world.Connect(2, 1);
  world.Run(seconds(1));
  CHECK(world[2].log->lost_leaders.empty());
  world.Break(2, 1);
  world.Run(milliseconds(99));
  CHECK(world[2].log->lost_leaders.empty());
  world.Run(milliseconds(5));
  CHECK(world[2].log->lost_leaders == std::vector<PeerId>{PeerId(1)});
  world.Break(2, 3);
  world.Run(milliseconds(100));
  world.Connect(2, 3);
  world.Run(seconds(3));
  CHECK(world[2].log->lost_leaders.size() == 1);
  CHECK(world[3].log->lost_leaders.empty());
  // Of a new leader it is known at once.
  world.group.Elect(PeerId(2));
  world.Run(milliseconds(50));
  CHECK(world[3].log->lost_leaders == std::vector<PeerId>{PeerId(2)});
}

}  // namespace bascule::metadata
