// One subject somebody listens to on the egress connection, through every reconnect. Internal to nats_bridge.
#pragma once

#include <nats/nats.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/synchronization/mutex.h"
#include "core/env/cond_var.h"
#include "nats_bridge/bus_message.h"
#include "nats_bridge/closed_subscriptions.h"

namespace bascule::nats {

// Counts the message callbacks that nats.c can still make, so that Stop can wait for the last, and
// keeps what it may still touch.
class CallbackGate {
 public:
  explicit CallbackGate(Clock& clock) : closed(clock) {}
  void Enter();
  void Leave();
  // False when callbacks are still possible after `timeout`.
  bool WaitUntilEmpty(std::chrono::milliseconds timeout);

  ClosedSubscriptions closed;

 private:
  absl::Mutex mutex_;
  CondVar empty_;
  size_t inside_ ABSL_GUARDED_BY(mutex_) = 0;
};

// Owned by NatsConnection and by whoever asked for it. The mutex here is taken inside
// NatsConnection's and never held while nats.c delivers.
class Subscription {
 public:
  Subscription(std::string subject, std::string group, std::shared_ptr<SubscriptionHandler> handler)
      : subject_(std::move(subject)), group_(std::move(group)), handler_(std::move(handler)) {}
  ~Subscription();

  const std::string& subject() const { return subject_; }
  const std::string& group() const { return group_; }
  SubscriptionHandler& handler() { return *handler_; }

  // Subscribes on `nc`, unless it is already or was closed; `opened` says whether it did.
  natsStatus Open(natsConnection* nc, const std::shared_ptr<CallbackGate>& gate, bool& opened);
  // The nats.c subscription died with its connection; Open may follow.
  bool Drop();  // whether it was open
  // For good. Whether it was open.
  bool Close();
  bool closed() const;
  bool is_open() const;
  // Why it is not subscribed where others are; OK = it is, or nothing is known. Gives the one
  // before.
  absl::Status SetRefusal(absl::Status refusal);
  absl::Status refusal() const;

 private:
  const std::string subject_;
  const std::string group_;
  const std::shared_ptr<SubscriptionHandler> handler_;
  mutable absl::Mutex mutex_;
  std::shared_ptr<CallbackGate> gate_ ABSL_GUARDED_BY(mutex_);  // of the connection it is on
  natsSubscription* sub_ ABSL_GUARDED_BY(mutex_) = nullptr;
  absl::Status refusal_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace bascule::nats
