// How far logs were durable, lowered for one that is about to be cut.
#include <doctest/doctest.h>

#include "core/log/segment_format.h"
#include "replication/partition/recovery_point_writer.h"
#include "tests/support/sim_executor.h"
#include "tests/support/sim_file_system.h"

namespace bascule::partition {
namespace {

const PartitionKey kCut{StreamId(7), PartitionId(0)};
const PartitionKey kUntouched{StreamId(8), PartitionId(0)};

log::RecoveryPoint PointTo(int64_t end) {
  log::RecoveryPoint point;
  point.active.end_offset = Offset(end);
  point.active.data_end = FilePosition(log::kSegmentHeaderBytes);
  point.log_start = Offset(0);
  return point;
}

// A writer whose points are gathered when the test says so.
struct WriterWorld {
  SimClock clock;
  SimScheduler scheduler{clock, 1};
  SimExecutor& home = scheduler.NewExecutor("home");
  SimExecutor& pool = scheduler.NewExecutor("pool");
  SimFileSystem fs{2};
  std::shared_ptr<RecoveryPointWriter> writer = std::make_shared<RecoveryPointWriter>(
      fs, clock, home, pool, "/data", 1, log::RecoveryPointSet{});
  std::vector<absl::AnyInvocable<void(RecoveryPointWriter::Points)>> gathering;
  bool at_once = true;
  RecoveryPointWriter::Points logs;  // where they are now

  WriterWorld() {
    REQUIRE(fs.CreateDirectories("/data").ok());
    writer->SetCollect([this](auto done) {
      if (at_once) return done(logs);
      gathering.push_back(std::move(done));
    });
    for (const PartitionKey key : {kCut, kUntouched}) {
      OnHome([&, key] { writer->List(key, [](const absl::Status& s) { REQUIRE(s.ok()); }); });
      logs[key] = PointTo(100);
    }
    Moved();
    REQUIRE(Durable(kCut) == 100);
  }
  void OnHome(Task task) {
    home.Post(std::move(task));
    scheduler.RunUntilIdle();
  }
  void Moved() {
    writer->NoteDurable();
    scheduler.RunFor(std::chrono::seconds(1));
  }
  int64_t Durable(PartitionKey key) {
    const auto points = log::ParseRecoveryPoints(fs.DurableBytes("/data/recovery.points"));
    REQUIRE(points.ok());
    return points->partitions.at(key).active.end_offset.value();
  }
  // The log says the lower point from now on.
  void Lower(int64_t end) {
    logs[kCut] = PointTo(end);
    OnHome([this, end] {
      writer->Lower(kCut, PointTo(end), [this](const absl::Status& status) {
        lowered = status;
        if (status.ok()) at_done = Durable(kCut);
      });
    });
  }
  absl::Status lowered = absl::UnknownError("not lowered");
  int64_t at_done = -1;
};

}  // namespace

TEST_CASE(
    "recovery points: a lowered point is on the disk when it is said to be, whatever is under "
    "way") {
  SUBCASE("nothing") {
    WriterWorld world;
    world.Lower(60);
    CHECK(world.lowered.ok());
    CHECK(world.at_done == 60);
    CHECK(world.Durable(kUntouched) == 100);
  }
  SUBCASE("a gathering that asked this log before it was lowered") {
    WriterWorld world;
    world.at_once = false;
    world.Moved();
    REQUIRE(world.gathering.size() == 1);
    const RecoveryPointWriter::Points before = world.logs;
    world.Lower(60);
    CHECK(absl::IsUnknown(world.lowered));
    world.at_once = true;
    world.OnHome([&] { world.gathering[0](before); });
    CHECK(world.lowered.ok());
    CHECK(world.at_done == 60);
    // The next one knows better than what was lowered: the log has gone on since.
    world.logs[kCut] = PointTo(75);
    world.Moved();
    CHECK(world.Durable(kCut) == 75);
  }
  SUBCASE("a write of the higher one") {
    WriterWorld world;
    bool first = true;
    world.fs.OnSync([&](const std::string&) {
      if (std::exchange(first, false)) {
        world.home.Post([&] {
          world.logs[kCut] = PointTo(60);
          world.writer->Lower(kCut, PointTo(60), [&](const absl::Status& status) {
            world.lowered = status;
            world.at_done = world.Durable(kCut);
          });
        });
      }
    });
    world.Moved();
    CHECK(world.lowered.ok());
    CHECK(world.at_done == 60);
  }
}

TEST_CASE("recovery points: one that cannot be lowered is said not to be, and may be tried again") {
  WriterWorld world;
  world.fs.faults().FailAfter(1, kSync, absl::StatusCode::kInternal);
  world.Lower(60);
  CHECK(absl::IsInternal(world.lowered));
  CHECK(world.Durable(kCut) == 100);
  world.Lower(60);
  CHECK(world.lowered.ok());
  CHECK(world.at_done == 60);
  world.OnHome([&] {
    world.writer->Lower({StreamId(99), PartitionId(0)}, PointTo(0),
                        [&](const absl::Status& status) { world.lowered = status; });
  });
  CHECK(absl::IsNotFound(world.lowered));
}

}  // namespace bascule::partition
