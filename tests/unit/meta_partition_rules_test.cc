// What ISR changes, doubt and hand-over do to a partition. Rule numbers are those of replication/README.md.
#include "replication/meta/table/partition_rules.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "core/base/text.h"

namespace bascule::metadata {
namespace {

using Names = std::vector<std::string>;

// "a, isr a b, elr c, doubt b(4,10), epoch 5, version 1"
std::string Shown(const PartitionDescription& p) {
  std::string text = Concat(p.leader.empty() ? "-" : p.leader, ", isr");
  for (const std::string& member : p.isr) text += " " + member;
  text += ", elr";
  for (const std::string& member : p.elr) text += " " + member;
  if (!p.doubtful.empty()) text += ", doubt";
  for (const ReplicaDoubt& doubt : p.doubtful)
    text += Concat(" ", doubt.broker, "(", doubt.epoch, ",", doubt.end, ")");
  return text + Concat(", epoch ", p.leader_epoch, ", version ", p.version);
}

struct World {
  PartitionDescription partition{
      PartitionId(0), "a", LeaderEpoch(5), {"a", "b", "c"}, {"a", "b", "c"}, {}, 1, {}};
  Names live{"a", "b", "c"};
  int32_t min_isr = 2;

  bool Live(const std::string& broker) const {
    return std::find(live.begin(), live.end(), broker) != live.end();
  }
  std::string Change(const BrokerChange& change) {
    const std::string before = Shown(partition);
    const bool changed = ApplyBrokerChange(
        change, [this](const std::string& b) { return Live(b); }, min_isr, MetadataIndex(9),
        partition);
    CHECK(changed == (Shown(partition) != before));
    return Shown(partition);
  }
  std::string Fence(std::set<std::string> brokers) {
    for (const std::string& broker : brokers) std::erase(live, broker);
    BrokerChange change;
    change.fenced = std::move(brokers);
    return Change(change);
  }
  std::string Register(const std::string& broker) {
    if (!Live(broker)) live.push_back(broker);
    BrokerChange change;
    change.restarted = broker;
    return Change(change);
  }
  std::string Doubt(const std::string& broker, uint64_t epoch, int64_t end) {
    if (!Live(broker)) live.push_back(broker);
    BrokerChange change;
    change.restarted = broker;
    change.doubt = ReplicaDoubt{broker, LeaderEpoch(epoch), Offset(end)};
    return Change(change);
  }
  IsrVerdict Isr(Names isr, Names verified = {}) {
    const IsrChange change{partition.leader, partition.leader_epoch, partition.version,
                           std::move(isr), std::move(verified)};
    return Apply(change);
  }
  IsrVerdict Apply(const IsrChange& change) {
    const std::string before = Shown(partition);
    const IsrVerdict verdict = ApplyIsrChange(
        change, [this](const std::string& b) { return Live(b); }, min_isr, partition);
    CHECK((verdict == IsrVerdict::kChanged) == (Shown(partition) != before));
    return verdict;
  }
  bool MayLeadNow(const std::string& broker) const {
    return MayLead(
        partition, broker, [this](const std::string& b) { return Live(b); }, min_isr);
  }
  void Move(const std::string& broker) { MoveLead(broker, min_isr, MetadataIndex(9), partition); }
};

}  // namespace

TEST_CASE("R1b: an ISR change is of the leader, its epoch and the version, or it changes nothing") {
  World world;
  IsrChange change{"b", LeaderEpoch(5), 1, {"a", "b"}, {}};
  CHECK(world.Apply(change) == IsrVerdict::kNotLeader);
  change.leader = "a";
  change.epoch = LeaderEpoch(4);
  CHECK(world.Apply(change) == IsrVerdict::kNotLeader);
  change.epoch = LeaderEpoch(5);
  change.version = 0;
  CHECK(world.Apply(change) == IsrVerdict::kStale);
  change.version = 2;
  CHECK(world.Apply(change) == IsrVerdict::kStale);
  change.version = 1;
  CHECK(world.Apply(change) == IsrVerdict::kChanged);
  CHECK(Shown(world.partition) == "a, isr a b, elr, epoch 5, version 2");
  CHECK(world.Apply(change) == IsrVerdict::kStale);  // the second time
  world.partition.leader.clear();
  change = {"", LeaderEpoch(5), 2, {"a"}, {}};
  CHECK(world.Apply(change) == IsrVerdict::kNotLeader);
}

TEST_CASE("R5b: the ISR as it is raises the version too") {
  World world;
  CHECK(world.Isr({"a", "b", "c"}) == IsrVerdict::kChanged);
  CHECK(Shown(world.partition) == "a, isr a b c, elr, epoch 5, version 2");
}

TEST_CASE("an ISR change names replicas, once each, with the leader") {
  World world;
  CHECK(world.Isr({"b", "c"}) == IsrVerdict::kMalformed);
  CHECK(world.Isr({"a", "b", "b"}) == IsrVerdict::kMalformed);
  CHECK(world.Isr({"a", "x"}) == IsrVerdict::kMalformed);
  CHECK(world.Isr({"a"}, {"b"}) == IsrVerdict::kMalformed);
  CHECK(world.Isr({}) == IsrVerdict::kMalformed);
}

TEST_CASE("R1c, R7: who is fenced is not added") {
  World world;
  CHECK(world.Fence({"c"}) == "a, isr a b, elr, epoch 5, version 2");
  CHECK(world.Isr({"a", "b", "c"}) == IsrVerdict::kNotLive);
  world.live.push_back("c");
  CHECK(world.Isr({"a", "b", "c"}) == IsrVerdict::kChanged);
  CHECK(Shown(world.partition) == "a, isr a b c, elr, epoch 5, version 3");
}

TEST_CASE("R6, R6a: who leaves below min ISR is eligible until the ISR is whole again") {
  World world;
  REQUIRE(world.Isr({"a", "c"}) == IsrVerdict::kChanged);
  CHECK(Shown(world.partition) == "a, isr a c, elr, epoch 5, version 2");
  REQUIRE(world.Isr({"a"}) == IsrVerdict::kChanged);
  CHECK(Shown(world.partition) == "a, isr a, elr c, epoch 5, version 3");
  REQUIRE(world.Isr({"a", "b"}) == IsrVerdict::kChanged);
  CHECK(Shown(world.partition) == "a, isr a b, elr, epoch 5, version 4");
  // Two at once, and one in the other's place.
  World two;
  REQUIRE(two.Isr({"a"}) == IsrVerdict::kChanged);
  CHECK(Shown(two.partition) == "a, isr a, elr b c, epoch 5, version 2");
  REQUIRE(two.Isr({"a", "c"}) == IsrVerdict::kChanged);
  REQUIRE(two.Isr({"a", "b"}) == IsrVerdict::kChanged);
  CHECK(Shown(two.partition) == "a, isr a b, elr, epoch 5, version 4");
}

TEST_CASE(
    "R2a: a leader that a new process runs yields to another live member, and stays where there is "
    "none") {
  World world;
  CHECK(world.Register("a") == "b, isr a b c, elr, epoch 9, version 2");
  CHECK(world.Register("a") == "b, isr a b c, elr, epoch 9, version 2");  // no leader: nothing
  World alone;
  alone.Fence({"b", "c"});
  CHECK(alone.Register("a") == "a, isr a, elr b c, epoch 9, version 3");
}

TEST_CASE("R7b: a doubtful member keeps its place, and is led by any that is not") {
  World world;
  CHECK(world.Doubt("a", 5, 10) == "b, isr a b c, elr, doubt a(5,10), epoch 9, version 2");
  CHECK_FALSE(world.MayLeadNow("a"));
  CHECK(world.Fence({"b"}) == "c, isr a c, elr, doubt a(5,10), epoch 10, version 3");
  // A clean one of the ELR goes before a doubtful one of the ISR.
  World elr;
  elr.Fence({"b", "c"});
  elr.live.push_back("c");
  CHECK(elr.Doubt("a", 5, 10) == "c, isr c, elr b a, doubt a(5,10), epoch 9, version 3");
}

TEST_CASE(
    "R7b: doubt ends by an ISR change that says so, or by the election, not by a clean start") {
  World world;
  world.Doubt("c", 5, 10);
  CHECK(world.Register("c") == "a, isr a b c, elr, doubt c(5,10), epoch 5, version 1");
  CHECK(world.Isr({"a", "b", "c"}) == IsrVerdict::kChanged);
  CHECK(Shown(world.partition) == "a, isr a b c, elr, doubt c(5,10), epoch 5, version 2");
  CHECK(world.Isr({"a", "b", "c"}, {"c"}) == IsrVerdict::kChanged);
  CHECK(Shown(world.partition) == "a, isr a b c, elr, epoch 5, version 3");
  // Out of the set it is no member, and nobody doubts it any more; it comes back as a new one.
  world.Doubt("c", 5, 12);
  CHECK(world.Isr({"a", "b"}) == IsrVerdict::kChanged);
  CHECK(Shown(world.partition) == "a, isr a b, elr, epoch 5, version 4");
  // Verified means alive.
  CHECK(world.Isr({"a", "b", "c"}) == IsrVerdict::kChanged);
  world.Doubt("c", 5, 12);
  std::erase(world.live, "c");
  CHECK(world.Isr({"a", "b", "c"}, {"c"}) == IsrVerdict::kNotLive);
}

TEST_CASE("R7b: of doubtful ones alone the greatest position leads, once min ISR of them live") {
  World world;
  CHECK(world.Fence({"a", "b", "c"}) == "-, isr, elr a b c, epoch 9, version 2");
  CHECK(world.Doubt("a", 5, 10) == "-, isr, elr a b c, doubt a(5,10), epoch 9, version 2");
  CHECK(world.Doubt("b", 5, 11) == "b, isr b, elr a c, doubt a(5,10), epoch 10, version 3");
  // The epoch counts before the offset.
  World epochs;
  epochs.Fence({"a", "b", "c"});
  epochs.Doubt("c", 4, 100);
  CHECK(epochs.Doubt("a", 5, 10) == "a, isr a, elr b c, doubt c(4,100), epoch 10, version 3");
  // One that comes clean needs nobody else.
  World clean;
  clean.Fence({"a", "b", "c"});
  clean.Doubt("a", 5, 10);
  CHECK(clean.Register("c") == "c, isr c, elr a b, doubt a(5,10), epoch 10, version 3");
}

TEST_CASE("R7b: with fewer members left than min ISR all of them are waited for, and no more") {
  World world;
  world.Fence({"a", "b", "c"});
  BrokerChange lost;
  for (const char* broker : {"b", "c"}) {
    lost.lost = lost.restarted = broker;
    world.live.push_back(broker);
    world.Change(lost);
  }
  CHECK(Shown(world.partition) == "-, isr, elr a, epoch 9, version 4");
  CHECK(world.Doubt("a", 5, 3) == "a, isr a, elr, epoch 10, version 5");
}

TEST_CASE(
    "R7a: the lead is moved to a live, undoubted member; to one of the ELR only below min ISR") {
  World world;
  CHECK(world.MayLeadNow("b"));
  world.Move("b");
  CHECK(Shown(world.partition) == "b, isr a b c, elr, epoch 9, version 2");
  world.Fence({"c"});
  CHECK_FALSE(world.MayLeadNow("c"));
  world.live.push_back("c");
  CHECK_FALSE(world.MayLeadNow("c"));  // live, and no member
  REQUIRE(world.Isr({"b"}) == IsrVerdict::kChanged);
  CHECK(Shown(world.partition) == "b, isr b, elr a, epoch 9, version 4");
  CHECK(world.MayLeadNow("a"));
  world.Move("a");
  CHECK(Shown(world.partition) == "a, isr a, elr b, epoch 10, version 5");
}

TEST_CASE("a lead is given away to members of the ISR that may have it, spread by the partition") {
  World world;
  const auto successors = [&world] {
    std::string all;
    for (uint64_t stream = 2; stream < 4; ++stream) {
      for (int32_t partition = 0; partition < 3; ++partition) {
        all += SuccessorOf(
            {StreamId(stream), PartitionId(partition)}, world.partition,
            [&world](const std::string& b) { return world.Live(b); }, world.min_isr);
      }
    }
    return all;
  };
  CHECK(successors() == "bcbcbc");
  world.Doubt("b", 5, 10);
  CHECK(successors() == "cccccc");
  world.Move("c");
  CHECK(successors() == "aaaaaa");
  world.Fence({"a"});
  CHECK(successors().empty());
  // Who may only be chosen where nobody of the ISR is left is not given it by a leader that lives.
  World alone;
  alone.Fence({"b", "c"});
  alone.live = {"a", "b", "c"};
  REQUIRE(alone.Isr({"a"}) == IsrVerdict::kChanged);
  CHECK(Shown(alone.partition) == "a, isr a, elr b c, epoch 5, version 3");
  world = alone;
  CHECK(successors().empty());
}

}  // namespace bascule::metadata
