// What opening a metadata store accepts and what it refuses: each row of the table in
// replication/meta/store/FORMAT.md.
#include <doctest/doctest.h>

#include "core/base/crc32c.h"
#include "core/wire/coding.h"
#include "replication/meta/store/raft_store.h"
#include "tests/unit/raft_store_files.h"

namespace bascule::raft_store {
namespace {

using Texts = std::vector<std::string>;

// The file's checksum, which covers all before, put right again; its version raised.
void MakeNewer(RaftStoreFiles& files, const std::string& path, size_t crc_at) {
  std::string bytes = files.fs.VisibleBytes(path);
  bytes[4] = 2;
  wire::PutFixed<uint32_t>(&bytes[crc_at], Crc32c(std::string_view(bytes).substr(0, crc_at)));
  files.Overwrite(path, bytes);
}

void CheckNewer(RaftStoreFiles& files, const std::string& path) {
  const absl::Status opened = files.TryOpen();
  CHECK_MESSAGE(absl::IsFailedPrecondition(opened), opened.ToString());
  const std::string text(FromAbsl(opened.message()));
  CHECK_MESSAGE(text.find(path + " was written by a newer version") != std::string::npos, text);
}

// Where the record of the entry with this text begins.
uint64_t PlaceOf(RaftStoreFiles& files, const std::string& path, const std::string& text) {
  const size_t at = files.fs.VisibleBytes(path).find(text);
  REQUIRE(at != std::string::npos);
  return at - kRecordHeaderBytes;
}

// Entries 1 to 3, "first", "second", "third", one group each.
void CreateWithEntries(RaftStoreFiles& files) {
  REQUIRE(files.Create().ok());
  uint64_t index = 0;
  for (const char* text : {"first", "second", "third"}) REQUIRE(files.Put(++index, 1, text).ok());
}

}  // namespace

TEST_CASE("raft store: a torn tail is cut with a warning, and the log goes on behind it") {
  for (size_t cut = 1; cut < kRecordHeaderBytes + 5; ++cut) {
    RaftStoreFiles files;
    CreateWithEntries(files);
    const uint64_t end = PlaceOf(files, SegmentPath(1), "third") + kRecordHeaderBytes + 5;
    files.fs.TruncateDurably(SegmentPath(1), end - cut);
    files.Open();
    CHECK(files.Found() == Texts{"first", "second"});
    CHECK(files.HasWarning("cut a torn tail"));
    REQUIRE(files.store->Save(std::nullopt, Entries(3, 1, {"other"}), {}).ok());
    files.Open();
    CHECK(files.Found() == Texts{"first", "second", "other"});
    CHECK(files.found.warnings.empty());
  }
}

TEST_CASE("raft store: of a group that was not synced any part may be there") {
  RaftStoreFiles files;
  CreateWithEntries(files);
  REQUIRE(
      files.store->Save(std::nullopt, Entries(3, 1, {"new third", "fourth", "fifth"}), {}).ok());
  const uint64_t place = PlaceOf(files, SegmentPath(1), "fourth");
  files.Damage(SegmentPath(1), place);  // the fifth behind it is whole
  files.Open();
  CHECK(files.Found() == Texts{"first", "second", "new third"});
  CHECK(files.HasWarning("behind entry 3"));
}

TEST_CASE(
    "raft store: a group that replaces, torn at its beginning, leaves what it was to replace") {
  RaftStoreFiles files;
  CreateWithEntries(files);
  REQUIRE(files.store->Save(std::nullopt, Entries(2, 1, {"new two", "new three"}), {}).ok());
  files.Damage(SegmentPath(1), PlaceOf(files, SegmentPath(1), "new two"));
  files.Open();
  CHECK(files.Found() == Texts{"first", "second", "third"});
}

TEST_CASE("raft store: a bad record that a later one says was synced is damage") {
  RaftStoreFiles files;
  CreateWithEntries(files);
  const std::string path = SegmentPath(1);
  for (const char* text : {"first", "second"}) {
    const uint64_t place = PlaceOf(files, path, text);
    for (uint64_t byte = place; byte < place + kRecordHeaderBytes + 5; ++byte) {
      files.Damage(path, byte);
      files.CheckRefused(Concat(path, " is damaged at byte ", place));
      files.Damage(path, byte);
    }
  }
  files.Open();
  CHECK(files.Found().size() == 3);
}

TEST_CASE(
    "raft store: once the end of the log is marked, or opened again, its last entry is not "
    "forgotten") {
  for (const bool mark : {true, false}) {
    RaftStoreFiles files;
    CreateWithEntries(files);
    if (mark) {
      REQUIRE(files.store->MarkEnd({}, {}).ok());
    } else {
      files.Open();
    }
    files.store.reset();
    const std::string path = SegmentPath(1);
    const uint64_t place = PlaceOf(files, path, "third");
    files.Damage(path, place + kRecordHeaderBytes);
    files.CheckRefused(Concat(path, " is damaged at byte ", place));
    files.fs.TruncateDurably(path, place + (mark ? 200 : 20));
    if (!mark) files.CheckRefused(path);
  }
}

TEST_CASE("raft store: damage to a mark costs the mark") {
  RaftStoreFiles files;
  CreateWithEntries(files);
  const uint64_t end = PlaceOf(files, SegmentPath(1), "third") + kRecordHeaderBytes + 5;
  REQUIRE(files.store->MarkEnd({}, {}).ok());
  files.Damage(SegmentPath(1), end + 10);
  files.Open();
  CHECK(files.Found().size() == 3);
  CHECK(files.HasWarning("cut a torn tail"));
}

TEST_CASE("raft store: a damaged or missing segment is refused, wherever it stands") {
  RaftStoreFiles files({512, 0});
  REQUIRE(files.Create().ok());
  for (uint64_t i = 1; i <= 40; ++i) REQUIRE(files.Put(i, 1, Concat("entry ", i)).ok());
  for (uint64_t sequence = 1; sequence <= 5; ++sequence) {
    const std::string path = SegmentPath(sequence);
    REQUIRE(files.fs.Exists(path));
    files.Damage(path, 20);
    files.CheckRefused(path);
    files.Damage(path, 20);
    const std::string whole = files.fs.VisibleBytes(path);
    // The last record of a segment that has a successor is no torn tail.
    const bool newest = !files.fs.Exists(SegmentPath(sequence + 1));
    if (!newest) {
      size_t last = whole.rfind("entry ");
      files.Damage(path, last);
      files.CheckRefused(path);
      files.Damage(path, last);
    }
    files.store.reset();
    REQUIRE(files.fs.Remove(path).ok());
    files.CheckRefused(newest ? path : SegmentPath(sequence + 1));
    files.Overwrite(path, whole);
  }
  files.Open();
  CHECK(files.Found().size() == 40);
}

TEST_CASE("raft store: damage to a segment that the newest snapshot makes needless costs nothing") {
  for (const uint64_t at : {20, 100}) {  // in its header, in a record
    for (uint64_t sequence = 1; sequence <= 4; ++sequence) {
      RaftStoreFiles files({512, 0});
      REQUIRE(files.Create(Meta(1, 1), "s1").ok());
      for (uint64_t i = 2; i <= 40; ++i) REQUIRE(files.Put(i, 1, Concat("entry ", i)).ok());
      const uint64_t first = 2 + (sequence - 1) * 8;
      REQUIRE(files.fs.VisibleBytes(SegmentPath(sequence)).find(Concat("entry ", first)) !=
              std::string::npos);
      // All of the segment and no more is covered; then all but its last entry.
      REQUIRE(files.store->SaveSnapshot(Meta(first + 6, 1), "almost", false).ok());
      files.Damage(SegmentPath(sequence), at);
      files.CheckRefused(SegmentPath(sequence));
      files.Damage(SegmentPath(sequence), at);
      files.Open();
      REQUIRE(files.store->SaveSnapshot(Meta(first + 7, 1), "all", false).ok());
      files.Damage(SegmentPath(sequence), at);
      files.Open();
      CHECK(files.HasWarning(SegmentPath(sequence) + " is damaged"));
      CHECK(files.Found().size() == 40 - first - 7);
      CHECK_FALSE(files.fs.Exists(SegmentPath(sequence)));
      files.Open();
      CHECK(files.found.warnings.empty());
      // Now nothing makes up for the newest snapshot.
      files.Damage(SnapshotPath(first + 7, 1), 41);
      files.CheckRefused(SnapshotPath(first + 7, 1));
    }
  }
}

TEST_CASE("raft store: no log at all, no term and vote: refused") {
  RaftStoreFiles files;
  CreateWithEntries(files);
  files.store.reset();
  const std::string log = files.fs.VisibleBytes(SegmentPath(1));
  REQUIRE(files.fs.Remove(SegmentPath(1)).ok());
  files.CheckRefused(SegmentPath(1));
  files.Overwrite(SegmentPath(1), log);
  REQUIRE(files.fs.Remove(MetaPath("hardstate")).ok());
  files.CheckRefused(MetaPath("hardstate"));
}

TEST_CASE("raft store: one bad copy of term and vote is healed, wherever the bit turned") {
  const std::string path = MetaPath("hardstate");
  for (const uint64_t block : {0, 4096}) {
    for (uint64_t byte = block; byte < block + 60; ++byte) {
      RaftStoreFiles files;
      REQUIRE(files.Create().ok());
      REQUIRE(files.store->Save(HardStateOf(4, 8), {}, {}).ok());
      files.Damage(path, byte);
      files.Open();
      CHECK(files.found.raft.hard_state == HardStateOf(4, 8));
      CHECK(files.HasWarning("copy") == (byte - block < 44));
      // The other copy may go now.
      files.Damage(path, 4096 - block + 20);
      files.Open();
      CHECK(files.found.raft.hard_state == HardStateOf(4, 8));
    }
  }
}

TEST_CASE("raft store: two bad copies of term and vote, or none, are refused") {
  const std::string path = MetaPath("hardstate");
  RaftStoreFiles files;
  REQUIRE(files.Create().ok());
  REQUIRE(files.store->Save(HardStateOf(4, 8), {}, {}).ok());
  files.Damage(path, 20);
  files.Damage(path, 4096 + 30);
  files.CheckRefused(path);
  for (const uint64_t size : {0, 30}) {
    files.fs.TruncateDurably(path, size);
    files.CheckRefused(path);
  }
}

TEST_CASE("raft store: the newer copy of term and vote counts, and a torn newer one does not") {
  const std::string path = MetaPath("hardstate");
  RaftStoreFiles files;
  REQUIRE(files.Create().ok());
  const std::string old_block = EncodeHardState({5, raft::Term(4), raft::NodeId(8), 1});
  const std::string new_block = EncodeHardState({6, raft::Term(5), raft::NodeId(9), 1});
  files.Overwrite(path, new_block + old_block);
  files.Open();
  CHECK(files.found.raft.hard_state == HardStateOf(5, 9));
  std::string torn = new_block;
  torn[30] = 1;
  files.Overwrite(path, torn + old_block);
  files.Open();
  CHECK(files.found.raft.hard_state == HardStateOf(4, 8));
}

TEST_CASE("raft store: term and vote older than the log, put back from somewhere, are refused") {
  RaftStoreFiles files;
  REQUIRE(files.Create().ok());
  REQUIRE(files.Put(1, 1, "first").ok());
  const std::string path = MetaPath("hardstate");
  const std::string old = files.fs.VisibleBytes(path);
  REQUIRE(files.Put(2, 3, "second").ok());
  files.Overwrite(path, old);
  files.CheckRefused(path + " is older than the log");
}

TEST_CASE("raft store: a damaged identity is refused, an empty one too") {
  RaftStoreFiles files;
  REQUIRE(files.Create().ok());
  files.Damage(MetaPath("identity"), 9);
  files.CheckRefused(MetaPath("identity"));
  files.fs.TruncateDurably(MetaPath("identity"), 0);
  files.CheckRefused(MetaPath("identity"));
}

TEST_CASE("raft store: files of a newer version are refused as such") {
  const std::string hard_state = MetaPath("hardstate");
  const std::vector<std::pair<std::string, size_t>> places = {
      {SegmentPath(1), 60}, {hard_state, 40}, {SnapshotPath(5, 1), 40 + 24 + 5}};
  for (const auto& [path, crc_at] : places) {
    RaftStoreFiles files;
    REQUIRE(files.Create(Meta(5, 1), "state").ok());
    MakeNewer(files, path, crc_at);
    CheckNewer(files, path);
  }
  RaftStoreFiles files;
  REQUIRE(files.Create().ok());
  MakeNewer(files, MetaPath("identity"), 22);
  CheckNewer(files, MetaPath("identity"));
}

TEST_CASE("raft store: a damaged newest snapshot is made up for by the one before and the log") {
  RaftStoreFiles files;
  REQUIRE(files.Create(Meta(1, 1), "s1").ok());
  for (uint64_t i = 2; i <= 9; ++i) REQUIRE(files.Put(i, 1, Concat("entry ", i)).ok());
  REQUIRE(files.store->SaveSnapshot(Meta(6, 1), "s6", false).ok());
  const std::string damaged = SnapshotPath(6, 1);
  files.Damage(damaged, 41);
  for (int times = 0; times < 2; ++times) {
    files.Open();
    CHECK(files.found.raft.snapshot == Meta(1, 1));
    CHECK(files.found.state == "s1");
    CHECK(files.Found().size() == 8);
    CHECK(files.found.raft.hard_state.commit == raft::Index(6));
    CHECK(files.HasWarning(damaged + " is damaged"));
    CHECK(files.fs.Exists(damaged));
  }
  REQUIRE(files.store->SaveSnapshot(Meta(8, 1), "s8", false).ok());
  CHECK_FALSE(files.fs.Exists(damaged));
  files.Open();
  CHECK(files.found.warnings.empty());
  CHECK(files.Found() == Texts{"entry 9"});
  // Damage to the older one of two is told, and nothing else.
  files.Damage(SnapshotPath(1, 1), 41);
  files.Open();
  CHECK(files.found.raft.snapshot == Meta(8, 1));
  CHECK(files.HasWarning(SnapshotPath(1, 1)));
}

TEST_CASE("raft store: a damaged snapshot that nothing makes up for is refused") {
  SUBCASE("the only one") {
    RaftStoreFiles files;
    REQUIRE(files.Create(Meta(1, 1), "s1").ok());
    files.Damage(SnapshotPath(1, 1), 41);
    files.CheckRefused(SnapshotPath(1, 1));
  }
  SUBCASE("received, and the log was dropped for it") {
    RaftStoreFiles files;
    REQUIRE(files.Create(Meta(1, 1), "s1").ok());
    REQUIRE(files.store->SaveSnapshot(Meta(9, 2), "s9", true).ok());
    files.Damage(SnapshotPath(9, 2), 41);
    files.CheckRefused(SnapshotPath(9, 2));
  }
  SUBCASE("under the name of another") {
    RaftStoreFiles files;
    REQUIRE(files.Create(Meta(1, 1), "s1").ok());
    files.Overwrite(SnapshotPath(2, 1), files.fs.VisibleBytes(SnapshotPath(1, 1)));
    files.CheckRefused(SnapshotPath(2, 1));
  }
  SUBCASE("missing, and the log begins behind it") {
    RaftStoreFiles files;
    REQUIRE(files.Create(Meta(5, 1), "s5").ok());
    REQUIRE(files.fs.Remove(SnapshotPath(5, 1)).ok());
    files.CheckRefused(SegmentPath(1));
  }
}

TEST_CASE("raft store: a crash between a received snapshot and the dropping of the log") {
  // Calls that change something: the snapshot's file takes 7, the segment's the next 5.
  for (const uint64_t index : {2, 9}) {
    RaftStoreFiles files;
    CreateWithEntries(files);
    files.fs.faults().FailAfter(5, kOpen | kWrite, absl::StatusCode::kInternal);
    CHECK_FALSE(files.store->SaveSnapshot(Meta(index, 2), "received", true).ok());
    REQUIRE(files.fs.Exists(SnapshotPath(index, 2)));
    files.Open();
    CHECK(files.found.raft.snapshot == Meta(index, 2));
    CHECK(files.Found().empty());
    CHECK(files.HasWarning("dropped the log up to entry 3"));
    CHECK(files.found.raft.hard_state.commit == raft::Index(index));
    REQUIRE(files.store->Save(HardStateOf(2, 0), Entries(index + 1, 2, {"next"}), {}).ok());
    files.Open();
    CHECK(files.Found() == Texts{"next"});
    CHECK(files.found.warnings.empty());
  }
}

TEST_CASE("raft store: segments that were removed and came back do not count") {
  RaftStoreFiles files({512, 0});
  REQUIRE(files.Create(Meta(1, 1), "s1").ok());
  for (uint64_t i = 2; i <= 40; ++i) REQUIRE(files.Put(i, 1, Concat("entry ", i), i).ok());
  const std::string oldest = files.fs.VisibleBytes(SegmentPath(1));
  REQUIRE(files.store->SaveSnapshot(Meta(30, 1), "s30", false).ok());
  REQUIRE(files.store->SaveSnapshot(Meta(35, 1), "s35", false).ok());
  REQUIRE(files.store->Compact(raft::Index(30)).ok());
  REQUIRE_FALSE(files.fs.Exists(SegmentPath(2)));
  files.Overwrite(SegmentPath(1), oldest);
  files.Open();
  CHECK(files.Found().size() == 5);
  CHECK_FALSE(files.fs.Exists(SegmentPath(1)));
}

TEST_CASE("raft store: temporary files, half a ballast and strangers are no matter") {
  RaftStoreFiles files({4096, 8192});
  REQUIRE(files.Create().ok());
  REQUIRE(files.Put(1, 1, "first").ok());
  for (const char* name : {"hardstate.tmp", "identity.tmp", "log-0000000000000009.tmp"}) {
    files.Overwrite(MetaPath(name), "junk");
  }
  files.Overwrite(MetaPath("log"), "of another time");
  files.fs.TruncateDurably(MetaPath("ballast"), 10);
  files.Open();
  CHECK(files.Found() == Texts{"first"});
  CHECK_FALSE(files.fs.Exists(MetaPath("hardstate.tmp")));
  CHECK_FALSE(files.fs.Exists(MetaPath("log-0000000000000009.tmp")));
  CHECK(files.fs.Exists(MetaPath("log")));
  CHECK(files.fs.VisibleBytes(MetaPath("ballast")).size() > 4096);
}

TEST_CASE("raft store: what a killed process had not synced is durable once it was opened") {
  RaftStoreFiles files;
  CreateWithEntries(files);
  const auto file = files.fs.Open(SegmentPath(1), OpenMode::kReadWrite);
  const uint64_t end = PlaceOf(files, SegmentPath(1), "third") + kRecordHeaderBytes + 5;
  std::string record;
  AppendRecord(record, {1, FilePosition(end)},
               {raft::Index(4), raft::Term(1), {}, FilePosition(end), {}, "unsynced"});
  REQUIRE((*file)->WriteAt(FilePosition(end), record).ok());
  files.store.reset();
  files.fs.Kill();
  files.Open();
  CHECK(files.Found() == Texts{"first", "second", "third", "unsynced"});
  files.store.reset();
  SimRng rng(1);
  files.fs.Crash(rng, {UnsyncedFate::kLost, EntryFate::kLost});
  files.Open();
  CHECK(files.Found() == Texts{"first", "second", "third", "unsynced"});
}

TEST_CASE(
    "raft store: a member whose creation failed at the very end stays one once it was opened") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    RaftStoreFiles files({4096, 0}, uint64_t{1} << 40, seed);
    files.fs.faults().FailAfter(3, kSyncDir, absl::StatusCode::kInternal);
    CHECK_FALSE(files.Create().ok());
    REQUIRE(RaftStore::Exists(files.fs, kMetaDirectory));
    files.fs.Kill();
    files.Open();
    REQUIRE(files.store->Save(HardStateOf(2, 8), {}, {}).ok());
    files.store.reset();
    SimRng rng(seed);
    files.fs.Crash(rng, {UnsyncedFate::kLost, EntryFate::kLost});
    files.Open();
    CHECK(files.found.raft.hard_state == HardStateOf(2, 8));
  }
}

TEST_CASE("raft store: sound records that contradict each other are refused") {
  const auto with_record = [](Record record) {
    RaftStoreFiles files;
    CreateWithEntries(files);
    files.store.reset();
    const std::string path = SegmentPath(1);
    const uint64_t end = PlaceOf(files, path, "third") + kRecordHeaderBytes + 5;
    std::string bytes = files.fs.VisibleBytes(path).substr(0, end);
    record.durable = FilePosition(end);
    AppendRecord(bytes, {1, FilePosition(end)}, record);
    files.Overwrite(path, bytes);
    files.CheckRefused(Concat(path, " is damaged at byte ", end));
  };
  with_record({raft::Index(5), raft::Term(1), {}, {}, {}, "a hole"});
  with_record({raft::Index(0), raft::Term(1), {}, {}, {}, "no index"});
  with_record({raft::Index(4), raft::Term(0), {}, {}, {}, "its term goes back"});
  with_record({raft::Index(2), raft::Term(1), {}, {}, RecordType::kMark, ""});
  with_record({raft::Index(3), raft::Term(2), {}, {}, RecordType::kMark, ""});
}

}  // namespace bascule::raft_store
