// Who led, lost the lead and leads again: what was begun in the earlier reign ends in the later one and is not
// taken for its own.
#include <doctest/doctest.h>

#include "tests/unit/partition_group.h"

namespace bascule::partition {
namespace {

std::vector<TestMessage> OfReign(const std::string& reign, int from, int to, size_t bytes = 0) {
  std::vector<TestMessage> messages = Values(from, to, reign);
  for (TestMessage& message : messages) {
    message.policy = AckPolicy::kAll;
    message.value = reign + message.value;
    message.value.resize(std::max(bytes, message.value.size()), 'x');
  }
  return messages;
}

// As if a frame of `from` had been on its way for long.
void Late(PartitionGroup& group, int to, int from, LeaderEpoch epoch, Offset position) {
  PeerIdentity sender;
  sender.id = PeerId(static_cast<uint64_t>(from));
  sender.server_id = Concat("b", from);
  ReplicaFrameBuilder frame;
  frame.Add({kGroupKey, epoch, isr::Acknowledgement{sender.server_id, 1, epoch, position}});
  std::string bytes;
  for (const Bytes& piece : frame.Take()) bytes += piece.view();
  group[to].replicas.OnReplicaFrame(sender, ReplicaLane::kTail, Bytes(std::move(bytes)), nullptr);
}

size_t AnswersTo(const GroupMachine& machine, std::string_view inbox) {
  const auto& sent = machine.acks.sent;
  return static_cast<size_t>(std::count_if(sent.begin(), sent.end(),
                                           [&](const SentAck& ack) { return ack.inbox == inbox; }));
}

}  // namespace

TEST_CASE("R2, R4a: what was acknowledged in an earlier reign does not count in the next one") {
  PartitionGroup group;
  group.Elect(1, 1, {1, 2, 3});
  group.Run();
  group.Publish(1, OfReign("a", 0, 4));
  group.Run();
  group.Elect(2, 2, {1, 2, 3});
  group.Run();
  group.lines.Cut(PeerId(1));
  group.Elect(1, 3, {1, 2, 3});
  group.Publish(1, OfReign("c", 4, 5));
  group.Run();
  REQUIRE(group.Status(1).log_end == Offset(5));
  for (const int from : {2, 3}) Late(group, 1, from, LeaderEpoch(1), Offset(5));
  group.Run();
  CHECK(group.Status(1).high_watermark == Offset(4));
  CHECK(group[1].acks.Find("c4") == nullptr);
  group.lines.Heal();
  group.Run(std::chrono::seconds(2));
  REQUIRE(group[1].acks.Find("c4") != nullptr);
  CHECK(group[1].acks.Find("c4")->error == AckError::kOk);
  for (const int n : {2, 3}) CHECK(group[n].Records() == group[1].Records());
}

TEST_CASE("R14: a sync that an earlier reign asked for answers nobody of the next one") {
  PartitionGroup group;
  group.Elect(1, 1, {1}, 1, {2, 3});
  group.Run();
  group.Publish(1, Values(0, 1));  // the file has room from then on
  group.Run();
  group[1].held_pool.hold_next = true;
  group.Publish(1, Values(1, 3, "a"));
  group.Run();
  REQUIRE(group[1].held_pool.held.size() == 1);
  group[1].partition->StandBy();
  REQUIRE(group[1].acks.Find("a1") != nullptr);
  CHECK(group[1].acks.Find("a1")->error == AckError::kOutcomeUnknown);
  group.Elect(1, 2, {1}, 1, {2, 3});
  group.Publish(1, Values(3, 5, "b"));
  group.Run();
  CHECK(group[1].acks.Find("b3") == nullptr);
  group[1].held_pool.hold_next = true;  // the sync of the new reign's
  group[1].held_pool.LetGo();
  group.Run();
  REQUIRE(group[1].held_pool.held.size() == 1);
  CHECK(group.Status(1).flushed_end == Offset(3));
  CHECK(group.Status(1).high_watermark == Offset(3));
  CHECK(group[1].acks.Find("b3") == nullptr);
  group[1].held_pool.LetGo();
  group.Run();
  REQUIRE(group[1].acks.Find("b4") != nullptr);
  CHECK(group[1].acks.Find("b4")->error == AckError::kOk);
  for (const char* inbox : {"a1", "a2", "b3", "b4"}) CHECK(AnswersTo(group[1], inbox) == 1);
}

TEST_CASE("R3: what an earlier reign read for a follower is not sent to it in the next one") {
  PartitionGroup group;
  group.lines.no_catch_up = PeerId(3);
  group.Elect(1, 1, {1, 2, 3});
  group.Run();
  group.Publish(1, OfReign("a", 0, 4));
  group.Run();
  for (const int n : {2, 3}) group[n].partition->StandBy();
  for (int i = 0; i < 10; ++i) {  // nobody else gets it: it is cut
    group.Publish(1, OfReign("lost", 4 + i * 4, 8 + i * 4, 20'000));
    group.Run(std::chrono::milliseconds(5));
  }
  group[3].partition->Follow(LeaderEpoch(1), "b1", true);
  group.Run();  // read, and there is no line for it
  group[3].partition->StandBy();
  group.Elect(2, 2, {1, 2}, 2, {3});
  group.Run(std::chrono::seconds(2));
  REQUIRE(group.Status(1).log_end == Offset(4));
  for (int i = 0; i < 10; ++i) {
    group.Publish(2, OfReign("b", 4 + i * 4, 8 + i * 4, 20'000));
    group.Run(std::chrono::milliseconds(5));
  }
  group.Run();
  REQUIRE(group.Status(1).high_watermark == Offset(44));
  group.Elect(1, 3, {1, 2});
  group.Run();
  REQUIRE(group[3].Records().size() == 4);
  group.lines.no_catch_up.reset();
  group.lines.Heal();
  group.Run(std::chrono::seconds(3));
  CHECK(group.lines.frames[ReplicaLane::kCatchUp] > 0);
  CHECK(group[1].Records().size() == 44);
  CHECK(group[2].Records() == group[1].Records());
  CHECK(group[3].Records() == group[1].Records());
}

TEST_CASE("R5b: the end of an earlier reign's proposal is not that of the one under way") {
  PartitionGroup group;
  std::vector<isr::IsrProposal>& proposals = group[1].proposals;
  group[1].hold_proposals = true;
  group.Elect(1, 1, {1, 2});
  group.Run();
  REQUIRE(proposals.size() == 1);
  group.Elect(2, 2, {1, 2});
  group.Run();
  group.Elect(1, 3, {1, 2});
  group.Run();
  REQUIRE(proposals.size() == 2);
  CHECK(proposals[1].epoch == LeaderEpoch(3));
  group[1].proposals_end[0]();
  group[1].partition->OnReplicaTick();
  group.Run();
  CHECK(proposals.size() == 2);
  group[1].proposals_end[1]();
  group[1].partition->OnReplicaTick();
  group.Run();
  CHECK(proposals.size() == 3);
}

}  // namespace bascule::partition
