// Reading stored batches out of one segment file. A plan is made on the shard, where the segments
// are known; it is carried out there from memory (no wait) or on the disk pool. Plans own what they
// need, so a segment that retention drops meanwhile is still read to its end.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/status.h"
#include "core/env/file_system.h"
#include "core/log/segment.h"
#include "core/wire/batch.h"

namespace bascule::log {

struct SegmentReadPlan {
  std::string path;
  std::shared_ptr<File> file;  // null: has to be opened (disk pool only)
  SegmentFooter footer;        // facts of the segment when the plan was made
  bool load_index = false;     // sealed and its index not in memory: `start` is to be found first
  FilePosition start;          // of a batch at or before `from`
  Offset from;
  Offset limit;  // exclusive: batches from here on are not wanted (high watermark)
  bool reverse = false;
  size_t max_bytes = 0;
};

struct SegmentReadResult {
  Bytes batches;  // checked; may be empty when the segment holds nothing at or past `from`
  Offset next;    // forward: where to go on; reverse: highest offset not in `batches`
  FilePosition next_position;  // forward: of the batch after the last one
  std::shared_ptr<File> file;
  std::optional<std::vector<IndexEntry>> index;  // loaded on the way
};

enum class ReadWait { kNoWait, kWait };

// kNoWait: Unavailable when the bytes are not in memory. DataLoss: damaged bytes stand where `from`
// should be; the text names file, position and offsets. Reads that begin behind the damage succeed.
absl::StatusOr<SegmentReadResult> ReadSegment(FileSystem& fs, SegmentReadPlan plan, ReadWait wait);

// The offset of the first record with timestamp >= `timestamp` in the plan's segment (control
// records count: they have offsets); the segment's end when there is none. Blocks.
absl::StatusOr<Offset> FindTimestamp(FileSystem& fs, SegmentReadPlan plan, Timestamp timestamp);

struct FoundGaps {
  struct Gap {
    Offset offset;
    wire::GapRecord record;
  };
  std::vector<Gap> gaps;
  Offset next;  // where to go on
};
// The gap records of the plan's segment from plan.from on, below plan.limit, `most` of them at most.
// Passes over damage. Blocks.
absl::StatusOr<FoundGaps> FindGaps(FileSystem& fs, SegmentReadPlan plan, size_t most);

}  // namespace bascule::log
