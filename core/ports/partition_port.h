// A partition as other layers see it: reads and status. Implemented by replication/partition, used
// by core/api.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "core/base/bytes.h"
#include "core/base/status.h"
#include "core/base/types.h"
#include "core/stream/gap.h"

namespace bascule {

// Where a subscription starts and stops, as the client named it. The values mean something for
// their kind only.
struct StartPosition {
  enum class Kind { kNewOnly, kOffset, kEarliest, kLatest, kTimestamp } kind = Kind::kNewOnly;
  int64_t offset = 0;  // as sent; any number
  Timestamp timestamp;
  bool any_replica = false;  // readISRReplica: a follower may answer, as far as it knows
};
struct StopPosition {
  enum class Kind { kOnCancel, kOffset, kLatest, kTimestamp } kind = Kind::kOnCancel;
  int64_t offset = 0;
  Timestamp timestamp;
};
enum class Direction { kForward, kReverse };

// What the positions came to. Forward: records from `from` upwards, the last one wanted is `last`
// (absent: for ever). Reverse: records from `from` downwards to `last` (absent: to the beginning of
// the log).
struct ReadRange {
  Offset from;
  std::optional<Offset> last;
};

// Names one subscription to its partition, so that a parked read can be cancelled. Unique within
// the process.
using ReaderId = Number<struct ReaderIdTag, uint64_t>;

struct ReadRequest {
  ReaderId reader;
  Direction direction = Direction::kForward;
  Offset from;               // forward: first wanted; reverse: highest wanted
  size_t max_bytes = 0;      // a hint: at least one batch is returned
  bool any_replica = false;  // as in StartPosition
};

// Stored batches (core/wire/batch.h), whole, each checked against its checksum, one after another
// in ascending offset order. The first may begin before the requested offset and the last end after
// it: the caller skips. In a reverse chunk too the batches ascend; the caller walks them backwards.
struct ReadChunk {
  Bytes batches;
  // Forward: first offset after this chunk. Reverse: the next read's `from`; -1 when the beginning
  // was reached.
  Offset next;
  // Records at or past this exclusive end are not committed yet and must not be shown.
  Offset committed_end;
};

// How a replica stands, as the partition's leader knows it.
struct ReplicaStatus {
  std::string broker;
  bool in_isr = false;
  bool doubtful = false;
  std::optional<Offset> acknowledged;  // exclusive: safe there; absent: nothing heard in this epoch
};

// What a partition knows of itself.
struct PartitionStatus {
  Offset log_start;
  Offset high_watermark;    // exclusive
  Offset log_end;           // exclusive
  Offset flushed_end;       // exclusive
  Offset last_message_end;  // exclusive end of the newest record that is delivered (no gap record)
  LeaderEpoch leader_epoch;
  bool leader = false;
  uint64_t bytes = 0;  // on disk
  uint64_t segments = 0;
  Timestamp first_received{};      // 0 = never
  Timestamp latest_received{};     // 0 = never
  uint64_t messages_received = 0;  // since this process started
  uint64_t messages_refused = 0;   // too large, wrong offset, ... (since this process started)
  uint64_t gap_records = 0;        // in the log, as far as this process knows
  uint64_t messages_in_gaps = 0;   // known count inside those gaps
  std::vector<ReplicaStatus> replicas{};  // its leader's; empty where it is not led from
  uint64_t lost_records = 0;              // offsets from log_start on that are known to be lost
  std::string
      degraded;  // empty, or why the partition does not take messages / what range is damaged
};

// A gap record in the log: messages that may be missing there.
struct StoredGap {
  Offset offset;
  GapReport gap;
};
struct GapPage {
  std::vector<StoredGap> gaps;  // committed ones, ascending
  std::optional<Offset> next;   // where to go on; absent: these were the last
};

// Any thread may call; callbacks run on the partition's shard and must not block or throw. A
// callback is called exactly once, also when the partition goes away.
class PartitionPort {
 public:
  virtual ~PartitionPort() = default;
  // Turns positions into offsets. Errors carry the wire contract's codes and texts.
  virtual void Locate(const StartPosition& start, const StopPosition& stop, Direction direction,
                      absl::AnyInvocable<void(absl::StatusOr<ReadRange>)> done) = 0;
  // The next committed batches. Forward reads past the high watermark wait for it to move. Ends
  // with:
  //   Cancelled: CancelRead; NotFound "commit log was deleted"; Unavailable: the partition stops
  //   serving here, or another broker leads it now; DataLoss: the bytes at this offset are damaged
  //   (file, offsets and cause in the text); OutOfRange (reverse only): nothing at or below `from`.
  virtual void Read(const ReadRequest& request,
                    absl::AnyInvocable<void(absl::StatusOr<ReadChunk>)> done) = 0;
  // The reader is done: its parked read (if any) is answered with Cancelled and what the partition
  // kept for it is forgotten. No Read may follow.
  virtual void CancelRead(ReaderId reader) = 0;
  virtual void Describe(absl::AnyInvocable<void(absl::StatusOr<PartitionStatus>)> done) = 0;
  // Gap records from `from` on, `most` at most; on any replica, as far as it knows. A page may be empty
  // and have a next one. Unavailable: the partition does not serve here.
  virtual void ListGaps(Offset from, size_t most,
                        absl::AnyInvocable<void(absl::StatusOr<GapPage>)> done) = 0;
};

}  // namespace bascule
