// Lives of another broker, as the leader of a partition hears of them: who registered and was fenced at once
// counts for nothing, and for all that it acknowledges after its next registration.
#include "replication/meta/table/command_alter_isr.h"
#include "replication/meta/table/command_create_stream.h"
#include "replication/meta/table/command_fence_brokers.h"
#include "replication/meta/table/command_register_broker.h"
#include "tests/unit/partition_broker.h"

namespace bascule::partition {
namespace {

// This broker, b1, leads "s"; b2 is what the test says.
struct TwoLives : Machine {
  TwoLives() : Machine(7) {
    Registers(22);
    StreamDescription stream;
    stream.name = stream.subject = "s";
    stream.overrides.min_isr = 2;
    stream.partitions.push_back({PartitionId(0), "", LeaderEpoch(), {"b1", "b2"}, {}, {}, 0});
    Commands(metadata::EncodeCreateStream(stream));
    RunFor(kSecond);
  }
  // It is not waited for.
  void Commands(std::string command) {
    broker->group->Propose(std::move(command), [](const absl::Status& s) { CHECK(s.ok()); });
  }
  void Registers(uint64_t incarnation) {
    metadata::BrokerRegistration other;
    other.id = "b2";
    other.incarnation = incarnation;
    Commands(metadata::EncodeRegisterBroker(other));
  }
  void IsFenced(uint64_t incarnation) {
    Commands(metadata::EncodeFenceBrokers({{"b2", incarnation}}));
  }
  const PartitionDescription& Now() { return broker->metadata.table().Find("s")->partitions[0]; }
  PartitionKey Key() { return {broker->metadata.table().Find("s")->id, PartitionId(0)}; }
  // That life has everything below `position`.
  void Acknowledges(uint64_t incarnation, int64_t position) {
    PeerIdentity from;
    from.server_id = "b2";
    const LeaderEpoch epoch = Now().leader_epoch;
    ReplicaFrameBuilder frame;
    frame.Add({Key(), epoch, isr::Acknowledgement{"b2", incarnation, epoch, Offset(position)}});
    std::string bytes;
    for (const Bytes& piece : frame.Take()) bytes += piece.view();
    broker->replicas.OnReplicaFrame(from, ReplicaLane::kTail, Bytes(std::move(bytes)), nullptr);
    RunFor(kSecond);
  }
  void PublishAll(int from, int to) {
    std::vector<TestMessage> messages = Values(from, to, "i");
    for (TestMessage& message : messages) message.policy = AckPolicy::kAll;
    Publish("s", messages);
    RunFor(kSecond);
  }
  // As the metadata leader carries it out.
  void IsGranted(const isr::IsrProposal& proposal) {
    metadata::IsrAlteration alteration{Key(), "b1", proposal.epoch, proposal.version, {}};
    for (const isr::IsrProposal::Member& member : proposal.isr)
      alteration.isr.push_back({member.broker, member.incarnation});
    Commands(metadata::EncodeAlterIsr({alteration}));
    RunFor(kSecond);
  }
  // The proposal that takes b2 in, if there was one.
  std::optional<isr::IsrProposal> WithB2() {
    for (const isr::IsrProposal& proposal : broker->isr.proposals) {
      if (proposal.isr.size() == 2) return proposal;
    }
    return std::nullopt;
  }
};

}  // namespace

TEST_CASE(
    "R1c, R4a: who registered and was fenced at once counts again after its next registration") {
  TwoLives world;
  world.PublishAll(0, 1);
  world.Acknowledges(22, 1);
  REQUIRE(world.acks.Find("i0") != nullptr);
  world.broker->isr.proposals.clear();
  // Before the shard has heard of any of it.
  world.Registers(23);
  world.IsFenced(23);
  bool again = false;
  SUBCASE("it registers again later") {}
  SUBCASE("it registers again before the leader has heard of that too") {
    world.Registers(24);
    again = true;
  }
  world.RunFor(kSecond);
  CHECK(world.Now().leader == "b1");
  CHECK(world.Now().isr == std::vector<std::string>{"b1"});
  world.PublishAll(1, 2);
  for (const uint64_t life : {22, 23}) world.Acknowledges(life, 2);
  CHECK(world.Status("s").high_watermark == Offset(1));
  CHECK_FALSE(world.WithB2().has_value());
  if (!again) world.Registers(24);
  world.RunFor(kSecond);
  for (const uint64_t life : {22, 23}) world.Acknowledges(life, 2);
  CHECK_FALSE(world.WithB2().has_value());
  world.Acknowledges(24, 2);
  const auto proposal = world.WithB2();
  REQUIRE(proposal.has_value());
  CHECK(proposal->isr.back() == isr::IsrProposal::Member{"b2", 24});
  world.IsGranted(*proposal);
  CHECK(world.Now().isr.size() == 2);
  REQUIRE(world.acks.Find("i1") != nullptr);
  CHECK(world.acks.Find("i1")->error == AckError::kOk);
  world.PublishAll(2, 3);
  world.Acknowledges(23, 3);
  CHECK(world.Status("s").high_watermark == Offset(2));
  world.Acknowledges(24, 3);
  CHECK(world.Status("s").high_watermark == Offset(3));
}

}  // namespace bascule::partition
