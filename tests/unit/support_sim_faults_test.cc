#include <doctest/doctest.h>

#include <set>
#include <string>

#include "tests/support/sim_file_system.h"

namespace bascule {
namespace {

using absl::StatusCode;

constexpr SimCrash kLoseAll{UnsyncedFate::kLost, EntryFate::kLost};

std::unique_ptr<File> NewFile(SimFileSystem& fs, const std::string& path) {
  auto file = fs.Open(path, OpenMode::kCreate);
  REQUIRE(file.ok());
  REQUIRE(fs.SyncDir(ParentPath(path)).ok());
  return std::move(*file);
}

TEST_CASE("sim faults: a failed sync gives its pages up: a later OK proves nothing for them") {
  bool some_kept = false;
  bool some_lost = false;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    SimFileSystem fs(seed);
    SimRng rng(seed);
    auto file = NewFile(fs, "/f");
    REQUIRE(file->WriteAt(FilePosition(0), std::string(1024, 'a')).ok());
    fs.faults().FailAfter(1, kSync, StatusCode::kInternal);
    CHECK(file->Sync().code() == StatusCode::kInternal);
    CHECK(fs.VisibleBytes("/f") == std::string(1024, 'a'));
    REQUIRE(file->WriteAt(FilePosition(1024), "after").ok());
    REQUIRE(file->Sync().ok());
    fs.Crash(rng, kLoseAll);
    const std::string bytes = fs.VisibleBytes("/f");
    CHECK(bytes.substr(1024) == "after");
    const bool whole = bytes.substr(0, 1024) == std::string(1024, 'a');
    some_kept |= whole;
    some_lost |= !whole;
  }
  CHECK(some_kept);
  CHECK(some_lost);
}

TEST_CASE("sim faults: a failed SyncDir gives its names up likewise") {
  bool some_lost = false;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    SimFileSystem fs(seed);
    SimRng rng(seed);
    REQUIRE(fs.Open("/first", OpenMode::kCreate).ok());
    fs.faults().FailAfter(1, kSyncDir, StatusCode::kInternal);
    CHECK_FALSE(fs.SyncDir("/").ok());
    CHECK(fs.Exists("/first"));
    REQUIRE(fs.Open("/second", OpenMode::kCreate).ok());
    REQUIRE(fs.SyncDir("/").ok());
    fs.Crash(rng, kLoseAll);
    CHECK(fs.Exists("/second"));
    some_lost |= !fs.Exists("/first");
  }
  CHECK(some_lost);
}

TEST_CASE(
    "sim faults: the n-th call of a kind fails, as often as planned, and is told from the others") {
  SimFileSystem fs(1);
  auto file = NewFile(fs, "/f");
  fs.faults().FailAfter(2, kWrite | kTruncate, StatusCode::kResourceExhausted, 2);
  CHECK(file->WriteAt(FilePosition(0), "a").ok());
  CHECK(file->Sync().ok());
  const absl::Status full = file->WriteAt(FilePosition(1), "b");
  CHECK(full.code() == StatusCode::kResourceExhausted);
  CHECK(full.message() == "write /f: No space left on device (simulated)");
  CHECK(file->Truncate(0).code() == StatusCode::kResourceExhausted);
  CHECK(file->WriteAt(FilePosition(0), "c").ok());

  fs.faults().FailAfter(1, kOpen, StatusCode::kInternal, kForever);
  for (int i = 0; i < 3; ++i)
    CHECK(fs.Open("/f", OpenMode::kRead).status().code() == StatusCode::kInternal);
  fs.faults().Clear();
  CHECK(fs.Open("/f", OpenMode::kRead).ok());
  fs.faults().FailAfter(1, kRename | kRemove | kList | kSpace, StatusCode::kInternal, 4);
  CHECK_FALSE(fs.Rename("/f", "/g").ok());
  CHECK_FALSE(fs.Remove("/f").ok());
  CHECK_FALSE(fs.List("/").ok());
  CHECK_FALSE(fs.Space("/").ok());
  CHECK(fs.Exists("/f"));
}

TEST_CASE("sim faults: calls are counted by kind") {
  SimFileSystem fs(1);
  auto file = NewFile(fs, "/f");
  for (int i = 0; i < 3; ++i) REQUIRE(file->WriteAt(FilePosition(0), "a").ok());
  REQUIRE(file->Sync().ok());
  CHECK(fs.faults().Calls(kWrite) == 3);
  CHECK(fs.faults().Calls(kSync) == 1);
  CHECK(fs.faults().Calls(kWrite | kSync) == 4);
  CHECK(fs.faults().Calls(kRead) == 0);
  CHECK(fs.faults().Calls(kAllOps) == 6);
}

TEST_CASE("sim faults: a failing write may have written any first part") {
  std::set<size_t> lengths;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    SimFileSystem fs(seed);
    auto file = NewFile(fs, "/f");
    fs.faults().FailAfter(1, kWrite, StatusCode::kInternal);
    REQUIRE_FALSE(file->WriteAt(FilePosition(0), "abcd").ok());
    CHECK(std::string("abcd").find(fs.VisibleBytes("/f")) == 0);
    lengths.insert(fs.VisibleBytes("/f").size());
  }
  CHECK(lengths == std::set<size_t>{0, 1, 2, 3, 4});
}

TEST_CASE("sim faults: after the power went nothing happens any more, until the crash") {
  SimFileSystem fs(1);
  SimRng rng(1);
  auto file = NewFile(fs, "/f");
  REQUIRE(file->WriteAt(FilePosition(0), "a").ok());
  REQUIRE(file->Sync().ok());
  fs.faults().PowerOffAfter(2);
  CHECK(file->WriteAt(FilePosition(1), "b").ok());
  CHECK_FALSE(file->Sync().ok());
  CHECK(fs.faults().power_is_off());
  CHECK_FALSE(file->Sync().ok());
  CHECK_FALSE(file->WriteAt(FilePosition(2), "c").ok());
  CHECK_FALSE(fs.Remove("/f").ok());
  CHECK_FALSE(fs.Open("/f", OpenMode::kRead).ok());
  CHECK(fs.VisibleBytes("/f") == "ab");
  CHECK(fs.DurableBytes("/f") == "a");
  fs.Crash(rng, {UnsyncedFate::kKept, EntryFate::kKept});
  CHECK(fs.VisibleBytes("/f") == "ab");
  CHECK(fs.Open("/f", OpenMode::kRead).ok());
}

TEST_CASE("sim faults: reads may be short or not in memory, and ReadFully lives with the first") {
  SimFileSystem fs(1);
  auto file = NewFile(fs, "/f");
  REQUIRE(file->WriteAt(FilePosition(0), "0123456789").ok());
  fs.faults().rates.short_read = 0.9;
  std::set<size_t> lengths;
  char out[10];
  for (int i = 0; i < 300; ++i) lengths.insert(file->ReadAt(FilePosition(0), out, 10).value());
  CHECK(lengths == std::set<size_t>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
  CHECK(ReadWhole(*file, 10).value() == "0123456789");
  fs.faults().rates.no_wait_unavailable = 0.5;
  int unavailable = 0;
  for (int i = 0; i < 200; ++i) {
    const auto got = file->ReadAtNoWait(FilePosition(0), out, 10);
    if (got.ok()) continue;
    CHECK(got.status().code() == StatusCode::kUnavailable);
    ++unavailable;
  }
  CHECK(unavailable > 60);
  CHECK(unavailable < 140);
}

TEST_CASE(
    "sim faults: what is written while a sync runs is not covered by it; time may pass in it") {
  SimFileSystem fs(1);
  SimClock clock;
  const MonotonicTime start = clock.Monotonic();
  auto file = NewFile(fs, "/f");
  REQUIRE(file->WriteAt(FilePosition(0), "before ").ok());
  fs.OnSync([&](const std::string& path) {
    CHECK(path == "/f");
    clock.Advance(std::chrono::milliseconds(30));
    REQUIRE(file->WriteAt(FilePosition(7), "during").ok());
  });
  REQUIRE(file->Sync().ok());
  CHECK(Between(start, clock.Monotonic()) == std::chrono::milliseconds(30));
  CHECK(fs.DurableBytes("/f") == "before ");
  CHECK(fs.HasUnsyncedBytes("/f"));
  fs.OnSync(nullptr);
  REQUIRE(file->Sync().ok());
  CHECK(fs.DurableBytes("/f") == "before during");
  CHECK_FALSE(fs.HasUnsyncedBytes("/f"));
}

TEST_CASE("sim faults: a crash inside a sync fails it") {
  SimFileSystem fs(1);
  SimRng rng(1);
  auto file = NewFile(fs, "/f");
  REQUIRE(file->WriteAt(FilePosition(0), "x").ok());
  fs.OnSync([&](const std::string&) { fs.Crash(rng, kLoseAll); });
  CHECK_FALSE(file->Sync().ok());
  CHECK(fs.VisibleBytes("/f").empty());
}

TEST_CASE("sim faults: damage is durable and seen at once") {
  SimFileSystem fs(1);
  SimRng rng(1);
  auto file = NewFile(fs, "/f");
  REQUIRE(file->WriteAt(FilePosition(0), "abc").ok());
  REQUIRE(file->Sync().ok());
  fs.FlipBit("/f", 1, 0);
  CHECK(fs.VisibleBytes("/f") == "acc");
  fs.TruncateDurably("/f", 2);
  CHECK(file->Size().value() == 2);
  fs.Crash(rng, kLoseAll);
  CHECK(fs.VisibleBytes("/f") == "ac");
}

TEST_CASE("sim faults: a full disk takes what fits, and takes again when space is back") {
  SimFileSystem fs(1, 10);
  auto file = NewFile(fs, "/f");
  auto other = NewFile(fs, "/g");
  REQUIRE(file->WriteAt(FilePosition(0), "123456").ok());
  CHECK(fs.Space("/")->available_bytes == 4);
  CHECK(fs.Space("/")->total_bytes == 10);
  CHECK(other->WriteAt(FilePosition(0), "abcdef").code() == StatusCode::kResourceExhausted);
  CHECK(fs.VisibleBytes("/g") == "abcd");
  CHECK(fs.Space("/")->available_bytes == 0);
  CHECK(file->WriteAt(FilePosition(0), "654321").ok());
  CHECK(file->WriteAt(FilePosition(6), "7").code() == StatusCode::kResourceExhausted);
  CHECK(file->Truncate(7).code() == StatusCode::kResourceExhausted);
  REQUIRE(fs.Remove("/g").ok());
  CHECK(fs.Space("/")->available_bytes == 4);
  CHECK(other->Truncate(0).ok());  // still open, but its bytes were given back already
  CHECK(fs.Space("/")->available_bytes == 4);
  CHECK(file->WriteAt(FilePosition(6), "789").ok());
  fs.SetCapacity(5);
  CHECK(fs.Space("/")->available_bytes == 0);
  CHECK(file->Truncate(3).ok());
  CHECK(fs.Space("/")->available_bytes == 2);
  REQUIRE(fs.RemoveTree("/f").ok());
  CHECK(fs.Space("/")->available_bytes == 5);
}

TEST_CASE("sim faults: paths that make no sense are errors, as on a real disk") {
  SimFileSystem fs(1);
  NewFile(fs, "/f");
  CHECK(fs.Open("/none/f", OpenMode::kCreate).status().code() == StatusCode::kNotFound);
  CHECK(fs.Open("/f", OpenMode::kCreate).status().code() == StatusCode::kAlreadyExists);
  CHECK(fs.Open("/", OpenMode::kRead).status().code() == StatusCode::kInternal);
  CHECK(fs.CreateDirectories("/f/below/more").code() == StatusCode::kInternal);
  CHECK(fs.CreateDirectories("/a/b/c").ok());
  CHECK(fs.Exists("/a/b"));
  CHECK(fs.Remove("/a").code() == StatusCode::kInternal);
  CHECK(fs.Remove("/none").code() == StatusCode::kNotFound);
  CHECK(fs.RemoveTree("/none").ok());
  CHECK(fs.Rename("/none", "/x").code() == StatusCode::kNotFound);
  CHECK(fs.Rename("/f", "/a").code() == StatusCode::kInternal);
  CHECK(fs.List("/none").status().code() == StatusCode::kNotFound);
  CHECK(fs.Open("/f", OpenMode::kRead).value()->WriteAt(FilePosition(0), "x").code() ==
        StatusCode::kInternal);
}

}  // namespace
}  // namespace bascule
