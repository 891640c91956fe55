// A follower in one epoch. Rule numbers are those of replication/README.md.
#include "replication/isr/follower_replica.h"

#include <doctest/doctest.h>

namespace bascule::isr {
namespace {

using Todo = FollowerReplica::Todo;
using Frame = FollowerReplica::FrameVerdict;

constexpr LeaderEpoch kPresent(7);

FollowerReplica Follower(Durability durability = Durability::kFsync) {
  return FollowerReplica({"b", 3, kPresent, durability, 100}, Offset(20), Offset(18), Offset(6));
}

LogEpochs Log(std::vector<EpochStart> epochs = {{LeaderEpoch(5), Offset(0)}}, int64_t end = 20) {
  return {Offset(0), Offset(end), std::move(epochs)};
}

ReconcileAnswer AnswerTo(uint64_t number, int64_t common_end, int64_t leader_start = 0,
                         bool anew = false) {
  return {kPresent, 3, number, Offset(common_end), Offset(leader_start), anew, false};
}

FollowerReplica InLine() {
  FollowerReplica follower = Follower();
  follower.Ask(Log());
  REQUIRE(follower.OnAnswer(AnswerTo(100, 20)).todo == Todo::kFollow);
  return follower;
}

}  // namespace

TEST_CASE("R3c: until its log is in line a follower appends, acknowledges and shows nothing new") {
  FollowerReplica follower = Follower();
  CHECK(follower.OnFrame(kPresent, Offset(20), Offset(21)) == Frame::kNotYet);
  CHECK_FALSE(follower.Acknowledge().has_value());
  CHECK_FALSE(follower.OnHighWatermark(kPresent, Offset(15)).has_value());
  const ReconcileQuestion question = follower.Ask(Log());
  CHECK(question.number == 100);
  CHECK(question.incarnation == 3);
  CHECK(question.broker == "b");
  CHECK(question.epoch == kPresent);
  CHECK(question.log == Log());
  CHECK_FALSE(follower.Acknowledge().has_value());
  const auto verdict = follower.OnAnswer(AnswerTo(100, 12));
  CHECK(verdict.todo == Todo::kCut);
  CHECK(verdict.offset == Offset(12));
  CHECK(follower.OnFrame(kPresent, Offset(12), Offset(13)) == Frame::kNotYet);
  CHECK_FALSE(follower.Acknowledge().has_value());
  CHECK_FALSE(follower.OnHighWatermark(kPresent, Offset(15)).has_value());
  follower.OnCut(Offset(12), Offset(12));
  CHECK(follower.OnFrame(kPresent, Offset(12), Offset(13)) == Frame::kAppend);
  const auto ack = follower.Acknowledge();
  REQUIRE(ack.has_value());
  CHECK(ack->position == Offset(12));
  CHECK(ack->incarnation == 3);
  CHECK(ack->epoch == kPresent);
  CHECK(ack->broker == "b");
  CHECK_FALSE(follower.OnHighWatermark(kPresent, Offset(6)).has_value());
  CHECK(follower.OnHighWatermark(kPresent, Offset(9)) == Offset(9));
}

TEST_CASE("R3a: an answer is good for the last question of this process in this epoch, once") {
  FollowerReplica follower = Follower();
  CHECK(follower.OnAnswer(AnswerTo(99, 20)).todo == Todo::kNothing);  // none was asked
  follower.Ask(Log());
  follower.Ask(Log());
  CHECK(follower.last_question() == 101);
  CHECK(follower.OnAnswer(AnswerTo(100, 20)).todo == Todo::kNothing);
  ReconcileAnswer other = AnswerTo(101, 20);
  other.epoch = LeaderEpoch(6);
  CHECK(follower.OnAnswer(other).todo == Todo::kNothing);
  other = AnswerTo(101, 20);
  other.incarnation = 2;
  CHECK(follower.OnAnswer(other).todo == Todo::kNothing);
  CHECK(follower.phase() == FollowerReplica::Phase::kAsking);
  CHECK(follower.OnAnswer(AnswerTo(101, 12)).todo == Todo::kCut);
  CHECK(follower.OnAnswer(AnswerTo(101, 11)).todo == Todo::kNothing);
  follower.OnCut(Offset(12), Offset(12));
  CHECK(follower.OnAnswer(AnswerTo(101, 11)).todo == Todo::kNothing);
}

TEST_CASE("R4: what a cut leaves is durable no further than it was") {
  FollowerReplica follower = Follower();
  follower.Ask(Log());
  REQUIRE(follower.OnAnswer(AnswerTo(100, 19)).todo == Todo::kCut);
  follower.OnCut(Offset(19), Offset(18));
  CHECK(follower.log_end() == Offset(19));
  CHECK(follower.Acknowledge()->position == Offset(18));
  follower.OnFlushed(Offset(19));
  CHECK(follower.Acknowledge()->position == Offset(19));
}

TEST_CASE("R3a: records of the present epoch are not cut: asked again, then an alarm") {
  FollowerReplica follower = Follower();
  const LogEpochs log = Log({{LeaderEpoch(5), Offset(0)}, {kPresent, Offset(15)}});
  follower.Ask(log);
  CHECK(follower.OnAnswer(AnswerTo(100, 18)).todo == Todo::kAskAgain);
  follower.Ask(log);
  const auto verdict = follower.OnAnswer(AnswerTo(101, 18));
  CHECK(verdict.todo == Todo::kStop);
  CHECK(verdict.why ==
        "the leader lacks records of its own epoch 7 from 18 on, which this replica has");
  CHECK(follower.phase() == FollowerReplica::Phase::kDiverged);
  // The second answer may be the right one.
  FollowerReplica luckier = Follower();
  luckier.Ask(log);
  CHECK(luckier.OnAnswer(AnswerTo(100, 18)).todo == Todo::kAskAgain);
  luckier.Ask(log);
  CHECK(luckier.OnAnswer(AnswerTo(101, 20)).todo == Todo::kFollow);
}

TEST_CASE("R9: a log that would be cut below what it showed as committed is kept, and stops") {
  FollowerReplica follower = Follower();
  follower.Ask(Log());
  const auto verdict = follower.OnAnswer(AnswerTo(100, 5));
  CHECK(verdict.todo == Todo::kStop);
  CHECK(verdict.why ==
        "the leader's log parts from this one at 5, below what is committed here (6)");
  CHECK(follower.OnFrame(kPresent, Offset(20), Offset(21)) == Frame::kNotYet);
  CHECK_FALSE(follower.Acknowledge().has_value());
  FollowerReplica edge = Follower();
  edge.Ask(Log());
  CHECK(edge.OnAnswer(AnswerTo(100, 6)).todo == Todo::kCut);
}

TEST_CASE("R9: a log that ends before what it acknowledged has lost data, and stops") {
  FollowerReplica follower = Follower();
  follower.Ask(Log());
  ReconcileAnswer answer = AnswerTo(100, 20);
  answer.lost = true;
  CHECK(follower.OnAnswer(answer).todo == Todo::kStop);
}

TEST_CASE("an answer that cannot be stops the follower: nothing is cut on its word") {
  for (const int64_t end : {21, -1}) {
    FollowerReplica follower = Follower();
    follower.Ask(Log());
    CHECK(follower.OnAnswer(AnswerTo(100, end)).todo == Todo::kStop);
  }
}

TEST_CASE("a log that ends before the leader's begins is begun anew there") {
  FollowerReplica follower = Follower();
  follower.Ask(Log());
  const auto verdict = follower.OnAnswer(AnswerTo(100, 20, 50, true));
  CHECK(verdict.todo == Todo::kBeginAnew);
  CHECK(verdict.offset == Offset(50));
  follower.OnCut(Offset(50), Offset(50));
  CHECK(follower.high_watermark() == Offset(50));
  CHECK(follower.OnFrame(kPresent, Offset(50), Offset(51)) == Frame::kAppend);
  CHECK(follower.Acknowledge()->position == Offset(50));
  FollowerReplica edge = Follower();  // nothing is missing between the two
  edge.Ask(Log());
  CHECK(edge.OnAnswer(AnswerTo(100, 20, 20)).todo == Todo::kFollow);
}

TEST_CASE(
    "R9: a log is not begun anew before what it showed as committed, nor cut before its own "
    "beginning") {
  FollowerReplica follower = Follower();  // everything below 6 is committed
  follower.Ask(Log());
  const auto verdict = follower.OnAnswer(AnswerTo(100, 0, 5, true));
  CHECK(verdict.todo == Todo::kStop);
  CHECK(verdict.why ==
        "the leader's log begins at 5 and has nothing in common with this one, where everything "
        "below 6 is committed");
  FollowerReplica edge = Follower();
  edge.Ask(Log());
  CHECK(edge.OnAnswer(AnswerTo(100, 0, 6, true)).todo == Todo::kBeginAnew);
  // Retention has dropped what is before 10, and what it knew as committed is not known any more.
  FollowerReplica late({"b", 3, kPresent, Durability::kFsync, 100}, Offset(20), Offset(18),
                       Offset(0));
  late.Ask({Offset(10), Offset(20), {{LeaderEpoch(5), Offset(10)}}});
  CHECK(late.OnAnswer(AnswerTo(100, 9)).todo == Todo::kStop);
}

TEST_CASE("R2, R3c: frames of other epochs and off the log's end are told apart") {
  FollowerReplica follower = InLine();
  CHECK(follower.OnFrame(LeaderEpoch(6), Offset(20), Offset(21)) == Frame::kOld);
  CHECK(follower.OnFrame(LeaderEpoch(8), Offset(20), Offset(21)) == Frame::kNewer);
  CHECK(follower.OnFrame(kPresent, Offset(20), Offset(30)) == Frame::kAppend);
  CHECK(follower.OnFrame(kPresent, Offset(15), Offset(20)) == Frame::kHave);
  CHECK(follower.OnFrame(kPresent, Offset(15), Offset(21)) == Frame::kElsewhere);
  CHECK(follower.OnFrame(kPresent, Offset(21), Offset(22)) == Frame::kElsewhere);
}

TEST_CASE("R4: what is durable is acknowledged, once each; under os what is appended") {
  FollowerReplica follower = InLine();
  CHECK(follower.Acknowledge()->position == Offset(18));
  CHECK_FALSE(follower.Acknowledge().has_value());
  follower.OnAppended(Offset(30));
  CHECK_FALSE(follower.Acknowledge().has_value());
  follower.OnFlushed(Offset(25));
  CHECK(follower.Acknowledge()->position == Offset(25));
  CHECK_FALSE(follower.Acknowledge().has_value());
  follower.ForgetAcknowledged();  // a new line
  CHECK(follower.Acknowledge()->position == Offset(25));

  FollowerReplica os = Follower(Durability::kOs);
  os.Ask(Log());
  os.OnAnswer(AnswerTo(100, 20));
  CHECK(os.Acknowledge()->position == Offset(20));
}

TEST_CASE("R10: committed is what the leader says, as far as the log goes, and never less") {
  FollowerReplica follower = InLine();
  CHECK_FALSE(follower.OnHighWatermark(LeaderEpoch(6), Offset(15)).has_value());
  CHECK_FALSE(follower.OnHighWatermark(LeaderEpoch(8), Offset(15)).has_value());
  CHECK(follower.OnHighWatermark(kPresent, Offset(15)) == Offset(15));
  CHECK_FALSE(follower.OnHighWatermark(kPresent, Offset(10)).has_value());
  CHECK(follower.OnHighWatermark(kPresent, Offset(25)) == Offset(20));
  CHECK(follower.OnAppended(Offset(22)) ==
        Offset(22));  // the rest of what was told waits for the log
  CHECK(follower.OnAppended(Offset(40)) == Offset(25));
  CHECK_FALSE(follower.OnAppended(Offset(41)).has_value());
  // A stored one is a hint.
  CHECK(FollowerReplica({"b", 3, kPresent, Durability::kFsync, 1}, Offset(5), Offset(5), Offset(9))
            .high_watermark() == Offset(5));
}

}  // namespace bascule::isr
