// Reads a segment file from some place on, batch after batch, each checked against its checksum.
// Used by recovery, cold reads, verification and inspection. Blocks on the disk: never on a shard.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/base/status.h"
#include "core/env/file_system.h"
#include "core/wire/batch.h"

namespace bascule::log {

class BatchScanner {
 public:
  // Scans [start, end) of `file`; bytes past the file's real end count as missing.
  BatchScanner(File& file, FilePosition start, FilePosition end);

  enum class Outcome {
    kBatch,  // header(), bytes(), position() describe it; the scanner stands behind it
    kEnd,    // nothing but zeros (or nothing) follows
    kBad,    // something is here, but no whole batch: torn, foreign or corrupt; the scanner stays
  };
  // Errors are the disk's.
  absl::StatusOr<Outcome> Next();

  const wire::BatchHeader& header() const { return header_; }
  std::string_view payload() const { return payload_; }
  std::string_view bytes() const { return bytes_; }  // the whole batch; valid until the next call
  FilePosition position() const { return batch_position_; }  // of that batch
  FilePosition next_position() const { return at_; }         // where the next one would begin
  wire::BatchParse why() const { return why_; }              // of kBad

  // Moves to the next place at or after `from` that holds a whole, checked batch with base offset
  // >= `least`; false when there is none. For finding out what lies behind damage. A message may
  // hold bytes that look like a batch, so one whose offset is further from `least` than the bytes
  // passed over could hold records is not believed.
  absl::StatusOr<bool> SeekBatch(FilePosition from, Offset least);

 private:
  // Makes at least `n` bytes at `at_` available, or as many as there are.
  absl::StatusOr<std::string_view> Window(size_t n);

  File& file_;
  FilePosition at_;
  FilePosition end_;
  FilePosition window_start_;
  std::string window_;
  wire::BatchHeader header_;
  std::string_view payload_;
  std::string_view bytes_;
  FilePosition batch_position_;
  wire::BatchParse why_ = wire::BatchParse::kOk;
};

// Whether [start, end) of the file holds only zeros (missing bytes count as zeros).
absl::StatusOr<bool> IsZero(File& file, FilePosition start, FilePosition end);

}  // namespace bascule::log
