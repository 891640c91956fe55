// A NATS connection and its JetStream context as the load programs use them, on both sides alike:
// nats.c with default settings, except that a lost server ends the run at once instead of starting
// reconnects.
#pragma once

#include <nats/nats.h>

#include <atomic>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace bascule::bench {

// Any thread may use the handles, as nats.c allows; the destructor waits for running callbacks of
// the connection.
class NatsConnection {
 public:
  // `options` of the JetStream context may be null.
  static absl::StatusOr<std::unique_ptr<NatsConnection>> Open(const std::string& url,
                                                              jsOptions* options);
  ~NatsConnection();
  NatsConnection(const NatsConnection&) = delete;
  NatsConnection& operator=(const NatsConnection&) = delete;

  natsConnection* handle() const { return connection_; }
  jsCtx* jetstream() const { return jetstream_; }
  bool lost() const { return lost_.load(std::memory_order_relaxed); }

 private:
  NatsConnection() = default;

  natsConnection* connection_ = nullptr;
  jsCtx* jetstream_ = nullptr;
  std::atomic<bool> lost_ = false;
  std::atomic<bool> closed_ = false;
};

// Unavailable with nats.c's own text, behind "<what>: ".
absl::Status NatsError(const std::string& what, natsStatus status);

}  // namespace bascule::bench
