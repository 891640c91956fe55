// Positions to offsets as the wire contract has them, and reads that wait.
#include <limits>

#include "tests/unit/partition_world.h"

namespace bascule::partition {
namespace {

using Start = StartPosition::Kind;
using Stop = StopPosition::Kind;

StartPosition From(Start kind, int64_t offset = -77, Timestamp time = Timestamp(-77)) {
  return {kind, offset, time};
}
StopPosition Until(Stop kind, int64_t offset = -77, Timestamp time = Timestamp(-77)) {
  return {kind, offset, time};
}

// Offsets 0..9, one per second; `at[i]` is when.
struct TenMessages {
  TenMessages() {
    for (int i = 0; i < 10; ++i) {
      at.push_back(world.clock.Wall());
      world.Publish(Values(i, i + 1));
      world.clock.Advance(std::chrono::seconds(1));
    }
  }
  PartitionWorld world;
  std::vector<Timestamp> at;
};

// A member of the ISR that never acknowledges: 3 committed, 2 more appended.
struct HalfCommitted {
  HalfCommitted() : world({.start = false}) {
    world.Lead(LeaderEpoch(1));
    world.Publish(Values(0, 3));
    world.Lead(LeaderEpoch(2), std::nullopt, {"self", "other"}, 1);
    world.Publish(Values(3, 5));
  }
  PartitionWorld world;
};

}  // namespace

TEST_CASE("start positions in a log with messages") {
  TenMessages ten;
  auto start = [&](StartPosition position) { return ten.world.Locate(position)->from; };
  CHECK(start(From(Start::kNewOnly)) == Offset(10));
  CHECK(start(From(Start::kOffset, 4)) == Offset(4));
  CHECK(start(From(Start::kOffset, 0)) == Offset(0));
  CHECK(start(From(Start::kOffset, -5)) == Offset(0));
  CHECK(start(From(Start::kOffset, 9)) == Offset(9));
  // Past the end is no error: the next message, whatever number was asked for.
  CHECK(start(From(Start::kOffset, 10)) == Offset(10));
  CHECK(start(From(Start::kOffset, 1'000'000)) == Offset(10));
  CHECK(start(From(Start::kOffset, std::numeric_limits<int64_t>::max())) == Offset(10));
  CHECK(start(From(Start::kEarliest)) == Offset(0));
  CHECK(start(From(Start::kLatest)) == Offset(9));
  CHECK(start(From(Start::kTimestamp, 0, ten.at[0] - 1)) == Offset(0));
  CHECK(start(From(Start::kTimestamp, 0, ten.at[0])) == Offset(0));
  CHECK(start(From(Start::kTimestamp, 0, ten.at[3])) == Offset(3));
  CHECK(start(From(Start::kTimestamp, 0, ten.at[3] + 1)) == Offset(4));
  CHECK(start(From(Start::kTimestamp, 0, ten.at[9] + 1)) == Offset(10));
  CHECK(start(From(Start::kTimestamp, 0, Timestamp(std::numeric_limits<int64_t>::min()))) ==
        Offset(0));
}

TEST_CASE("start positions in an empty log") {
  PartitionWorld world;
  for (const Start kind :
       {Start::kNewOnly, Start::kOffset, Start::kEarliest, Start::kLatest, Start::kTimestamp}) {
    const auto range = world.Locate(From(kind, 5, Timestamp(5)));
    REQUIRE(range.ok());
    CHECK(range->from == Offset(0));
    CHECK_FALSE(range->last.has_value());
  }
}

TEST_CASE("nobody starts past the high watermark") {
  HalfCommitted half;
  PartitionWorld& world = half.world;
  REQUIRE(world.Status().high_watermark == Offset(3));
  REQUIRE(world.Status().log_end == Offset(5));
  CHECK(world.Locate(From(Start::kNewOnly))->from == Offset(3));
  CHECK(world.Locate(From(Start::kLatest))->from == Offset(3));
  CHECK(world.Locate(From(Start::kOffset, 4))->from == Offset(3));
  CHECK(world.Locate(From(Start::kOffset, 2))->from == Offset(2));
  CHECK(world.Locate(From(Start::kEarliest), Until(Stop::kLatest))->last == Offset(4));
}

TEST_CASE("LATEST is the newest message, not a gap record behind it") {
  PartitionWorld world;
  world.Publish(Values(0, 3));
  world.partition->RecordGap({Timestamp(1), Timestamp(2), GapReason::kQueueFull, 1});
  world.Run();
  CHECK(world.Locate(From(Start::kLatest))->from == Offset(2));
}

TEST_CASE("stop positions") {
  TenMessages ten;
  auto stop = [&](StopPosition position) {
    const auto range = ten.world.Locate(From(Start::kEarliest), position);
    REQUIRE_MESSAGE(range.ok(), range.status().ToString());
    return range->last;
  };
  CHECK_FALSE(stop(Until(Stop::kOnCancel, 3, ten.at[3])).has_value());
  CHECK(stop(Until(Stop::kOffset, 4)) == Offset(4));
  CHECK(stop(Until(Stop::kOffset, 400)) == Offset(400));  // waits until reached
  CHECK_FALSE(stop(Until(Stop::kOffset, -1)).has_value());
  CHECK(stop(Until(Stop::kLatest)) == Offset(9));
  CHECK(stop(Until(Stop::kTimestamp, 0, ten.at[4])) == Offset(4));
  CHECK(stop(Until(Stop::kTimestamp, 0, ten.at[4] + 1)) == Offset(4));
  CHECK(stop(Until(Stop::kTimestamp, 0, ten.at[9] + 1)) == Offset(9));
  CHECK(stop(Until(Stop::kTimestamp, 0, Timestamp(std::numeric_limits<int64_t>::max()))) ==
        Offset(9));
}

TEST_CASE("stop positions that cannot be, with the texts of the wire contract") {
  TenMessages ten;
  const auto before = ten.world.Locate(From(Start::kOffset, 5), Until(Stop::kOffset, 3));
  CHECK(absl::IsInvalidArgument(before.status()));
  CHECK(before.status().message() == "Stop offset is before start offset: 3 < 5");
  const auto new_only = ten.world.Locate(From(Start::kNewOnly), Until(Stop::kLatest));
  CHECK(absl::IsInvalidArgument(new_only.status()));
  CHECK(new_only.status().message() == "Stop offset is before start offset: 9 < 10");
  const auto early =
      ten.world.Locate(From(Start::kEarliest), Until(Stop::kTimestamp, 0, ten.at[0] - 1));
  CHECK(absl::IsInternal(early.status()));
  CHECK(early.status().message() ==
        "Failed to lookup offset for timestamp: timestamp is before the beginning of the log");
}

TEST_CASE("stop positions in an empty log, with the texts of the wire contract") {
  PartitionWorld world;
  const auto latest = world.Locate(From(Start::kEarliest), Until(Stop::kLatest));
  CHECK(absl::IsResourceExhausted(latest.status()));
  CHECK(latest.status().message() == "Stream is empty");
  const auto time = world.Locate(From(Start::kEarliest), Until(Stop::kTimestamp, 0, Timestamp(5)));
  CHECK(absl::IsInternal(time.status()));
  CHECK(time.status().message() ==
        "Failed to lookup offset for timestamp: failed to find log segment for timestamp: EOF");
  CHECK(world.Locate(From(Start::kNewOnly), Until(Stop::kOffset, 3))->last == Offset(3));
}

TEST_CASE("reverse positions") {
  TenMessages ten;
  auto reverse = [&](StartPosition start, StopPosition stop = {}) {
    return ten.world.Locate(start, stop, Direction::kReverse);
  };
  CHECK(reverse(From(Start::kNewOnly))->from == Offset(9));
  CHECK(reverse(From(Start::kLatest))->from == Offset(9));
  CHECK(reverse(From(Start::kOffset, 4))->from == Offset(4));
  CHECK(reverse(From(Start::kOffset, 400))->from == Offset(9));
  CHECK(reverse(From(Start::kEarliest))->from == Offset(0));
  CHECK(
      absl::IsInvalidArgument(reverse(From(Start::kOffset, 5), Until(Stop::kOffset, 3)).status()));
  PartitionWorld empty;
  const auto nothing = empty.Locate(From(Start::kLatest), {}, Direction::kReverse);
  CHECK(absl::IsInternal(nothing.status()));
  CHECK(nothing.status().message() == "Failed to create stream reader: segment not found");
}

TEST_CASE("reading downwards goes through the log to its beginning") {
  TenMessages ten;
  std::vector<Offset> bases;
  Offset at(9);
  while (at >= Offset(0)) {
    const auto chunk = ten.world.Read(at, Direction::kReverse);
    REQUIRE_MESSAGE(chunk.ok(), chunk.status().ToString());
    CHECK(chunk->next < at);
    WalkBatches(chunk->batches.view(), [&](const wire::BatchHeader& header, std::string_view) {
      bases.push_back(header.base_offset);
    });
    at = chunk->next;
  }
  CHECK(bases.size() == 10);
  CHECK(absl::IsOutOfRange(ten.world.Read(Offset(-1), Direction::kReverse).status()));
}

TEST_CASE("a read at the end waits, and the commit wakes it, not the append") {
  PartitionWorld world;
  std::optional<absl::StatusOr<ReadChunk>> got;
  world.partition->Read({ReaderId(1), Direction::kForward, Offset(0), 4096},
                        [&](absl::StatusOr<ReadChunk> chunk) { got = std::move(chunk); });
  world.Run();
  CHECK_FALSE(got.has_value());
  world.Send(Values(0, 1));
  world.RunUntilPoolHasWork();
  CHECK_FALSE(got.has_value());  // appended, not durable
  world.Run();
  REQUIRE(got.has_value());
  REQUIRE(got->ok());
  CHECK((*got)->next == Offset(1));
  CHECK((*got)->committed_end == Offset(1));
}

TEST_CASE("a waiting read is cancelled by its reader alone, and ended for all by Close") {
  PartitionWorld world;
  std::map<int, absl::Status> ended;
  for (int reader = 1; reader <= 3; ++reader) {
    world.partition->Read(
        {ReaderId(static_cast<uint64_t>(reader)), Direction::kForward, Offset(0), 4096},
        [&ended, reader](absl::StatusOr<ReadChunk> chunk) { ended[reader] = chunk.status(); });
  }
  world.Run();
  world.partition->CancelRead(ReaderId(2));
  world.Run();
  REQUIRE(ended.size() == 1);
  CHECK(absl::IsCancelled(ended.at(2)));
  world.partition->Close(absl::NotFoundError("commit log was deleted"));
  REQUIRE(ended.size() == 3);
  CHECK(ended.at(1).message() == "commit log was deleted");
  CHECK(absl::IsNotFound(world.Read(Offset(0)).status()));
  CHECK(absl::IsNotFound(world.Locate({}).status()));
}

TEST_CASE("a reader that goes while the disk works is answered once and not brought back") {
  TenMessages ten;
  PartitionWorld& world = ten.world;
  world.CrashAndRestart(LeaderEpoch(2));  // nothing is in memory: reads go to the disk
  world.fs.faults().rates.no_wait_unavailable = 1;
  int answers = 0;
  world.partition->Read({ReaderId(1), Direction::kForward, Offset(0), 4096},
                        [&](const absl::StatusOr<ReadChunk>&) { ++answers; });
  world.RunUntilPoolHasWork();
  REQUIRE(world.pool.waiting() > 0);
  world.partition->CancelRead(ReaderId(1));
  while (world.shard.waiting() > 0) world.scheduler.Step();
  // The log changes under the read that is on its way.
  world.Lead(LeaderEpoch(3));
  world.Run();
  CHECK(answers == 1);
}

}  // namespace bascule::partition
