// A commit log on a simulated disk, driven at random, crashed, recovered and checked against a
// model of what was appended.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "core/log/commit_log.h"
#include "tests/support/sim_executor.h"
#include "tests/support/sim_file_system.h"

namespace bascule {

struct LogWorldOptions {
  uint64_t segment_bytes = 8 * 1024;
  size_t max_value = 400;
  bool preallocate = true;
  int64_t retention_messages = 0;  // 0 = none
  double write_error = 0;
  double sync_error = 0;
  double sync_dir_error = 0;
  double short_read = 0;
  double no_wait_miss = 0;
};

// One seed's world. Check* call doctest's assertions.
class LogWorld {
 public:
  LogWorld(uint64_t seed, LogWorldOptions options);
  ~LogWorld();

  // Opens the log and checks what is in it: everything that was durable, unchanged; of the rest an
  // unbroken beginning.
  void Recover();
  // Recovery dies half-way (power gone at a random changing call), any number of times, then
  // succeeds.
  void RecoverThroughCrashes(int crashes);
  // A random stretch of appends, flushes, rolls, saved points and reads.
  void Live(int steps);
  void Crash();
  void Kill();
  // The disk turns a random bit of a random log file.
  void FlipRandomBit();
  // A random segment file is gone.
  void LoseRandomSegment();
  // From now on lost offsets are allowed, but never wrong bytes and never a silent loss before the
  // saved point.
  void ExpectDamage() { damaged_ = true; }
  // Every offset by forward reads from random places, backwards, and by time.
  void CheckReads();

  Offset durable_end() const { return durable_end_; }
  log::CommitLog& log() { return *log_; }
  SimRng& rng() { return rng_; }

 private:
  struct Told {
    std::string value;
    Timestamp timestamp;
  };
  absl::StatusOr<log::RecoveredLog> TryRecover();
  void Adopt(log::RecoveredLog recovered);
  void AppendOne();
  void StartFlush();
  void SavePoint();
  void CheckFlushed();
  std::map<Offset, Told> ReadForward(Offset from, Offset to);
  absl::StatusOr<log::SegmentReadResult> ReadStep(Offset from, bool reverse, log::ReadPlace& place);
  void CheckAgainstModel(const std::map<Offset, Told>& read, Offset from, Offset to);

  const uint64_t seed_;
  const LogWorldOptions options_;
  SimRng rng_;
  SimClock clock_;
  SimScheduler scheduler_;
  SimExecutor* shard_;
  SimExecutor* pool_;
  SimFileSystem fs_;
  log::TailCacheBudget budget_;
  log::SyncScheduler sync_;
  std::shared_ptr<log::CommitLog> log_;
  std::optional<log::RecoveryPoint> point_;  // as saved durably
  std::optional<log::KnownEnd> known_end_;   // after a failed sync
  bool failed_ = false;
  bool damaged_ = false;
  uint64_t life_ = 0;

  std::map<Offset, Told> told_;  // what each offset was last given
  Offset durable_end_;           // FlushDone has said so
  std::vector<log::DamagedRange> known_damage_;
  std::set<Offset> said_lost_;  // reads of this life that ended with DataLoss
};

}  // namespace bascule
