// `data/recovery.points`: one checksummed file per data directory that says, for every partition,
// how far its log was durable when the file was written, and that the partition exists at all. It
// is rewritten whole, atomically. Layout in FORMAT.md.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/status.h"
#include "core/base/types.h"
#include "core/env/file_system.h"
#include "core/log/segment_format.h"

namespace bascule::log {

// Durable facts of a partition's active segment: recovery starts its scan at `active.data_end`, and
// a log that is shorter than `active.end_offset` has lost something.
struct RecoveryPoint {
  SegmentFooter active;
  // Absent: not known yet (the partition was listed before its log was opened). May lag behind the
  // one in log.bounds, which stands in for it.
  std::optional<Offset> log_start = std::nullopt;
};

struct RecoveryPointSet {
  // Of the write, raised with each: a file with a smaller one than is known of is an older copy.
  uint64_t sequence = 0;
  // The member of the metadata group that wrote it (0: not said), and an index that its log had come to: that of the
  // newest stream at least. A log of that member that ends before is an older copy.
  uint64_t member = 0;
  MetadataIndex applied;
  std::map<PartitionKey, RecoveryPoint> partitions;
};

std::string EncodeRecoveryPoints(const RecoveryPointSet& points);
absl::StatusOr<RecoveryPointSet> ParseRecoveryPoints(std::string_view bytes);

// NotFound when there is no file: damage in a directory that was used. DataLoss when it is damaged.
// For both the caller treats every point as unknown and says so. FailedPrecondition: a newer format.
// Blocks.
absl::StatusOr<RecoveryPointSet> LoadRecoveryPoints(FileSystem& fs,
                                                    const std::string& data_directory);
// After OK the new set survives a machine crash. Blocks.
absl::Status SaveRecoveryPoints(FileSystem& fs, const std::string& data_directory,
                                const RecoveryPointSet& points);

}  // namespace bascule::log
