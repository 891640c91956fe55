// From the bus into a partition. The bus adapter encodes messages into an arena, many to a batch,
// and hands whole batches to the shard; nothing is allocated per message. Implemented by
// replication/partition, used by nats_bridge.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/types.h"
#include "core/stream/gap.h"

namespace bascule {

class PartitionIngress;

// A range of an IngressBatch's arena.
struct ArenaRange {
  uint32_t position = 0;
  uint32_t length = 0;
};

enum class AckFormat : uint8_t {
  kNone,       // nobody waits
  kEnvelope,   // Ack envelope to `ack_inbox`
  kJetStream,  // PubAck JSON to `ack_inbox`
};

// One message on its way into one partition.
struct IngressRecord {
  PartitionIngress* partition =
      nullptr;      // kept alive by the batch's owner of feeds until the batch is handed over
  ArenaRange body;  // record body (core/wire/record.h): key, value, subject, reply, headers
  ArenaRange ack_inbox;
  ArenaRange correlation_id;
  ArenaRange subject;            // the NATS subject it came on (for acks)
  ArenaRange expected_stream;    // JetStream's Nats-Expected-Stream; empty = not asked
  int64_t expected_offset = -1;  // optimistic concurrency; -1 = not asked
  uint32_t payload_bytes = 0;    // the whole NATS payload, tested against the size limit
  AckPolicy policy = AckPolicy::kNone;
  AckFormat ack_format = AckFormat::kNone;
};

// Filled by one thread, then shared and never changed.
struct IngressBatch {
  std::string arena;
  std::vector<IngressRecord> records;
  std::string_view View(ArenaRange range) const {
    return std::string_view(arena).substr(range.position, range.length);
  }
  ArenaRange Add(std::string_view bytes) {
    ArenaRange range{static_cast<uint32_t>(arena.size()), static_cast<uint32_t>(bytes.size())};
    arena.append(bytes);
    return range;
  }
};

// The partition's side. All calls on the partition's shard.
class PartitionIngress {
 public:
  virtual ~PartitionIngress() = default;
  // Takes one record of `batch`, in arrival order. The batch stays alive until the record is
  // answered.
  virtual void Enqueue(const std::shared_ptr<const IngressBatch>& batch,
                       const IngressRecord& record) = 0;
  // Everything enqueued since the last call becomes one append. Called once per hand-over, after
  // the last Enqueue.
  virtual void AppendPending() = 0;
  // Messages may be missing from the stream: recorded in the log at this place.
  virtual void RecordGap(const GapReport& gap) = 0;
};

}  // namespace bascule
