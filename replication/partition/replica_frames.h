// What two brokers tell each other about the partitions that both have a replica of: one frame
// carries parts of many partitions. A batch goes by as it stands in the log, so what is encoded is a
// head and slices of memory that is there already.
//
//   frame  = "BSRF" version:u8 0:u8[3] part_count:u32 head_crc:u32 part* body*
//   part   = kind:u8 0:u8[3] body_bytes:u32 stream:u64 partition:i32 0:u32 epoch:u64 a:u64 b:u64 c:u64 d:u64   64 bytes
//   body   = of the parts in their order: batches (append), ( epoch:u64 start:i64 )* (question)
//
//   kind                 a               b            c            d              body
//   1 append             high watermark  number       -            -              whole batches
//   2 high watermark     high watermark  -            -            -              -
//   3 acknowledgement    incarnation     position     -            -              -
//   4 question           incarnation     number       log start    log end        the log's epochs
//   5 answer             incarnation     number       common end   leader's start  -
//   6 lost (an answer)   incarnation     number       common end   leader's start  -
//   7 refusal            -               -            -            -              -     `epoch` is the newer one (R2)
//   8 anew (an answer)   incarnation     number       common end   leader's start  -
//
// All integers little-endian, what is unused is zero; head_crc is a CRC-32C of the parts' table and
// of the questions' bodies. Batches have checksums of their own. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/status.h"
#include "core/base/types.h"
#include "core/wire/batch.h"
#include "replication/isr/reconciliation.h"

namespace bascule::partition {

inline constexpr size_t kReplicaFrameHeadBytes = 16;
inline constexpr size_t kReplicaPartBytes = 64;

// The leader's next batches, and what is committed. `number`: of the question whose answer they go on
// from; those that were under way when another one was asked count no more.
struct AppendPart {
  Offset high_watermark;
  uint64_t number = 0;
  std::string_view batches;  // whole ones, one after another
};
struct HighWatermarkPart {
  Offset high_watermark;
};
// A frame of an older epoch than the partition's was refused.
struct RefusalPart {};

// Of one partition; who speaks is the peer, so the `broker` of what it holds stays empty.
struct ReplicaPart {
  PartitionKey key;
  LeaderEpoch epoch;
  std::variant<AppendPart, HighWatermarkPart, isr::Acknowledgement, isr::ReconcileQuestion,
               isr::ReconcileAnswer, RefusalPart>
      what;
};

// Parts are added, then the frame is taken: its head, and the batches behind it as they were given.
class ReplicaFrameBuilder {
 public:
  void AddAppend(PartitionKey key, LeaderEpoch epoch, Offset high_watermark, uint64_t number,
                 Bytes batches);
  // Everything but an append.
  void Add(const ReplicaPart& part);
  size_t parts() const { return parts_; }
  // What the frame would come to now.
  size_t bytes() const { return kReplicaFrameHeadBytes + table_.size() + body_bytes_; }
  // The pieces of the frame, in order; the builder is empty again. At least one part was added.
  std::vector<Bytes> Take();

 private:
  std::string table_;
  std::vector<Bytes> bodies_;
  std::string asked_;  // the questions' bodies, for the checksum
  size_t body_bytes_ = 0;
  size_t parts_ = 0;
};

// Views of `frame`. InvalidArgument says what is wrong with it; then none of it counts. Batches are
// not looked into: see CheckBatches.
absl::StatusOr<std::vector<ReplicaPart>> ParseReplicaFrame(std::string_view frame);

struct CheckedBatch {
  wire::BatchHeader header;
  std::string_view bytes;
};
// What a follower may append at `base` in `epoch`: whole batches whose checksums hold, without a hole
// between them, of ascending epochs from `last`, that of its newest record, to `epoch`. DataLoss says
// what is wrong with them, and none of them counts.
absl::StatusOr<std::vector<CheckedBatch>> CheckBatches(std::string_view batches, Offset base,
                                                       LeaderEpoch last, LeaderEpoch epoch);

}  // namespace bascule::partition
