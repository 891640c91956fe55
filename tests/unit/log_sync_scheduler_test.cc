// Where a flush is made, and what it says when another sync of its files has failed.
#include "core/log/sync_scheduler.h"

#include <doctest/doctest.h>

#include "tests/unit/log_files.h"

namespace bascule::log {
namespace {

// What came back of a flush; everything that was posted has run.
struct Flushed {
  std::optional<FlushTicket> ticket;
  absl::Status status;
};

Flushed Flush(LogAtWork& world, FlushTicket ticket) {
  SimExecutor& home = world.scheduler.NewExecutor("home");
  Flushed flushed;
  world.sync.Flush(std::move(ticket), home, [&](FlushTicket back, absl::Status status) {
    flushed = {std::move(back), std::move(status)};
  });
  world.scheduler.RunUntilIdle();
  REQUIRE(flushed.ticket.has_value());
  return flushed;
}

FlushTicket TicketFor(LogAtWork& world, std::shared_ptr<std::atomic<bool>> poisoned) {
  PutFile(world.fs, LogPath(Offset(0)), SegmentFile(Offset(0)).AddMany(2).bytes);
  FlushTicket ticket;
  ticket.files.push_back(*world.fs.Open(LogPath(Offset(0)), OpenMode::kReadWrite));
  ticket.directory = kLogDirectory;
  ticket.end = Offset(2);
  ticket.poisoned = std::move(poisoned);
  return ticket;
}

TEST_CASE("sync scheduler: a flush is OK when nothing failed, and covers the directory") {
  LogAtWork world;
  FlushTicket ticket = TicketFor(world, std::make_shared<std::atomic<bool>>(false));
  const uint64_t syncs = world.fs.faults().Calls(kSyncDir);
  const Flushed flushed = Flush(world, std::move(ticket));
  CHECK(flushed.status.ok());
  CHECK(flushed.ticket->end == Offset(2));
  CHECK(world.fs.faults().Calls(kSyncDir) == syncs + 1);
}

TEST_CASE(
    "sync scheduler: another failed sync of its files fails a flush, before it or during it") {
  for (const bool before : {true, false}) {
    CAPTURE(before);
    LogAtWork world;
    const auto poisoned = std::make_shared<std::atomic<bool>>(before);
    FlushTicket ticket = TicketFor(world, poisoned);
    world.fs.OnSync([&](const std::string&) { *poisoned = true; });
    CHECK(absl::IsInternal(Flush(world, std::move(ticket)).status));
  }
}

TEST_CASE(
    "sync scheduler: a flush after a failed preallocation fails though its own sync succeeds") {
  LogAtWork world;
  world.options.preallocate = true;
  world.Open();
  REQUIRE(world.AppendMany(1).ok());
  REQUIRE(world.log->busy());
  std::optional<FlushTicket> ticket = world.log->TakeFlush();
  REQUIRE(ticket.has_value());
  world.fs.faults().FailAfter(1, kSync, absl::StatusCode::kInternal);
  // The shard has not heard of it when the flush comes back.
  world.shard.StandStill(std::chrono::seconds(1));
  world.scheduler.RunUntilIdle();
  REQUIRE(world.log->trust().ok());
  const Flushed flushed = Flush(world, *std::move(ticket));
  CHECK(absl::IsInternal(flushed.status));
  CHECK(absl::IsInternal(world.log->FlushDone(*flushed.ticket, flushed.status)));
  CHECK(world.log->flushed_end() == Offset(0));
}

// A shard that says when it has nothing else to do, and flushes asked of it.
struct IdleWorld {
  LogAtWork world;
  SimExecutor& shard = world.scheduler.NewExecutor("idle", {.tells_idle = true});
  int done = 0;

  FlushTicket Ticket() { return TicketFor(world, std::make_shared<std::atomic<bool>>(false)); }
  void Ask() {
    world.sync.Flush(Ticket(), shard, [this](FlushTicket, const absl::Status& status) {
      CHECK(status.ok());
      ++done;
    });
  }
  // In one task of the shard; everything that follows has run.
  void AskInOneTask(int flushes) {
    shard.Post([this, flushes] {
      for (int i = 0; i < flushes; ++i) Ask();
      CHECK(done == 0);  // never from within
    });
    world.scheduler.RunUntilIdle();
    CHECK(std::exchange(done, 0) == flushes);
  }
};

TEST_CASE("sync scheduler: a shard that has one flush and nothing else makes it itself") {
  IdleWorld w;
  for (uint64_t round = 1; round <= 3; ++round) {
    w.AskInOneTask(1);
    CHECK(w.world.sync.in_place() == round);
  }
  CHECK(w.world.pool.waiting() == 0);
}

TEST_CASE("sync scheduler: flushes of several logs, or of a busy shard, are the pool's") {
  IdleWorld w;
  w.AskInOneTask(2);
  CHECK(w.world.sync.in_place() == 0);
  // Another task waits behind the one that flushes.
  int others = 0;
  w.shard.Post([&] {
    w.Ask();
    w.shard.Post([&] { ++others; });
  });
  w.world.scheduler.RunUntilIdle();
  CHECK(std::exchange(w.done, 0) == 1);
  CHECK(others == 1);
  CHECK(w.world.sync.in_place() == 0);
  // One is in the pool already.
  w.world.pool.StandStill(std::chrono::milliseconds(10));
  w.shard.Post([&] {
    w.Ask();
    w.Ask();
  });
  w.world.scheduler.RunFor(std::chrono::milliseconds(1));
  w.shard.Post([&] { w.Ask(); });
  w.world.scheduler.RunFor(std::chrono::milliseconds(1));
  CHECK(w.done == 0);
  w.world.scheduler.RunFor(std::chrono::milliseconds(20));
  CHECK(std::exchange(w.done, 0) == 3);
  CHECK(w.world.sync.in_place() == 0);
  // And then it is alone again.
  w.AskInOneTask(1);
  CHECK(w.world.sync.in_place() == 1);
}

TEST_CASE("sync scheduler: after a slow sync the pool syncs for a while, each time") {
  IdleWorld w;
  Duration takes = limits::kSyncInPlaceMax;
  w.world.fs.OnSync([&](const std::string&) { w.world.clock.Advance(takes); });
  w.AskInOneTask(1);
  CHECK(w.world.sync.in_place() == 1);
  for (uint64_t round = 1; round <= 2; ++round) {
    takes = limits::kSyncInPlaceMax + Duration(1);
    w.AskInOneTask(1);
    CHECK(w.world.sync.in_place() == 2 * round);
    takes = Duration::zero();
    w.AskInOneTask(1);
    CHECK(w.world.sync.in_place() == 2 * round);
    w.world.clock.Advance(limits::kSyncWaryFor);
    w.AskInOneTask(1);
    CHECK(w.world.sync.in_place() == 2 * round + 1);
    w.world.clock.Advance(limits::kSyncWaryFor);
  }
}

TEST_CASE("sync scheduler: one that was made in place fails as any other") {
  IdleWorld w;
  const auto poisoned = std::make_shared<std::atomic<bool>>(true);
  absl::Status told;
  w.world.sync.Flush(TicketFor(w.world, poisoned), w.shard,
                     [&](FlushTicket, absl::Status status) { told = std::move(status); });
  w.world.scheduler.RunUntilIdle();
  CHECK(absl::IsInternal(told));
  CHECK(w.world.sync.in_place() == 1);
}

}  // namespace
}  // namespace bascule::log
