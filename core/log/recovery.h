// Opening a partition's log after whatever happened to it.
//
// What a stop or crash may leave, and what becomes of it (one test each in
// tests/unit/log_recovery_test.cc, from 11 on in log_recovery_bounds_test.cc,
// 14 in log_recovery_again_test.cc):
//   1. torn or missing tail after the durable mark      cut behind the last batch that is sound
//   2. preallocated zeros behind the data               kept as preallocation
//   3. later batches on disk behind a torn earlier one  cut with it: nothing unsynced is
//                                                       resurrected out of order
//   4. segments behind a cut                            removed
//   5. a segment file whose creation was torn           removed when it holds nothing durable
//   6. a closed segment without (or with a bad) footer  scanned, checked and sealed again
//   7. missing, short or damaged index file             rebuilt as far as reads need it
//   8. leftover temporary files                         removed
//   9. no, or a damaged, recovery point                 unknown: the active segment is scanned
//  10. directory listed but missing, file shorter       damage: never cut away in silence. The
//      than its point, a bad batch before the mark      range is kept and named; offsets are not
//                                                       used again
//  11. segments before the durable log start           removed: retention was at it
//  12. segments missing from the durable log start on  damage, as in 10
//  13. no, or damaged, log.bounds                      the log start is the recovery point's, or the
//                                                      first segment's, and made durable anew
//  14. a segment named .log.again                      an opening was making its name durable anew
//                                                      (below): it gets its name back, unless that
//                                                      was given to another one meanwhile
//
// Sound is a whole batch whose checksum holds.
// The durable mark is the greatest of: the recovery point's end, both ends in log.bounds, the end of
// every segment that has a sound footer (a footer is written after its data was synced),
// `committed_through` of every sound batch found, and the durable end of a log that is reopened.
// What is missing below it, or below what a reopened log may have acknowledged, is lost; offsets go
// on behind both.
// What is kept past it may be in the page cache alone, and a sync that failed may have left it there
// for good, names of files too. It is written once more, and its files are renamed away and back,
// before anything vouches for it.
// Recovery is idempotent: a crash during it leaves a state that it accepts
// again. Cost: the unsettled tail, not the log.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/env/file_system.h"
#include "core/log/log_bounds.h"
#include "core/log/recovery_points.h"
#include "core/log/segment.h"

namespace bascule::log {

struct RecoveredLog {
  std::vector<Segment> segments;      // ascending; the last one is active
  std::shared_ptr<File> active_file;  // of the last segment
  std::vector<DamagedRange> damaged;  // ascending
  LogBounds bounds;                   // as they are on the disk now
  Timestamp last_timestamp;           // greatest in the log; 0 when empty
  uint64_t cut_bytes = 0;             // removed torn tail; > 0 makes a replica doubtful (R7b)
  std::vector<std::string> notes;     // what was found and done, for the log
};

// What a log that failed while it was open is known to have reached.
struct KnownEnd {
  Offset durable;  // everything below is on the disk for certain
  // Offsets below may have been acknowledged, under durability `os` without the disk: they are never
  // given again. From here on everything is cut: the page cache may show bytes that nobody was
  // promised and that the disk never got. Not below `durable`.
  Offset given;
  bool operator==(const KnownEnd&) const = default;
};

struct RecoveryRequest {
  std::string directory;
  StreamId stream;
  PartitionId partition;
  std::optional<RecoveryPoint> point;
  // Of a log that failed in this process.
  std::optional<KnownEnd> known_end;
  // Others have replicas. What batches say to be committed then speaks of their leader's disk and of
  // those in sync: not of this one, if it was catching up or goes by `os`.
  bool replicated = false;
};

// Blocks. After OK all that it found is durable. Errors: the disk's; FailedPrecondition when the
// directory belongs to another partition or to a newer version of the program, or a segment has
// another's name (then no more is touched than what an earlier opening left under way).
absl::StatusOr<RecoveredLog> RecoverLog(FileSystem& fs, const RecoveryRequest& request);

// Gives up all that the log holds and begins an empty one at `at`: what was before is committed and
// dropped elsewhere. The log is not open, and its point in recovery.points, which `request` has, says no
// more than that it begins and ends at `at`. After a crash it is a whole beginning of what it was, or
// begins there. Blocks; errors as those of RecoverLog.
absl::StatusOr<RecoveredLog> BeginLogAnew(FileSystem& fs, const RecoveryRequest& request,
                                          Offset at);

// The footer at the end of an open segment file; NotFound when it has none, DataLoss when it is
// damaged. Blocks.
absl::StatusOr<SegmentFooter> ReadFooter(File& file, uint64_t file_bytes);
// The index of a sealed segment. DataLoss when an entry is damaged (reads then start from the
// segment's beginning).
absl::StatusOr<std::vector<IndexEntry>> ReadSealedIndex(File& file, const SegmentFooter& footer);
// Syncs the data, writes index and footer behind it, cuts off what lies behind, syncs.
// Blocks.
absl::StatusOr<SegmentFooter> SealSegment(File& file, SegmentFooter footer,
                                          const std::vector<IndexEntry>& index);

}  // namespace bascule::log
