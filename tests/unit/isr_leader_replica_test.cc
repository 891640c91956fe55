// What a leader may call committed. Rule numbers are those of replication/README.md.
#include "replication/isr/leader_replica.h"

#include <doctest/doctest.h>

#include "core/base/text.h"

namespace bascule::isr {
namespace {

constexpr LeaderEpoch kEpoch(7);
constexpr std::chrono::seconds kLag(10);

MonotonicTime At(double seconds) { return MonotonicTime(static_cast<int64_t>(seconds * 1e9)); }

PartitionView View(const std::vector<std::string>& isr, int min_isr, uint64_t version = 1,
                   const std::vector<std::string>& others = {}) {
  PartitionView view{version, min_isr, {}};
  for (const std::string& broker : isr) view.replicas.push_back({broker, 1, true, true, false});
  for (const std::string& broker : others) view.replicas.push_back({broker, 1, true, false, false});
  return view;
}

LeaderReplica LeaderOf(const PartitionView& view, Durability durability = Durability::kFsync) {
  return LeaderReplica({"a", kEpoch, durability, kLag}, view, {Offset(10), Offset(10), Offset(4)},
                       At(0));
}

LeaderReplica Leader(const std::vector<std::string>& isr, int min_isr,
                     Durability durability = Durability::kFsync) {
  return LeaderOf(View(isr, min_isr), durability);
}

Acknowledgement Ack(const std::string& broker, int64_t position, LeaderEpoch epoch = kEpoch,
                    Incarnation incarnation = 1) {
  return {broker, incarnation, epoch, Offset(position)};
}

std::string Members(const std::optional<IsrProposal>& proposal) {
  if (!proposal) return "none";
  CHECK(proposal->epoch == kEpoch);
  std::string text;
  for (const IsrProposal::Member& member : proposal->isr)
    text += Concat(text.empty() ? "" : " ", member.broker, ":", member.incarnation);
  for (const std::string& broker : proposal->verified) text += " verified " + broker;
  return text;
}

}  // namespace

TEST_CASE("R5: alone in the ISR the flushed end is committed, not what is only appended") {
  LeaderReplica leader = Leader({"a"}, 1);
  CHECK(leader.OnAppended(Offset(11), At(0)) == Offset(10));  // what was flushed before
  CHECK(leader.high_watermark() == Offset(10));
  CHECK_FALSE(leader.OnAppended(Offset(15), At(0)).has_value());
  CHECK(leader.OnFlushed(Offset(13)) == Offset(13));
  CHECK(leader.high_watermark() == Offset(13));
}

TEST_CASE("R4: under os the appended end counts as acknowledged") {
  LeaderReplica leader = Leader({"a"}, 1, Durability::kOs);
  CHECK(leader.OnAppended(Offset(15), At(0)) == Offset(15));
  CHECK_FALSE(leader.OnFlushed(Offset(15)).has_value());
}

TEST_CASE("R5: the least position over the whole ISR is committed") {
  LeaderReplica leader = Leader({"a", "b", "c"}, 2);
  leader.OnAppended(Offset(20), At(0));
  CHECK_FALSE(leader.OnAcknowledged(Ack("b", 18), At(0)).has_value());
  CHECK(leader.OnAcknowledged(Ack("c", 9), At(0)) == Offset(9));
  CHECK(leader.OnAcknowledged(Ack("c", 16), At(0)) == Offset(10));  // our own disk is behind
  CHECK(leader.OnFlushed(Offset(20)) == Offset(16));
  CHECK(leader.OnAcknowledged(Ack("c", 20), At(0)) == Offset(18));
}

TEST_CASE("R5: the high watermark never goes back, nor does what a member has acknowledged") {
  LeaderReplica leader = Leader({"a", "b"}, 1);
  CHECK(leader.OnAcknowledged(Ack("b", 8), At(0)) == Offset(8));
  CHECK_FALSE(leader.OnAcknowledged(Ack("b", 3), At(0)).has_value());
  CHECK(leader.high_watermark() == Offset(8));
  leader.OnAppended(Offset(12), At(0));
  leader.OnFlushed(Offset(12));
  CHECK(leader.high_watermark() == Offset(8));
}

TEST_CASE("R4a: a new leader knows no positions: nothing moves until each member has spoken") {
  LeaderReplica leader = Leader({"a", "b", "c"}, 1);
  leader.OnAppended(Offset(20), At(0));
  CHECK_FALSE(leader.OnFlushed(Offset(20)).has_value());
  CHECK_FALSE(leader.OnAcknowledged(Ack("b", 20), At(0)).has_value());
  CHECK(leader.high_watermark() == Offset(4));
  CHECK(leader.OnAcknowledged(Ack("c", 20), At(0)) == Offset(20));
}

TEST_CASE("R2, R4a: an acknowledgement of another epoch counts for nothing, older or newer") {
  LeaderReplica leader = Leader({"a", "b"}, 1);
  CHECK_FALSE(leader.OnAcknowledged(Ack("b", 10, LeaderEpoch(6)), At(0)).has_value());
  CHECK_FALSE(leader.OnAcknowledged(Ack("b", 10, LeaderEpoch(8)), At(0)).has_value());
  CHECK(leader.high_watermark() == Offset(4));
  CHECK(leader.OnAcknowledged(Ack("b", 10), At(0)) == Offset(10));
}

TEST_CASE("R5: who is not in the ISR does not count, neither for nor against") {
  LeaderReplica leader = Leader({"a", "b"}, 1);
  CHECK_FALSE(leader.OnAcknowledged(Ack("stranger", 10), At(0)).has_value());
  CHECK(leader.OnAcknowledged(Ack("b", 10), At(0)) == Offset(10));
  CHECK_FALSE(leader.OnAcknowledged(Ack("stranger", 1), At(0)).has_value());
  CHECK(leader.high_watermark() == Offset(10));
}

TEST_CASE("R5a: with fewer committed members than min ISR nothing is committed") {
  LeaderReplica alone = Leader({"a"}, 2);
  alone.OnAppended(Offset(20), At(0));
  CHECK_FALSE(alone.OnFlushed(Offset(20)).has_value());
  CHECK(alone.high_watermark() == Offset(4));

  LeaderReplica pair = Leader({"a", "b"}, 2);
  pair.OnAppended(Offset(20), At(0));
  pair.OnFlushed(Offset(20));
  CHECK(pair.OnAcknowledged(Ack("b", 20), At(0)) == Offset(20));
}

TEST_CASE("R5a: a lower min ISR commits what waited for it, a higher one takes nothing back") {
  LeaderReplica leader = Leader({"a"}, 2, Durability::kFsync);
  CHECK_FALSE(leader.OnFlushed(Offset(10)).has_value());
  CHECK(leader.OnView(View({"a"}, 1, 2), At(0)) == Offset(10));
  CHECK_FALSE(leader.OnView(View({"a"}, 2, 3), At(0)).has_value());
  CHECK(leader.high_watermark() == Offset(10));
  CHECK_FALSE(leader.OnAppended(Offset(11), At(0)).has_value());
  CHECK_FALSE(leader.OnFlushed(Offset(11)).has_value());
}

TEST_CASE("R5c: a new leader starts at the high watermark it knew, and no higher") {
  const LeaderReplica alone = Leader({"a"}, 1);
  CHECK(alone.high_watermark() == Offset(4));
  CHECK(alone.epoch() == kEpoch);
  LeaderReplica pair = Leader({"a", "b"}, 1);
  // A member that is behind what was committed does not pull it back.
  CHECK_FALSE(pair.OnAcknowledged(Ack("b", 2), At(0)).has_value());
  CHECK(pair.high_watermark() == Offset(4));
}

TEST_CASE(
    "R4a: an acknowledgement of another life of the broker counts for nothing; a new life begins "
    "anew") {
  LeaderReplica leader = Leader({"a", "b"}, 1);
  CHECK_FALSE(leader.OnAcknowledged(Ack("b", 10, kEpoch, 2), At(0)).has_value());
  CHECK(leader.OnAcknowledged(Ack("b", 6), At(0)) == Offset(6));
  PartitionView view = View({"a", "b"}, 1);
  view.replicas[1].incarnation = 2;  // its version is the same: a registration changes no set
  CHECK_FALSE(leader.OnView(view, At(0)).has_value());
  CHECK_FALSE(leader.OnAcknowledged(Ack("b", 9), At(0)).has_value());  // the old life's, late
  CHECK(leader.high_watermark() == Offset(6));
  CHECK(leader.StandingOf("b")->acknowledged == std::nullopt);
  CHECK(leader.OnAcknowledged(Ack("b", 8, kEpoch, 2), At(0)) == Offset(8));
}

TEST_CASE(
    "R8: a follower joins at the high watermark and the log end of the election, not below "
    "either") {
  LeaderReplica leader = LeaderOf(View({"a", "b"}, 1, 1, {"c"}));
  CHECK(Members(leader.Propose(At(0))) == "none");
  leader.OnAcknowledged(Ack("c", 9), At(1));  // at the high watermark (4), below the epoch's start
  CHECK(Members(leader.Propose(At(1))) == "none");
  leader.OnAppended(Offset(20), At(1));
  leader.OnFlushed(Offset(20));
  CHECK(leader.OnAcknowledged(Ack("b", 15), At(1)) == Offset(15));
  leader.OnAcknowledged(Ack("c", 14),
                        At(1));  // at the epoch's start (10), below the high watermark
  CHECK(Members(leader.Propose(At(1))) == "none");
  leader.OnAcknowledged(Ack("c", 15), At(1));
  const auto proposal = leader.Propose(At(1));
  CHECK(Members(proposal) == "a:1 b:1 c:1");
  CHECK(proposal->version == 1);
  // R5: it counts from the proposal on, whatever becomes of it.
  CHECK_FALSE(leader.OnAcknowledged(Ack("b", 20), At(1)).has_value());
  CHECK(leader.OnAcknowledged(Ack("c", 18), At(1)) == Offset(18));
  CHECK(Members(leader.Propose(At(1))) == "none");  // one at a time
  CHECK_FALSE(leader.OnView(View({"a", "b", "c"}, 1, 2), At(1)).has_value());
  CHECK(Members(leader.Propose(At(1))) == "none");
}

TEST_CASE("R5b: of a proposal with an unknown outcome everybody counts, until the version rises") {
  LeaderReplica leader = LeaderOf(View({"a", "b"}, 1, 1, {"c"}));
  leader.OnAcknowledged(Ack("b", 10), At(1));
  leader.OnAcknowledged(Ack("c", 10), At(1));
  REQUIRE(Members(leader.Propose(At(1))) == "a:1 b:1 c:1");
  leader.ProposalEnded();
  leader.OnAppended(Offset(20), At(1));
  leader.OnFlushed(Offset(20));
  CHECK_FALSE(leader.OnAcknowledged(Ack("b", 20), At(1)).has_value());  // c holds it
  // c has died; its membership may have been carried out all the same. The set as it is finds out.
  PartitionView view = View({"a", "b"}, 1, 1, {"c"});
  view.replicas[2].live = false;
  CHECK_FALSE(leader.OnView(view, At(1)).has_value());
  CHECK(Members(leader.Propose(At(2))) == "a:1 b:1");
  CHECK(leader.high_watermark() == Offset(10));
  view.version = 2;
  CHECK(leader.OnView(view, At(2)) == Offset(20));
  CHECK(Members(leader.Propose(At(2))) == "none");
}

TEST_CASE("R5: a proposed shrink frees nobody before its delta") {
  LeaderReplica leader = Leader({"a", "b", "c"}, 1);
  leader.OnAppended(Offset(20), At(0));
  leader.OnFlushed(Offset(20));
  leader.OnAcknowledged(Ack("b", 20), At(1));
  CHECK(Members(leader.Propose(At(9))) == "none");
  CHECK(Members(leader.Propose(At(10.5))) == "a:1 b:1");  // c has never spoken
  CHECK(leader.high_watermark() == Offset(4));
  CHECK(leader.OnView(View({"a", "b"}, 1, 2, {"c"}), At(11)) == Offset(20));
}

TEST_CASE(
    "R8: who reaches, within the time, what there was at its last word is level; an idle one stays "
    "so") {
  LeaderReplica leader = Leader({"a", "b"}, 1);
  leader.OnAcknowledged(Ack("b", 10), At(0));
  CHECK(Members(leader.Propose(At(1000))) == "none");  // idle for long, and nothing to reach
  leader.OnAppended(Offset(100), At(1000));
  CHECK(Members(leader.Propose(At(1009))) == "none");
  // Always behind a log that always grows, but never for long.
  int64_t end = 100;
  for (int step = 1; step <= 50; ++step) {
    const MonotonicTime now = At(1000 + 5 * step);
    leader.OnAcknowledged(Ack("b", end), now);
    end += 100;
    leader.OnAppended(Offset(end), now);
    leader.OnAppended(Offset(end += 7), now);
    CHECK(Members(leader.Propose(now)) == "none");
  }
  // Moving all the time and falling behind: out.
  const double from = 1000 + 5 * 50;
  std::string proposed = "none";
  int64_t at = end - 100;
  for (int step = 1; step <= 12 && proposed == "none"; ++step) {
    leader.OnAcknowledged(Ack("b", ++at), At(from + step));
    leader.OnAppended(Offset(end += 100), At(from + step));
    proposed = Members(leader.Propose(At(from + step)));
    CHECK((proposed == "none") == (step <= 10));
  }
  CHECK(proposed == "a:1");
}

TEST_CASE("R8: a member that restarts all the time and is never level is not waited for longer") {
  LeaderReplica leader = Leader({"a", "b"}, 1);
  leader.OnAppended(Offset(20), At(1));
  PartitionView view = View({"a", "b"}, 1);
  for (int life = 2; life <= 4; ++life) {
    view.replicas[1].incarnation = static_cast<Incarnation>(life);
    leader.OnView(view, At(3 * life));
    leader.OnAcknowledged(Ack("b", 3, kEpoch, static_cast<Incarnation>(life)), At(3 * life));
  }
  CHECK(Members(leader.Propose(At(12.5))) == "a:1");
  // One that was level has its whole time from its registration on.
  LeaderReplica other = Leader({"a", "b"}, 1);
  other.OnAcknowledged(Ack("b", 10), At(0));
  view.replicas[1].incarnation = 2;
  other.OnView(view, At(100));
  CHECK(Members(other.Propose(At(109))) == "none");
  CHECK(Members(other.Propose(At(111))) == "a:1");
}

TEST_CASE(
    "R8: who owes an acknowledgement and sends none is not waited for as long as who is slow") {
  LeaderReplica::Options options{"a", kEpoch, Durability::kFsync, std::chrono::seconds(10),
                                 std::chrono::seconds(2)};
  LeaderReplica leader(options, View({"a", "b", "c"}, 2), {Offset(10), Offset(10), Offset(0)},
                       At(0));
  leader.OnAcknowledged(Ack("b", 10), At(0));
  leader.OnAcknowledged(Ack("c", 10), At(0));
  CHECK(Members(leader.Propose(At(100))) == "none");  // neither owes any
  leader.OnAppended(Offset(20), At(100));
  for (int second = 101; second <= 103; ++second) {  // c is slow
    leader.OnAppended(Offset(second), At(second));
    leader.OnAcknowledged(Ack("c", 11 + second - 101), At(second));
    if (second == 101) CHECK(Members(leader.Propose(At(101.9))) == "none");
  }
  CHECK(Members(leader.Propose(At(103))) == "a:1 c:1");
}

TEST_CASE(
    "R7b: a doubtful member holds the high watermark until it is verified, and is proposed so when "
    "level") {
  PartitionView view = View({"a", "b", "c"}, 2);
  view.replicas[1].doubtful = true;
  LeaderReplica leader = LeaderOf(view);
  leader.OnAppended(Offset(20), At(0));
  leader.OnFlushed(Offset(20));
  leader.OnAcknowledged(Ack("c", 20), At(1));
  leader.OnAcknowledged(Ack("b", 9), At(1));  // R3 is done, and what was lost is not there yet
  CHECK(Members(leader.Propose(At(1))) == "none");
  CHECK_FALSE(leader.OnAcknowledged(Ack("b", 20), At(1)).has_value());
  CHECK(leader.StandingOf("b")->doubtful);
  CHECK(Members(leader.Propose(At(1))) == "a:1 b:1 c:1 verified b");
  view.version = 2;
  view.replicas[1].doubtful = false;
  CHECK(leader.OnView(view, At(1)) == Offset(20));
}

TEST_CASE("R3a: a question is answered in its epoch, to the registered life, from the log's end") {
  LeaderReplica leader = Leader({"a", "b"}, 1);
  leader.OnAppended(Offset(14), At(0));  // not flushed
  const LogEpochs own{Offset(2), Offset(14), {{LeaderEpoch(3), Offset(2)}, {kEpoch, Offset(10)}}};
  ReconcileQuestion question{
      kEpoch,
      "b",
      1,
      5,
      {Offset(0), Offset(12), {{LeaderEpoch(3), Offset(0)}, {LeaderEpoch(4), Offset(8)}}}};
  const auto answer = leader.Answer(question, own);
  REQUIRE(answer.has_value());
  CHECK(answer->number == 5);
  CHECK(answer->incarnation == 1);
  CHECK(answer->epoch == kEpoch);
  CHECK(answer->common_end == Offset(8));
  CHECK(answer->leader_start == Offset(2));
  CHECK_FALSE(answer->lost);
  ReconcileQuestion other = question;
  other.epoch = LeaderEpoch(6);
  CHECK_FALSE(leader.Answer(other, own).has_value());
  other = question;
  other.incarnation = 2;
  CHECK_FALSE(leader.Answer(other, own).has_value());
  other = question;
  other.broker = "x";
  CHECK_FALSE(leader.Answer(other, own).has_value());
  other = question;
  other.log.epochs = {{LeaderEpoch(4), Offset(8)}, {LeaderEpoch(3), Offset(9)}};
  CHECK_FALSE(leader.Answer(other, own).has_value());
  // R9: shorter than what it said that it had.
  leader.OnAcknowledged(Ack("b", 13), At(0));
  CHECK(leader.Answer(question, own)->lost);
}

TEST_CASE(
    "R4a: nobody has acknowledged what the leader has not written: it would count for what comes "
    "there") {
  LeaderReplica leader = Leader({"a", "b"}, 1);
  CHECK_FALSE(leader.OnAcknowledged(Ack("b", 11), At(0)).has_value());
  CHECK(leader.StandingOf("b")->acknowledged == std::nullopt);
  CHECK(leader.OnAcknowledged(Ack("b", 10), At(0)) == Offset(10));
  leader.OnAppended(Offset(20), At(0));
  CHECK_FALSE(leader.OnFlushed(Offset(20)).has_value());
}

TEST_CASE(
    "R3: who holds nothing that is known to be right before the leader's log begins is to begin "
    "anew") {
  const LeaderReplica leader = Leader({"a", "b"}, 1);
  const LogEpochs own{Offset(5), Offset(10), {{LeaderEpoch(6), Offset(5)}}};
  const auto answer = [&](LogEpochs log) {
    return *leader.Answer({kEpoch, "b", 1, 1, std::move(log)}, own);
  };
  // Its records before offset 5 may be those of a leader that was replaced.
  CHECK(answer({Offset(0), Offset(9), {{LeaderEpoch(1), Offset(0)}, {LeaderEpoch(5), Offset(3)}}})
            .anew);
  CHECK(answer({Offset(0), Offset(5), {{LeaderEpoch(5), Offset(0)}}}).anew);
  CHECK(answer({Offset(0), Offset(3), {{LeaderEpoch(5), Offset(0)}}}).anew);
  CHECK(answer({Offset(0), Offset(0), {}}).anew);
  const auto shared =
      answer({Offset(0), Offset(9), {{LeaderEpoch(1), Offset(0)}, {LeaderEpoch(6), Offset(4)}}});
  CHECK_FALSE(shared.anew);
  CHECK(shared.common_end == Offset(9));
  // An epoch in common that ends before the leader's log begins.
  const LogEpochs late{
      Offset(5), Offset(10), {{LeaderEpoch(5), Offset(5)}, {LeaderEpoch(6), Offset(7)}}};
  const auto before = *leader.Answer(
      {kEpoch, "b", 1, 1, {Offset(0), Offset(4), {{LeaderEpoch(5), Offset(2)}}}}, late);
  CHECK(before.anew);
  // Or before the follower's: all that it has goes.
  const auto none = *leader.Answer(
      {kEpoch, "b", 1, 1, {Offset(8), Offset(12), {{LeaderEpoch(5), Offset(8)}}}}, late);
  CHECK_FALSE(none.anew);
  CHECK(none.common_end == Offset(8));
  const auto later = answer({Offset(7), Offset(9), {{LeaderEpoch(5), Offset(7)}}});
  CHECK_FALSE(later.anew);
  CHECK(later.common_end == Offset(7));
}

}  // namespace bascule::isr
