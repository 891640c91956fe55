// Reading through the commit log, and what its cleaner takes away meanwhile.
#include <doctest/doctest.h>

#include "tests/unit/log_files.h"

namespace bascule::log {
namespace {

using std::chrono::milliseconds;

// Three segments of `n` one-record batches each, flushed and sealed.
void FillThreeSegments(LogAtWork& world, int n) {
  world.Open();
  for (int i = 0; i < 3; ++i) {
    if (i > 0) REQUIRE(world.log->Roll().ok());
    REQUIRE(world.AppendMany(n, 100).ok());
    REQUIRE(world.Flush().ok());
  }
}

// Every offset at or before `from`, as reverse reads give them.
std::vector<Offset> Backwards(LogAtWork& world, Offset from) {
  std::vector<Offset> offsets;
  ReadPlace place;
  while (true) {
    const auto step = world.Read(from, true, place, 300);
    if (absl::IsOutOfRange(step.status())) return offsets;
    INFO("at ", from.value(), ": ", step.status().ToString());
    REQUIRE(step.ok());
    const std::vector<ReadMessage> messages = Messages(step->batches.view());
    for (auto it = messages.rbegin(); it != messages.rend(); ++it) {
      if (it->offset <= from) offsets.push_back(it->offset);
    }
    REQUIRE(step->next < from);
    from = step->next;
  }
}

std::vector<Offset> Descending(int64_t from) {
  std::vector<Offset> offsets;
  for (; from >= 0; --from) offsets.emplace_back(from);
  return offsets;
}

TEST_CASE("the newest comes from memory, without a call to the disk") {
  LogAtWork world;
  world.Open();
  REQUIRE(world.AppendMany(10).ok());
  const uint64_t before = world.fs.faults().Calls(kRead);
  CHECK(world.ReadAll(Offset(0))->size() == 10);
  CHECK_FALSE(world.planned);
  CHECK(world.fs.faults().Calls(kRead) == before);
}

TEST_CASE("a reader that has come to the end keeps no file of where it was") {
  LogAtWork world;
  FillThreeSegments(world, 50);
  world.log.reset();
  world.Open();
  ReadPlace place;
  REQUIRE(world.Read(Offset(0), false, place, 300).ok());
  CHECK(place.file != nullptr);
  REQUIRE(world.AppendMany(1).ok());
  REQUIRE(world.Read(world.log->log_end() - 1, false, place, 300).ok());
  CHECK(place.file == nullptr);
}

TEST_CASE("cold bytes come by a plan; a reader on its way needs no look-up and no new file") {
  LogAtWork world;
  FillThreeSegments(world, 50);
  world.log.reset();
  world.Open();
  world.fs.faults().rates.no_wait_unavailable = 1;
  ReadPlace place;
  auto step = world.Read(Offset(7), false, place);
  REQUIRE(step.ok());
  CHECK(world.planned);
  CHECK(Messages(step->batches.view()).front().offset == Offset(7));
  CHECK(place.next == step->next);
  CHECK(place.segment == Offset(0));
  const uint64_t opened = world.fs.faults().Calls(kOpen);
  step = world.Read(step->next, false, place);
  REQUIRE(step.ok());
  CHECK(world.fs.faults().Calls(kOpen) == opened);
  CHECK(Messages(step->batches.view()).front().offset > Offset(7));
}

TEST_CASE("what the page cache holds is read at once, cold index and all, from the second time") {
  LogAtWork world;
  FillThreeSegments(world, 50);
  world.log.reset();
  world.Open();
  ReadPlace place;
  REQUIRE(world.Read(Offset(7), false, place).ok());
  CHECK(world.planned);  // file and index first
  REQUIRE(world.Read(Offset(20), false, place).ok());
  CHECK_FALSE(world.planned);
}

TEST_CASE("a read never goes past the committed end") {
  LogAtWork world;
  world.Open();
  REQUIRE(world.AppendMany(10).ok());
  for (const bool cold : {false, true}) {
    if (cold) {
      REQUIRE(world.Flush().ok());
      world.log.reset();
      world.Open();
    }
    ReadPlace place;
    auto step = world.log->Read(Offset(2), Offset(5), false, 100'000, place);
    REQUIRE(step.ok());
    REQUIRE(step->result);
    CHECK(Messages(step->result->batches.view()).back().offset == Offset(4));
    CHECK(step->result->next == Offset(5));
    ReadPlace other;
    step = world.log->Read(Offset(5), Offset(5), false, 100'000, other);
    REQUIRE(step.ok());
    REQUIRE(step->result);
    CHECK(step->result->batches.empty());
    CHECK(step->result->next == Offset(5));
  }
}

TEST_CASE("forward and backward over segment boundaries, sealed and active, from every offset") {
  LogAtWork world;
  FillThreeSegments(world, 8);
  for (const bool cold : {false, true}) {
    if (cold) {
      world.log.reset();
      world.Open();
      world.fs.faults().rates.no_wait_unavailable = 0.5;
    }
    for (int64_t from = 0; from < 24; ++from) {
      const auto all = world.ReadAll(Offset(from));
      REQUIRE(all.ok());
      REQUIRE(all->size() == static_cast<size_t>(24 - from));
      for (size_t i = 0; i < all->size(); ++i) {
        const Offset offset(from + static_cast<int64_t>(i));
        CHECK((*all)[i].offset == offset);
        CHECK((*all)[i].value == SegmentFile::Value(offset, 100));
      }
      CHECK(Backwards(world, Offset(from)) == Descending(from));
    }
  }
}

TEST_CASE("a segment with no record in it is passed over, either way") {
  LogAtWork world;
  SegmentFile first(Offset(0)), empty(Offset(3)), last(Offset(3 + 4)), active(Offset(9));
  empty.facts.end_offset = Offset(7);  // all of it was compacted away
  PutFile(world.fs, LogPath(Offset(0)), first.AddMany(3).Sealed());
  PutFile(world.fs, LogPath(Offset(3)), empty.Sealed());
  PutFile(world.fs, LogPath(Offset(7)), last.AddMany(2).Sealed());
  PutFile(world.fs, LogPath(Offset(9)), active.bytes);
  world.Open();
  CHECK(world.log->damaged().empty());
  CHECK(world.log->log_end() == Offset(9));
  std::vector<Offset> offsets;
  const auto all = world.ReadAll(Offset(0));
  REQUIRE(all.ok());
  for (const ReadMessage& m : *all) offsets.push_back(m.offset);
  CHECK(offsets == std::vector<Offset>{Offset(0), Offset(1), Offset(2), Offset(7), Offset(8)});
  CHECK(world.ReadAll(Offset(4))->front().offset == Offset(7));
  CHECK(Backwards(world, Offset(8)) ==
        std::vector<Offset>{Offset(8), Offset(7), Offset(2), Offset(1), Offset(0)});
  CHECK(Backwards(world, Offset(5)).front() == Offset(2));
}

TEST_CASE("backward from the end finds the last message although the active segment is empty") {
  LogAtWork world;
  world.Open();
  REQUIRE(world.AppendMany(3).ok());
  REQUIRE(world.log->Roll().ok());
  ReadPlace place;
  const auto step = world.Read(world.log->log_end(), true, place);
  REQUIRE(step.ok());
  REQUIRE_FALSE(step->batches.empty());
  CHECK(Messages(step->batches.view()).back().offset == Offset(2));
}

// Offsets 10..12, 20, 21 and 40 of a segment that spans 10 to 60, as compaction leaves it.
std::string Compacted() {
  SegmentFile file(Offset(10));
  file.Add(MakeBatch({Offset(10), {"a", "b", "c"}, Timestamp(100)}));
  file.Add(MakeBatch({Offset(20), {"d", "e"}, Timestamp(200)}));
  file.Add(MakeBatch({Offset(40), {"f"}, Timestamp(300)}));
  file.facts.end_offset = Offset(60);
  file.facts.compacted_through = Offset(60);
  return file.Sealed();
}

TEST_CASE("over gaps between offsets a read goes on with the next that is there") {
  LogAtWork world;
  PutFile(world.fs, LogPath(Offset(10)), Compacted());
  PutFile(world.fs, LogPath(Offset(60)), SegmentFile(Offset(60)).AddMany(2).bytes);
  world.Open();
  CHECK(world.log->damaged().empty());
  CHECK(world.log->log_start() == Offset(10));
  const std::vector<Offset> there = {Offset(10), Offset(11), Offset(12), Offset(20),
                                     Offset(21), Offset(40), Offset(60), Offset(61)};
  for (int64_t from = 0; from < 62; ++from) {
    std::vector<Offset> expected, found;
    for (const Offset o : there)
      if (o >= Offset(from)) expected.push_back(o);
    const auto all = world.ReadAll(Offset(from));
    REQUIRE(all.ok());
    for (const ReadMessage& m : *all) found.push_back(m.offset);
    INFO("from ", from);
    CHECK(found == expected);
    if (from < 10) continue;
    expected.clear();
    for (const Offset o : there)
      if (o <= Offset(from)) expected.insert(expected.begin(), o);
    CHECK(Backwards(world, Offset(from)) == expected);
  }
  const auto plan = world.log->PlanFindTimestamp(Timestamp(201));
  REQUIRE(plan);
  CHECK(*FindTimestamp(world.fs, *plan, Timestamp(201)) == Offset(40));
}

TEST_CASE("by time: the segment that may hold it, none when all is older") {
  LogAtWork world;
  FillThreeSegments(world, 4);
  const Timestamp last = world.log->last_timestamp();
  for (const bool cold : {false, true}) {
    if (cold) {
      world.log.reset();
      world.Open();
    }
    for (int64_t i = 0; i < 12; ++i) {  // one nanosecond apart
      const auto plan = world.log->PlanFindTimestamp(last - (11 - i));
      REQUIRE(plan);
      CHECK(*FindTimestamp(world.fs, *plan, last - (11 - i)) == Offset(i));
    }
    CHECK(*FindTimestamp(world.fs, *world.log->PlanFindTimestamp(Timestamp(0)), Timestamp(0)) ==
          Offset(0));
    CHECK_FALSE(world.log->PlanFindTimestamp(last + 1));
  }
}

// --- the cleaner ---

TEST_CASE("retention by messages, bytes and age takes whole sealed segments and their files") {
  for (const int kind : {0, 1, 2}) {
    LogAtWork world;
    if (kind == 0) world.options.limits.retention.max_messages = 16;
    if (kind == 1) world.options.limits.retention.max_bytes = 2 * 8 * 250 + 128;
    if (kind == 2) world.options.limits.retention.max_age = milliseconds(100);
    FillThreeSegments(world, 8);
    if (kind == 2) {
      world.clock.Advance(milliseconds(100));
      world.log->Clean();
      world.scheduler.RunUntilIdle();
      CHECK(world.log->log_start() ==
            Offset(16));  // the newest record of the active one is no limit
    } else {
      world.log->Clean();
      world.scheduler.RunUntilIdle();
      CHECK(world.log->log_start() == Offset(8));
    }
    world.scheduler.RunUntilIdle();
    CHECK_FALSE(world.fs.Exists(LogPath(Offset(0))));
    CHECK(world.log->log_end() == Offset(24));
    ReadPlace place;
    CHECK(world.ReadAll(Offset(0))->front().offset == world.log->log_start());
    CHECK(absl::IsOutOfRange(world.Read(world.log->log_start() - 1, true, place).status()));
    const Offset start = world.log->log_start();
    world.log.reset();
    world.Open();
    CHECK(world.log->log_start() == start);
    CHECK(world.log->damaged().empty());
  }
}

TEST_CASE("a segment without its footer yet is kept until the next round") {
  LogAtWork world;
  world.options.limits.retention.max_messages = 1;
  world.Open();
  REQUIRE(world.AppendMany(5).ok());
  REQUIRE(world.log->Roll().ok());
  REQUIRE(world.AppendMany(5).ok());
  world.log->Clean();
  world.scheduler.RunUntilIdle();
  CHECK(world.log->log_start() == Offset(0));
  REQUIRE(world.Flush().ok());
  world.log->Clean();
  world.scheduler.RunUntilIdle();
  CHECK(world.log->log_start() == Offset(5));
}

TEST_CASE("a lagging reader's plan is read to its end although retention dropped the segment") {
  LogAtWork world;
  world.options.limits.retention.max_messages = 8;
  FillThreeSegments(world, 8);
  world.log.reset();
  world.Open();
  ReadPlace place;
  REQUIRE(world.Read(Offset(0), false, place, 300).ok());
  world.fs.faults().rates.no_wait_unavailable = 1;
  const auto step = world.log->Read(place.next, world.log->log_end(), false, 10'000, place);
  REQUIRE(step.ok());
  REQUIRE(step->plan);
  world.log->Clean();
  world.scheduler.RunUntilIdle();
  CHECK_FALSE(world.fs.Exists(LogPath(Offset(0))));
  const auto result = ReadSegment(world.fs, *step->plan, ReadWait::kWait);
  REQUIRE(result.ok());
  CHECK(result->next == Offset(8));
  CHECK(Messages(result->batches.view()).back().offset == Offset(7));
  world.log->NoteRead(*step->plan, *result, place);  // of a segment that is no more
  CHECK(world.ReadAll(place.next)->front().offset == world.log->log_start());
}

TEST_CASE("a plan that found its segment already unlinked says so") {
  LogAtWork world;
  world.options.limits.retention.max_messages = 8;
  FillThreeSegments(world, 8);
  world.log.reset();
  world.Open();
  ReadPlace place;
  const auto step = world.log->Read(Offset(0), world.log->log_end(), false, 10'000, place);
  REQUIRE(step.ok());
  REQUIRE(step->plan);
  world.log->Clean();
  world.scheduler.RunUntilIdle();
  CHECK(absl::IsNotFound(ReadSegment(world.fs, *step->plan, ReadWait::kWait).status()));
}

TEST_CASE("with its segments damage is forgotten") {
  LogAtWork world;
  world.options.limits.retention.max_messages = 1;
  PutFile(world.fs, LogPath(Offset(0)), SegmentFile(Offset(0)).AddMany(3).Sealed());
  PutFile(world.fs, LogPath(Offset(9)), SegmentFile(Offset(9)).AddMany(3).Sealed());
  world.Open();
  CHECK(world.log->damaged().size() == 1);
  world.log->Clean();
  world.scheduler.RunUntilIdle();
  CHECK(world.log->log_start() == Offset(12));
  CHECK(world.log->damaged().empty());
}

TEST_CASE("the new log start is durable before the first file goes, whenever the power does") {
  for (uint64_t calls = 1; calls < 30; ++calls) {
    LogAtWork world;
    world.options.limits.retention.max_messages = 8;
    FillThreeSegments(world, 8);
    world.fs.faults().PowerOffAfter(calls);
    world.log->Clean();
    world.scheduler.RunUntilIdle();
    SimRng rng(calls);
    world.log.reset();
    world.fs.Crash(rng);
    INFO("power off at call ", calls);
    world.Open();
    CHECK(world.log->damaged().empty());
    const Offset start = world.log->log_start();
    CHECK((start == Offset(0) || start == Offset(16)));
    CHECK(world.ReadAll(Offset(0))->size() == static_cast<size_t>(24 - start.value()));
    CHECK(world.fs.Exists(LogPath(Offset(0))) == (start == Offset(0)));
  }
}

TEST_CASE("retention that cannot note the new beginning drops nothing, and tries again") {
  LogAtWork world;
  world.options.limits.retention.max_messages = 8;
  FillThreeSegments(world, 8);
  for (int round = 0; round < 2; ++round) {
    world.fs.faults().FailAfter(1, kSync, absl::StatusCode::kInternal);
    world.log->Clean();
    CHECK(world.log->busy());
    world.scheduler.RunUntilIdle();
    CHECK(world.log->log_start() == Offset(0));
    CHECK(world.fs.Exists(LogPath(Offset(0))));
  }
  for (int round = 0; round < 2; ++round) {
    world.log->Clean();
    world.scheduler.RunUntilIdle();
    CHECK(world.log->log_start() == Offset(16));
    CHECK_FALSE(world.fs.Exists(LogPath(Offset(0))));
    CHECK_FALSE(world.log->busy());
  }
}

TEST_CASE("a lost beginning is read as lost from both sides, and counted") {
  LogAtWork world;
  FillThreeSegments(world, 8);
  world.log.reset();
  REQUIRE(world.fs.Remove(LogPath(Offset(0))).ok());
  world.Open();
  CHECK(world.log->log_start() == Offset(0));
  CHECK(world.log->Describe().lost == 8);
  ReadPlace place;
  CHECK(absl::IsDataLoss(world.Read(Offset(0), false, place).status()));
  CHECK(absl::IsDataLoss(world.Read(Offset(7), true, place).status()));
  CHECK(world.ReadAll(Offset(8))->size() == 16);
  world.options.limits.retention.max_messages = 8;
  world.log->SetLimits(world.options.limits);
  world.log->Clean();
  world.scheduler.RunUntilIdle();
  CHECK(world.log->Describe().lost == 0);
  CHECK(world.log->damaged().empty());
}

TEST_CASE("files that vanish under an open log are noticed; what comes back is forgiven") {
  LogAtWork world;
  FillThreeSegments(world, 8);
  absl::Status gone;
  const auto look = [&] {
    world.clock.Advance(limits::kLogFilesCheckPeriod);
    world.log->CheckFiles([&](const absl::Status& status) { gone = status; });
    world.scheduler.RunUntilIdle();
  };
  for (int round = 0; round < 2; ++round) {
    look();
    CHECK(world.log->damaged().empty());
    REQUIRE(world.fs.Rename(LogPath(Offset(8)), "/data/aside").ok());
    world.log->CheckFiles([&](const absl::Status& status) { gone = status; });  // too early
    world.scheduler.RunUntilIdle();
    CHECK(world.log->damaged().empty());
    look();
    REQUIRE(world.log->damaged().size() == 1);
    CHECK(world.log->damaged()[0].from == Offset(8));
    CHECK(world.log->damaged()[0].to == Offset(16));
    CHECK(world.log->Describe().lost == 8);
    CHECK(gone.ok());
    REQUIRE(world.fs.Rename("/data/aside", LogPath(Offset(8))).ok());
  }
  look();
  CHECK(world.log->damaged().empty());
  REQUIRE(world.fs.Remove(LogPath(Offset(16))).ok());
  look();
  CHECK(absl::IsNotFound(gone));
  CHECK(gone.ToString().find(kLogDirectory) != std::string::npos);
  gone = absl::OkStatus();
  REQUIRE(world.fs.RemoveTree(kLogDirectory).ok());
  look();
  CHECK(absl::IsNotFound(gone));
}

TEST_CASE("a flush into a file that has lost its name fails: nothing of it is called durable") {
  for (const bool replaced : {false, true}) {
    LogAtWork world;
    world.Open();
    REQUIRE(world.AppendMany(3).ok());
    REQUIRE(world.Flush().ok());
    REQUIRE(world.AppendMany(3).ok());
    REQUIRE(world.fs.Remove(LogPath(Offset(0))).ok());
    if (replaced) PutFile(world.fs, LogPath(Offset(0)), "another");
    const absl::Status flushed = world.Flush();
    CHECK(absl::IsNotFound(flushed));
    CHECK(flushed.ToString().find(kLogDirectory) != std::string::npos);
    CHECK(world.log->flushed_end() == Offset(3));
  }
}

}  // namespace
}  // namespace bascule::log
