// Walks the records of a chunk in the order in which a subscriber receives them: upwards, or
// downwards for a reverse read. Control batches and records outside the bounds are left out. Pure;
// one thread at a time.
#pragma once

#include <string_view>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/status.h"
#include "core/base/types.h"
#include "core/ports/partition_port.h"
#include "core/wire/batch.h"

namespace bascule::api {

// Offsets that may be shown: [low, end).
struct OffsetBounds {
  Offset low;
  Offset end;
};

class ChunkCursor {
 public:
  ChunkCursor() = default;
  ChunkCursor(Bytes batches, Direction direction, OffsetBounds bounds);

  // The next record, a view into batches(); false at the end or at bytes that cannot be read (then
  // !status().ok()).
  bool Next(std::string_view& record);
  // DataLoss for bytes that are no batches or records.
  const absl::Status& status() const { return status_; }

  const Bytes& batches() const { return batches_; }
  // Bytes of batches that were not entered yet.
  size_t bytes_left() const { return bytes_left_; }
  // Lowest offset that the chunk covers; Offset(-1) for an empty one.
  Offset lowest() const { return lowest_; }

 private:
  // Opens the batch at the front of `in`; false when it cannot be read.
  bool Enter(std::string_view in, wire::BatchHeader& header, std::string_view& payload);
  bool NextForward(std::string_view& record);
  bool NextReverse(std::string_view& record);
  bool IndexBatches();
  bool CollectPayload(std::string_view payload);
  bool InBounds(std::string_view record);
  bool Fail(absl::Status status);

  Bytes batches_;
  Direction direction_ = Direction::kForward;
  OffsetBounds bounds_;
  absl::Status status_;
  Offset lowest_{-1};
  size_t bytes_left_ = 0;

  // Forward.
  std::string_view rest_;
  wire::RecordCursor records_{{}};
  // Reverse: batches not entered yet, lowest first, and the records of the entered one, lowest
  // first.
  std::vector<std::string_view> pending_batches_;
  std::vector<std::string_view> pending_records_;
};

}  // namespace bascule::api
