// Acks leave for their inboxes: as envelopes or as JetStream's JSON, over the egress connection,
// without waiting.
#pragma once

#include <atomic>
#include <span>
#include <string>

#include "core/ports/ack_sink.h"
#include "nats_bridge/ingestor.h"
#include "nats_bridge/nats_connection.h"

namespace bascule::nats {

struct AckCounts {
  std::atomic<uint64_t> sent{0};
  std::atomic<uint64_t> lost{0};  // no connection, or its buffer was full: the publisher times out
  std::atomic<uint64_t> refused{0};  // to an inbox that NATS does not take, too long for a line
};

// Any thread.
class AckWriter : public AckSink, public PublishRefuser {
 public:
  explicit AckWriter(NatsConnection& egress) : egress_(egress) {}  // which must outlive it

  void Send(std::span<const Ack> acks) override;
  void RefuseJetStream(std::string_view inbox, const JetStreamError& error) override;
  const AckCounts& counts() const { return counts_; }

 private:
  void CountOne(const absl::Status& status, size_t& sent, size_t& lost);
  void Count(size_t sent, size_t lost);

  NatsConnection& egress_;
  AckCounts counts_;
};

// The payload of one ack, in its format. Pure.
void AppendAckPayload(std::string& out, const Ack& ack);

}  // namespace bascule::nats
