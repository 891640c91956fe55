// Members of a Raft group that come, change their part and go. The rules are those of
// replication/meta/README.md: a change is in force once it is applied, one at a time.
#include <doctest/doctest.h>

#include <string>

#include "tests/sim/raft_scenario.h"

namespace bascule {
namespace {

using raft::ConfChangeType;
using raft::Configuration;
using raft::Index;
using raft::Message;
using raft::MessageType;
using raft::NodeId;
using raft::Role;

Configuration Voters(std::initializer_list<uint64_t> ids) {
  Configuration configuration;
  for (const uint64_t id : ids) configuration.voters.emplace_back(id);
  return configuration;
}

void Rest(RaftScenario& s, uint64_t leader, int beats = 6) {
  s.Deliver();
  for (int i = 0; i < beats; ++i) s.Beat(leader);
}

}  // namespace

TEST_CASE("raft members: one change at a time, the next when the last is applied") {
  RaftScenario s({1, 2, 3});
  INFO(s);
  s.AddMember(4);
  s.AddMember(5);
  s.Elect(1);
  REQUIRE(s.Change(1, ConfChangeType::kAddLearner, 4));
  const auto second = s.raft(1).ProposeConfChange({ConfChangeType::kAddLearner, NodeId(5), ""});
  CHECK(second.status().code() == absl::StatusCode::kFailedPrecondition);
  s.Deliver();
  CHECK(s.raft(1).configuration().IsLearner(NodeId(4)));
  CHECK(s.Change(1, ConfChangeType::kAddLearner, 5));
}

TEST_CASE("raft members: a new leader changes nothing before it has committed in its term") {
  RaftScenario s({1, 2, 3});
  INFO(s);
  s.Campaign(1);
  s.DeliverOnly(Of(MessageType::kPreVote));
  s.DeliverOnly(Of(MessageType::kPreVoteResponse));
  s.DeliverOnly(Of(MessageType::kVote));
  s.DeliverOnly(Of(MessageType::kVoteResponse));
  REQUIRE(s.raft(1).role() == Role::kLeader);
  const auto change = s.raft(1).ProposeConfChange({ConfChangeType::kRemove, NodeId(3), ""});
  CHECK(change.status().code() == absl::StatusCode::kFailedPrecondition);
  s.Deliver();
  CHECK(s.Change(1, ConfChangeType::kRemove, 3));
}

TEST_CASE("raft members: a change decides nothing before it is applied, everything after") {
  RaftScenario s({1, 2, 3});
  INFO(s);
  s.AddMember(4);
  s.Elect(1);
  s.Cut(1, 3);
  REQUIRE(s.Change(1, ConfChangeType::kAddVoter, 4));
  s.Cut(1, 4);
  s.Deliver();  // two of three have it
  CHECK(s.raft(1).configuration() == Voters({1, 2, 3, 4}));
  const uint64_t a = s.Propose(1, "a");
  s.Deliver();  // two of four
  CHECK(s.commit(1) < Index(a));
  s.Heal();
  Rest(s, 1);
  CHECK(s.applied(4) == Index(a));
}

TEST_CASE("raft members: a change that is replaced never had an effect, also behind a snapshot") {
  RaftScenario s({1, 2, 3});
  INFO(s);
  s.AddMember(4);
  s.Elect(1);
  s.Propose(1, "a");
  s.Deliver();
  s.member(1).TakeSnapshot(0);
  s.Isolate(1);
  REQUIRE(s.Change(1, ConfChangeType::kAddVoter, 4));
  CHECK(s.raft(1).configuration() == Voters({1, 2, 3}));
  s.Tick(3, 10);
  s.Elect(2);
  s.Propose(2, "b");
  s.Deliver();
  s.Heal();
  Rest(s, 2);
  for (const uint64_t id : {1, 2, 3}) {
    CHECK(s.raft(id).configuration() == Voters({1, 2, 3}));
    CHECK(s.applied(id) == s.applied(2));
  }
  CHECK(s.applied(4) == Index());
}

TEST_CASE("raft members: nobody stands with a committed change that it has not applied") {
  RaftScenario s({1, 2, 3});
  INFO(s);
  s.AddMember(4);
  s.Elect(1);
  REQUIRE(s.Change(1, ConfChangeType::kAddVoter, 4));
  s.Deliver();
  s.Propose(1, "a");  // with it the commit of the change reaches every disk
  s.Deliver();
  s.Crash(2);
  s.member(2).Start();  // knows of the commit, has applied nothing
  REQUIRE(s.commit(2) >= Index(3));
  s.raft(2).Campaign();
  CHECK(s.raft(2).role() == Role::kFollower);
  s.Work(2);
  CHECK(s.raft(2).configuration() == Voters({1, 2, 3, 4}));
  s.raft(2).Campaign();
  CHECK(s.raft(2).role() == Role::kPreCandidate);
  s.Work(2);
}

// What effect on append on one side and on application on the other would come to: see README.md.
TEST_CASE("raft members: two majorities of different configurations cannot both decide") {
  RaftScenario s({1, 2, 3});
  INFO(s);
  s.AddMember(4);
  s.AddMember(5);
  s.Elect(1);
  REQUIRE(s.Change(1, ConfChangeType::kAddVoter, 4));
  s.DeliverOnly(Of(MessageType::kAppend));  // 2 and 3 have it, and will not hear of its commit
  s.Cut(1, 2);
  s.Cut(1, 3);
  s.Deliver();
  for (int i = 0; i < 3; ++i) s.Beat(1);
  REQUIRE(s.raft(1).configuration() == Voters({1, 2, 3, 4}));
  REQUIRE(s.raft(2).configuration() == Voters({1, 2, 3}));
  REQUIRE(s.Change(1, ConfChangeType::kAddVoter, 5));
  const Index second = s.raft(1).log().last();
  s.Deliver();
  REQUIRE(s.disk(4).last() == second);
  CHECK(s.commit(1) < second);  // 1 and 4 are two of four; 5 does not count yet
  // 2 and 3 elect another without 4, of whom they do not know.
  s.Cut(2, 1);
  s.Cut(3, 1);
  s.Tick(3, 10);
  s.Elect(2);
  CHECK(s.commit(1) < second);
  s.Heal();
  Rest(s, 2);
  CHECK(s.raft(1).configuration() == Voters({1, 2, 3, 4}));
  CHECK(s.raft(2).configuration() == Voters({1, 2, 3, 4}));
  CHECK(s.applied(4) == s.applied(2));
}

TEST_CASE("raft members: a leader that is removed makes room, and the others know") {
  RaftScenario s({1, 2, 3});
  INFO(s);
  s.Elect(1);
  REQUIRE(s.Change(1, ConfChangeType::kRemove, 1));
  s.Deliver();
  CHECK(s.raft(1).role() == Role::kFollower);
  CHECK(s.Propose(1, "a") == 0);
  for (const uint64_t id : {2, 3}) CHECK(s.raft(id).configuration() == Voters({2, 3}));
  s.Tick(3, 10);
  s.Elect(2);
  CHECK(s.applied(3) == s.applied(2));
}

TEST_CASE("raft members: who lost its vote stands when it alone has the longest log") {
  RaftScenario s({1, 2});
  INFO(s);
  s.Elect(1);
  REQUIRE(s.Change(1, ConfChangeType::kAddLearner, 1));
  s.DeliverOnly(Of(MessageType::kAppend));
  s.Cut(1, 2);
  s.Propose(1, "a");
  s.Deliver();  // the change is applied at 1; 2 hears neither of that nor of the command
  REQUIRE(s.raft(1).configuration().IsLearner(NodeId(1)));
  REQUIRE(s.raft(2).configuration() == Voters({1, 2}));
  s.Heal();
  for (int i = 0; i < 5; ++i) {
    s.Tick(2, 15);
    s.Deliver();
  }
  CHECK(s.raft(2).role() != Role::kLeader);  // its log is the shorter one
  s.Tick(1, 30);
  s.Deliver();
  CHECK(s.raft(2).configuration().voters == std::vector{NodeId(2)});
  CHECK(s.raft(1).role() == Role::kFollower);  // makes room again
  s.Elect(2);
  CHECK(s.applied(2) == s.raft(1).log().last());
}

TEST_CASE("raft members: a new one is brought up by a snapshot that does not know it yet") {
  RaftScenario s({1});
  INFO(s);
  s.Elect(1);
  for (int i = 0; i < 3; ++i) s.Propose(1, "a" + std::to_string(i));
  s.member(1).TakeSnapshot(0);
  s.AddMember(2);
  REQUIRE(s.Change(1, ConfChangeType::kAddLearner, 2));
  Rest(s, 1);
  CHECK(s.applied(2) == s.applied(1));
  CHECK(s.raft(2).configuration().IsLearner(NodeId(2)));
  REQUIRE(s.Change(1, ConfChangeType::kAddVoter, 2));
  Rest(s, 1);
  CHECK(s.raft(2).configuration() == Voters({1, 2}));
}

TEST_CASE("raft members: a learner decides nothing") {
  RaftScenario s({1, 2, 3}, {4});
  INFO(s);
  s.Elect(1);
  s.Cut(1, 2);
  s.Cut(1, 3);
  const uint64_t a = s.Propose(1, "a");
  s.Deliver();
  REQUIRE(s.disk(4).last() == Index(a));
  CHECK(s.commit(1) < Index(a));
  s.Tick(1, 20);
  CHECK(s.raft(1).role() == Role::kFollower);  // nor does its answer keep a leader
}

TEST_CASE("raft members: the last voter stays") {
  RaftScenario s({1}, {2});
  INFO(s);
  s.Elect(1);
  for (const ConfChangeType type : {ConfChangeType::kRemove, ConfChangeType::kAddLearner}) {
    const auto change = s.raft(1).ProposeConfChange({type, NodeId(1), ""});
    CHECK(change.status().code() == absl::StatusCode::kFailedPrecondition);
  }
}

TEST_CASE("raft members: one that was removed and does not know it disturbs nobody") {
  RaftScenario s({1, 2, 3});
  INFO(s);
  s.Elect(1);
  s.Isolate(3);
  REQUIRE(s.Change(1, ConfChangeType::kRemove, 3));
  s.Deliver();
  s.Heal();
  for (int i = 0; i < 5; ++i) {
    s.Tick(3, 15);
    s.Deliver();
    s.Beat(1);
  }
  CHECK(s.raft(1).role() == Role::kLeader);
  CHECK(s.raft(1).term() == raft::Term(2));
}

}  // namespace bascule
