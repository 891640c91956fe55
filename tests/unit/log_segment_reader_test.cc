#include "core/log/segment_reader.h"

#include <doctest/doctest.h>

#include "tests/unit/log_files.h"

namespace bascule::log {
namespace {

// A sealed segment of one-record batches, 100 bytes each and more, timestamps 1000 + offset.
struct Stored {
  explicit Stored(SegmentFile f) : file(std::move(f)) { PutFile(fs, path, file.Sealed()); }
  SegmentReadPlan Plan(Offset from, size_t max_bytes = 10'000) const {
    SegmentReadPlan plan;
    plan.path = path;
    plan.footer = file.facts;
    plan.load_index = true;
    plan.from = from;
    plan.limit = file.facts.end_offset;
    plan.max_bytes = max_bytes;
    return plan;
  }
  absl::StatusOr<SegmentReadResult> Read(Offset from, size_t max_bytes = 10'000) {
    return ReadSegment(fs, Plan(from, max_bytes), ReadWait::kWait);
  }
  absl::StatusOr<SegmentReadResult> ReadBack(Offset from, size_t max_bytes = 10'000) {
    SegmentReadPlan plan = Plan(from, max_bytes);
    plan.reverse = true;
    return ReadSegment(fs, plan, ReadWait::kWait);
  }
  Offset Find(int64_t timestamp) {
    const auto found = FindTimestamp(fs, Plan(file.facts.base_offset), Timestamp(timestamp));
    REQUIRE(found.ok());
    return *found;
  }
  void Damage(size_t batch, uint64_t byte = 100) {
    fs.FlipBit(path, file.starts[batch].value() + byte, 4);
  }

  SimFileSystem fs{1};
  const std::string path = LogPath(Offset(0));
  SegmentFile file;
};

SegmentFile Many(int n, size_t size = 100) {
  SegmentFile file(Offset(0));
  file.AddMany(n, size);
  return file;
}

void CheckNames(const absl::Status& status, const Stored& stored, size_t batch) {
  CHECK(absl::IsDataLoss(status));
  const std::string text = status.ToString();
  INFO(text);
  CHECK(text.find(stored.path) != std::string::npos);
  CHECK(text.find(Concat("byte ", stored.file.starts[batch])) != std::string::npos);
}

TEST_CASE("every offset is found with and without an index, and the disk reading short") {
  Stored stored(Many(120, 1000));
  REQUIRE(stored.file.index.size() > 2);
  stored.fs.faults().rates.short_read = 0.5;
  for (const bool load_index : {true, false}) {
    for (int64_t from = 0; from < 120; from += 7) {
      SegmentReadPlan plan = stored.Plan(Offset(from), 3000);
      plan.load_index = load_index;
      plan.start = FilePosition(kSegmentHeaderBytes);
      const auto result = ReadSegment(stored.fs, plan, ReadWait::kWait);
      REQUIRE(result.ok());
      CHECK(result->index.has_value() == load_index);
      const auto messages = Messages(result->batches.view());
      CHECK(messages.front().offset == Offset(from));
      CHECK(result->next == messages.back().offset + 1);
      CHECK(result->batches.size() <= 3000);
      const size_t next = static_cast<size_t>(result->next.value());
      if (next < 120) CHECK(result->next_position == stored.file.starts[next]);
    }
  }
}

TEST_CASE("a batch larger than the window comes whole") {
  SegmentFile file = Many(3);
  file.Add(MakeBatch({Offset(3), {std::string(50'000, 'x')}, Timestamp(1003)})).AddMany(1);
  Stored stored(std::move(file));
  auto result = stored.Read(Offset(3), 100);
  REQUIRE(result.ok());
  REQUIRE(Messages(result->batches.view()).size() == 1);
  CHECK(Messages(result->batches.view())[0].value.size() == 50'000);
  CHECK(result->next == Offset(4));
  // As one that has to be passed, and as one that does not fit behind others.
  CHECK(Messages(stored.Read(Offset(4), 100)->batches.view())[0].offset == Offset(4));
  result = stored.Read(Offset(1), 1000);
  CHECK(result->next == Offset(3));
  result = stored.ReadBack(Offset(3), 100);
  CHECK(Messages(result->batches.view()).size() == 1);
  CHECK(result->next == Offset(2));
}

TEST_CASE("a flipped bit in a wanted batch is told with file and place; behind it all is well") {
  for (const uint64_t byte : {0, 4, 8, 12, 16, 40, 97, 150}) {
    Stored stored(Many(10));
    stored.Damage(5, byte);
    INFO("byte ", byte);
    const auto before = stored.Read(Offset(2));
    REQUIRE(before.ok());
    CHECK(before->next == Offset(5));
    CheckNames(stored.Read(Offset(5)).status(), stored, 5);
    for (int64_t from = 6; from < 10; ++from) {
      const auto behind = stored.Read(Offset(from));
      REQUIRE(behind.ok());
      CHECK(Messages(behind->batches.view()).front().offset == Offset(from));
      CHECK(Messages(behind->batches.view()).size() == static_cast<size_t>(10 - from));
    }
  }
}

TEST_CASE("damage seen from behind") {
  Stored stored(Many(10));
  stored.Damage(5);
  const auto behind = stored.ReadBack(Offset(9));
  REQUIRE(behind.ok());
  CHECK(Messages(behind->batches.view()).front().offset == Offset(6));
  CHECK(behind->next == Offset(5));
  CheckNames(stored.ReadBack(Offset(5)).status(), stored, 5);
  const auto before = stored.ReadBack(Offset(4));
  REQUIRE(before.ok());
  CHECK(Messages(before->batches.view()).back().offset == Offset(4));
}

TEST_CASE("several batches damaged, the first and the last among them") {
  Stored stored(Many(10));
  for (const size_t batch : {0, 4, 5, 9}) stored.Damage(batch);
  for (int64_t from = 0; from < 10; ++from) {
    const bool lost = from == 0 || from == 4 || from == 5 || from == 9;
    INFO("from ", from);
    CHECK(stored.Read(Offset(from)).ok() != lost);
    CHECK(stored.ReadBack(Offset(from)).ok() != lost);
  }
}

TEST_CASE("a batch whose offsets go back or past the segment is damage although its sum is right") {
  SegmentFile file = Many(3);
  file.Add(MakeBatch({Offset(1), {"again"}})).Add(MakeBatch({Offset(3), {"d"}, Timestamp(1003)}));
  file.Add(MakeBatch({Offset(7), {"far"}}));
  file.facts.end_offset = Offset(5);
  Stored stored(std::move(file));
  CHECK(stored.Read(Offset(0))->next == Offset(3));
  CheckNames(stored.Read(Offset(4)).status(), stored, 5);
  const auto step = stored.Read(Offset(3));
  REQUIRE(step.ok());
  CHECK(step->next == Offset(4));
  CHECK(Messages(step->batches.view())[0].value == "d");
}

TEST_CASE("a file that somebody cut: what is left is read, the rest is damage") {
  Stored stored(Many(10));
  stored.fs.TruncateDurably(stored.path, stored.file.starts[6].value() + 50);
  SegmentReadPlan plan = stored.Plan(Offset(3));
  CHECK(ReadSegment(stored.fs, plan, ReadWait::kWait)->next == Offset(6));
  CheckNames(stored.Read(Offset(6)).status(), stored, 6);
  CHECK(absl::IsDataLoss(stored.Read(Offset(8)).status()));
}

TEST_CASE("a damaged index costs a walk, nothing else") {
  Stored stored(Many(120, 1000));
  for (size_t i = 0; i < stored.file.index.size(); ++i)
    stored.fs.FlipBit(stored.path, stored.file.facts.data_end.value() + i * kIndexEntryBytes, 1);
  const auto result = stored.Read(Offset(100));
  REQUIRE(result.ok());
  CHECK(result->index->empty());
  CHECK(Messages(result->batches.view()).front().offset == Offset(100));
  CHECK(Messages(stored.ReadBack(Offset(100))->batches.view()).back().offset == Offset(100));
}

TEST_CASE("without waiting: Unavailable unless file, index and bytes are at hand") {
  Stored stored(Many(10));
  SegmentReadPlan plan = stored.Plan(Offset(3));
  CHECK(absl::IsUnavailable(ReadSegment(stored.fs, plan, ReadWait::kNoWait).status()));
  plan.load_index = false;
  plan.start = FilePosition(kSegmentHeaderBytes);
  CHECK(absl::IsUnavailable(ReadSegment(stored.fs, plan, ReadWait::kNoWait).status()));
  plan.file = std::shared_ptr<File>(*stored.fs.Open(stored.path, OpenMode::kRead));
  CHECK(ReadSegment(stored.fs, plan, ReadWait::kNoWait)->next == Offset(10));
  plan.reverse = true;
  CHECK(absl::IsUnavailable(ReadSegment(stored.fs, plan, ReadWait::kNoWait).status()));
  plan.reverse = false;
  stored.fs.faults().rates.no_wait_unavailable = 1;
  CHECK(absl::IsUnavailable(ReadSegment(stored.fs, plan, ReadWait::kNoWait).status()));
  stored.fs.faults().rates.no_wait_unavailable = 0;
  stored.Damage(3);  // what it means has to be found out on the disk
  CHECK(absl::IsUnavailable(ReadSegment(stored.fs, plan, ReadWait::kNoWait).status()));
}

TEST_CASE("an error of the disk is that error, not damage") {
  Stored stored(Many(10));
  stored.fs.faults().FailAfter(2, kRead, absl::StatusCode::kInternal, kForever);
  CHECK(absl::IsInternal(stored.Read(Offset(3)).status()));
  CHECK(absl::IsInternal(stored.ReadBack(Offset(3)).status()));
}

TEST_CASE("the first record at or after a time, over duplicates, before all and after all") {
  SegmentFile file(Offset(0));
  file.Add(MakeBatch({Offset(0), {"a", "b"}, Timestamp(10)}));
  file.Add(MakeBatch({Offset(2), {"c"}, Timestamp(20)}));
  file.Add(MakeBatch({Offset(3), {"d", "e"}, Timestamp(20), LeaderEpoch(2)}));
  file.Add(MakeBatch({Offset(5), {"f"}, Timestamp(20), LeaderEpoch(3)}));
  file.Add(MakeBatch({Offset(9), {"g"}, Timestamp(30), LeaderEpoch(4)}));  // behind a gap
  REQUIRE(file.index.size() == 4);
  Stored stored(std::move(file));
  CHECK(stored.Find(0) == Offset(0));
  CHECK(stored.Find(10) == Offset(0));
  CHECK(stored.Find(11) == Offset(2));
  CHECK(stored.Find(20) == Offset(2));
  CHECK(stored.Find(21) == Offset(9));
  CHECK(stored.Find(30) == Offset(9));
  CHECK(stored.Find(31) == Offset(10));
}

TEST_CASE("by time over damage: what is behind it is found") {
  Stored stored(Many(10));
  stored.Damage(5);
  CHECK(stored.Find(1004) == Offset(4));
  CHECK(stored.Find(1005) == Offset(6));
  stored.Damage(9);
  CHECK(stored.Find(1009) == Offset(10));
}

}  // namespace
}  // namespace bascule::log
