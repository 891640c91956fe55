// The partitions of this broker: opened, closed and given their roles by metadata deltas and by
// nothing else (R1). What follows from a delta or a report is decided by Step (partition_life.h);
// here its actions are carried out and the reports fed back.
//
//   metadata thread (home)                     disk pool             shard of the partition
//   OnDelta ─► Feed(kDesired) ─► Step
//     kList     RecoveryPointWriter::List ───► recovery.points
//     kRecover  ─────────────────────────────► RecoverLog
//     kTakeOver, kLead, kListen, kStandBy ─────────────────────────► Partition
//     kRest, kDrain, kClose ───────────────────────────────────────► Partition
//   Feed(report) ◄──────────────────────────── done, or ◄─────────── done, OnFailed
//     kSettle   ─► who waits for the delta; StreamCatalog::Put
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/env/lifetime.h"
#include "core/env/timer.h"
#include "core/log/sync_scheduler.h"
#include "core/ports/stream_catalog.h"
#include "replication/partition/partition.h"
#include "replication/partition/partition_life.h"
#include "replication/partition/recovery_point_writer.h"
#include "replication/ports.h"

namespace bascule::partition {

struct PartitionSetOptions {
  std::string data_directory;
  std::string broker;
  uint64_t member = 0;                          // node id in the metadata group
  isr::Incarnation incarnation = 0;             // of this process, as it is registered
  Duration max_lag = std::chrono::seconds(15);  // R8
  Duration max_silence = Duration::max();
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
  log::SyncScheduler& sync;
  AckSink& acks;
  SubjectFeeds& feeds;
  StreamCatalog& catalog;
  EpochRequests& epochs;
  IsrRequests& isr;
  ReplicaSwitch& replicas;  // of the same shards
};

// What recovery found of a replica.
struct RecoveredReplica {
  PartitionKey key;
  bool lost = false;  // damaged, or it cannot be opened
  bool cut = false;   // a torn end was cut off
  LeaderEpoch epoch;  // of its newest record
  Offset end;
};

// On the home executor unless said otherwise. Outlives its partitions' shards: stop those first.
class PartitionSet final : public DeltaSink, private PartitionEvents {
 public:
  PartitionSet(PartitionSetEnvironment env, PartitionSetOptions options,
               log::RecoveryPointSet points);
  ~PartitionSet() override;

  void OnDelta(const MetaDelta& delta, absl::AnyInvocable<void(absl::Status)> settled) override;
  // Moves directories of streams that are gone to data/trash and empties it; those younger than
  // `applied`, and doubtful ones, are never touched.
  void OnTakeOver(const std::set<StreamId>& streams, MetadataIndex applied,
                  const IndexRanges& doubtful) override;
  void OnBrokers(const BrokerLives& brokers) override;
  // Recovers those of `keys` that are listed, before this broker is registered: what became of them is
  // told with the registration. Their logs are opened when the first delta asks for them.
  void RecoverBefore(const std::vector<PartitionKey>& keys,
                     absl::AnyInvocable<void(std::vector<RecoveredReplica>)> done);
  // Starts the periodic work (disk space, background syncs). Deltas from here on wait for their
  // feeds to listen, for 2 s at most (there may be no NATS).
  void Start();
  // Closes every partition; `done` runs on home when all are closed and the recovery points
  // are written.
  void Stop(absl::AnyInvocable<void()> done);
  // Of the newest recovery.points that is known to be durable. Metadata thread, after Stop too.
  uint64_t points_sequence() const { return points_->durable_sequence(); }

  // Any thread.
  bool disk_full() const { return disk_full_; }

 private:
  using Settled = absl::AnyInvocable<void(absl::Status)>;
  struct Entry {
    std::shared_ptr<Partition> partition;
    PartitionDescription description;
    int32_t min_isr = 1;
    PartitionLife life;
    std::vector<Settled> waiting;                // for kSettle
    std::optional<log::RecoveredLog> recovered;  // for kTakeOver
    std::optional<log::RecoveryPoint> drained;   // where the log ended
  };

  void Create(const StreamCreated& created, absl::AnyInvocable<void(absl::Status)> settled);
  void Delete(const StreamDeleted& deleted, absl::AnyInvocable<void(absl::Status)> settled);
  void Change(const PartitionChanged& changed, absl::AnyInvocable<void(absl::Status)> settled);
  void Update(const StreamUpdated& updated, absl::AnyInvocable<void(absl::Status)> settled);
  void Show(StreamId id, std::shared_ptr<const CatalogEntry> entry);
  PartitionDesire DesireOf(const PartitionDescription& partition) const;
  isr::PartitionView ViewOf(const Entry& entry) const;
  // To the partition, if it is to lead: what its replicas are now.
  // Whether this broker's replica is in the ISR or the ELR.
  bool Counts(const PartitionDescription& partition) const;
  void TellView(const Entry& entry) const;
  std::shared_ptr<Partition> Make(const StreamDescription& stream, const StreamSettings& settings,
                                  PartitionKey key);
  Executor& ShardOf(PartitionKey key) { return *env_.shards[env_.replicas.ShardOf(key)]; }
  // Whoever waits for `key` is called when it has come to rest.
  void Desire(PartitionKey key, PartitionDesire desire, Settled settled);
  void Feed(PartitionKey key, const LifeEvent& event);
  // Feeds from another thread, or later.
  void Report(PartitionKey key, LifeEvent event);
  void CarryOut(PartitionKey key, Entry& entry, const LifeAction& action);
  void Tell(PartitionKey key, Entry& entry, const LifeAction& action);
  static RecoveredReplica Found(PartitionKey key, const absl::StatusOr<log::RecoveredLog>& log);
  void Recover(PartitionKey key, const Entry& entry, std::optional<log::KnownEnd> known_end);
  void Listen(PartitionKey key, const std::shared_ptr<Partition>& partition, bool fresh);
  void Drain(PartitionKey key, const std::shared_ptr<Partition>& partition);
  void Close(PartitionKey key, const Entry& entry);
  void End(PartitionKey key);
  void RemoveDirectory(StreamId id);
  void Tick();
  void Collect(absl::AnyInvocable<void(RecoveryPointWriter::Points)> done);
  std::string DirectoryOf(PartitionKey key) const;
  // Every partition against its life and its stream. Each idle tick.
  void CheckInvariants() const;

  // PartitionEvents: on a shard.
  void OnDurable() override { points_->NoteDurable(); }
  void OnFailed(PartitionKey key, Offset durable_end, const absl::Status& why) override;
  void LowerPoint(PartitionKey key, log::RecoveryPoint point,
                  absl::AnyInvocable<void(absl::Status)> done) override;
  void ProposeIsr(PartitionKey key, isr::IsrProposal proposal,
                  absl::AnyInvocable<void()> ended) override;

  PartitionSetEnvironment env_;
  const PartitionSetOptions options_;
  std::vector<std::unique_ptr<log::TailCacheBudget>> budgets_;  // one per shard
  std::shared_ptr<RecoveryPointWriter> points_;
  std::map<PartitionKey, Entry> partitions_;  // those with a replica here
  // All of them, as they are now; in the catalog once what is led here is open.
  std::map<StreamId, std::shared_ptr<const CatalogEntry>> streams_;
  BrokerLives brokers_;
  std::map<PartitionKey, log::RecoveredLog> recovered_before_;  // until they are asked for
  std::atomic<bool> disk_full_{false};
  uint64_t ticks_ = 0;
  bool serving_ = false;
  bool stopping_ = false;
  RecoveryPointWriter::Points drained_;  // of a stop
  Timer tick_timer_{env_.home};
  Lifetime lifetime_{env_.home};
};

}  // namespace bascule::partition
