// Keeps `data/recovery.points` close behind the logs: rewritten 50 ms after the last append and at
// least every 5 s while something moves; at once when a partition is listed for the first time.
// Lives on the home (metadata) executor.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "core/env/clock.h"
#include "core/env/executor.h"
#include "core/log/recovery_points.h"

namespace bascule::partition {

class RecoveryPointWriter : public std::enable_shared_from_this<RecoveryPointWriter> {
 public:
  using Points = std::map<PartitionKey, log::RecoveryPoint>;
  // Gathers the present points of open partitions (absent ones keep their last) and passes them on,
  // on the home executor.
  using Collect = absl::AnyInvocable<void(absl::AnyInvocable<void(Points)>)>;

  RecoveryPointWriter(FileSystem& fs, Clock& clock, Executor& home, Executor& disk_pool,
                      std::string data_directory, uint64_t member, log::RecoveryPointSet loaded);
  void SetCollect(Collect collect) { collect_ = std::move(collect); }

  // Any thread, cheap: a log has become durable further on.
  void NoteDurable();

  // --- home executor ---
  const log::RecoveryPoint* Find(PartitionKey key) const;
  // `done` runs when the partition is durably listed: from then on its directory cannot vanish
  // unnoticed.
  void List(PartitionKey key, absl::AnyInvocable<void(absl::Status)> done);
  // A listed partition's log is about to be cut (CommitLog::PlanCut): `done` runs when no higher
  // point than `point` is on the disk. What is gathered from its log from now on is not higher.
  void Lower(PartitionKey key, log::RecoveryPoint point,
             absl::AnyInvocable<void(absl::Status)> done);
  void Forget(PartitionKey key);
  // The metadata of this member has come to `index`; in the next write.
  void NoteApplied(MetadataIndex index);
  // Forgets streams that the metadata up to `applied` does not know: a crash may have come between
  // a deletion and the next write.
  void KeepOnly(const std::set<StreamId>& known, MetadataIndex applied);
  // Of the newest write of this process that is durable: no later start may find an older file. 0: of none.
  uint64_t durable_sequence() const { return durable_sequence_; }
  // The last write of an orderly stop, on the home executor, after one that is under way.
  void WriteLast(Points points, absl::AnyInvocable<void(absl::Status)> done);

 private:
  void Check();
  void CheckInvariants() const;
  void Write();
  void Written(std::vector<absl::AnyInvocable<void(absl::Status)>> waiting, uint64_t sequence,
               const absl::Status& status);

  FileSystem& fs_;
  Clock& clock_;
  Executor& home_;
  Executor& disk_pool_;
  const std::string data_directory_;
  Collect collect_;
  log::RecoveryPointSet set_;
  // Of logs that are being cut: what was gathered before that counts no more.
  struct Lowered {
    log::RecoveryPoint point;
    uint64_t gatherings;  // those begun by then
  };
  std::map<PartitionKey, Lowered> lowered_;
  uint64_t gatherings_ = 0;
  uint64_t durable_sequence_ = 0;  // what was found may stand in the page cache only
  std::vector<absl::AnyInvocable<void(absl::Status)>> waiting_;
  bool writing_ = false;
  bool again_ = false;               // something moved during the write
  absl::AnyInvocable<void()> last_;  // the last write, waiting for that one
  MonotonicTime last_write_;
  // The only words shared with the shards: "something moved" and when. No protocol hangs on them.
  std::atomic<bool> moved_{false};
  std::atomic<int64_t> moved_at_{0};
};

}  // namespace bascule::partition
