// What a Raft group must do, rule by rule: reads, and snapshots for members that are far behind.
#include <doctest/doctest.h>

#include <string>

#include "tests/sim/raft_scenario.h"

namespace bascule {
namespace {

using raft::Index;
using raft::Message;
using raft::MessageType;
using raft::NodeId;
using raft::Role;
using raft::Term;

}  // namespace

TEST_CASE("raft rules: a read is answered when a majority has confirmed its leader") {
  RaftScenario s({1, 2, 3, 4, 5});
  INFO(s);
  s.Elect(1);
  s.Beat(1);
  s.Read(1, "r1");
  s.DeliverOnly(To(2));
  s.DeliverOnly(From(2));
  CHECK(s.checker().reads() == 0);  // two of five
  s.DeliverOnly(To(3));
  s.DeliverOnly(From(3));
  CHECK(s.checker().reads() == 1);
}

TEST_CASE("raft rules: a deposed leader that does not know it answers no read") {
  RaftScenario s({1, 2, 3});
  INFO(s);
  s.Elect(1);
  s.Isolate(1);
  s.Tick(3, 10);  // hears of no leader, does not stand yet
  s.Elect(2);
  s.Propose(2, "a");
  s.Deliver();
  s.Read(1, "r1");  // it still believes that it leads
  CHECK(s.raft(1).role() == Role::kLeader);
  CHECK(s.checker().reads() == 0);
  s.Heal();
  s.Beat(1);
  CHECK(s.checker().reads() == 0);
  CHECK(s.raft(1).role() == Role::kFollower);
}

TEST_CASE("raft rules: a new leader answers reads when it has committed an entry of its term") {
  RaftScenario s({1, 2, 3});
  INFO(s);
  s.Elect(1);
  s.Cut(1, 3);
  s.Propose(1, "a");
  s.DeliverOnly(OfTo(MessageType::kAppend, 2));
  s.DeliverOnly(From(2));  // committed and acknowledged at 1; 2 has not heard of the commit
  REQUIRE(s.commit(1) == Index(3));
  s.DropAll();
  s.Isolate(1);
  s.Tick(3, 10);
  s.Campaign(2);
  s.DeliverOnly(Of(MessageType::kPreVote));
  s.DeliverOnly(Of(MessageType::kPreVoteResponse));
  s.DeliverOnly(Of(MessageType::kVote));
  s.DeliverOnly(Of(MessageType::kVoteResponse));
  REQUIRE(s.raft(2).role() == Role::kLeader);
  s.Drop(Of(MessageType::kAppend));
  s.Read(2, "r1");
  s.Tick(2, 1);
  s.DeliverOnly(Of(MessageType::kHeartbeat));
  s.DeliverOnly(Of(MessageType::kHeartbeatResponse));
  CHECK(s.checker().reads() == 0);
  s.Deliver();
  s.Beat(2);
  CHECK(s.checker().reads() == 1);
}

TEST_CASE("raft rules: a follower's read is answered through its leader") {
  RaftScenario s({1, 2, 3});
  INFO(s);
  s.Elect(1);
  s.Propose(1, "a");
  s.Deliver();
  s.Read(3, "r1");
  s.Deliver();
  CHECK(s.checker().reads() == 1);
  CHECK(s.applied(3) == Index(3));
}

TEST_CASE("raft rules: a snapshot older than what is committed takes nothing back") {
  RaftScenario s({1, 2, 3});
  INFO(s);
  s.Elect(1);
  for (int i = 0; i < 5; ++i) s.Propose(1, "a" + std::to_string(i));
  s.Deliver();
  s.Beat(1);
  s.member(3).TakeSnapshot(0);
  REQUIRE(s.applied(3) == Index(7));
  Message late{.type = MessageType::kSnapshot, .to = NodeId(3), .from = NodeId(1)};
  late.term = Term(2);
  late.snapshot = raft::SnapshotMeta{Index(5), Term(2), s.raft(1).configuration()};
  REQUIRE(s.Say(late).ok());
  CHECK(s.commit(3) == Index(7));
  CHECK(s.applied(3) == Index(7));
  REQUIRE(s.Count(From(3)) == 1);
  CHECK(s.waiting().front().index == Index(7));
}

TEST_CASE("raft rules: a member far behind is sent a snapshot, also when the first one is lost") {
  RaftScenario s({1, 2, 3});
  INFO(s);
  s.Elect(1);
  s.Isolate(3);
  for (int i = 0; i < 5; ++i) s.Propose(1, "a" + std::to_string(i));
  s.Deliver();
  s.member(1).TakeSnapshot(0);
  s.Heal();
  s.Tick(1, 1);
  for (int i = 0; i < 5; ++i) {
    s.DeliverOnly([](const Message& message) { return message.type != MessageType::kSnapshot; });
  }
  REQUIRE(s.Count(Of(MessageType::kSnapshot)) == 1);
  s.DropAll();
  for (int i = 0; i < 30; ++i) s.Beat(1);
  CHECK(s.applied(3) == s.applied(1));
  CHECK(s.disk(3).snapshot.index == s.disk(1).snapshot.index);
}

}  // namespace bascule
