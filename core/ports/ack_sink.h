// From a partition out to whoever published. Implemented by nats_bridge, used by
// replication/partition.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "core/base/types.h"
#include "core/ports/ingress.h"

namespace bascule {

// Values of the wire enum Ack.Error, and what only JetStream answers can say (kReadOnlyDisk, ...)
// above 100.
enum class AckError : uint8_t {
  kOk = 0,
  kUnknown = 1,
  kIncorrectOffset = 2,
  kTooLarge = 3,
  kEncryption = 4,
  kWrongStream = 101,  // Nats-Expected-Stream named another one
  kUnavailable =
      102,  // refused before the append: disk reserve reached, partition failed; surely not stored
  kOutcomeUnknown = 103,  // R14: it was appended, and whoever leads now may have it or not
};

struct Ack {
  AckFormat format = AckFormat::kEnvelope;
  std::string_view inbox;
  std::string_view correlation_id;
  std::string_view stream;
  std::string_view partition_subject;
  std::string_view message_subject;
  Offset offset;  // 0 on error
  Offset last;  // newest offset of the partition, inclusive (JetStream's wrong-sequence error names
                // it)
  AckPolicy policy = AckPolicy::kLeader;
  Timestamp received;
  Timestamp committed;  // 0 = absent
  AckError error = AckError::kOk;
  // Whose it is: what a broker of this cluster believes it by.
  PartitionKey key;
  Timestamp stream_created;
  LeaderEpoch epoch;
};

class AckSink {
 public:
  virtual ~AckSink() = default;
  // Any shard thread; never blocks. The acks of one release, written together. Views need to live
  // for the call only.
  virtual void Send(std::span<const Ack> acks) = 0;
};

}  // namespace bascule
