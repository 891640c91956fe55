// Looking at logs offline: what is in them, and whether every byte is what was written. Reads only;
// changes nothing.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/env/file_system.h"
#include "core/log/recovery_points.h"
#include "core/log/segment_format.h"

namespace bascule::log {

struct SegmentReport {
  std::string path;
  bool sealed = false;
  uint64_t file_bytes = 0;
  SegmentFooter facts;   // of an active segment: as found by walking it
  uint64_t batches = 0;  // 0 for a sealed segment that was not verified
  // "damaged at byte 4711: offsets 100 to 163 are lost", one sentence each.
  std::vector<std::string> problems;
  // What is no damage: a torn tail that the next start cuts off.
  std::vector<std::string> remarks;
};

struct LogReport {
  std::string directory;
  StreamId stream;  // by the directory's place, else as most of its files say
  PartitionId partition;
  std::vector<SegmentReport> segments;  // ascending
  std::vector<std::string> problems;    // around segments: missing ranges, overlaps, foreign files
  bool sound() const;
};

struct FoundLog {
  std::string directory;
  // What recovery.points says of it: how far the log has to reach. Absent: nothing, and only
  // log.bounds and the segments speak.
  std::optional<RecoveryPoint> point;
};

struct FoundLogs {
  std::vector<FoundLog> logs;  // by directory
  std::string points_problem;  // not empty: recovery.points cannot be read, and why
};

// Partition directories at or below `path`: a data directory, its `streams`, a stream's or a
// partition's own directory; those too that recovery.points lists with data and that are gone.
// NotFound when there is none.
absl::StatusOr<FoundLogs> FindLogs(FileSystem& fs, const std::string& path);

enum class InspectDepth {
  kFooters,  // sealed segments: the footer only
  kBytes,    // every batch's checksum, every sealed segment's, the order of offsets
};
// Blocks. `progress` gets (bytes done, bytes in all) now and then. Errors: the disk's.
absl::StatusOr<LogReport> InspectLog(FileSystem& fs, const FoundLog& found, InspectDepth depth,
                                     const std::function<void(uint64_t, uint64_t)>& progress);

}  // namespace bascule::log
