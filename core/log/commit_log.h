// The log of one partition: a chain of segments, the last one active. Everything here runs on the
// partition's shard and never blocks: appends go to the page cache, blocking work (syncing,
// preallocating, sealing, unlinking, cold reads) is handed to pools and comes back as a task.
//
//   shard                                pools
//   Append(batch) ── page cache
//   TakeFlush() ───────────────────────► SyncScheduler: fdatasync
//   FlushDone(ticket) ◄───────────────── moves flushed_end; rolled segments behind it may be sealed
//   (rolled) ──────────────────────────► SealSegment: index, footer, sync
//   Preallocate ───────────────────────► zeros ahead of the data, synced, so that a flush changes
//                                        no file metadata
//
// Positions (exclusive ends): log_start <= flushed_end <= log_end. The log start is durable
// (log_bounds.h): what lies between it and the first segment is lost, and known to be.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/env/clock.h"
#include "core/env/executor.h"
#include "core/log/cut.h"
#include "core/log/recovery.h"
#include "core/log/retention.h"
#include "core/log/segment_reader.h"
#include "core/log/sync_scheduler.h"
#include "core/log/tail_cache.h"
#include "core/wire/batch.h"

namespace bascule::log {

// What may change while a log is open.
struct LogLimits {
  uint64_t segment_max_bytes = 0;
  std::chrono::milliseconds segment_max_age{0};  // 0 = no age roll
  RetentionLimits retention;
};

struct LogOptions {
  std::string directory;
  StreamId stream;
  PartitionId partition;
  LogLimits limits;
  bool preallocate = true;
};

// What a log works with; all of it must outlive the log.
struct LogEnvironment {
  FileSystem& fs;
  Clock& clock;
  Executor& shard;
  Executor& disk_pool;
  TailCacheBudget& tail_budget;
};

// Where a sequential reader stands, so that the next read starts without a look-up. Kept by the
// caller.
struct ReadPlace {
  Offset next{-1};
  Offset segment{-1};  // base offset
  FilePosition position;
  std::shared_ptr<File> file;
};

class CommitLog : public std::enable_shared_from_this<CommitLog> {
 public:
  // `recovered` comes from RecoverLog of the same directory.
  static std::shared_ptr<CommitLog> Create(const LogEnvironment& env, LogOptions options,
                                           RecoveredLog recovered);

  Offset log_start() const { return bounds_.start; }
  Offset log_end() const { return segments_.back().end(); }
  // How often its end was cut: what was found before may be another record's now.
  uint64_t cuts() const { return generation_; }
  Offset flushed_end() const { return flushed_end_; }
  Offset active_base() const { return active().base(); }
  // End of the newest record that is not a control record; the first segment's base when there is
  // none.
  Offset last_message_end() const;
  Timestamp last_timestamp() const { return last_timestamp_; }
  // Where each leader epoch's records begin, ascending; the first one's beginning may be gone.
  std::vector<EpochStart> Epochs() const;
  LeaderEpoch last_epoch() const;  // of the newest record; 0: there is none

  // --- trust ---
  // OK until a sync of one of its files or of its directory, or a write of a batch, has failed. Then
  // why, for good: the kernel drops the pages of a failed sync and still shows them, and later
  // syncs succeed without them. Nothing is appended, flushed, rolled, sealed, preallocated, trimmed
  // or expired any more; reads go on. Recover it anew, with what it is known to have reached, once it is at rest.
  const absl::Status& trust() const { return trust_; }
  // Whether work of this log is under way on a pool (cold reads aside).
  bool busy() const {
    return flushing_ || preallocating_ || sealing_ || dropping_ || pool_work_ > 0;
  }
  // Runs `rest` at once if no work is under way, else as a task of its own when the last of it ends.
  void WhenAtRest(absl::AnyInvocable<void()> rest);

  // --- appending ---
  // False while the place to write to is being preallocated, or the log is being cut; `ready` runs
  // when that is over, and when the work of a pool has cost the log its trust.
  bool CanAppend(size_t bytes) const;
  void SetReady(std::function<void()> ready) { ready_ = std::move(ready); }
  // Whether the next batch is to begin a new segment: size or age reached. The leader decides
  // (R12).
  bool ShouldRoll() const;
  // Whether Roll may be called: not on an empty segment, nor where CanAppend has to wait.
  bool CanRoll() const { return !preallocating_ && !cutting_ && active().end() > active().base(); }
  // Closes the active segment and starts the next one. On error (no space, I/O) the log is as
  // before.
  absl::Status Roll();
  // Appends one finished batch whose base offset is log_end(). On error nothing was appended. Bytes that are
  // no batch abort: what comes from elsewhere is checked before. The tail cache keeps `batch`.
  absl::Status Append(Bytes batch);
  absl::Status Append(std::string batch) { return Append(Bytes(std::move(batch))); }

  // --- cutting (R3): gives up everything behind an offset, in two steps (cut.h) ---
  // From the call on nothing may be appended, and nothing is flushed, rolled, sealed, saved or
  // expired, until Cut is done. Once no pool works on the log's files `planned` runs with where it
  // will end: at `to`, or where the batch that `to` is inside of begins. Everything before is durable
  // then, and Point() is that of the shorter log. Errors: DataLoss, and the log is as it was; any
  // other is final: see trust().
  void PlanCut(Offset to, absl::AnyInvocable<void(absl::StatusOr<Offset>)> planned);
  // That Point() is durable in recovery.points. When `done` runs the log ends there, durably, and
  // flush tickets taken before are void (R3b). An error is final: see trust().
  void Cut(absl::AnyInvocable<void(absl::Status)> done);
  // Instead of Cut: the log is as it was, and what was planned away is not durable until it is
  // flushed again.
  void AbandonCut();
  bool cutting() const { return cutting_; }
  // Gives up the whole log, for one that begins at `at`: as PlanCut and Cut, without a way back. When
  // `planned` runs no pool works on the files and Point() is that of the empty log. `done`, once that
  // Point() is durable and all is gone: the log in this one's place, which is never trusted again
  // (trust()). An error: recover it anew, without a known end.
  void PlanAnew(Offset at, absl::AnyInvocable<void(absl::Status)> planned);
  void BeginAnew(absl::AnyInvocable<void(absl::StatusOr<RecoveredLog>)> done);
  bool given_up() const { return anew_.has_value(); }
  // No offset at or past it is given out any more or can have to be kept: log_end(), but for a log
  // that is being cut, or whose cut has failed.
  Offset given_end() const { return cut_end_.value_or(log_end()); }

  // --- durability ---
  bool dirty() const { return flushed_end_ < log_end(); }
  // Nullopt when all is flushed or a flush is under way. Every ticket comes back through FlushDone.
  std::optional<FlushTicket> TakeFlush();
  // OK: flushed_end has moved. An error is final: see trust().
  absl::Status FlushDone(const FlushTicket& ticket, const absl::Status& status);
  // The durable facts of the active segment; also appends what the index file lacks (hints, not
  // synced).
  RecoveryPoint Point();

  // --- reading ---
  enum class ReadFrom { kMemory, kDisk };
  struct ReadStep {
    // One of the two: a result at hand, or a plan for the disk pool whose result goes to NoteRead.
    std::optional<SegmentReadResult> result;
    std::optional<SegmentReadPlan> plan;
  };
  // The next batches at or after `from` (reverse: at or before), below `committed`. `place` may be
  // fresh. Errors: DataLoss for damaged offsets; OutOfRange (reverse) when nothing is at or before
  // `from`.
  absl::StatusOr<ReadStep> Read(Offset from, Offset committed, bool reverse, size_t max_bytes,
                                ReadPlace& place);
  // The plan alone, forward and for the disk pool: for who is not to hold up the shard.
  SegmentReadPlan PlanRead(Offset from, Offset limit, size_t max_bytes,
                           const ReadPlace& place) const;
  // The batch that holds `from`, if it is in memory; else nullopt.
  std::optional<TailCache::Found> ReadTail(Offset from) const {
    return tail_.Read(from, log_end(), /*max_bytes=*/1);
  }
  // Takes over what a disk read has learned (index, open file) and moves `place`.
  void NoteRead(const SegmentReadPlan& plan, const SegmentReadResult& result, ReadPlace& place);
  // A plan for FindTimestamp: the first segment that may hold a record at or after `timestamp`;
  // nullopt when every record is older (the answer is log_end()).
  std::optional<SegmentReadPlan> PlanFindTimestamp(Timestamp timestamp) const;
  // A plan for FindGaps: the first segment that has gap records and does not end before `from`, below
  // `committed`; nullopt: there is none.
  std::optional<SegmentReadPlan> PlanFindGaps(Offset from, Offset committed) const;

  // --- housekeeping ---
  // From the next roll and the next Clean on.
  void SetLimits(LogLimits limits) { options_.limits = limits; }
  // Rolls an old active segment and drops expired ones, once the new log start is durable. Called
  // every cleaner interval.
  void Clean() { Clean(log_end(), /*may_roll=*/true); }
  // Only what ends at or before `committed`; a follower rolls where its leader does (R12).
  void Clean(Offset committed, bool may_roll);
  // Looks, every limits::kLogFilesCheckPeriod at most, whether the log's files are still there. A
  // closed segment that is gone counts as lost as long as it stays away; `gone` runs when the
  // active one or the directory was removed, renamed or replaced: nothing may be acknowledged.
  void CheckFiles(std::function<void(const absl::Status&)> gone);
  // Gives preallocated space behind the data back (idle partitions, closing).
  void Trim();
  struct Stat {
    uint64_t bytes = 0;
    uint64_t segments = 0;
    uint64_t messages = 0;
    uint64_t gap_records = 0;
    uint64_t messages_in_gaps = 0;
    uint64_t lost = 0;  // offsets from log_start() on whose records are known to be gone
    Timestamp first_timestamp;
  };
  Stat Describe() const;
  // How far the newest timestamp is ahead of the clock; zero when it is not. Timestamps stand still
  // until the clock has caught up (R11).
  Duration TimestampsAhead() const;
  // DataLoss naming the range when `from` is in one that is known to be damaged.
  absl::Status CheckDamage(Offset from) const;
  // Ascending: what opening found, and segments that have vanished since.
  std::vector<DamagedRange> damaged() const;

 private:
  struct Private {};

 public:
  CommitLog(Private, const LogEnvironment& env, LogOptions options, RecoveredLog recovered);

 private:
  Segment& active() { return segments_.back(); }
  const Segment& active() const { return segments_.back(); }
  size_t IndexOfSegment(Offset offset) const;
  // What must hold between any two calls; ours to keep, whatever is on the disk.
  void CheckInvariants() const;
  // The same of the whole chain, segment by segment.
  void CheckChain() const;
  SegmentReadPlan PlanFor(const Segment& segment) const;
  SegmentReadPlan PlanBetween(Offset from, Offset limit, bool reverse, size_t max_bytes,
                              const ReadPlace& place) const;
  void MaybePreallocate();
  void SaveIndex();
  void StartSealing();
  void OnSealed(const absl::StatusOr<SegmentFooter>& sealed, const absl::StatusOr<uint64_t>& size);
  void Unlink(std::vector<std::string> paths);
  void DropBefore(Offset start);
  void Dropped(const LogBounds& bounds);
  void NoteFiles(const std::vector<Offset>& looked_for, const std::set<std::string>& names);
  void PlanAtRest(Offset to, absl::AnyInvocable<void(absl::StatusOr<Offset>)> planned);
  void StartPlan(Offset to, absl::AnyInvocable<void(absl::StatusOr<Offset>)> planned);
  void OnPlanned(absl::StatusOr<CutPlan> plan,
                 absl::AnyInvocable<void(absl::StatusOr<Offset>)> planned);
  void OnCut(const LogBounds& bounds, const absl::Status& status);
  void Distrust(const absl::Status& why);
  void RunOnPool(absl::AnyInvocable<void()> work);
  void EndOfWork();

  LogEnvironment env_;
  LogOptions options_;
  std::deque<Segment> segments_;
  LogBounds bounds_;       // as they are on the disk
  bool dropping_ = false;  // the next ones are being written
  std::vector<DamagedRange> damaged_;
  std::set<Offset>
      missing_;  // bases of closed segments whose files were not there when last looked
  bool checking_files_ = false;
  std::optional<MonotonicTime> files_checked_;
  std::shared_ptr<File> active_file_;
  // Closed segments that have no footer yet, oldest first, with their files.
  std::deque<std::pair<Offset, std::shared_ptr<File>>> unsealed_;
  bool sealing_ = false;
  bool sealing_failed_ = false;  // tried again by the next Clean

  absl::Status trust_;
  size_t pool_work_ = 0;  // tasks of RunOnPool
  std::vector<absl::AnyInvocable<void()>> when_at_rest_;

  Timestamp last_timestamp_;
  MonotonicTime
      active_since_;  // its first batch in this process; the clock may have been set since
  Offset flushed_end_;
  SegmentFooter flushed_facts_;  // of the active segment, when flushed_end_ was reached
  bool dirty_directory_ = false;
  bool flushing_ = false;
  uint64_t flush_bytes_ = 0;  // of the largest of late; forgotten by a sixteenth with each flush
  SegmentFooter flushing_facts_;
  uint64_t generation_ = 0;
  std::shared_ptr<std::atomic<bool>> poisoned_ = std::make_shared<std::atomic<bool>>(false);

  bool cutting_ = false;
  std::optional<CutPlan> cut_;  // what Point() tells already
  std::optional<Offset> cut_end_;
  std::optional<Offset> anew_;  // where the log in this one's place begins

  // Preallocated zeros end here; [data_end, zeroed_end_) may be written at once.
  FilePosition zeroed_end_;
  bool preallocating_ = false;
  FilePosition preallocating_from_;
  size_t next_chunk_ = 0;
  std::function<void()> ready_;

  TailCache tail_;
  size_t index_saved_ = 0;  // entries of the active index that are in its file
};

}  // namespace bascule::log
