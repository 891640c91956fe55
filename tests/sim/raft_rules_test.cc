// What a Raft group must do, rule by rule: elections, commits, acknowledgements, durability.
// Reads and snapshots: raft_reads_test.cc; members: raft_membership_test.cc.
#include <doctest/doctest.h>

#include <string>
#include <utility>

#include "core/base/text.h"
#include "tests/sim/raft_scenario.h"

namespace bascule {
namespace {

using raft::Index;
using raft::Message;
using raft::MessageType;
using raft::NodeId;
using raft::Role;
using raft::Term;

Message Vote(uint64_t from, uint64_t to, uint64_t term, uint64_t log_term, uint64_t last) {
  return {.type = MessageType::kVote,
          .to = NodeId(to),
          .from = NodeId(from),
          .term = Term(term),
          .log_term = Term(log_term),
          .index = Index(last)};
}

bool Grants(const RaftScenario& s, uint64_t from, uint64_t to) {
  return s.Count([&](const Message& message) {
    return message.type == MessageType::kVoteResponse && message.from == NodeId(from) &&
           message.to == NodeId(to) && !message.reject;
  }) > 0;
}

// 1 leads `term` by the vote of 2, and nothing that it said then has been delivered.
void LeadQuietly(RaftScenario& s, uint64_t term) {
  s.Campaign(1);
  s.DeliverOnly(OfTo(MessageType::kPreVote, 2));
  s.DeliverOnly(OfTo(MessageType::kPreVoteResponse, 1));
  s.DeliverOnly(OfTo(MessageType::kVote, 2));
  s.DeliverOnly(OfTo(MessageType::kVoteResponse, 1));
  REQUIRE(s.raft(1).role() == Role::kLeader);
  REQUIRE(s.raft(1).term() == Term(term));
  s.DropAll();
}

Message Acknowledge(uint64_t from, uint64_t to, uint64_t term, uint64_t index) {
  return {.type = MessageType::kAppendResponse,
          .to = NodeId(to),
          .from = NodeId(from),
          .term = Term(term),
          .index = Index(index)};
}

}  // namespace

TEST_CASE("raft rules: a new leader begins its term with an entry that commits what is before it") {
  RaftScenario s({1, 2, 3});
  INFO(s);
  s.Preset(1, 2, 0, {2, 2});
  s.Preset(2, 2, 0, {2, 2});
  s.Elect(1);
  CHECK(s.raft(1).log().At(Index(4)).data.empty());
  CHECK(s.commit(1) == Index(4));
  CHECK(s.applied(2) == Index(4));
  CHECK(s.applied(3) == Index(4));
}

// Figure 8 of the Raft paper.
TEST_CASE("raft rules: a leader commits only entries of its own term by counting") {
  RaftScenario s({1, 2, 3});
  INFO(s);
  s.Preset(1, 3, 0, {2});
  s.Preset(2, 3, 0, {2});
  LeadQuietly(s, 4);
  REQUIRE(s.Say(Acknowledge(2, 1, 4, 2)).ok());  // on two of three disks, but of term 2
  CHECK(s.commit(1) == Index(1));
  s.DropAll();
  s.Beat(1);
  CHECK(s.commit(1) == Index(3));
}

TEST_CASE("raft rules: a follower acknowledges what an append brought, not what stands behind it") {
  RaftScenario s({1, 2, 3});
  INFO(s);
  s.Preset(1, 3, 0, {3});
  s.Preset(2, 3, 0, {3});
  s.Preset(3, 3, 0, {2, 2, 2});
  LeadQuietly(s, 4);
  // Nothing new in it: 3 holds entry 1 and much of another term behind that.
  REQUIRE(s.Say({.type = MessageType::kAppend,
                 .to = NodeId(3),
                 .from = NodeId(1),
                 .term = Term(4),
                 .log_term = Term(1),
                 .index = Index(1),
                 .commit = Index(1)})
              .ok());
  REQUIRE(s.waiting().size() == 1);
  CHECK(s.waiting().front().index == Index(1));
}

TEST_CASE("raft rules: an append commits no further than what it has proved to be the same") {
  RaftScenario s({1, 2, 3});
  INFO(s);
  s.Preset(3, 3, 0, {2, 2, 2});
  REQUIRE(s.Say({.type = MessageType::kAppend,
                 .to = NodeId(3),
                 .from = NodeId(1),
                 .term = Term(4),
                 .log_term = Term(1),
                 .index = Index(1),
                 .commit = Index(4)})
              .ok());
  CHECK(s.commit(3) == Index(1));
}

TEST_CASE("raft rules: a heartbeat commits no further than the member is known to hold") {
  RaftScenario s({1, 2, 3});
  INFO(s);
  s.Elect(1);
  s.Cut(1, 3);
  s.Propose(1, "a");
  s.Deliver();
  REQUIRE(s.commit(1) == Index(3));
  s.Heal();
  s.Tick(1, 1);
  for (const Message& message : s.waiting()) {
    if (message.type != MessageType::kHeartbeat) continue;
    CHECK(message.commit == (message.to == NodeId(2) ? Index(3) : Index(2)));
  }
}

TEST_CASE("raft rules: an acknowledgement of an earlier term says nothing about this one") {
  RaftScenario s({1, 2, 3});
  INFO(s);
  s.Preset(1, 3, 0, {2});
  s.Preset(2, 3, 0, {2});
  LeadQuietly(s, 4);
  REQUIRE(s.Say(Acknowledge(2, 1, 3, 3)).ok());
  CHECK(s.commit(1) == Index(1));
}

TEST_CASE("raft rules: an acknowledgement leaves when the entries are on the disk") {
  RaftScenario s({1, 2, 3});
  INFO(s);
  s.Elect(1);
  s.Block(2);
  s.Propose(1, "a");
  s.DeliverOnly(OfTo(MessageType::kAppend, 2));
  CHECK(s.Count(From(2)) == 0);
  s.Unblock(2);
  CHECK(s.Count(From(2)) == 1);
}

TEST_CASE("raft rules: a vote leaves when it is on the disk, and is forgotten by a crash before") {
  RaftScenario s({1, 2, 3});
  INFO(s);
  s.Block(3);
  REQUIRE(s.Say(Vote(1, 3, 2, 1, 1)).ok());
  CHECK(s.Count(From(3)) == 0);
  s.Crash(3);
  s.Restart(3);
  REQUIRE(s.Say(Vote(2, 3, 2, 1, 1)).ok());
  CHECK(Grants(s, 3, 2));
}

TEST_CASE("raft rules: a candidate asks for votes when its own, and its log, are on the disk") {
  RaftScenario s({1, 2, 3});
  INFO(s);
  s.Elect(2);
  s.Block(1);
  s.Propose(2, "a");
  s.DeliverOnly(OfTo(MessageType::kAppend, 1));  // its write is under way
  s.Isolate(2);
  s.raft(1).Campaign();
  CHECK(s.Count(From(1)) == 0);
  s.Unblock(1);
  CHECK(s.Count(Of(MessageType::kPreVote)) == 1);
  CHECK(s.disk(1).last() == Index(3));
}

TEST_CASE("raft rules: no append leaves before the term of its leader is durable") {
  RaftScenario s({1}, {2});
  INFO(s);
  s.Block(1);
  s.Campaign(1);  // leads at once: nobody else votes
  REQUIRE(s.raft(1).role() == Role::kLeader);
  CHECK(s.Count(From(1)) == 0);
  s.Unblock(1);
  CHECK(s.Count(From(1)) > 0);
}

TEST_CASE("raft rules: a leader's own disk counts only when it has written") {
  RaftScenario s({1, 2, 3});
  INFO(s);
  s.Elect(1);
  s.Cut(1, 3);
  s.Block(1);
  s.Propose(1, "a");
  s.Propose(1, "b");  // waits for the write of the first
  s.Deliver();        // 2 has that on its disk
  REQUIRE(s.disk(2).last() == Index(3));
  CHECK(s.commit(1) == Index(2));
  s.member(1).Write();
  s.member(1).Finish();
  CHECK(s.commit(1) == Index(3));
  s.Work(1);  // the second is sent, and being written
  s.Deliver();
  REQUIRE(s.disk(2).last() == Index(4));
  CHECK(s.commit(1) == Index(3));
  s.Unblock(1);
  CHECK(s.commit(1) == Index(4));
}

TEST_CASE("raft rules: entries that replace others are not durable because those were") {
  RaftScenario s({1, 2, 3});
  INFO(s);
  s.Preset(3, 2, 0, {2, 2});
  s.Block(3);
  raft::Entry other{Index(2), Term(3), raft::EntryType::kNormal, "other"};
  REQUIRE(s.Say({.type = MessageType::kAppend,
                 .to = NodeId(3),
                 .from = NodeId(1),
                 .term = Term(3),
                 .log_term = Term(1),
                 .index = Index(1),
                 .commit = Index(1),
                 .entries = {other}})
              .ok());
  CHECK(s.raft(3).log().stable() == Index(1));
  s.Unblock(3);
  CHECK(s.raft(3).log().stable() == Index(2));
  CHECK(s.disk(3).last() == Index(2));
}

TEST_CASE("raft rules: what was written of a log that was cut meanwhile is known to be durable") {
  RaftScenario s({1, 2, 3});
  INFO(s);
  s.Preset(1, 2, 0, {2});
  s.Block(3);
  const auto append = [&](uint64_t term, uint64_t before, uint64_t of, int count) {
    Message message{.type = MessageType::kAppend,
                    .to = NodeId(3),
                    .from = NodeId(term == 2 ? 1 : 2),
                    .term = Term(term),
                    .log_term = Term(of),
                    .index = Index(before),
                    .commit = Index(2)};
    for (int i = 1; i <= count; ++i) {
      const Index index = message.index + static_cast<uint64_t>(i);
      message.entries.push_back(
          {index, Term(term), raft::EntryType::kNormal, Concat("x", index, "@", term)});
    }
    REQUIRE(s.raft(3).Step(std::move(message)).ok());
  };
  append(2, 1, 1, 3);  // 2, 3, 4 of term 2
  s.Work(3);           // taken, not written
  append(3, 2, 2, 1);  // 3 of term 3: 3 and 4 of term 2 are gone
  s.member(3).Write();
  s.member(3).Finish();
  CHECK(s.raft(3).log().stable() == Index(2));
  CHECK(s.raft(3).applied() <= s.raft(3).log().stable());
}

TEST_CASE("raft rules: one vote in a term, also after a restart") {
  RaftScenario s({1, 2, 3});
  INFO(s);
  REQUIRE(s.Say(Vote(1, 3, 2, 1, 1)).ok());
  CHECK(Grants(s, 3, 1));
  s.DropAll();
  REQUIRE(s.Say(Vote(2, 3, 2, 1, 1)).ok());
  CHECK(!Grants(s, 3, 2));
  s.DropAll();
  s.Crash(3);
  s.Restart(3);
  REQUIRE(s.Say(Vote(2, 3, 2, 1, 1)).ok());
  CHECK(!Grants(s, 3, 2));
  REQUIRE(s.Say(Vote(1, 3, 2, 1, 1)).ok());
  CHECK(Grants(s, 3, 1));  // the answer was lost, it may ask again
  REQUIRE(s.Say(Vote(2, 3, 3, 1, 1)).ok());
  CHECK(Grants(s, 3, 2));  // another term
}

TEST_CASE("raft rules: a vote is refused to a log that lacks something, by term before length") {
  RaftScenario s({1, 2, 3});
  INFO(s);
  s.Preset(3, 5, 0, {2, 4});
  REQUIRE(s.Say(Vote(1, 3, 6, 3, 9)).ok());
  CHECK(!Grants(s, 3, 1));
  REQUIRE(s.Say(Vote(1, 3, 7, 4, 2)).ok());
  CHECK(!Grants(s, 3, 1));
  REQUIRE(s.Say(Vote(1, 3, 8, 4, 3)).ok());
  CHECK(Grants(s, 3, 1));
}

TEST_CASE("raft rules: a member that comes back does not end the term of a leader that is heard") {
  RaftScenario s({1, 2, 3});
  INFO(s);
  s.Elect(1);
  s.Isolate(3);
  for (int i = 0; i < 5; ++i) s.Tick(3, 15);
  CHECK(s.raft(3).term() == Term(2));  // pre-votes that nobody heard
  s.Heal();
  s.Tick(3, 15);
  s.Deliver();
  CHECK(s.raft(1).role() == Role::kLeader);
  CHECK(s.raft(1).term() == Term(2));
  // Nor does one that asks for votes outright, without a pre-vote.
  REQUIRE(s.Say(Vote(3, 2, 9, 8, 50)).ok());
  CHECK(!Grants(s, 2, 3));
  CHECK(s.raft(2).term() == Term(2));
}

TEST_CASE("raft rules: a leader that hears of no majority steps down, and says so to its readers") {
  RaftScenario s({1, 2, 3});
  INFO(s);
  s.Elect(1);
  s.Isolate(1);
  CHECK(s.Read(1, "r1"));
  s.Tick(1, 20);
  CHECK(s.raft(1).role() == Role::kFollower);
  CHECK(s.Propose(1, "a") == 0);
  CHECK(!s.Read(1, "r2"));
}

TEST_CASE("raft rules: leadership is handed over to a member that has everything") {
  RaftScenario s({1, 2, 3});
  INFO(s);
  s.Elect(1);
  s.Cut(1, 2);
  s.Propose(1, "a");
  s.Deliver();
  s.Heal();
  REQUIRE(s.raft(1).TransferLeadership(NodeId(2)).ok());
  CHECK(s.Propose(1, "b") == 0);  // its log stands still meanwhile
  s.Work(1);
  s.Beat(1);
  CHECK(s.raft(2).role() == Role::kLeader);
  CHECK(s.raft(1).role() == Role::kFollower);
  CHECK(s.applied(2) == Index(4));
  // Whoever does not take it does not have it: an election timeout later all is as before.
  s.Isolate(3);
  REQUIRE(s.raft(2).TransferLeadership(NodeId(3)).ok());
  s.Tick(2, 9);
  s.Deliver();
  s.Tick(2, 1);
  s.Deliver();
  CHECK(s.Propose(2, "c") > 0);
}

TEST_CASE("raft rules: a term that no election led to is not believed") {
  RaftScenario s({1, 2, 3});
  INFO(s);
  s.Elect(1);
  for (const uint64_t term : {~uint64_t{0}, uint64_t{1} << 62, 3 + raft::kMaxTermJump}) {
    CHECK(s.Say(Vote(3, 2, term, 1, 1)).code() == absl::StatusCode::kInvalidArgument);
    Message heartbeat{.type = MessageType::kHeartbeat, .to = NodeId(2), .from = NodeId(3)};
    heartbeat.term = Term(term);
    CHECK(s.Say(heartbeat).code() == absl::StatusCode::kInvalidArgument);
  }
  CHECK(s.raft(2).term() == Term(2));
  s.Propose(1, "a");
  s.Deliver();
  CHECK(s.applied(2) == Index(3));
}

TEST_CASE("raft rules: entries that do not follow each other are refused") {
  RaftScenario s({1, 2, 3});
  INFO(s);
  s.Elect(1);
  Message append{.type = MessageType::kAppend, .to = NodeId(2), .from = NodeId(1)};
  append.term = append.log_term = Term(2);
  append.index = Index(2);
  append.entries = {{Index(4), Term(2), raft::EntryType::kNormal, "x"}};
  CHECK(!s.raft(2).Step(append).ok());
  CHECK(s.raft(2).log().last() == Index(2));
}

TEST_CASE("raft rules: a leader whose disk is full loses the lead, and nothing is lost with it") {
  RaftScenario s({1, 2, 3});
  INFO(s);
  s.Elect(1);
  s.Block(1);
  s.Propose(1, "a");  // reaches the others, but not its own disk
  s.Deliver();
  for (int i = 0; i < 2; ++i) s.Tick(1, 10);  // no answer reaches it that it could be told of
  s.Isolate(1);
  s.Tick(3, 10);  // hears of no leader, does not stand yet
  s.Elect(2);
  CHECK(s.applied(2) == Index(4));
  CHECK(s.applied(3) == Index(4));
  s.Heal();
  s.Unblock(1);
  s.Beat(2);
  s.Beat(2);
  CHECK(s.raft(1).role() == Role::kFollower);
  CHECK(s.applied(1) == Index(4));
}

// Raft::Step refuses such an append before; the log does not rely on it.
TEST_CASE("raft rules: a log never replaces what is committed") {
  raft::Restored restored;
  restored.hard_state = {Term(3), NodeId(), Index(1)};
  restored.entries = {{Index(1), Term(2), raft::EntryType::kNormal, "kept"}};
  raft::RaftLog log(std::move(restored));
  CHECK(!log.Merge({{Index(1), Term(3), raft::EntryType::kNormal, "other"}}));
  CHECK(log.Holds(Index(1), Term(2)));
}

}  // namespace bascule
