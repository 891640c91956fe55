// What a leader may call committed. Rule numbers are those of replication/README.md.
#include "replication/isr/leader_replica.h"

#include <doctest/doctest.h>

namespace bascule::isr {
namespace {

constexpr LeaderEpoch kEpoch(7);

LeaderReplica Leader(const std::vector<std::string>& isr, int min_isr,
                     Durability durability = Durability::kFsync) {
  return LeaderReplica("a", kEpoch, isr, min_isr, durability, Offset(10), Offset(10), Offset(4));
}

}  // namespace

TEST_CASE("R5: alone in the ISR the flushed end is committed, not what is only appended") {
  LeaderReplica leader = Leader({"a"}, 1);
  CHECK(leader.OnAppended(Offset(11)) == Offset(10));  // what was flushed before
  CHECK(leader.high_watermark() == Offset(10));
  CHECK_FALSE(leader.OnAppended(Offset(15)).has_value());
  CHECK(leader.OnFlushed(Offset(13)) == Offset(13));
  CHECK(leader.high_watermark() == Offset(13));
}

TEST_CASE("R4: under os the appended end counts as acknowledged") {
  LeaderReplica leader = Leader({"a"}, 1, Durability::kOs);
  CHECK(leader.OnAppended(Offset(15)) == Offset(15));
  CHECK_FALSE(leader.OnFlushed(Offset(15)).has_value());
}

TEST_CASE("R5: the least position over the whole ISR is committed") {
  LeaderReplica leader = Leader({"a", "b", "c"}, 2);
  leader.OnAppended(Offset(20));
  CHECK_FALSE(leader.OnAcknowledged("b", kEpoch, Offset(18)).has_value());
  CHECK(leader.OnAcknowledged("c", kEpoch, Offset(9)) == Offset(9));
  CHECK(leader.OnAcknowledged("c", kEpoch, Offset(16)) == Offset(10));  // our own disk is behind
  CHECK(leader.OnFlushed(Offset(20)) == Offset(16));
  CHECK(leader.OnAcknowledged("c", kEpoch, Offset(20)) == Offset(18));
}

TEST_CASE("R5: the high watermark never goes back, nor does what a member has acknowledged") {
  LeaderReplica leader = Leader({"a", "b"}, 1);
  CHECK(leader.OnAcknowledged("b", kEpoch, Offset(8)) == Offset(8));
  CHECK_FALSE(leader.OnAcknowledged("b", kEpoch, Offset(3)).has_value());
  CHECK(leader.high_watermark() == Offset(8));
  leader.OnAppended(Offset(12));
  leader.OnFlushed(Offset(12));
  CHECK(leader.high_watermark() == Offset(8));
}

TEST_CASE("R4a: a new leader knows no positions: nothing moves until each member has spoken") {
  LeaderReplica leader = Leader({"a", "b", "c"}, 1);
  leader.OnAppended(Offset(20));
  CHECK_FALSE(leader.OnFlushed(Offset(20)).has_value());
  CHECK_FALSE(leader.OnAcknowledged("b", kEpoch, Offset(20)).has_value());
  CHECK(leader.high_watermark() == Offset(4));
  CHECK(leader.OnAcknowledged("c", kEpoch, Offset(20)) == Offset(20));
}

TEST_CASE("R2, R4a: an acknowledgement of another epoch counts for nothing, older or newer") {
  LeaderReplica leader = Leader({"a", "b"}, 1);
  CHECK_FALSE(leader.OnAcknowledged("b", LeaderEpoch(6), Offset(10)).has_value());
  CHECK_FALSE(leader.OnAcknowledged("b", LeaderEpoch(8), Offset(10)).has_value());
  CHECK(leader.high_watermark() == Offset(4));
  CHECK(leader.OnAcknowledged("b", kEpoch, Offset(10)) == Offset(10));
}

TEST_CASE("R5: who is not in the ISR does not count, neither for nor against") {
  LeaderReplica leader = Leader({"a", "b"}, 1);
  CHECK_FALSE(leader.OnAcknowledged("stranger", kEpoch, Offset(10)).has_value());
  CHECK(leader.OnAcknowledged("b", kEpoch, Offset(10)) == Offset(10));
  CHECK_FALSE(leader.OnAcknowledged("stranger", kEpoch, Offset(1)).has_value());
  CHECK(leader.high_watermark() == Offset(10));
}

TEST_CASE("R5a: with fewer committed members than min ISR nothing is committed") {
  LeaderReplica alone = Leader({"a"}, 2);
  alone.OnAppended(Offset(20));
  CHECK_FALSE(alone.OnFlushed(Offset(20)).has_value());
  CHECK(alone.high_watermark() == Offset(4));

  LeaderReplica pair = Leader({"a", "b"}, 2);
  pair.OnAppended(Offset(20));
  pair.OnFlushed(Offset(20));
  CHECK(pair.OnAcknowledged("b", kEpoch, Offset(20)) == Offset(20));
}

TEST_CASE("R5a: a lower min ISR commits what waited for it, a higher one takes nothing back") {
  LeaderReplica leader = Leader({"a"}, 2, Durability::kFsync);
  CHECK_FALSE(leader.OnFlushed(Offset(10)).has_value());
  CHECK(leader.SetMinIsr(1) == Offset(10));
  CHECK_FALSE(leader.SetMinIsr(2).has_value());
  CHECK(leader.high_watermark() == Offset(10));
  CHECK_FALSE(leader.OnAppended(Offset(11)).has_value());
  CHECK_FALSE(leader.OnFlushed(Offset(11)).has_value());
}

TEST_CASE("R5c: a new leader starts at the high watermark it knew, and no higher") {
  const LeaderReplica alone = Leader({"a"}, 1);
  CHECK(alone.high_watermark() == Offset(4));
  CHECK(alone.epoch() == kEpoch);
  LeaderReplica pair = Leader({"a", "b"}, 1);
  // A member that is behind what was committed does not pull it back.
  CHECK_FALSE(pair.OnAcknowledged("b", kEpoch, Offset(2)).has_value());
  CHECK(pair.high_watermark() == Offset(4));
}

}  // namespace bascule::isr
