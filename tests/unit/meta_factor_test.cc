// How many replicas a new stream gets: what is asked, what is left open, who can keep them.
#include <doctest/doctest.h>

#include "tests/unit/meta_samples.h"
#include "tests/unit/meta_world.h"

namespace bascule::metadata {
namespace {

using std::chrono::seconds;

StreamSpec WithFactor(const std::string& name, int32_t factor) {
  StreamSpec spec = Spec(name);
  spec.replication_factor = factor;
  return spec;
}

// At this version's feature level.
struct FactorWorld : MetaWorld {
  explicit FactorWorld(int count) : MetaWorld(count) {
    Run(seconds(3));
    REQUIRE((*this)[1].table().feature_level() == kFeatureLevel);
  }
  // The replicas of a stream that is created so by way of the last broker, or the refusal.
  std::string Made(StreamSpec spec) {
    const absl::Status created = Await(brokers.rbegin()->second->Create(spec));
    if (!created.ok()) return created.ToString();
    const PartitionDescription& p = (*this)[1].table().Find(spec.name)->partitions[0];
    CHECK(p.isr == p.replicas);
    CHECK(p.leader == p.replicas[0]);
    return Concat(p.replicas.size());
  }
  void SetFactor(int32_t factor, int32_t min_isr = 0) {
    StreamSettings settings;
    settings.min_isr = min_isr;
    (*this)[1].frontend->SetStreamDefaults(settings, factor);
  }
  int32_t MinIsrOf(const std::string& name) {
    return (*this)[1].table().Find(name)->overrides.min_isr.value_or(-1);
  }
};

}  // namespace

TEST_CASE("factor: what is asked for is given up to the number of brokers that live") {
  FactorWorld world(3);
  CHECK(world.Made(WithFactor("one", 1)) == "1");
  CHECK(world.Made(WithFactor("two", 2)) == "2");
  CHECK(world.Made(WithFactor("three", 3)) == "3");
  CHECK(world.Made(WithFactor("all", -1)) == "3");
  CHECK(world.Made(WithFactor("four", 4)) ==
        "INVALID_ARGUMENT: Invalid replicationFactor 4, cluster size 3");
  // The contract's order: before it is known that the name is taken.
  CHECK(world.Made(WithFactor("one", 4)) ==
        "INVALID_ARGUMENT: Invalid replicationFactor 4, cluster size 3");
  // A majority of them, unless it is said.
  CHECK(world.MinIsrOf("three") == 0);
  CHECK(MinIsr(world.MinIsrOf("three"), 3) == 2);
  world.Stop(2);
  world.Run(seconds(4));
  CHECK(world.Made(WithFactor("rest", -1)) == "2");
  CHECK(world.Made(WithFactor("more", 3)) ==
        "INVALID_ARGUMENT: Invalid replicationFactor 3, cluster size 2");
}

TEST_CASE("factor: min ISR is taken up to it") {
  FactorWorld world(3);
  StreamSpec spec = WithFactor("s", 3);
  spec.overrides.min_isr = 3;
  CHECK(world.Made(spec) == "3");
  CHECK(world.MinIsrOf("s") == 3);
  spec = WithFactor("t", 2);
  spec.overrides.min_isr = 3;
  CHECK(world.Made(spec) ==
        "INVALID_ARGUMENT: Invalid minIsr 3, replicationFactor 2: nothing would ever be committed");
  world.SetFactor(0, 2);
  CHECK(world.Made(WithFactor("u", 3)) == "3");
  CHECK(world.MinIsrOf("u") == 2);
}

TEST_CASE("factor: left open it is three of three and one of two, as the metadata leader has it") {
  FactorWorld three(3);
  CHECK(three.Made(WithFactor("s", 0)) == "3");
  // By way of Liftbridge's contract it is one, unless the operator says otherwise.
  StreamSpec contract = WithFactor("c", 0);
  contract.one_replica_unless_set = true;
  CHECK(three.Made(contract) == "1");
  three.SetFactor(2);
  contract.name = "d";
  CHECK(three.Made(contract) == "2");
  CHECK(three.Made(WithFactor("t", 0)) == "2");
  CHECK(three.Made(WithFactor("u", 1)) == "1");
  three.SetFactor(-1);
  CHECK(three.Made(WithFactor("v", 0)) == "3");
  three.SetFactor(5);
  CHECK(three.Made(WithFactor("w", 0)) ==
        "INVALID_ARGUMENT: Invalid replicationFactor 5, cluster size 3; it comes from "
        "streams.replication.factor, name another");
  CHECK(three.Made(WithFactor("x", 5)) ==
        "INVALID_ARGUMENT: Invalid replicationFactor 5, cluster size 3");
  FactorWorld two(2);
  CHECK(two.Made(WithFactor("s", 0)) == "1");
}

TEST_CASE("factor: beside a broker of an older version there is one replica of each partition") {
  MetaWorld world(3);
  BrokerRegistration old = Broker("b9", 9);
  old.feature_level = kReplicasLevel - 1;
  world[1].log->Propose(EncodeRegisterBroker(old), [](const absl::Status& s) { CHECK(s.ok()); });
  world[1].log->Propose(EncodeFenceBrokers({{"b9", 9}}), [](const absl::Status&) {});
  world.Run(seconds(3));
  REQUIRE(world[1].table().feature_level() == kReplicasLevel - 1);
  CHECK(world.Await(world[2].Create(WithFactor("s", 3))) ==
        absl::FailedPreconditionError(
            "replication factor 3 needs feature level 3, the cluster has 2: bring broker b9 "
            "(feature level 2) to this version first"));
  CHECK(world.Await(world[2].Create(WithFactor("t", 0))).ok());
  CHECK(world[1].table().Find("t")->partitions[0].replicas.size() == 1);
  world[1].frontend->SetStreamDefaults(StreamSettings(), 2);
  CHECK(absl::IsFailedPrecondition(world.Await(world[2].Create(WithFactor("u", 0)))));
  // The old one goes, and the level rises.
  world[1].log->Propose(EncodeRemoveBroker("b9", true), [](const absl::Status&) {});
  world.Run(seconds(3));
  CHECK(world.Await(world[2].Create(WithFactor("s", 3))).ok());
}

TEST_CASE("factor: followers count toward what a broker can hold, and who gets none is not asked") {
  FactorWorld world(4);
  std::map<std::string, size_t> asked;
  std::string full;
  world[1].frontend->SetCapacity([&](const std::string& id, size_t partitions) {
    asked[id] = partitions;
    return id == full ? absl::ResourceExhaustedError("raise LimitNOFILE") : absl::OkStatus();
  });
  StreamSpec wide = WithFactor("wide", 3);
  wide.partitions = 4;
  REQUIRE(world.Made(wide) == "3");
  CHECK(asked == std::map<std::string, size_t>{{"b1", 3}, {"b2", 3}, {"b3", 3}, {"b4", 3}});
  asked.clear();
  REQUIRE(world.Made(WithFactor("narrow", 2)) == "2");
  REQUIRE(asked.size() == 2);
  for (const auto& [id, partitions] : asked) CHECK(partitions == 4);
  full = asked.rbegin()->first;
  CHECK(world.Made(WithFactor("all", 4)) == "RESOURCE_EXHAUSTED: raise LimitNOFILE");
}

TEST_CASE(
    "factor: brokers that should get nothing new hold a replica only where there is no other") {
  FactorWorld world(4);
  std::set<std::string> unfit{"b2"};
  world[1].frontend->SetSilence([&](const std::string& id) { return unfit.contains(id); });
  for (int i = 0; i < 8; ++i) {
    const std::string name = Concat("s", i);
    REQUIRE(world.Made(WithFactor(name, 3)) == "3");
    const Names& replicas = world[1].table().Find(name)->partitions[0].replicas;
    CHECK(std::find(replicas.begin(), replicas.end(), "b2") == replicas.end());
  }
  unfit.insert("b3");
  REQUIRE(world.Made(WithFactor("wide", 4)) == "4");
  const Names& replicas = world[1].table().Find("wide")->partitions[0].replicas;
  CHECK(std::set<std::string>(replicas.begin(), replicas.begin() + 2) ==
        std::set<std::string>{"b1", "b4"});
}

}  // namespace bascule::metadata
