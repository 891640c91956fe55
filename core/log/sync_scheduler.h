// Group commit for the logs of a data directory. A log has at most one flush under way; what is
// appended meanwhile goes into the next one, so one sync covers everything appended before it
// started.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "core/base/status.h"
#include "core/env/clock.h"
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

// Where a shard has one flush to make and nothing else to do, it makes it itself: two thread switches less
// for who waits for the ack, and what arrives meanwhile becomes one batch. Otherwise, and for a while after a
// sync in place took long (limits::kSyncInPlaceMax), a pool syncs, so that flushes of several logs overlap and
// the shard goes on.
class SyncScheduler {
 public:
  using Done = absl::AnyInvocable<void(FlushTicket, absl::Status)>;
  // `pool` runs the syncs that are not made in place: as many at once as it has threads. All outlive what was
  // posted on the executors.
  SyncScheduler(FileSystem& fs, Executor& pool, Clock& clock);
  ~SyncScheduler();
  // On `home`. Syncs, then runs `done` there, as a task of its own. The first error ends the flush: nothing is
  // tried twice.
  void Flush(FlushTicket ticket, Executor& home, Done done);
  // Syncs that a shard made itself. Any thread.
  uint64_t in_place() const;

 private:
  class Home;

  FileSystem& fs_;
  Executor& pool_;
  Clock& clock_;
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<Executor*, std::shared_ptr<Home>> homes_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bascule::log
