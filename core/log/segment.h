// What the log knows in memory about one segment file. Plain state, owned by the log's shard.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/env/file_system.h"
#include "core/log/segment_format.h"

namespace bascule::log {

// Offsets whose bytes are known to be gone or changed although they had been durable. Exclusive
// end.
struct DamagedRange {
  Offset from;
  Offset to;
  std::string cause;  // file, position and what was found there
};

struct Segment {
  std::string path;
  bool sealed = false;
  SegmentFooter footer;  // of an active segment: the same facts as far as they are known, end and
                         // data_end moving
  // Sealed segments: loaded by the first look-up that wants it (has_index). Active: complete.
  std::vector<IndexEntry> index;
  bool has_index = false;
  // Open while somebody reads it; the active segment's is held by the log.
  std::weak_ptr<File> open_file;
  uint64_t file_bytes = 0;  // on disk, preallocation included

  Offset base() const { return footer.base_offset; }
  Offset end() const { return footer.end_offset; }
  // By the clock when they were stored; what was written before that was kept has timestamps only.
  Timestamp first_stored() const {
    return footer.first_stored == Timestamp() ? footer.first_timestamp : footer.first_stored;
  }
  Timestamp last_stored() const {
    return footer.last_stored == Timestamp() ? footer.max_timestamp : footer.last_stored;
  }
};

// The greatest entry whose offset is <= `offset`, as a position to start from; the segment's first
// batch otherwise.
IndexEntry FloorByOffset(const std::vector<IndexEntry>& index, Offset base, Offset offset);
// The greatest entry whose timestamp is < `timestamp` (the first record at or after it cannot stand
// before).
IndexEntry FloorByTimestamp(const std::vector<IndexEntry>& index, Offset base, Timestamp timestamp);

// Adds the facts of one more batch to `footer` (end, counts, timestamps, epochs, data_end), and an
// index entry when the last one is limits::kIndexStrideBytes behind or the epoch is new.
void NoteBatch(SegmentFooter& footer, std::vector<IndexEntry>& index, std::string_view batch,
               FilePosition position);

}  // namespace bascule::log
