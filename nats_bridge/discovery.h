// Brokers of one namespace ask and answer each other on the bus.
//
//   asker                                             every broker, the asker too
//   publish <ns>.ack.discovery.ask, reply = inbox ──► answer callback
//   found callback ◄───────────────────────────────── publish to the inbox
//   ... again every limits::kDiscoveryPeriod
//
// The subjects lie below <namespace>.ack, like all that servers say to each other on the bus, which
// no wildcard stream records. Anybody on the bus can ask and answer: what comes is a hint where to
// look, and the peer port finds out who is there.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/synchronization/mutex.h"
#include "core/ports/discovery.h"
#include "nats_bridge/nats_connection.h"

namespace bascule::nats {

struct DiscoveryCounts {
  std::atomic<uint64_t> asked{0};     // questions published, repetitions included
  std::atomic<uint64_t> heard{0};     // questions received, our own included
  std::atomic<uint64_t> answered{0};  // answers published
  std::atomic<uint64_t> found{0};     // answers received
  std::atomic<uint64_t> ignored{0};   // too large, or with a reply that is no inbox of ours
};

// Any thread.
class BusDiscovery final : public Discovery {
 public:
  // `token`: this process's own. `egress` outlives it and is stopped before it ends.
  BusDiscovery(NatsConnection& egress, const std::string& cluster_namespace, std::string token);
  ~BusDiscovery() override;  // all queries are gone before

  // `answer` is never called by two threads at once.
  void AnswerQueries(absl::AnyInvocable<std::string(std::string_view question)> answer) override;
  std::unique_ptr<DiscoveryQuery> Ask(
      std::string question, absl::AnyInvocable<void(std::string_view answer)> found) override;

  const DiscoveryCounts& counts() const { return counts_; }

 private:
  class Questions;
  class Query;
  // Counted by the caller. False: there is no connection now, or too much waits for it.
  bool Publish(const std::string& subject, const std::string& reply, std::string_view payload);

  NatsConnection& egress_;
  const std::string base_;   // <namespace>.ack.discovery, with a last dot
  const std::string token_;  // the next token of our inboxes
  DiscoveryCounts counts_;
  std::atomic<uint64_t> next_{1};
  absl::Mutex mutex_;
  std::shared_ptr<Questions> answerer_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<Subscription> questions_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bascule::nats
