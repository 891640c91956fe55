// The entries a member of a Raft group holds in memory.
#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "replication/meta/raft/raft_log.h"

namespace bascule::raft {
namespace {

std::vector<Entry> Entries(uint64_t from, const std::vector<uint64_t>& terms) {
  std::vector<Entry> entries;
  for (const uint64_t term : terms) {
    entries.push_back({Index(from++), Term(term), EntryType::kNormal, std::string(10, 'x')});
  }
  return entries;
}

// Compacted through 10 (of term 2); 11.. have these terms; committed through `commit`.
RaftLog LogOf(const std::vector<uint64_t>& terms, uint64_t commit = 10) {
  Restored restored;
  restored.hard_state = {Term(9), NodeId(), Index(commit)};
  restored.snapshot = {Index(10), Term(2), {}};
  restored.entries = Entries(11, terms);
  return RaftLog(std::move(restored));
}

TEST_CASE("raft log: what is restored is durable, and committed as far as was known") {
  const RaftLog log = LogOf({2, 3, 3}, 12);
  CHECK(log.first() == Index(11));
  CHECK(log.last() == Index(13));
  CHECK(log.stable() == Index(13));
  CHECK(log.committed() == Index(12));
  CHECK(log.applied() == Index(10));
  CHECK(log.last_term() == Term(3));
  CHECK(!log.HasUnwritten());
  CHECK(LogOf({}, 3).committed() == Index(10));  // the snapshot counts as committed
  CHECK(LogOf({}).last_term() == Term(2));
}

TEST_CASE("raft log: terms are known from the compacted entry to the last one") {
  const RaftLog log = LogOf({2, 3});
  CHECK(log.TermAt(Index(9)) == std::nullopt);
  CHECK(log.TermAt(Index(10)) == Term(2));
  CHECK(log.TermAt(Index(12)) == Term(3));
  CHECK(log.TermAt(Index(13)) == std::nullopt);
  CHECK(log.Holds(Index(12), Term(3)));
  CHECK(!log.Holds(Index(12), Term(2)));
  CHECK(log.IsUpToDate(Index(12), Term(3)));
  CHECK(log.IsUpToDate(Index(1), Term(4)));
  CHECK(!log.IsUpToDate(Index(11), Term(3)));
  CHECK(!log.IsUpToDate(Index(99), Term(2)));
}

TEST_CASE("raft log: entries that agree are kept, what conflicts goes with all behind it") {
  RaftLog log = LogOf({2, 3, 3, 3}, 11);
  CHECK(log.Merge(Entries(11, {2, 3})));  // known already: nothing is cut
  CHECK(log.last() == Index(14));
  CHECK(log.Merge(Entries(12, {3, 4})));
  CHECK(log.last() == Index(13));
  CHECK(log.TermAt(Index(13)) == Term(4));
  CHECK(log.stable() == Index(12));
  CHECK(log.Unwritten() == Entries(13, {4}));
  CHECK(log.Merge(Entries(9, {2, 2, 2, 3})));  // begins before the compaction
  CHECK(log.last() == Index(13));
}

TEST_CASE("raft log: committed entries are never replaced") {
  RaftLog log = LogOf({2, 3, 3}, 12);
  CHECK(!log.Merge(Entries(12, {5, 5})));
  CHECK(log.last() == Index(13));
  CHECK(log.TermAt(Index(12)) == Term(3));
}

TEST_CASE("raft log: what was handed out is durable when that was done, unless it was cut off") {
  RaftLog log = LogOf({});
  CHECK(log.Merge(Entries(11, {3, 3, 3})));
  log.SetWritten();
  CHECK(!log.HasUnwritten());
  CHECK(log.Merge(Entries(12, {4})));  // while 11 to 13 are being written
  log.SetStable();
  CHECK(log.stable() == Index(11));
  CHECK(log.Unwritten() == Entries(12, {4}));
  log.SetWritten();
  log.SetStable();
  CHECK(log.stable() == Index(12));
}

TEST_CASE("raft log: a search for common ground ends at the first term that is not greater") {
  const RaftLog log = LogOf({3, 3, 5, 5});
  CHECK(log.FindConflictByTerm(Index(14), Term(9)) == std::pair(Index(14), Term(5)));
  CHECK(log.FindConflictByTerm(Index(14), Term(4)) == std::pair(Index(12), Term(3)));
  CHECK(log.FindConflictByTerm(Index(14), Term(2)) == std::pair(Index(10), Term(2)));
  CHECK(log.FindConflictByTerm(Index(14), Term(1)) == std::pair(Index(9), Term()));  // compacted
  CHECK(log.FindConflictByTerm(Index(99), Term(1)) == std::pair(Index(99), Term()));
}

TEST_CASE("raft log: a slice keeps to its size, but gives one entry if there is one") {
  const RaftLog log = LogOf({3, 3, 3});
  const size_t one = Bytes(log.At(Index(11)));
  CHECK(log.Slice(Index(11), Index(13), one * 2).size() == 2);
  CHECK(log.Slice(Index(11), Index(13), 1).size() == 1);
  CHECK(log.Slice(Index(12), Index(12), 1000).front().index == Index(12));
  CHECK(log.Slice(Index(14), Index(20), 1000).empty());
}

TEST_CASE("raft log: compaction keeps the term of its last entry") {
  RaftLog log = LogOf({3, 4, 4}, 13);
  log.AppliedTo(Index(13));
  log.Compact(Index(12), {Index(13), Term(4), {}});
  CHECK(log.first() == Index(13));
  CHECK(log.TermAt(Index(12)) == Term(4));
  CHECK(log.snapshot().index == Index(13));
  log.Compact(Index(11), {Index(13), Term(4), {}});  // behind already: nothing
  CHECK(log.first() == Index(13));
}

TEST_CASE("raft log: a snapshot that arrives replaces everything") {
  RaftLog log = LogOf({3, 3, 3}, 11);
  log.Reset({Index(20), Term(7), {}});
  CHECK(log.last() == Index(20));
  CHECK(log.last_term() == Term(7));
  CHECK(log.committed() == Index(20));
  CHECK(!log.HasUnwritten());
  CHECK(log.Merge(Entries(21, {7})));
  CHECK(log.Unwritten() == Entries(21, {7}));
}

}  // namespace
}  // namespace bascule::raft
