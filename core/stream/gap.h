// Where messages may be missing from a partition, and why (C4 of replication/README.md).
#pragma once

#include <cstdint>
#include <string_view>

#include "core/base/types.h"

namespace bascule {

enum class GapReason : uint8_t {
  kUnknown = 0,
  kDisconnected = 1,  // no connection to NATS
  kSlowConsumer = 2,  // NATS or its client library dropped messages
  kQueueFull = 3,     // our own ingest queue was full: exact count
  kNotListening = 4,  // the broker was down
  kNotWritable = 5,   // the partition could not write (disk reserve, disk error): exact count
  kLeaderMoved = 6,   // another broker led the partition, and this one did not listen yet
};

constexpr std::string_view ToText(GapReason reason) {
  switch (reason) {
    case GapReason::kUnknown:
      return "unknown";
    case GapReason::kDisconnected:
      return "not connected to NATS";
    case GapReason::kSlowConsumer:
      return "NATS dropped them: slow consumer";
    case GapReason::kQueueFull:
      return "ingest queue full";
    case GapReason::kNotListening:
      return "broker was not running";
    case GapReason::kNotWritable:
      return "could not be written";
    case GapReason::kLeaderMoved:
      return "another broker took over the partition";
  }
  return "unknown";
}

// As stored; a newer version's is unknown here.
constexpr GapReason ToGapReason(uint32_t stored) {
  const bool known = stored <= static_cast<uint32_t>(GapReason::kLeaderMoved);
  return known ? static_cast<GapReason>(stored) : GapReason::kUnknown;
}

struct GapReport {
  Timestamp from;
  Timestamp to;
  GapReason reason = GapReason::kUnknown;
  int64_t count = -1;  // messages known to be missing; -1 = unknown
};

}  // namespace bascule
