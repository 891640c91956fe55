// Leaders are killed under load, again and again. Nothing that was acked may be lost, and somebody acks
// again soon: what the time without acks is made of is printed, of those kills that took the metadata
// leader too apart.
#include <csignal>

#include "tests/integration/failover_parts.h"
#include "tests/integration/failover_world.h"

namespace bascule::cluster_job {
namespace {

using std::chrono::seconds;
using FailoverClock = FailoverWorld::Clock;

enum class KillRestart { kAtOnce, kOnceReplaced };

// The partition's leader, which leads the metadata group too or does not.
FailoverMoments KillLeader(FailoverWorld& world, bool led_metadata, KillRestart restart) {
  const int leader = world.PartitionLeader();
  world.PlaceMetadataLeader(leader, led_metadata);
  MainBroker& broker = world.at(leader);
  const auto blow_by_wall = std::chrono::system_clock::now();
  const auto blow = FailoverClock::now();
  broker.Kill();
  // What it can have acked with its last breath was sent before this.
  const auto dead = FailoverClock::now();
  if (restart == KillRestart::kAtOnce) broker.Launch();
  const double acked = world.AwaitAck(blow, dead);
  if (restart == KillRestart::kOnceReplaced) broker.Launch();
  broker.AwaitServing();
  world.AwaitWhole();
  FailoverMoments moments = MomentsOf(world.cluster(), leader, led_metadata, blow_by_wall);
  moments[kAcked] = acked;
  const std::string which = led_metadata ? ", which led the metadata too" : "";
  MESSAGE(IdOf(leader), which, ": ", InWords(moments));
  return moments;
}

void KillLeaders(KillRestart restart, const std::string& what) {
  FailoverWorld world;
  FailoverTable plain;
  FailoverTable with_metadata;
  int kills = 0;
  do {
    const bool led_metadata = kills % 2 == 1;
    FailoverTable& table = led_metadata ? with_metadata : plain;
    table.Add(KillLeader(world, led_metadata, restart));
    world.LetFlow(++kills);
  } while (world.TimeIsLeft(8) || with_metadata.kills() == 0);
  world.Finish(what);
  MESSAGE(what, ", plain: ", plain.Summary());
  MESSAGE(what, ", with the metadata leader: ", with_metadata.Summary());
  CheckFailoverBars(what, plain.Median(), plain.Longest(), 700, 1500);
  CheckFailoverBars(what + ", with the metadata leader", with_metadata.Median(),
                    with_metadata.Longest(), 1200, 2500);
}

TEST_CASE("cluster failover: the partition's leader is killed and restarted at once") {
  KillLeaders(KillRestart::kAtOnce, "killed, restarted at once");
}

TEST_CASE("cluster failover: the partition's leader is killed and restarted once it is replaced") {
  KillLeaders(KillRestart::kOnceReplaced, "killed, restarted once replaced");
}

// --- and their disks lose what was not synced ---

// SIGKILL, its disk loses what was not synced, and it starts; milliseconds without acks.
double KillAndLose(FailoverWorld& world, int broker) {
  const auto blow = FailoverClock::now();
  world.at(broker).Kill();
  const auto dead = FailoverClock::now();
  world.Lose(broker);
  world.at(broker).Launch();
  const double acked = world.AwaitAck(blow, dead);
  world.at(broker).AwaitServing();
  world.AwaitWhole();
  return acked;
}

TEST_CASE("cluster failover: a killed leader's disk loses what was not synced") {
  FailoverOptions options;
  options.lossy = true;
  FailoverWorld world(options);
  std::vector<double> waits;
  do {
    waits.push_back(KillAndLose(world, world.PartitionLeader()));
    world.LetFlow(static_cast<int>(waits.size()));
  } while (world.TimeIsLeft(6));
  world.Finish("killed, unsynced lost");
  MESSAGE("killed, unsynced lost: time without acks ", Distribution(waits));
}

// It must notice by itself, and have everything from the others again.
TEST_CASE("cluster failover: one broker's disk keeps nothing of what it said it had synced") {
  FailoverOptions options;
  options.lossy = true;
  options.forgetful = {0};
  FailoverWorld world(options);
  std::vector<double> waits;
  do {
    waits.push_back(KillAndLose(world, 0));
    world.LetFlow(static_cast<int>(waits.size()));
  } while (world.TimeIsLeft(5));
  world.Finish("killed, a disk that keeps nothing");
  MESSAGE("killed, a disk that keeps nothing: time without acks ", Distribution(waits));
}

void KillAll(bool lossy, const std::string& what) {
  FailoverOptions options;
  options.lossy = lossy;
  FailoverWorld world(options);
  std::vector<double> waits;
  do {
    // All before any of them is waited for: none of them goes on without the others.
    for (int i = 0; i < 3; ++i) world.at(i).Signal(SIGKILL);
    const auto blow = FailoverClock::now();
    for (int i = 0; i < 3; ++i) world.at(i).Kill();
    const auto dead = FailoverClock::now();
    for (int i = 0; lossy && i < 3; ++i) world.Lose(i);
    for (int i = 0; i < 3; ++i) world.at(i).Launch();
    waits.push_back(world.AwaitAck(blow, dead));
    for (int i = 0; i < 3; ++i) world.at(i).AwaitServing();
    world.cluster().AwaitAllLive();
    world.AwaitWhole();
    world.LetFlow(static_cast<int>(waits.size()));
  } while (world.TimeIsLeft(5));
  world.Finish(what);
  MESSAGE(what, ": time without acks ", Distribution(waits));
}

TEST_CASE("cluster failover: all brokers die at once and keep what was acked") {
  KillAll(false, "all killed");
}

TEST_CASE("cluster failover: all brokers die at once and their disks lose what was not synced") {
  KillAll(true, "all killed, unsynced lost");
}

// A test must be able to fail: with three such disks everything is lost, which is found out, unless the
// brokers find it out first and wait for somebody who has it.
TEST_CASE("cluster failover: three disks that keep nothing are found out") {
  FailoverOptions options;
  options.lossy = true;
  options.forgetful = {0, 1, 2};
  FailoverWorld world(options);
  world.LetFlow(0);
  for (int i = 0; i < 3; ++i) world.at(i).Kill();
  const auto dead = FailoverClock::now();
  for (int i = 0; i < 3; ++i) world.Lose(i);
  for (int i = 0; i < 3; ++i) world.at(i).Launch();
  if (!world.flood().AckedAfter(dead, seconds(5))) {
    MESSAGE("nobody leads: ", world.cluster().Tail());
    return;
  }
  CHECK(world.Account(world.flood().Stop(seconds(5))).Lost() > 0);
}

// What the other cases' numbers are to be held against.
TEST_CASE("cluster failover: the load alone, and nobody is killed") {
  FailoverWorld world;
  do {
    world.LetFlow(0);
  } while (world.TimeIsLeft(4));
  const auto gap = world.flood().TakeLongestGap();
  const FailoverFlood::Result result = world.Finish("undisturbed");
  MESSAGE("undisturbed: longest time between two acks ", gap.count(), " ms");
  CHECK(result.unacked == 0);
}

TEST_CASE("cluster failover: the account finds what is lost, moved, doubled and out of order") {
  const std::vector<FailoverFlood::Acked> acked = {{0, 0}, {2, 1}};
  const auto take = [&](const std::vector<std::pair<int64_t, std::string>>& stored) {
    FailoverAccount account(acked);
    for (const auto& [offset, value] : stored) account.Take(offset, value);
    return account;
  };
  CHECK(take({{0, "m0"}, {1, "m2"}, {2, "m1"}}).Lost() == 0);
  CHECK(take({{0, "m0"}, {1, "m2"}}).wrong().empty());
  CHECK(take({{0, "m0"}}).Lost() == 1);
  CHECK(take({}).Lost() == 2);
  CHECK(take({{0, "m0"}, {1, "m1"}, {2, "m2"}}).Lost() == 1);
  CHECK_FALSE(take({{0, "m0"}, {1, "m1"}}).wrong().empty());
  CHECK_FALSE(take({{0, "m0"}, {1, "m2"}, {1, "m2"}}).wrong().empty());
  CHECK_FALSE(FailoverAccount({{0, 0}, {2, 0}}).wrong().empty());
}

}  // namespace
}  // namespace bascule::cluster_job
