// What a flush says when another sync of its files has failed.
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

}  // namespace
}  // namespace bascule::log
