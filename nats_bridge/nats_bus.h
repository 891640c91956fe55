// The bus: everything the process says to NATS and hears from it. Two connections, so that a flood
// on the way in delays no ack on the way out.
#pragma once

#include <memory>
#include <string>

#include "core/base/status.h"
#include "core/env/clock.h"
#include "core/env/rng.h"
#include "core/ports/ack_sink.h"
#include "core/ports/bus_publisher.h"
#include "core/ports/discovery.h"
#include "core/ports/server_facts.h"
#include "core/ports/subject_feeds.h"
#include "nats_bridge/nats_options.h"

namespace bascule::nats {

// Any thread.
class NatsBus : public SubjectFeeds, public AckSink, public BusPublisher {
 public:
  // Returns at once and connects in the background, for as long as it takes; connected() tells.
  // Fails for what waiting does not mend: credentials or certificates that cannot be used,
  // contradicting options. `clock` and `rng` must outlive it; inboxes are named by `rng`, from any
  // thread, so it must be RealRng wherever somebody else is on the bus.
  static absl::StatusOr<std::unique_ptr<NatsBus>> Start(const NatsOptions& options, Clock& clock,
                                                        Rng& rng);
  ~NatsBus() override;  // Stop()

  // Closes both connections, the acks written so far included; afterwards nothing is called any
  // more, no feed delivers and publishes are Unavailable. Executors that feeds were opened on may
  // be stopped after it. Idempotent.
  void Stop();

  // SubjectFeeds. Invalid subjects and refused permissions come through `listening`.
  std::unique_ptr<SubjectFeed> Open(const FeedOptions& options, PartitionIngress& partition,
                                    Executor& shard,
                                    absl::AnyInvocable<void(absl::Status)> listening) override;
  // AckSink. What cannot be sent is counted as lost (nats_acks_lost).
  void Send(std::span<const Ack> acks) override;
  // BusPublisher.
  absl::Status Publish(std::string_view subject, const PublishMessage& message) override;
  absl::StatusOr<std::unique_ptr<AckInbox>> OpenAckInbox(std::optional<std::string> subject,
                                                         AckHandler handler) override;
  int64_t max_payload() const override;
  // Whether both connections are up.
  bool connected() const override;

  // Of the brokers in our namespace; as long as the bus. Queries end before Stop.
  Discovery& discovery();

  // URL of the server the ingest connection is on (without secrets); empty while it is on none.
  std::string server_url() const;
  // Everything the bus counts, by name ("nats_messages_received", ...).
  Counters ReadCounters() const;

 private:
  struct Parts;
  explicit NatsBus(std::unique_ptr<Parts> parts);
  const std::unique_ptr<Parts> parts_;
};

}  // namespace bascule::nats
