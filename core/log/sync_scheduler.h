// Group commit for the logs of a data directory. A log has at most one flush under way; what is
// appended meanwhile goes into the next one, so one sync covers everything appended before it
// started, and appends never wait for it.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "core/base/status.h"
#include "core/env/executor.h"
#include "core/env/file_system.h"

namespace bascule::log {

// What one flush has to make durable, in this order.
struct FlushTicket {
  std::vector<std::shared_ptr<File>> files;
  std::string directory;  // not empty: new files were created there
  Offset end;             // on success everything below is durable
  // Set when some other sync of one of the files has failed: the pages it dropped count as clean
  // now, so that ours would succeed without them.
  std::shared_ptr<const std::atomic<bool>> poisoned;
  uint64_t generation =
      0;  // of the log when the ticket was taken; a truncation voids older ones (R3b)
};

// Any thread.
class SyncScheduler {
 public:
  // `pool` runs the syncs: as many at once as it has threads.
  SyncScheduler(FileSystem& fs, Executor& pool) : fs_(fs), pool_(pool) {}
  // Syncs, then runs `done` on `home`. The first error ends the flush: nothing is tried twice.
  void Flush(FlushTicket ticket, Executor& home,
             absl::AnyInvocable<void(FlushTicket, absl::Status)> done);

 private:
  FileSystem& fs_;
  Executor& pool_;
};

}  // namespace bascule::log
