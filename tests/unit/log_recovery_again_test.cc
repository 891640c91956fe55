// Recovery after a failed sync, twice, interrupted, and on a disk that fails.
#include <doctest/doctest.h>

#include <functional>

#include "tests/unit/log_files.h"

namespace bascule::log {
namespace {

// All that the log holds and says, so that two recoveries can be compared.
std::string Describe(SimFileSystem& fs, const RecoveredLog& log) {
  std::string text;
  for (const Segment& s : log.segments) {
    text += Concat(s.path, " ", s.base(), "..", s.end(), " sealed ", s.sealed, " data ",
                   s.footer.data_end, " crc ", s.footer.data_crc, " file ", s.file_bytes, " ",
                   Crc32c(fs.VisibleBytes(s.path)), "\n");
  }
  for (const DamagedRange& d : log.damaged) text += Concat("lost ", d.from, "..", d.to, "\n");
  return text + Concat("last ", log.last_timestamp);
}

TEST_CASE("after a failed sync everything from the known end on goes, whole batches too") {
  SimFileSystem fs(1);
  SegmentFile first(Offset(0)), second(Offset(4)), third(Offset(6));
  PutFile(fs, LogPath(Offset(0)), first.AddMany(4).bytes);
  PutFile(fs, LogPath(Offset(4)), second.AddMany(2).bytes);
  PutFile(fs, LogPath(Offset(6)), third.AddMany(2).bytes);
  SegmentFile durable(Offset(0));
  durable.AddMany(1);
  RecoveryRequest request = Request(PointAt(durable));
  request.known_end = KnownEnd{Offset(5), Offset(5)};
  const RecoveredLog log = Recover(fs, request);
  CHECK(End(log) == Offset(5));
  CHECK(log.segments.size() == 2);
  CHECK(log.cut_bytes > 0);
  CHECK(log.damaged.empty());
  CHECK_FALSE(fs.Exists(LogPath(Offset(6))));

  REQUIRE(fs.Remove(JoinPath(kLogDirectory, kLogBoundsFileName)).ok());  // they say 5 by now
  request.known_end = KnownEnd{
      Offset(4), Offset(4)};  // at a segment's first offset: its header is not trusted either
  CHECK(End(Recover(fs, request)) == Offset(4));
  CHECK(ParseSegmentHeader(fs.DurableBytes(LogPath(Offset(0)))).ok());
}

TEST_CASE("what is sound behind damage is kept up to the cut, and nothing from the cut on") {
  SimFileSystem fs(1);
  SegmentFile segment(Offset(0));
  std::vector<size_t> ends;
  for (int i = 0; i < 6; ++i) {
    segment.AddMany(1);
    ends.push_back(segment.bytes.size());
  }
  std::string bytes = segment.bytes;
  bytes[ends[1] + 100] ^= 1;  // in the batch of offset 2
  PutFile(fs, LogPath(Offset(0)), bytes);
  RecoveryRequest request = Request(std::nullopt);
  request.known_end = KnownEnd{Offset(5), Offset(5)};
  const RecoveredLog log = Recover(fs, request);
  CHECK(End(log) == Offset(5));
  REQUIRE(log.damaged.size() == 1);
  CHECK(log.damaged[0].from == Offset(2));
  CHECK(log.damaged[0].to == Offset(3));
  CHECK(fs.DurableBytes(LogPath(Offset(0))).substr(ends[2], ends[4] - ends[2]) ==
        segment.bytes.substr(ends[2], ends[4] - ends[2]));
}

// A follower that catches up, or goes by `os`: the leader's disk and others' have what it appends, and the batches say
// so. Its own sync has failed, and the page cache shows what that sync took along.
TEST_CASE("that others have committed what a failed sync lost makes it durable on no other disk") {
  for (const bool known : {false, true}) {
    for (const bool rolled : {false, true}) {
      CAPTURE(known);
      CAPTURE(rolled);
      SimFileSystem fs(1);
      SegmentFile segment(Offset(0));
      PutFile(fs, LogPath(Offset(0)), segment.AddMany(1).bytes);
      const RecoveryPoint point = PointAt(segment);
      const size_t synced = segment.bytes.size();
      for (int64_t at = 1; at < 6; ++at) {
        const Offset base(at);
        segment.Add(MakeBatch(
            {base, {SegmentFile::Value(base)}, Timestamp(1000 + at), LeaderEpoch(1), base}));
      }
      {
        const auto file = fs.Open(LogPath(Offset(0)), OpenMode::kReadWrite);
        REQUIRE(file.ok());
        REQUIRE((*file)->WriteAt(FilePosition(synced), segment.bytes.substr(synced)).ok());
        fs.faults().FailAfter(1, kSync, absl::StatusCode::kInternal);
        REQUIRE_FALSE((*file)->Sync().ok());
      }
      SegmentFile next(Offset(6));
      next.Add(MakeBatch({Offset(6), {"next"}, Timestamp(2000), LeaderEpoch(1), Offset(6)}));
      if (rolled) PutFile(fs, LogPath(Offset(6)), next.bytes);
      fs.Kill();
      RecoveryRequest request = Request(point);
      request.replicated = true;
      if (known) request.known_end = KnownEnd{Offset(1), Offset(rolled ? 7 : 6)};
      const RecoveredLog log = Recover(fs, request);
      CHECK(log.damaged.empty());
      CHECK(End(log) == Offset(rolled ? 7 : 6));
      SimRng rng(1);
      fs.Crash(rng, {UnsyncedFate::kLost, EntryFate::kLost});
      CHECK(fs.DurableBytes(LogPath(Offset(0))).substr(0, segment.bytes.size()) == segment.bytes);
    }
  }
}

// A point that says what was durable, but stands in no file's way: everything is scanned.
SegmentFooter WithoutPlace(SegmentFooter facts) {
  facts.base_offset = Offset(1);
  return facts;
}

// Whatever state, a second recovery finds nothing left to do, and one that dies at any of its
// changing calls is finished by the next.
void CheckIdempotent(const std::function<void(SimFileSystem&)>& put,
                     const std::optional<RecoveryPoint>& point) {
  SimFileSystem fs(1);
  put(fs);
  const std::string rested = Describe(fs, Recover(fs, Request(point)));
  const RecoveredLog again = Recover(fs, Request(point));
  CHECK(Describe(fs, again) == rested);
  CHECK(again.cut_bytes == 0);
  const uint64_t calls = fs.faults().Calls(kChangingOps);
  for (uint64_t n = 1; n <= calls; ++n) {
    SimFileSystem torn(n);
    put(torn);
    torn.faults().PowerOffAfter(n);
    (void)RecoverLog(torn, Request(point)).status();
    SimRng rng(n);
    torn.Crash(rng);
    INFO("power off at call ", n);
    CHECK(Describe(torn, Recover(torn, Request(point))) == rested);
  }
}

TEST_CASE("recovery is idempotent, and may be interrupted anywhere") {
  SegmentFile first(Offset(0)), second(Offset(3)), third(Offset(6));
  first.AddMany(3, 100);
  second.AddMany(3, 100);
  third.AddMany(3, 100);
  SegmentFile durable(Offset(3));
  durable.AddMany(1, 100);
  const auto put = [&](SimFileSystem& fs) {
    PutFile(fs, LogPath(Offset(0)), first.bytes + first.Sealed().substr(0, 30));
    PutFile(fs, LogPath(Offset(3)), second.bytes + std::string(70'000, '\0'));
    PutFile(fs, LogPath(Offset(6)), third.bytes);
  };
  SUBCASE("sound") { CheckIdempotent(put, PointAt(durable)); }
  SUBCASE("torn tail with a segment behind it") {
    CheckIdempotent(
        [&](SimFileSystem& fs) {
          put(fs);
          fs.FlipBit(LogPath(Offset(3)), second.starts[1].value() + 100, 1);
        },
        PointAt(durable));
  }
  SUBCASE("damage before the mark, in the active segment") {
    SegmentFile later(Offset(6));
    later.AddMany(3, 100);
    CheckIdempotent(
        [&](SimFileSystem& fs) {
          put(fs);
          fs.FlipBit(LogPath(Offset(6)), third.starts[1].value() + 100, 1);
        },
        RecoveryPoint{WithoutPlace(later.facts)});
  }
  SUBCASE("a missing segment") {
    CheckIdempotent(
        [&](SimFileSystem& fs) {
          put(fs);
          BASCULE_CHECK(fs.Remove(LogPath(Offset(3))).ok());
          BASCULE_CHECK(fs.SyncDir(kLogDirectory).ok());
        },
        PointAt(third));
  }
}

// Offsets 0 to 2, 3 to 5 and 6 to 8 in three segments that nothing vouches for, all bytes synced; the
// directory since its first entry with `synced`.
void PutUnvouched(SimFileSystem& fs, bool synced) {
  PutFile(fs, LogPath(Offset(0)), SegmentFile(Offset(0)).AddMany(3).bytes);
  for (const int64_t base : {3, 6}) {
    const auto file = fs.Open(LogPath(Offset(base)), OpenMode::kReplace);
    REQUIRE(file.ok());
    REQUIRE((*file)->WriteAt(FilePosition(0), SegmentFile(Offset(base)).AddMany(3).bytes).ok());
    REQUIRE((*file)->Sync().ok());
  }
  if (!synced) fs.faults().FailAfter(1, kSyncDir, absl::StatusCode::kInternal);
  CHECK(fs.SyncDir(kLogDirectory).ok() == synced);
}

constexpr SimCrash kLoseAll{UnsyncedFate::kLost, EntryFate::kLost};

TEST_CASE("a name that a failed sync of the directory lost is durable after an opening") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    for (const bool killed : {false, true}) {
      CAPTURE(seed);
      CAPTURE(killed);
      SimFileSystem fs(seed);
      PutUnvouched(fs, /*synced=*/false);
      RecoveryRequest request = Request();
      if (killed) {
        fs.Kill();
      } else {
        request.known_end = KnownEnd{Offset(3), Offset(9)};  // acked under `os`
      }
      CHECK(End(Recover(fs, request)) == Offset(9));
      SimRng rng(seed);
      fs.Crash(rng, kLoseAll);
      const RecoveredLog log = Recover(fs);
      CHECK(End(log) == Offset(9));
      CHECK(log.damaged.empty());
    }
  }
}

// Before its first opening a log is listed, with a point that knows of no file yet.
TEST_CASE("a log whose first opening was killed has its name on the disk after the next") {
  RecoveryPoint listed;
  listed.active.data_end = FilePosition(kSegmentHeaderBytes);
  for (uint64_t call = 1;; ++call) {
    CAPTURE(call);
    SimFileSystem fs(call);
    fs.faults().FailAfter(call, kChangingOps, absl::StatusCode::kInternal, kForever);
    (void)RecoverLog(fs, Request(listed));
    const bool reached = fs.faults().Calls(kChangingOps) >= call;
    fs.faults().Clear();
    fs.Kill();
    const RecoveredLog log = Recover(fs, Request(listed));
    SegmentFile acked(Offset(0));
    acked.AddMany(3);
    REQUIRE(log.active_file->WriteAt(FilePosition(0), acked.bytes).ok());
    REQUIRE(log.active_file->Sync().ok());
    SimRng rng(call);
    fs.Crash(rng, kLoseAll);
    CHECK(End(Recover(fs, Request(listed))) == Offset(3));
    if (!reached) break;
  }
}

TEST_CASE("an empty segment whose header a failed sync lost has it on the disk after an opening") {
  SimFileSystem fs(1);
  SegmentFile first(Offset(0));
  PutFile(fs, LogPath(Offset(0)), first.AddMany(3).Sealed());
  {
    const auto file = fs.Open(LogPath(Offset(3)), OpenMode::kReplace);
    REQUIRE(file.ok());
    REQUIRE((*file)->WriteAt(FilePosition(0), SegmentFile(Offset(3)).bytes).ok());
    fs.faults().FailAfter(1, kSync, absl::StatusCode::kInternal);
    REQUIRE_FALSE((*file)->Sync().ok());
  }
  fs.Kill();
  CHECK(End(Recover(fs)) == Offset(3));
  CHECK(ParseSegmentHeader(fs.DurableBytes(LogPath(Offset(3)))).ok());
}

// The disk had all names: whatever may come of an opening, they stay.
TEST_CASE("14. an opening that ends between two renames: the segment gets its name back") {
  enum End { kPower, kError, kKill };
  for (const enum End end : {kPower, kError, kKill}) {
    for (uint64_t call = 1;; ++call) {
      CAPTURE(static_cast<int>(end));
      CAPTURE(call);
      SimFileSystem fs(call);
      PutUnvouched(fs, /*synced=*/true);
      const uint64_t before = fs.faults().Calls(kChangingOps);
      if (end == kPower) {
        fs.faults().PowerOffAfter(call);
      } else {
        fs.faults().FailAfter(call, kChangingOps, absl::StatusCode::kInternal,
                              end == kKill ? kForever : 1);
      }
      const bool whole = RecoverLog(fs, Request()).ok();
      const bool reached = fs.faults().Calls(kChangingOps) - before >= call;
      SimRng rng(call);
      fs.faults().Clear();
      if (end != kError) fs.Kill();
      if (end == kPower) fs.Crash(rng, {UnsyncedFate::kLost, EntryFate::kSome});
      for (int opening = 0; opening < 2; ++opening) {
        const RecoveredLog log = Recover(fs);
        CHECK(log::End(log) == Offset(9));
        CHECK(log.damaged.empty());
        const auto entries = fs.List(kLogDirectory);
        REQUIRE(entries.ok());
        for (const DirectoryEntry& entry : *entries)
          CHECK(entry.name.find(".again") == std::string::npos);
        fs.Crash(rng, kLoseAll);
      }
      if (!reached) break;
      if (end != kError) CHECK_FALSE(whole);
    }
  }
}

TEST_CASE("14. what stands under the other name beside a segment of that name is old") {
  SimFileSystem fs(1);
  SegmentFile file(Offset(0));
  PutFile(fs, LogPath(Offset(0)), file.AddMany(3).bytes);
  PutFile(fs, LogPath(Offset(0)) + ".again", SegmentFile(Offset(0)).AddMany(7).bytes);
  PutFile(fs, JoinPath(kLogDirectory, "notes.again"), "somebody's");
  CHECK(End(Recover(fs)) == Offset(3));
  CHECK_FALSE(fs.Exists(LogPath(Offset(0)) + ".again"));
  CHECK(fs.Exists(JoinPath(kLogDirectory, "notes.again")));
}

TEST_CASE("an error of the disk is an error, never a shorter log") {
  for (const SimOp op : {kOpen, kRead, kList}) {
    for (uint64_t n = 1;; ++n) {
      SimFileSystem fs(1);
      SegmentFile first(Offset(0)), second(Offset(3));
      PutFile(fs, LogPath(Offset(0)), first.AddMany(3).Sealed());
      PutFile(fs, LogPath(Offset(3)), second.AddMany(3).bytes);
      fs.faults().FailAfter(n, op, absl::StatusCode::kInternal);
      const uint64_t before = fs.faults().Calls(op);
      const auto recovered = RecoverLog(fs, Request());
      if (fs.faults().Calls(op) - before < n) break;
      fs.faults().Clear();
      INFO("call ", n);
      if (recovered.ok()) CHECK(End(*recovered) == Offset(6));
      const RecoveredLog log = Recover(fs);
      CHECK(End(log) == Offset(6));
      CHECK(log.damaged.empty());
    }
  }
}

}  // namespace
}  // namespace bascule::log
