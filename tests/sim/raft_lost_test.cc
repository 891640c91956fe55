// A broken connection with the leader makes an election come sooner, and nothing else.
#include <doctest/doctest.h>

#include "tests/sim/raft_scenario.h"

namespace bascule {
namespace {

using raft::NodeId;
using raft::Role;
using raft::Term;

// With the options of RaftScenario: a heartbeat, and half of an election timeout at most on top.
constexpr int kSoon = 6;

}  // namespace

TEST_CASE(
    "raft leader lost: who lost the leader stands soon, and is elected by those who lost it too") {
  for (int seed = 0; seed < 20; ++seed) {
    RaftScenario s({1, 2, 3});
    INFO(s);
    s.Elect(1);
    for (int i = 0; i < seed; ++i) s.Beat(1);
    s.Isolate(1);
    s.raft(2).OnLeaderLost(NodeId(1));
    s.raft(3).OnLeaderLost(NodeId(1));
    s.Tick(2, kSoon);
    CHECK(s.raft(2).role() == Role::kPreCandidate);
    s.Deliver();
    CHECK(s.raft(2).role() == Role::kLeader);
    CHECK(s.raft(3).leader() == NodeId(2));
  }
}

TEST_CASE("raft leader lost: a leader that the others hear stays, and takes the member back") {
  RaftScenario s({1, 2, 3});
  INFO(s);
  s.Elect(1);
  s.Beat(1);
  s.raft(2).OnLeaderLost(NodeId(1));
  s.Tick(2, kSoon);
  s.Deliver();
  CHECK(s.raft(1).role() == Role::kLeader);
  CHECK(s.raft(2).role() != Role::kLeader);
  s.Beat(1);
  CHECK(s.raft(2).leader() == NodeId(1));
  CHECK(s.raft(2).term() == Term(2));
}

TEST_CASE("raft leader lost: a word of the leader makes up for it") {
  RaftScenario s({1, 2, 3});
  INFO(s);
  s.Elect(1);
  for (const int ticks : {0, kSoon}) {
    s.raft(2).OnLeaderLost(NodeId(1));
    s.Tick(2, ticks);
    s.DropAll();
    s.Beat(1);
    s.Tick(2, 9);
    CHECK(s.raft(2).role() == Role::kFollower);
    s.Beat(1);
  }
  // It refuses votes for the leader's sake again.
  s.Campaign(3);
  s.Deliver();
  CHECK(s.raft(1).role() == Role::kLeader);
  CHECK(s.raft(3).role() != Role::kLeader);
}

TEST_CASE("raft leader lost: another one's connection changes nothing, nor does it on who leads") {
  RaftScenario s({1, 2, 3});
  INFO(s);
  s.Elect(1);
  s.Beat(1);
  s.raft(2).OnLeaderLost(NodeId(3));
  s.raft(2).OnLeaderLost(NodeId());
  s.raft(1).OnLeaderLost(NodeId(1));
  s.Tick(2, 9);
  CHECK(s.raft(2).role() == Role::kFollower);
  CHECK(s.raft(1).role() == Role::kLeader);
  s.Campaign(3);
  s.Deliver();
  CHECK(s.raft(1).role() == Role::kLeader);
}

}  // namespace bascule
