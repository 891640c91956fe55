#include "tests/support/sim_file_system.h"

#include <doctest/doctest.h>

#include <set>
#include <string>

namespace bascule {
namespace {

using absl::StatusCode;

constexpr SimCrash kLoseEverything{UnsyncedFate::kLost, EntryFate::kLost};

std::unique_ptr<File> OpenOrDie(SimFileSystem& fs, const std::string& path, OpenMode mode) {
  auto file = fs.Open(path, mode);
  INFO(file.status().ToString());
  REQUIRE(file.ok());
  return std::move(*file);
}

// A file whose name is durable and whose `contents` are too.
std::unique_ptr<File> DurableFile(SimFileSystem& fs, const std::string& path,
                                  std::string_view contents) {
  auto file = OpenOrDie(fs, path, OpenMode::kCreate);
  REQUIRE(file->WriteAt(FilePosition(0), contents).ok());
  REQUIRE(file->Sync().ok());
  REQUIRE(fs.SyncDir(ParentPath(path)).ok());
  return file;
}

TEST_CASE("sim disk: a crash loses what was not synced, a kill does not") {
  SimFileSystem fs(1);
  SimRng rng(1);
  auto file = DurableFile(fs, "/f", "durable");
  REQUIRE(file->WriteAt(FilePosition(7), " not").ok());
  REQUIRE(file->WriteAt(FilePosition(0), "DUR").ok());
  CHECK(fs.VisibleBytes("/f") == "DURable not");
  CHECK(fs.DurableBytes("/f") == "durable");

  fs.Kill();
  CHECK(fs.VisibleBytes("/f") == "DURable not");
  fs.Crash(rng, kLoseEverything);
  CHECK(fs.VisibleBytes("/f") == "durable");
}

TEST_CASE("sim disk: a sync keeps bytes and size, a truncation needs one") {
  SimFileSystem fs(1);
  SimRng rng(1);
  auto file = DurableFile(fs, "/f", "0123456789");
  REQUIRE(file->Truncate(4).ok());
  CHECK(file->Size().value() == 4);
  CHECK(fs.DurableBytes("/f").size() == 10);
  REQUIRE(file->Sync().ok());
  REQUIRE(file->WriteAt(FilePosition(6), "x").ok());
  fs.Crash(rng, kLoseEverything);
  CHECK(fs.VisibleBytes("/f") == "0123");
}

TEST_CASE("sim disk: handles and locks of the dead are dead") {
  SimFileSystem fs(1);
  auto file = DurableFile(fs, "/f", "x");
  auto lock = fs.Lock("/LOCK");
  REQUIRE(lock.ok());
  CHECK(fs.Lock("/LOCK").status().code() == StatusCode::kFailedPrecondition);
  fs.Kill();
  char out[1];
  CHECK(file->WriteAt(FilePosition(0), "y").code() == StatusCode::kFailedPrecondition);
  CHECK(file->ReadAt(FilePosition(0), out, 1).status().code() == StatusCode::kFailedPrecondition);
  CHECK(file->ReadAtNoWait(FilePosition(0), out, 1).status().code() ==
        StatusCode::kFailedPrecondition);
  CHECK(file->Sync().code() == StatusCode::kFailedPrecondition);
  CHECK(file->Truncate(0).code() == StatusCode::kFailedPrecondition);
  CHECK(file->Size().status().code() == StatusCode::kFailedPrecondition);
  auto taken_over = fs.Lock("/LOCK");
  CHECK(taken_over.ok());
  lock->reset();  // the dead one's lock must not release the new one
  CHECK_FALSE(fs.Lock("/LOCK").ok());
}

TEST_CASE("sim disk: sectors survive each for itself") {
  constexpr size_t kSectors = 8;
  bool torn = false;
  bool reordered = false;
  bool hole = false;
  bool cut = false;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    SimFileSystem fs(seed);
    SimRng rng(seed);
    auto file = DurableFile(fs, "/f", "");
    for (size_t i = 0; i < kSectors;
         ++i) {  // two writes, each of half the sectors, then one more over the first
      REQUIRE(
          file->WriteAt(FilePosition(i * kSimSectorBytes), std::string(kSimSectorBytes, 'a')).ok());
    }
    REQUIRE(file->WriteAt(FilePosition(0), std::string(kSimSectorBytes * 2, 'b')).ok());
    fs.Crash(rng, {UnsyncedFate::kSectors, EntryFate::kKept});
    const std::string bytes = fs.VisibleBytes("/f");
    CHECK(bytes.size() % kSimSectorBytes == 0);
    std::string states;
    for (size_t at = 0; at < bytes.size(); at += kSimSectorBytes) {
      CHECK(bytes.substr(at, kSimSectorBytes) == std::string(kSimSectorBytes, bytes[at]));
      states.push_back(bytes[at] == '\0' ? '0' : bytes[at]);
    }
    cut |= states.size() < kSectors;
    if (states.size() < 2) continue;
    CHECK(states.find('b', 2) == std::string::npos);
    torn |= (states[0] == 'b') != (states[1] == 'b');
    reordered |= states[0] == 'b' && states.back() == '0';
    hole |= states.find("0a") != std::string::npos;
  }
  CHECK(torn);
  CHECK(reordered);
  CHECK(hole);
  CHECK(cut);
}

TEST_CASE("sim disk: what a sync covered survives every kind of crash") {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    SimFileSystem fs(seed);
    SimRng rng(seed);
    auto file = DurableFile(fs, "/f", std::string(1500, 'd'));
    REQUIRE(file->WriteAt(FilePosition(1500), std::string(1500, 'u')).ok());
    fs.Crash(rng);
    const std::string bytes = fs.VisibleBytes("/f");
    REQUIRE(bytes.size() >= 1500);
    CHECK(bytes.substr(0, 1500) == std::string(1500, 'd'));
    CHECK(bytes == fs.DurableBytes("/f"));
  }
}

TEST_CASE("sim disk: the last write may be torn at any byte") {
  std::set<size_t> lengths;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    SimFileSystem fs(seed);
    SimRng rng(seed);
    auto file = DurableFile(fs, "/f", "");
    REQUIRE(file->WriteAt(FilePosition(0), "first-").ok());
    REQUIRE(file->WriteAt(FilePosition(6), "second").ok());
    fs.Crash(rng, {UnsyncedFate::kTornLast, EntryFate::kKept});
    const std::string bytes = fs.VisibleBytes("/f");
    CHECK(std::string("first-second").substr(0, bytes.size()) == bytes);
    lengths.insert(bytes.size());
  }
  CHECK(*lengths.begin() == 6);
  CHECK(*lengths.rbegin() == 12);
  CHECK(lengths.size() == 7);
}

TEST_CASE("sim disk: names need SyncDir: create, rename, remove") {
  SimFileSystem fs(1);
  SimRng rng(1);
  REQUIRE(fs.CreateDirectories("/d/sub").ok());
  DurableFile(fs, "/d/kept", "kept");
  DurableFile(fs, "/d/renamed", "renamed");
  DurableFile(fs, "/d/replaced", "old");
  DurableFile(fs, "/d/removed", "removed");
  REQUIRE(OpenOrDie(fs, "/d/created", OpenMode::kCreate)->Sync().ok());  // bytes durable, name not
  REQUIRE(fs.Rename("/d/renamed", "/d/replaced").ok());
  REQUIRE(fs.Remove("/d/removed").ok());
  REQUIRE(fs.RemoveTree("/d/sub").ok());
  CHECK_FALSE(fs.Exists("/d/sub"));

  SUBCASE("lost without it") {
    fs.Crash(rng, kLoseEverything);
    CHECK(fs.VisibleBytes("/d/kept") == "kept");
    CHECK_FALSE(fs.Exists("/d/created"));
    CHECK(fs.VisibleBytes("/d/renamed") == "renamed");
    CHECK(fs.VisibleBytes("/d/replaced") == "old");
    CHECK(fs.Exists("/d/removed"));
    CHECK(fs.Exists("/d/sub"));
  }
  SUBCASE("kept with it") {
    REQUIRE(fs.SyncDir("/d").ok());
    fs.Crash(rng, kLoseEverything);
    CHECK(fs.Exists("/d/created"));
    CHECK_FALSE(fs.Exists("/d/renamed"));
    CHECK(fs.VisibleBytes("/d/replaced") == "renamed");
    CHECK_FALSE(fs.Exists("/d/removed"));
    CHECK_FALSE(fs.Exists("/d/sub"));
  }
}

TEST_CASE("sim disk: some names survive a crash, always the first ones of their directory") {
  std::set<size_t> survivors;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    SimFileSystem fs(seed);
    SimRng rng(seed);
    for (int i = 0; i < 5; ++i) OpenOrDie(fs, "/f" + std::to_string(i), OpenMode::kCreate);
    fs.Crash(rng, {UnsyncedFate::kLost, EntryFate::kSome});
    const auto entries = fs.List("/");
    REQUIRE(entries.ok());
    survivors.insert(entries->size());
    for (size_t i = 0; i < entries->size(); ++i)
      CHECK((*entries)[i].name == "f" + std::to_string(i));
  }
  CHECK(survivors == std::set<size_t>{0, 1, 2, 3, 4, 5});
}

TEST_CASE("sim disk: a durable name does not make bytes durable, nor the other way round") {
  SimFileSystem fs(1);
  SimRng rng(1);
  auto named = OpenOrDie(fs, "/named", OpenMode::kCreate);
  REQUIRE(named->WriteAt(FilePosition(0), "lost").ok());
  REQUIRE(fs.SyncDir("/").ok());
  auto synced = OpenOrDie(fs, "/synced", OpenMode::kCreate);
  REQUIRE(synced->WriteAt(FilePosition(0), "kept").ok());
  REQUIRE(synced->Sync().ok());
  fs.Crash(rng, kLoseEverything);
  CHECK(fs.VisibleBytes("/named").empty());
  CHECK_FALSE(fs.Exists("/synced"));
}

TEST_CASE("sim disk: a file renamed between directories never vanishes") {
  std::set<int> seen;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    SimFileSystem fs(seed);
    SimRng rng(seed);
    REQUIRE(fs.CreateDirectories("/a").ok());
    REQUIRE(fs.CreateDirectories("/b").ok());
    DurableFile(fs, "/b/f", "x");
    REQUIRE(fs.Rename("/b/f", "/a/g").ok());
    if (seed % 3 == 0) REQUIRE(fs.SyncDir("/b").ok());
    if (seed % 3 == 1) REQUIRE(fs.SyncDir("/a").ok());
    fs.Crash(rng, {UnsyncedFate::kLost, EntryFate::kSome});
    const bool old_name = fs.Exists("/b/f");
    const bool new_name = fs.Exists("/a/g");
    CHECK((old_name || new_name));
    if (seed % 3 == 1) CHECK(new_name);
    seen.insert((old_name ? 1 : 0) + (new_name ? 2 : 0));
  }
  CHECK(seen == std::set<int>{1, 2, 3});
}

TEST_CASE("sim disk: WriteFileAtomically survives every crash in the middle of it, whole") {
  for (uint64_t seed = 0; seed < 400; ++seed) {
    SimFileSystem fs(seed);
    SimRng rng(seed);
    REQUIRE(WriteFileAtomically(fs, "/f", std::string(2000, 'o')).ok());
    fs.faults().PowerOffAfter(1 + seed % 6);
    const bool done = WriteFileAtomically(fs, "/f", std::string(3000, 'n')).ok();
    fs.Crash(rng);
    const std::string bytes = fs.VisibleBytes("/f");
    const bool is_new = bytes == std::string(3000, 'n');
    CHECK((is_new || bytes == std::string(2000, 'o')));
    if (done) CHECK(is_new);
  }
}

TEST_CASE("sim disk: the same seed gives the same disk") {
  const auto run = [](uint64_t seed) {
    SimFileSystem fs(seed);
    SimRng rng(seed);
    fs.faults().rates.write = 0.2;
    fs.faults().rates.sync = 0.2;
    for (int i = 0; i < 20; ++i) {
      auto file = fs.Open("/f" + std::to_string(i % 3), OpenMode::kReplace);
      (*file)
          ->WriteAt(FilePosition(static_cast<uint64_t>(i) * 100), std::string(2000, 'a'))
          .IgnoreError();
      if (i % 4 == 0) (*file)->Sync().IgnoreError();
      if (i % 5 == 0) fs.SyncDir("/").IgnoreError();
    }
    fs.Crash(rng);
    std::string all;
    const auto entries = fs.List("/");
    for (const DirectoryEntry& entry : *entries)
      all += entry.name + "=" + fs.VisibleBytes(entry.name) + ";";
    return all;
  };
  std::set<std::string> results;
  for (uint64_t seed = 0; seed < 10; ++seed) {
    CHECK(run(seed) == run(seed));
    results.insert(run(seed));
  }
  CHECK(results.size() > 5);
}

}  // namespace
}  // namespace bascule
