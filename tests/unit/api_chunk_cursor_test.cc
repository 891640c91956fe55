#include "core/api/chunk_cursor.h"

#include <doctest/doctest.h>

#include "core/wire/record.h"

namespace bascule::api {
namespace {

std::string Batch(int64_t base, int count, uint8_t attributes = 0) {
  wire::BatchBuilder builder;
  builder.Begin(Offset(base), LeaderEpoch(1), Timestamp(1), Offset(0), attributes);
  for (int i = 0; i < count; ++i) {
    std::string body;
    wire::AppendValue(body, std::to_string(base + i));
    builder.Add(body);
  }
  return builder.Finish();
}

std::vector<int64_t> Walk(ChunkCursor& cursor) {
  std::vector<int64_t> offsets;
  std::string_view record;
  while (cursor.Next(record)) {
    wire::RecordView view;
    REQUIRE(wire::ParseRecord(record, view));
    CHECK(*view.value == std::to_string(view.offset.value()));
    offsets.push_back(view.offset.value());
  }
  return offsets;
}

std::vector<int64_t> Walk(const std::string& batches, Direction direction, int64_t low,
                          int64_t end) {
  ChunkCursor cursor(Bytes(batches), direction, {Offset(low), Offset(end)});
  auto offsets = Walk(cursor);
  CHECK(cursor.status().ok());
  CHECK(cursor.bytes_left() == 0);
  return offsets;
}

using Offsets = std::vector<int64_t>;

TEST_CASE("forwards: in order, within the bounds, without control batches") {
  const std::string batches = Batch(0, 3) + Batch(3, 2, wire::kControl) + Batch(5, 3);
  CHECK(Walk(batches, Direction::kForward, 0, 100) == Offsets{0, 1, 2, 5, 6, 7});
  CHECK(Walk(batches, Direction::kForward, 1, 7) == Offsets{1, 2, 5, 6});
  CHECK(Walk(batches, Direction::kForward, 3, 5).empty());
  CHECK(Walk(batches, Direction::kForward, 6, 6).empty());
  CHECK(Walk("", Direction::kForward, 0, 9).empty());
}

TEST_CASE("backwards: the same, the other way round") {
  const std::string batches = Batch(0, 3) + Batch(3, 2, wire::kControl) + Batch(5, 3);
  CHECK(Walk(batches, Direction::kReverse, 0, 100) == Offsets{7, 6, 5, 2, 1, 0});
  CHECK(Walk(batches, Direction::kReverse, 1, 7) == Offsets{6, 5, 2, 1});
  CHECK(Walk(batches, Direction::kReverse, 3, 5).empty());
  CHECK(Walk("", Direction::kReverse, 0, 9).empty());
}

TEST_CASE("the lowest offset is the first batch's") {
  CHECK(ChunkCursor(Bytes(Batch(5, 3)), Direction::kReverse, {Offset(0), Offset(9)}).lowest() ==
        Offset(5));
  CHECK(ChunkCursor(Bytes(), Direction::kReverse, {Offset(0), Offset(9)}).lowest() == Offset(-1));
}

TEST_CASE("bytes that cannot be read end the walk with a reason, after what stood before them") {
  const std::string good = Batch(0, 2);
  for (const Direction direction : {Direction::kForward, Direction::kReverse}) {
    for (const std::string& bad :
         {std::string("rubbish"), std::string(200, '\0'), good.substr(0, good.size() - 1)}) {
      ChunkCursor cursor(Bytes(good + bad), direction, {Offset(0), Offset(9)});
      const Offsets offsets = Walk(cursor);
      CHECK(offsets == (direction == Direction::kForward ? Offsets{0, 1} : Offsets{}));
      CHECK(absl::IsDataLoss(cursor.status()));
    }
  }
}

}  // namespace
}  // namespace bascule::api
