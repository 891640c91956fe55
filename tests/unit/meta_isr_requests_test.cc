// What partition leaders and brokers that stop ask of the metadata leader: changes of the ISR, moved leads, the
// end of their own session.
#include <doctest/doctest.h>

#include "core/base/limits.h"
#include "replication/meta/requests/requests.pb.h"
#include "tests/unit/meta_samples.h"
#include "tests/unit/meta_world.h"

namespace bascule::metadata {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Three brokers at this version's level, and streams "s<i>" on all of them, led by b2; b1 leads the metadata.
struct IsrWorld : MetaWorld {
  explicit IsrWorld(int streams = 1) : MetaWorld(3) {
    for (int i = 0; i < streams; ++i) {
      StreamDescription stream = SampleStream(Concat("s", i), 1, {"b2", "b1", "b3"});
      stream.overrides.min_isr = 2;
      (*this)[1].log->Propose(EncodeCreateStream(stream),
                              [](const absl::Status& s) { CHECK(s.ok()); });
    }
    Run(seconds(3) + milliseconds(5) * streams);
    for (auto& [number, broker] : brokers) {
      REQUIRE(broker->table().feature_level() == kFeatureLevel);
      REQUIRE(broker->table().streams().size() == static_cast<size_t>(streams));
    }
  }
  PartitionKey Key(int i = 0) { return {(*this)[2].table().Find(Concat("s", i))->id, {}}; }
  const PartitionDescription& At(uint64_t broker, int i = 0) {
    return (*this)[broker].table().Find(Concat("s", i))->partitions[0];
  }
  isr::IsrProposal Proposal(const Names& members, int i = 0) {
    isr::IsrProposal proposal{At(2, i).leader_epoch, At(2, i).version, {}, {}};
    for (const std::string& id : members)
      proposal.isr.push_back({id, (*this)[2].table().FindBroker(id)->incarnation});
    return proposal;
  }
  // What the log got behind `after` of one kind.
  std::vector<meta::Command> Commands(MetadataIndex after, meta::Command::CommandCase kind) {
    std::vector<meta::Command> found;
    for (MetadataIndex index(after.value() + 1); index <= group.last(); ++index) {
      meta::Command command;
      REQUIRE(command.ParseFromString(group.command(index)));
      if (command.command_case() == kind) found.push_back(command);
    }
    return found;
  }
};

Names Sorted(Names names) {
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

TEST_CASE("R1a: an ISR change goes to the metadata leader and has ended when its delta came here") {
  IsrWorld world;
  std::optional<Names> at_end;
  world[2].frontend->RequestIsrChange(world.Key(), world.Proposal({"b2", "b3"}), [&] {
    CHECK_FALSE(at_end.has_value());
    CHECK(world[2].home.OnThisThread());
    at_end = Sorted(world[2].sink.Streams().at("s0").partitions[0].isr);
  });
  world.Run(milliseconds(200));
  REQUIRE(at_end.has_value());
  CHECK(*at_end == Names{"b2", "b3"});
  CHECK(Sorted(world.At(1).isr) == Names{"b2", "b3"});
}

TEST_CASE("R1c: an ISR change adds who acknowledged and not a later or an earlier life of it") {
  IsrWorld world;
  const auto propose = [&](const isr::IsrProposal& proposal) {
    bool ended = false;
    world[2].frontend->RequestIsrChange(world.Key(), proposal, [&] { ended = true; });
    world.Run(milliseconds(200));
    CHECK(ended);
    return Sorted(world.At(2).isr);
  };
  REQUIRE(propose(world.Proposal({"b2"})) == Names{"b2"});
  isr::IsrProposal other_life = world.Proposal({"b2", "b3"});
  other_life.isr[1].incarnation += 1;
  CHECK(propose(other_life) == Names{"b2"});
  CHECK(propose(world.Proposal({"b2", "b3"})) == Names{"b2", "b3"});
}

TEST_CASE("R7b: an ISR change says which doubtful members were verified") {
  IsrWorld world;
  const auto apply = [&](const std::string& command) {
    world[1].log->Propose(command, [](const absl::Status& s) { CHECK(s.ok()); });
    world.Run(milliseconds(20));
  };
  apply(EncodeRegisterBroker(Broker("b9", 90)));
  apply(EncodeCreateStream(SampleStream("doubted", 1, {"b2", "b9"})));
  const StreamDescription* stream = world[2].table().Find("doubted");
  REQUIRE(stream != nullptr);
  const PartitionKey key{stream->id, PartitionId(0)};
  BrokerRegistration doubtful = Broker("b9", 91);
  doubtful.doubtful.push_back({key, LeaderEpoch(1), Offset(7)});
  apply(EncodeRegisterBroker(doubtful));
  const PartitionDescription& partition = stream->partitions[0];
  REQUIRE(partition.doubtful.size() == 1);
  const uint64_t own = world[2].self.incarnation;
  isr::IsrProposal proposal{
      partition.leader_epoch, partition.version, {{"b2", own}, {"b9", 91}}, {}};
  world[2].frontend->RequestIsrChange(key, proposal, [] {});
  world.Run(milliseconds(50));
  CHECK(partition.version == proposal.version + 1);
  CHECK(partition.doubtful.size() == 1);
  proposal.version = partition.version;
  proposal.verified = {"b9"};
  world[2].frontend->RequestIsrChange(key, proposal, [] {});
  world.Run(milliseconds(50));
  CHECK(partition.doubtful.empty());
}

TEST_CASE("R1b: a refused ISR change ends too, and the next one is heard") {
  IsrWorld world;
  int ended = 0;
  isr::IsrProposal stale = world.Proposal({"b2"});
  ++stale.version;
  world[2].frontend->RequestIsrChange(world.Key(), stale, [&] { ++ended; });
  world.Run(milliseconds(200));
  CHECK(ended == 1);
  CHECK(world.At(2).isr.size() == 3);
  world[2].frontend->RequestIsrChange(world.Key(), world.Proposal({"b2", "b1"}), [&] { ++ended; });
  world.Run(milliseconds(200));
  CHECK(ended == 2);
  CHECK(Sorted(world.At(2).isr) == Names{"b1", "b2"});
}

TEST_CASE(
    "an ISR change speaks for the broker that asks: of a partition led elsewhere none is made") {
  IsrWorld world;
  bool ended = false;
  world[3].frontend->RequestIsrChange(world.Key(), world.Proposal({"b2"}), [&] { ended = true; });
  world.Run(milliseconds(200));
  CHECK(ended);
  CHECK(world.At(1).isr.size() == 3);
}

TEST_CASE("ISR changes gather: one request at a time and a bounded number in each") {
  IsrWorld world(12);
  world.group.commit_delay = milliseconds(50);
  const MetadataIndex before = world.group.last();
  size_t ended = 0;
  // Far more than one request takes; all but twelve are of streams that are not there.
  const size_t first = 2 * limits::kIsrChangesPerRequest + 10;
  const auto ask = [&](size_t count, int from) {
    for (size_t i = 0; i < count; ++i) {
      const int stream = from + static_cast<int>(i);
      const bool there = stream < from + 6;
      const isr::IsrProposal proposal = world.Proposal({"b2", "b3"}, there ? stream : 0);
      const PartitionKey key =
          there ? world.Key(stream) : PartitionKey{StreamId(1'000'000 + i), PartitionId(0)};
      world[2].frontend->RequestIsrChange(key, proposal, [&] { ++ended; });
    }
  };
  ask(first, 0);
  world.Run(milliseconds(20));
  CHECK(ended == 0);
  // While the first request is under way.
  ask(20, 6);
  world.Run(seconds(1));
  CHECK(ended == first + 20);
  const auto commands = world.Commands(before, meta::Command::kAlterIsr);
  REQUIRE(commands.size() == 3);
  CHECK(commands[0].alter_isr().changes_size() == static_cast<int>(limits::kIsrChangesPerRequest));
  CHECK(commands[1].alter_isr().changes_size() == static_cast<int>(limits::kIsrChangesPerRequest));
  CHECK(commands[2].alter_isr().changes_size() == 30);
  for (int i = 0; i < 12; ++i) CHECK(Sorted(world.At(3, i).isr) == Names{"b2", "b3"});
}

TEST_CASE("ISR changes of many long names go in requests that are taken") {
  IsrWorld world;
  const MetadataIndex before = world.group.last();
  isr::IsrProposal large = world.Proposal({"b2"});
  for (size_t i = 1; i < limits::kClusterMembers; ++i)
    large.isr.push_back({std::string(limits::kServerIdBytes, 'n'), 1u << 30});
  size_t ended = 0;
  for (int i = 0; i < 100; ++i)
    world[2].frontend->RequestIsrChange(world.Key(), large, [&] { ++ended; });
  world.Run(seconds(2));
  CHECK(ended == 100);
  int changes = 0;
  for (const meta::Command& command : world.Commands(before, meta::Command::kAlterIsr)) {
    changes += command.alter_isr().changes_size();
    CHECK(command.ByteSizeLong() < limits::kMaxRaftCommandBytes);
    CHECK(command.alter_isr().changes(0).leader() == "b2");
  }
  CHECK(changes == 100);
}

TEST_CASE("an ISR change below the feature level of replicas ends at once and is not asked") {
  MetaWorld world(2);
  BrokerRegistration old = Broker("b9", 9);
  old.feature_level = kReplicasLevel - 1;
  world[1].log->Propose(EncodeRegisterBroker(old), [](const absl::Status& s) { CHECK(s.ok()); });
  world[1].log->Propose(EncodeFenceBrokers({{"b9", 9}}), [](const absl::Status&) {});
  world.Run(seconds(2));
  REQUIRE(world[2].table().feature_level() == kReplicasLevel - 1);
  const MetadataIndex before = world.group.last();
  bool ended = false;
  world[2].frontend->RequestIsrChange({StreamId(1), PartitionId(0)}, {}, [&] { ended = true; });
  world.Run(milliseconds(1));
  CHECK(ended);
  CHECK(world.group.last() == before);
  const auto moved = std::make_shared<Ended>();
  world[2].frontend->MoveLeader({StreamId(1), PartitionId(0)}, LeaderEpoch(1), "b1", seconds(5),
                                Into(world, moved));
  CHECK(absl::IsFailedPrecondition(world.Await(moved)));
  CHECK(moved->status->message() ==
        "to move a partition's leader needs feature level 3, the cluster has 2: bring broker b9 "
        "(feature level 2) to this version first");
}

TEST_CASE(
    "R5b: an ISR change of which nobody hears ends when time is up and holds up none behind it") {
  IsrWorld world(2);
  world.group.hold = true;
  int ended = 0;
  world[2].frontend->RequestIsrChange(world.Key(0), world.Proposal({"b2", "b3"}, 0),
                                      [&] { ++ended; });
  world.Run(milliseconds(100));
  world[2].frontend->RequestIsrChange(world.Key(1), world.Proposal({"b2", "b1"}, 1),
                                      [&] { ++ended; });
  world.Run(seconds(4));
  CHECK(ended == 0);
  world.Run(milliseconds(1500));
  CHECK(ended == 1);
  world.group.hold = false;
  world.Run(seconds(2));
  CHECK(ended == 2);
  CHECK(Sorted(world.At(2, 0).isr) == Names{"b2", "b3"});
  CHECK(Sorted(world.At(2, 1).isr) == Names{"b1", "b2"});
}

TEST_CASE("an ISR change goes on to the next metadata leader, where its repetition does no harm") {
  for (const bool kept : {true, false}) {
    CAPTURE(kept);
    IsrWorld world;
    world.group.commit_delay = milliseconds(50);
    world.group.keep_on_change = kept;
    const uint64_t version = world.At(2).version;
    int ended = 0;
    world[2].frontend->RequestIsrChange(world.Key(), world.Proposal({"b2", "b3"}),
                                        [&] { ++ended; });
    world.Run(milliseconds(20));
    world.group.Elect(PeerId(3));
    world.Run(seconds(3));
    CHECK(ended == 1);
    CHECK(Sorted(world.At(1).isr) == Names{"b2", "b3"});
    CHECK(world.At(1).version == version + 1);
  }
}

TEST_CASE("R7a: a lead is moved at the request of any broker and once") {
  IsrWorld world;
  const LeaderEpoch epoch = world.At(2).leader_epoch;
  const auto moved = std::make_shared<Ended>();
  world[3].frontend->MoveLeader(world.Key(), epoch, "b3", seconds(5), Into(world, moved));
  REQUIRE(world.Await(moved).ok());
  CHECK(world[3].LeaderOf("s0") == "b3");
  const auto late = std::make_shared<Ended>();
  world[2].frontend->MoveLeader(world.Key(), epoch, "b2", seconds(5), Into(world, late));
  CHECK(absl::IsFailedPrecondition(world.Await(late)));
  CHECK(world[3].LeaderOf("s0") == "b3");
}

TEST_CASE("a broker that retires is fenced in one command and does not register again") {
  IsrWorld world(5);
  const MetadataIndex before = world.group.last();
  const auto retired = std::make_shared<Ended>();
  world[2].home.Post([&] { world[2].registrar->Retire(seconds(5), Into(world, retired)); });
  REQUIRE(world.Await(retired).ok());
  CHECK(world[2].table().FindBroker("b2")->fenced);
  for (int i = 0; i < 5; ++i) {
    CHECK(world.At(2, i).leader == "b1");
    CHECK(Sorted(world.At(2, i).isr) == Names{"b1", "b3"});
  }
  world.Run(seconds(10));
  CHECK(world[1].table().FindBroker("b2")->fenced);
  CHECK(world.Commands(before, meta::Command::kFenceBrokers).size() == 1);
  CHECK(world.Commands(before, meta::Command::kRegisterBroker).empty());
  CHECK_FALSE(world[2].fatal.has_value());
  // Its next process is not held back.
  world.Start(2);
  world.Register(2);
  world.Run(seconds(2));
  CHECK_FALSE(world[1].table().FindBroker("b2")->fenced);
}

TEST_CASE("a registration that is under way when its broker retires does not undo it") {
  IsrWorld world;
  const uint64_t incarnation = world[2].self.incarnation;
  // Fenced for its silence, b2 registers again, and the metadata leader does not get round to it.
  world[1].log->Propose(EncodeFenceBrokers({{"b2", incarnation}}), [](const absl::Status&) {});
  world.Run(milliseconds(6));
  REQUIRE(world[2].table().FindBroker("b2")->fenced);
  world.group.hold = true;
  world.Run(milliseconds(100));
  const auto retired = std::make_shared<Ended>();
  world[2].home.Post([&] { world[2].registrar->Retire(seconds(5), Into(world, retired)); });
  world.Run(milliseconds(100));
  world.group.hold = false;
  world.Run(seconds(10));
  CHECK(retired->status.has_value());
  CHECK(world[1].table().FindBroker("b2")->fenced);
  CHECK(world[1].table().FindBroker("b2")->incarnation == incarnation);
  CHECK(world[1].LeaderOf("s0") == "b1");
}

TEST_CASE("a registration that is carried out after the fencing is followed by another one") {
  IsrWorld world;
  const uint64_t incarnation = world[2].self.incarnation;
  const auto retired = std::make_shared<Ended>();
  world[2].home.Post([&] { world[2].registrar->Retire(seconds(5), Into(world, retired)); });
  REQUIRE(world.Await(retired).ok());
  // As the network may deliver it late.
  world[1].log->Propose(EncodeRegisterBroker(Broker("b2", incarnation)),
                        [](const absl::Status&) {});
  world.Run(milliseconds(100));
  CHECK(world[1].table().FindBroker("b2")->fenced);
  CHECK(world[1].LeaderOf("s0") == "b1");
}

}  // namespace bascule::metadata
