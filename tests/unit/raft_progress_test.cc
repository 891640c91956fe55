// How far a leader knows a member to be, and the reads that wait for a majority.
#include <doctest/doctest.h>

#include "replication/meta/raft/progress.h"
#include "replication/meta/raft/read_index.h"

namespace bascule::raft {
namespace {

TEST_CASE("raft progress: a probe waits for its answer, then entries are sent ahead of answers") {
  Progress progress(Index(11), 2);
  CHECK(progress.state() == ProgressState::kProbe);
  progress.OnSent(3);
  CHECK(progress.IsPaused());
  CHECK(progress.next() == Index(11));  // the same again when it is lost
  CHECK(progress.Acknowledge(Index(13)));
  CHECK(!progress.IsPaused());
  progress.BecomeReplicate();
  CHECK(progress.next() == Index(14));
  progress.OnSent(2);
  CHECK(progress.next() == Index(16));
  CHECK(!progress.IsPaused());
  progress.OnSent(1);
  CHECK(progress.IsFull());
  CHECK(progress.IsPaused());
  CHECK(progress.Acknowledge(Index(15)));  // the first of the two
  CHECK(!progress.IsFull());
  CHECK(!progress.IsPaused());
}

TEST_CASE("raft progress: an answer that is known already changes nothing") {
  Progress progress(Index(11), 2);
  CHECK(progress.Acknowledge(Index(12)));
  CHECK(!progress.Acknowledge(Index(12)));
  CHECK(!progress.Acknowledge(Index(5)));
  CHECK(progress.match() == Index(12));
}

TEST_CASE("raft progress: a refusal moves back, never behind what is known to be there") {
  Progress progress(Index(21), 2);
  progress.OnSent(1);
  CHECK(!progress.Refuse(Index(10), Index(3)));  // of an older probe
  CHECK(progress.IsPaused());
  CHECK(progress.Refuse(Index(20), Index(7)));
  CHECK(progress.next() == Index(8));
  CHECK(!progress.IsPaused());
  CHECK(progress.Acknowledge(Index(9)));
  progress.BecomeReplicate();
  progress.OnSent(4);
  CHECK(!progress.Refuse(Index(9), Index(1)));
  CHECK(progress.Refuse(Index(11), Index(1)));
  CHECK(progress.next() == Index(10));
}

TEST_CASE("raft progress: nothing is sent behind a snapshot until it has arrived or failed") {
  Progress progress(Index(3), 2);
  progress.BecomeSnapshot(Index(50));
  CHECK(progress.IsPaused());
  progress.Resume();
  CHECK(progress.IsPaused());
  Progress arrived = progress;
  arrived.BecomeProbe();
  CHECK(arrived.next() == Index(51));
  progress.AbortSnapshot();
  CHECK(progress.state() == ProgressState::kProbe);
  CHECK(progress.next() == Index(1));  // what it holds is not known
  CHECK(progress.IsPaused());          // until it is heard of
}

TEST_CASE("raft reads: a confirmation counts for the read and for those before it") {
  ReadQueue reads;
  CHECK(reads.Newest().empty());
  CHECK(reads.Add({"a", NodeId(1), Index(5), {NodeId(1)}}));
  CHECK(reads.Add({"b", NodeId(2), Index(6), {NodeId(1)}}));
  CHECK(reads.Add({"c", NodeId(1), Index(6), {NodeId(1)}}));
  CHECK(!reads.Add({"b", NodeId(3), Index(9), {}}));
  CHECK(reads.Newest() == "c");
  CHECK(reads.Confirm("x", NodeId(2)) == nullptr);
  const std::set<NodeId>* confirmed = reads.Confirm("b", NodeId(2));
  REQUIRE(confirmed != nullptr);
  CHECK(confirmed->size() == 2);
  CHECK(reads.Confirm("b", NodeId(2))->size() == 2);  // the same answer twice
  const std::vector<PendingRead> taken = reads.TakeThrough("b");
  REQUIRE(taken.size() == 2);
  CHECK(taken[0].context == "a");
  CHECK(taken[1].context == "b");
  CHECK(reads.size() == 1);
  CHECK(reads.TakeThrough("b").empty());
  CHECK(reads.TakeAll().size() == 1);
  CHECK(reads.size() == 0);
}

}  // namespace
}  // namespace bascule::raft
