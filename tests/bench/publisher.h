// Publishes with JetStream acks through nats.c: the one code path that loads both sides. Every ack
// is checked (no error, no duplicate, and it names the place where the message must stand) and
// timed from the publish call to the ack handler.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/base/latency_histogram.h"

namespace bascule::bench {

// A stream that gets its messages from one Publisher only, in the order of their payload sequences
// from 0, acks message n with sequence n + 1; anything else is DataLoss. Payloads come from
// PayloadMaker with the time of the call.
//
// Threads: one caller; acks arrive on a thread of nats.c, which touches only the counters and the
// histogram.
class Publisher {
 public:
  // At most `window` messages are published and not acked (nats.c's MaxPending).
  static absl::StatusOr<std::unique_ptr<Publisher>> Connect(const std::string& url, int64_t window);
  virtual ~Publisher() = default;

  // Returns once the message is handed to nats.c; waits while the window is full. Fails with what
  // an earlier ack said, when the server is lost, and when no ack arrives for 30 s.
  virtual absl::Status Send(const char* subject, std::string_view payload) = 0;
  // Waits until everything sent is acked; fails as Send does.
  virtual absl::Status Drain() = 0;
  // Publishes and waits for this ack alone; adds to the latency as the acks of Send do.
  virtual absl::Status SendAndWait(const char* subject, std::string_view payload) = 0;

  // Acks so far. Any thread.
  virtual uint64_t acked() const = 0;
  // Ack latency of all messages since the last call; only when nothing is unacked.
  virtual LatencyHistogram TakeLatency() = 0;
};

}  // namespace bascule::bench
