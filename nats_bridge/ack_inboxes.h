// Where acks for gRPC publishers arrive: one wildcard subscription for all inboxes the server
// makes, one subscription for each inbox a client names.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "core/env/rng.h"
#include "core/ports/bus_publisher.h"
#include "nats_bridge/bridge_limits.h"
#include "nats_bridge/nats_connection.h"

namespace bascule::nats {

struct InboxCounts {
  std::atomic<uint64_t> received{0};
  std::atomic<uint64_t> unparsable{0};  // not an Ack envelope: ignored
  std::atomic<uint64_t> unclaimed{0};   // for an inbox that is gone or never was: late or guessed
  std::atomic<uint64_t> foreign{0};     // of a stream or partition that was not asked
  std::atomic<uint64_t> replaced{0};    // of a leader whose time was over
  std::atomic<uint64_t> unmatched{0};   // answers no request that waits: forged, a second one, late
};

// Any thread.
class AckInboxes {
 public:
  // Server-made inboxes are named <prefix>.<token>.<secret>; `token` is this process's own, the
  // secret each inbox's. `egress` and `rng` outlive it; `rng` may be used from any thread.
  // `most_closed`: as the limit, smaller in tests.
  AckInboxes(NatsConnection& egress, std::string prefix, std::string token, Rng& rng,
             size_t most_closed = limits::kNatsClosedSubscriptions);
  ~AckInboxes();  // all inboxes are gone before

  // As BusPublisher::OpenAckInbox. Does not wait for NATS: the SUB goes out on the connection that
  // the publishes of its user take, before them, and servers of one cluster forward interest and
  // messages in order.
  absl::StatusOr<std::unique_ptr<AckInbox>> Open(std::optional<std::string> subject,
                                                 AckHandler handler);
  const InboxCounts& counts() const { return counts_; }

 private:
  class State;
  class Own;
  class Shared;
  class Fanout;
  void Deliver(std::string_view secret, std::string_view ack);
  void CountVerdict(AckVerdict verdict);

  NatsConnection& egress_;
  const std::string base_;  // with the last dot
  Rng& rng_;
  const size_t most_closed_;
  InboxCounts counts_;
  std::shared_ptr<Subscription> fanout_;
  absl::Mutex mutex_;
  absl::flat_hash_map<std::string, std::shared_ptr<State>> open_
      ABSL_GUARDED_BY(mutex_);  // by secret
};

}  // namespace bascule::nats
