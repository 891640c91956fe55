// A log that gives up its end (R3, R3b), step by step and through crashes at each step.
#include <doctest/doctest.h>

#include "tests/unit/log_files.h"

namespace bascule::log {
namespace {

// Segments of a few batches, one message a batch, in the epochs that it is told.
struct CutLog : LogAtWork {
  CutLog() : LogAtWork(700) {}

  void Fill(int n, uint64_t epoch = 1) {
    for (; n > 0; --n) {
      if (log->ShouldRoll()) REQUIRE(log->Roll().ok());
      clock.Advance(std::chrono::nanoseconds(1));
      BatchSpec spec{log->log_end(), {SegmentFile::Value(log->log_end(), 60)}, clock.Wall()};
      spec.epoch = LeaderEpoch(epoch);
      REQUIRE(log->Append(MakeBatch(spec)).ok());
      scheduler.RunUntilIdle();
    }
  }
  absl::StatusOr<Offset> Plan(Offset to) {
    absl::StatusOr<Offset> end = absl::UnknownError("not end");
    log->PlanCut(to, [&](absl::StatusOr<Offset> result) { end = std::move(result); });
    scheduler.RunUntilIdle();
    return end;
  }
  absl::Status Finish() {
    absl::Status done = absl::UnknownError("not cut");
    log->Cut([&](const absl::Status& status) { done = status; });
    scheduler.RunUntilIdle();
    return done;
  }
  void CutTo(Offset to) {
    REQUIRE(Plan(to).ok());
    REQUIRE(Finish().ok());
  }
  std::vector<std::string> Values() {
    const auto all = ReadAll(Offset(0));
    REQUIRE(all.ok());
    std::vector<std::string> values;
    for (const ReadMessage& message : *all) values.push_back(message.value);
    return values;
  }
};

std::vector<std::string> Expected(int64_t end) {
  std::vector<std::string> values;
  for (int64_t offset = 0; offset < end; ++offset)
    values.push_back(SegmentFile::Value(Offset(offset), 60));
  return values;
}

}  // namespace

TEST_CASE("a cut log ends where it was cut, on the disk and in memory, and goes on from there") {
  // Inside the active segment, at its base, inside a sealed one, at the end of one, and all of it.
  for (const int64_t to : {19, 18, 16, 15, 13, 9, 4, 1, 0}) {
    CAPTURE(to);
    CutLog world;
    world.Open();
    world.Fill(20);
    REQUIRE(world.Flush().ok());
    REQUIRE(world.log->Describe().segments > 4);
    CHECK(*world.Plan(Offset(to)) == Offset(to));
    // Until the owner has made it durable the log is what it was, but says the lower point.
    CHECK(world.log->log_end() == Offset(20));
    CHECK(world.log->Point().active.end_offset == Offset(to));
    CHECK(world.log->flushed_end() == Offset(to));
    CHECK_FALSE(world.log->TakeFlush().has_value());
    REQUIRE(world.Finish().ok());
    CHECK(world.log->log_end() == Offset(to));
    CHECK_FALSE(world.log->dirty());
    CHECK(world.Values() == Expected(to));
    CHECK(world.log->Describe().messages == static_cast<uint64_t>(to));
    const RecoveryPoint point = world.log->Point();
    world.Fill(7, 2);
    REQUIRE(world.Flush().ok());
    CHECK(world.Values() == Expected(to + 7));
    world.log.reset();
    world.fs.Kill();
    world.Open(point);
    CHECK(world.log->damaged().empty());
    CHECK(world.Values() == Expected(to + 7));
  }
}

TEST_CASE("a cut that falls into a batch takes all of it; the end of the log cuts nothing") {
  CutLog world;
  world.Open();
  world.Fill(2);
  REQUIRE(world.Append({"a", "b", "c"}).ok());
  REQUIRE(world.Flush().ok());
  CHECK(*world.Plan(Offset(5)) == Offset(5));
  REQUIRE(world.Finish().ok());
  CHECK(world.log->log_end() == Offset(5));
  CHECK(*world.Plan(Offset(4)) == Offset(2));
  REQUIRE(world.Finish().ok());
  CHECK(world.log->log_end() == Offset(2));
  CHECK(world.Values() == Expected(2));
}

TEST_CASE("what was only appended is durable up to the cut, in older segments too") {
  CutLog world;
  world.Open();
  world.Fill(12);  // never flushed
  REQUIRE(world.log->flushed_end() == Offset(0));
  REQUIRE(world.Plan(Offset(10)).ok());  // inside a segment
  CHECK(world.log->flushed_end() == Offset(10));
  const RecoveryPoint point = world.log->Point();
  world.log.reset();
  SimRng rng(1);
  world.fs.Crash(rng, {UnsyncedFate::kLost, EntryFate::kLost});
  world.Open(point);
  CHECK(world.log->damaged().empty());
  CHECK(world.log->log_end() >= Offset(10));
  CHECK(world.Values() == Expected(world.log->log_end().value()));
}

TEST_CASE(
    "nothing of the end that was cut is found later: no index, no cached batch, no zeros that are "
    "not there") {
  LogAtWork world(1 << 20);
  world.options.preallocate = true;
  world.Open();
  const auto append = [&](int n, size_t size) {
    for (; n > 0; --n) {
      REQUIRE(world.AppendMany(1, size).ok());
      world.scheduler.RunUntilIdle();
      REQUIRE(world.Flush().ok());
    }
  };
  append(20, 10'000);
  (void)world.log->Point();  // its index goes to the disk
  world.scheduler.RunUntilIdle();
  REQUIRE(world.fs.Exists(IndexPath(Offset(0))));
  bool cut = false;
  world.log->PlanCut(Offset(5), [&](const absl::StatusOr<Offset>& end) { REQUIRE(end.ok()); });
  world.scheduler.RunUntilIdle();
  world.log->Cut([&](const absl::Status& status) { cut = status.ok(); });
  world.scheduler.RunUntilIdle();
  REQUIRE(cut);
  CHECK(world.budget.used() == 0);
  CHECK_FALSE(world.fs.Exists(IndexPath(Offset(0))));
  append(1, 100);
  CHECK(world.fs.VisibleBytes(LogPath(Offset(0))).size() >
        world.log->Point().active.data_end.value() + limits::kPreallocateMinBytes / 2);
  append(60, 3000);
  // The new index does not get there, but the point does.
  world.fs.faults().below = IndexPath(Offset(0));
  world.fs.faults().FailAfter(1, kOpen, absl::StatusCode::kInternal);
  const RecoveryPoint point = world.log->Point();
  world.scheduler.RunUntilIdle();
  world.log.reset();
  world.fs.faults().Clear();
  world.fs.Kill();
  world.Open(point);
  CHECK(world.log->damaged().empty());
  CHECK(world.ReadAll(Offset(0))->size() == 66);
  CHECK(world.ReadAll(Offset(40))->size() == 26);
}

TEST_CASE("retention goes on after a cut from the bounds that the cut has left") {
  CutLog world;
  world.Open();
  world.Fill(15);
  REQUIRE(world.Flush().ok());
  RecoveryPoint point = world.log->Point();
  REQUIRE(StoreLogBounds(world.fs, kLogDirectory,
                         {{kLogStream, PartitionId(0)}, {Offset(0), Offset(15), 100}})
              .ok());
  world.log.reset();
  world.options.limits.retention.max_messages = 8;
  world.Open(point);
  world.CutTo(Offset(13));
  CHECK(LoadLogBounds(world.fs, kLogDirectory)->bounds == LogBounds{Offset(0), Offset(13), 101});
  world.log->Clean();
  world.scheduler.RunUntilIdle();
  const Offset start = world.log->log_start();
  CHECK(start > Offset(0));
  CHECK(LoadLogBounds(world.fs, kLogDirectory)->bounds == LogBounds{start, Offset(13), 102});
}

TEST_CASE(
    "R3b: a cut waits for the flush that is under way, and voids no more than what came before") {
  CutLog world;
  world.Open();
  world.Fill(5);
  auto ticket = world.log->TakeFlush();
  REQUIRE(ticket.has_value());
  absl::StatusOr<Offset> planned = absl::UnknownError("not planned");
  world.log->PlanCut(Offset(3),
                     [&](absl::StatusOr<Offset> result) { planned = std::move(result); });
  world.scheduler.RunUntilIdle();
  CHECK(absl::IsUnknown(planned.status()));
  REQUIRE(world.log->FlushDone(*ticket, absl::OkStatus()).ok());
  CHECK(world.log->flushed_end() == Offset(5));
  world.scheduler.RunUntilIdle();
  REQUIRE(planned.ok());
  REQUIRE(world.Finish().ok());
  CHECK(world.log->flushed_end() == Offset(3));
  world.Fill(4, 2);
  auto next = world.log->TakeFlush();
  REQUIRE(next.has_value());
  CHECK(next->generation != ticket->generation);
  REQUIRE(world.log->FlushDone(*next, absl::OkStatus()).ok());
  CHECK(world.log->flushed_end() == Offset(7));
}

TEST_CASE("the epochs, timestamps and counts of a cut log are those of what is left") {
  CutLog world;
  world.Open();
  world.Fill(3, 1);
  world.Fill(3, 4);
  const Timestamp then = world.log->last_timestamp();
  world.Fill(6, 6);
  REQUIRE(world.Flush().ok());
  world.CutTo(Offset(6));
  CHECK(world.log->last_timestamp() == then);
  CHECK(world.log->Describe().messages == 6);
  CHECK(world.log->last_message_end() == Offset(6));
  world.CutTo(Offset(2));
  CHECK(world.log->Point().active.epochs == std::vector<EpochStart>{{LeaderEpoch(1), Offset(0)}});
}

TEST_CASE("damage before the cut is no place to cut: the log stays as it is, and works") {
  CutLog world;
  world.Open();
  world.Fill(12);
  REQUIRE(world.Flush().ok());
  world.fs.FlipBit(LogPath(Offset(0)), kSegmentHeaderBytes + 120, 3);
  const absl::StatusOr<Offset> planned = world.Plan(Offset(2));
  CHECK(absl::IsDataLoss(planned.status()));
  CHECK(planned.status().message() ==
        LogPath(Offset(0)) +
            " is damaged at byte 64, before the offset 2 at which it is to be cut");
  CHECK_FALSE(world.log->cutting());
  CHECK(world.log->trust().ok());
  CHECK(world.log->log_end() == Offset(12));
  world.Fill(1);
  CHECK(world.Flush().ok());
}

TEST_CASE(
    "any error of the disk on the way ends the trust in the log, and it is recovered whole or "
    "cut") {
  for (const int64_t to : {14, 6}) {
    for (uint64_t nth = 1; nth <= 30; ++nth) {
      CAPTURE(to);
      CAPTURE(nth);
      CutLog world;
      world.Open();
      world.Fill(15);
      REQUIRE(world.Flush().ok());
      world.fs.faults().FailAfter(nth, kChangingOps, absl::StatusCode::kInternal);
      const auto planned = world.Plan(Offset(to));
      absl::Status done = planned.status();
      RecoveryPoint point = world.log->Point();
      if (planned.ok()) done = world.Finish();
      world.fs.faults().Clear();
      if (done.ok()) {
        CHECK(world.log->log_end() == Offset(to));
        continue;
      }
      CHECK_FALSE(world.log->trust().ok());
      CHECK_FALSE(world.log->TakeFlush().has_value());
      world.log.reset();
      world.scheduler.DropAll();
      world.fs.Kill();
      world.Open(point);
      CHECK(world.log->damaged().empty());
      CHECK(world.log->log_end() >= Offset(to));
      CHECK(world.Values() == Expected(world.log->log_end().value()));
    }
  }
}

TEST_CASE(
    "the power goes at any step of a cut: a whole beginning of the log, and nothing is called "
    "lost") {
  int cut = 0;
  int kept = 0;
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    for (const int64_t to : {14, 13, 6, 0}) {
      for (uint64_t nth = 1; nth <= 30; ++nth) {
        CAPTURE(seed);
        CAPTURE(to);
        CAPTURE(nth);
        CutLog world;
        SimRng rng(seed * 1000 + nth);
        world.Open();
        world.Fill(15);
        REQUIRE(world.Flush().ok());
        RecoveryPoint point = world.log->Point();
        // A beginning that retention has moved gives the bounds something to vouch for.
        if (seed % 2 == 0) {
          StoredLogBounds bounds{{kLogStream, PartitionId(0)}, {Offset(0), Offset(15), 100}};
          REQUIRE(StoreLogBounds(world.fs, kLogDirectory, bounds).ok());
          world.log.reset();
          world.Open(point);
        }
        world.fs.faults().PowerOffAfter(nth);
        const auto planned = world.Plan(Offset(to));
        // The owner's step: durable, or the power went before it.
        if (planned.ok() && !world.fs.faults().power_is_off()) {
          point = world.log->Point();
          (void)world.Finish();
        }
        const bool off = world.fs.faults().power_is_off();
        world.log.reset();
        world.scheduler.DropAll();
        world.fs.Crash(rng);
        world.Open(point);
        CHECK(world.log->damaged().empty());
        const Offset end = world.log->log_end();
        CHECK(end >= Offset(to));
        if (!off) CHECK(end == Offset(to));
        CHECK(world.Values() == Expected(end.value()));
        ++(end == Offset(to) ? cut : kept);
        world.Fill(3, 9);
        CHECK(world.Flush().ok());
        CHECK(world.Values() == Expected(end.value() + 3));
      }
    }
  }
  CHECK(cut > 50);
  CHECK(kept > 50);
}

TEST_CASE(
    "a log begun anew is empty at its new place, and through any crash a beginning of the old one "
    "or that") {
  int anew = 0;
  int old = 0;
  for (const int64_t at : {100, 15, 10}) {
    for (uint64_t nth = 1; nth <= 70; ++nth) {
      CAPTURE(at);
      CAPTURE(nth);
      CutLog world;
      SimRng rng(nth);
      world.Open();
      world.Fill(15);
      REQUIRE(world.Flush().ok());
      (void)world.log->Point();  // an index for the active segment
      world.scheduler.RunUntilIdle();
      REQUIRE(StoreLogBounds(world.fs, kLogDirectory,
                             {{kLogStream, PartitionId(0)}, {Offset(0), Offset(15), 100}})
                  .ok());
      world.log.reset();
      world.scheduler.DropAll();
      // The owner's step.
      RecoveryPoint point;
      point.active.data_end = FilePosition(kSegmentHeaderBytes);
      world.fs.faults().PowerOffAfter(nth);
      const auto begun = BeginLogAnew(world.fs, Request(point), Offset(at));
      const bool off = world.fs.faults().power_is_off();
      if (!off) {
        REQUIRE(begun.ok());
        CHECK(begun->segments.size() == 1);
        CHECK(begun->damaged.empty());
      }
      world.fs.Crash(rng);
      world.Open(point);
      CHECK(world.log->damaged().empty());
      if (world.log->log_start() == Offset(at)) {
        ++anew;
        CHECK(world.log->log_end() == Offset(at));
      } else {
        ++old;
        CHECK_FALSE(begun.ok());
        CHECK(world.Values() == Expected(world.log->log_end().value()));
      }
      world.Fill(2, 9);
      CHECK(world.Flush().ok());
    }
  }
  CHECK(anew > 30);
  CHECK(old > 30);
}

TEST_CASE("a log begun anew touches nothing of another partition's directory") {
  CutLog world;
  world.Open();
  world.Fill(15);
  REQUIRE(world.Flush().ok());
  REQUIRE(StoreLogBounds(world.fs, kLogDirectory,
                         {{kLogStream, PartitionId(3)}, {Offset(0), Offset(15), 100}})
              .ok());
  const std::vector<std::string> files = world.Files();
  const auto begun = BeginLogAnew(world.fs, Request(), Offset(100));
  CHECK(absl::IsFailedPrecondition(begun.status()));
  CHECK(world.Files() == files);
}

TEST_CASE("a planned cut that is given up leaves the log as it was, and it goes on") {
  CutLog world;
  int ready = 0;
  world.Open();
  world.log->SetReady([&] { ++ready; });
  world.Fill(15);
  REQUIRE(world.Flush().ok());
  REQUIRE(world.Plan(Offset(6)).ok());
  CHECK_FALSE(world.log->CanAppend(10));
  CHECK(world.log->given_end() == Offset(6));
  world.log->AbandonCut();
  CHECK(ready == 1);
  CHECK_FALSE(world.log->cutting());
  CHECK(world.log->given_end() == Offset(15));
  CHECK(world.log->dirty());
  world.Fill(2);
  REQUIRE(world.Flush().ok());
  CHECK(world.log->flushed_end() == Offset(17));
  CHECK(world.Values() == Expected(17));
  const RecoveryPoint point = world.log->Point();
  world.log.reset();
  world.fs.Kill();
  world.Open(point);
  CHECK(world.log->damaged().empty());
  CHECK(world.Values() == Expected(17));
}

TEST_CASE("of a log whose cut failed nothing past the cut is asked for again") {
  CutLog world;
  world.Open();
  world.Fill(15);
  REQUIRE(world.Flush().ok());
  REQUIRE(world.Plan(Offset(7)).ok());
  const RecoveryPoint point = world.log->Point();
  world.fs.faults().FailAfter(1, kTruncate, absl::StatusCode::kInternal);
  CHECK(absl::IsInternal(world.Finish()));
  CHECK(world.log->given_end() == Offset(7));
  // As the owner recovers a log that has failed under `os`.
  RecoveryRequest request = Request(point);
  request.known_end = KnownEnd{world.log->flushed_end(),
                               std::max(world.log->flushed_end(), world.log->given_end())};
  world.log.reset();
  world.scheduler.DropAll();
  const RecoveredLog recovered = Recover(world.fs, request);
  CHECK(recovered.damaged.empty());
  CHECK(End(recovered) >= Offset(7));  // it may be all that is left of a sealed segment
  CHECK(End(recovered) < Offset(15));
}

TEST_CASE("a look at the files that a cut overtakes sees nothing wrong") {
  for (const bool before : {true, false}) {
    CutLog world;
    world.Open();
    world.Fill(15);
    REQUIRE(world.Flush().ok());
    int gone = 0;
    const auto look = [&] { world.log->CheckFiles([&](const absl::Status&) { ++gone; }); };
    if (before) {
      look();
      world.scheduler.Step();  // what it found is on its way
    }
    REQUIRE(world.Plan(Offset(2)).ok());
    look();
    REQUIRE(world.Finish().ok());
    CHECK(gone == 0);
    CHECK(world.log->trust().ok());
    CHECK(world.log->damaged().empty());
  }
}

}  // namespace bascule::log
