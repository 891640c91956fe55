// The partitions of this broker: opened, closed and given their roles by metadata deltas and by
// nothing else (R1).
//
//   metadata thread (home)                disk pool                    shard of the partition
//   OnDelta(StreamCreated)
//     RecoveryPointWriter::List ────────► recovery.points
//     Open ─────────────────────────────► RecoverLog ────────────────► Partition::Lead, Listen
//     settled ◄──────────────────────────────────────────────────────── listening (or failed)
//     StreamCatalog::Put
//   OnDelta(PartitionChanged)
//     another leads ───────────────────────────────────────────────────► Partition::Resign
//     we lead, it was open ────────────────────────────────────────────► Partition::EnterEpoch
//     we lead, it never was ────────────► RecoverLog ──────────────────► Partition::Lead, Listen
//   OnFailed ◄────────────────────────────────────────────────────────── a sync or write failed
//     (1 s) EpochRequests::RequestNewEpoch
//   OnDelta(PartitionChanged) ──────────► RecoverLog(cut at durable end) ► Partition::Lead
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/log/sync_scheduler.h"
#include "core/ports/stream_catalog.h"
#include "replication/partition/partition.h"
#include "replication/partition/recovery_point_writer.h"
#include "replication/ports.h"

namespace bascule {

struct PartitionSetOptions {
  std::string data_directory;
  std::string broker;
  StreamSettings defaults;
  size_t max_message_bytes = limits::kDefaultMessageBytes;
  uint64_t disk_reserve_bytes = 0;
};

struct PartitionSetEnvironment {
  FileSystem& fs;
  Clock& clock;
  Executor& home;  // the metadata thread
  std::vector<Executor*> shards;
  Executor& disk_pool;
  SyncScheduler& sync;
  AckSink& acks;
  SubjectFeeds& feeds;
  StreamCatalog& catalog;
  EpochRequests& epochs;
};

// On the home executor unless said otherwise. Outlives its partitions' shards: stop those first.
class PartitionSet final : public DeltaSink, private PartitionEvents {
 public:
  PartitionSet(PartitionSetEnvironment env, PartitionSetOptions options, RecoveryPointSet points);
  ~PartitionSet() override;

  void OnDelta(const MetaDelta& delta, absl::AnyInvocable<void(absl::Status)> settled) override;
  // Moves directories of streams that are gone to data/trash and empties it; those younger than
  // `applied`, and doubtful ones, are never touched.
  void OnTakeOver(const std::set<StreamId>& streams, MetadataIndex applied,
                  const IndexRanges& doubtful) override;
  // Starts the periodic work (disk space, background syncs). Deltas from here on wait for their
  // feeds to listen, for 2 s at most (there may be no NATS).
  void Start();
  // Closes every partition; `done` runs on home when all are closed and the recovery points
  // are written.
  void Stop(absl::AnyInvocable<void()> done);

  // Any thread.
  bool disk_full() const { return disk_full_; }

 private:
  struct Entry {
    std::shared_ptr<Partition> partition;
    PartitionDescription description;
    int32_t min_isr = 1;
    std::optional<Offset> durable_end;  // of a log that failed: nothing behind it is trusted
    // Its log is being recovered; who wants it to lead again meanwhile waits for that.
    bool recovering = false;
    std::vector<absl::AnyInvocable<void(absl::Status)>> resumes;
  };
  // Calls `all` with the first error when as many parts as were announced have reported. On one
  // executor.
  struct Countdown {
    int waiting = 0;
    absl::Status first;
    absl::AnyInvocable<void(absl::Status)> all;
    void Done(const absl::Status& status) {
      if (first.ok()) first = status;
      if (--waiting == 0) all(first);
    }
  };
  struct Opening {
    Countdown countdown;
    bool wait_for_feed = false;
  };

  void Create(const StreamCreated& created, absl::AnyInvocable<void(absl::Status)> settled);
  void Delete(const StreamDeleted& deleted, absl::AnyInvocable<void(absl::Status)> settled);
  void Change(const PartitionChanged& changed, absl::AnyInvocable<void(absl::Status)> settled);
  void Update(const StreamUpdated& updated, absl::AnyInvocable<void(absl::Status)> settled);
  void Show(StreamId id, std::shared_ptr<const CatalogEntry> entry);
  void Resume(PartitionKey key, absl::AnyInvocable<void(absl::Status)> settled);
  void Reopen(PartitionKey key);
  void EndRecovery(PartitionKey key);
  bool IsLed(const Entry& entry) const { return entry.description.leader == options_.broker; }
  std::shared_ptr<Partition> Make(const StreamDescription& stream, const StreamSettings& settings,
                                  PartitionKey key);
  void Open(PartitionKey key, std::shared_ptr<Opening> opening);
  void ListenAnew(const std::shared_ptr<Partition>& partition,
                  const std::shared_ptr<Opening>& opening);
  void Recover(PartitionKey key, std::optional<Offset> cut_at,
               absl::AnyInvocable<void(absl::Status)> opened);
  void ScheduleClean(const std::shared_ptr<Partition>& partition);
  void RemoveDirectory(StreamId id);
  void Retry(PartitionKey key);
  void RetryOpening(PartitionKey key);
  void Tick();
  void Collect(absl::AnyInvocable<void(RecoveryPointWriter::Points)> done);
  std::string DirectoryOf(PartitionKey key) const;

  // PartitionEvents: on a shard.
  void OnDurable() override { points_->NoteDurable(); }
  void OnFailed(PartitionKey key, Offset durable_end, const absl::Status& why) override;

  PartitionSetEnvironment env_;
  const PartitionSetOptions options_;
  std::vector<std::unique_ptr<TailCacheBudget>> budgets_;  // one per shard
  std::shared_ptr<RecoveryPointWriter> points_;
  std::map<PartitionKey, Entry> partitions_;  // those with a replica here
  // All of them, as they are now; in the catalog once what is led here is open.
  std::map<StreamId, std::shared_ptr<const CatalogEntry>> streams_;
  std::atomic<bool> disk_full_{false};
  uint64_t ticks_ = 0;
  bool serving_ = false;
  bool stopping_ = false;
  std::shared_ptr<bool> alive_ =
      std::make_shared<bool>(true);  // timers that outlive us find it gone
};

}  // namespace bascule
