#include "nats_bridge/subscription.h"

#include <utility>

#include "absl/synchronization/mutex.h"
#include "core/base/check.h"
#include "core/base/logging.h"
#include "nats_bridge/bridge_limits.h"

namespace bascule::nats {
namespace {

// What a nats.c subscription calls back into; deleted by nats.c's completion callback, after its
// last message.
struct Delivery {
  std::shared_ptr<SubscriptionHandler> handler;
  std::shared_ptr<CallbackGate> gate;
};

void OnComplete(void* closure) {
  auto* delivery = static_cast<Delivery*>(closure);
  const std::shared_ptr<CallbackGate> gate = std::move(delivery->gate);
  delete delivery;
  gate->Leave();
}

// Without headers: what comes by this connection has none that matter.
void OnMessage(natsConnection* /*nc*/, natsSubscription* /*sub*/, natsMsg* msg, void* closure) {
  const char* reply = natsMsg_GetReply(msg);
  BusMessage message;
  message.subject = natsMsg_GetSubject(msg);
  message.reply = reply != nullptr ? std::string_view(reply) : std::string_view();
  message.payload =
      std::string_view(natsMsg_GetData(msg), static_cast<size_t>(natsMsg_GetDataLength(msg)));
  static_cast<Delivery*>(closure)->handler->OnMessage(message);
  natsMsg_Destroy(msg);
}

}  // namespace

void CallbackGate::Enter() {
  const absl::MutexLock lock(&mutex_);
  ++inside_;
}

void CallbackGate::Leave() {
  const absl::MutexLock lock(&mutex_);
  BASCULE_CHECK_GT(inside_, 0U);
  if (--inside_ == 0) empty_.SignalAll();
}

bool CallbackGate::WaitUntilEmpty(std::chrono::milliseconds timeout) {
  const CondVar::Deadline deadline = CondVar::In(timeout);
  const absl::MutexLock lock(&mutex_);
  while (inside_ > 0 && empty_.WaitUntil(mutex_, deadline)) {
  }
  return inside_ == 0;
}

Subscription::~Subscription() { Close(); }

natsStatus Subscription::Open(natsConnection* nc, const std::shared_ptr<CallbackGate>& gate,
                              bool& opened) {
  BASCULE_CHECK(nc != nullptr);
  const absl::MutexLock lock(&mutex_);
  opened = false;
  if (closed_ || sub_ != nullptr) return NATS_OK;
  gate_ = gate;
  auto* delivery = new Delivery{handler_, gate};
  gate->Enter();
  const natsStatus s =
      group_.empty() ? natsConnection_Subscribe(&sub_, nc, subject_.c_str(), &OnMessage, delivery)
                     : natsConnection_QueueSubscribe(&sub_, nc, subject_.c_str(), group_.c_str(),
                                                     &OnMessage, delivery);
  if (s != NATS_OK) {
    sub_ = nullptr;
    OnComplete(delivery);
    return s;
  }
  natsSubscription_SetPendingLimits(sub_, limits::kNatsPendingMessages, limits::kNatsPendingBytes);
  if (natsSubscription_SetOnCompleteCB(sub_, &OnComplete, delivery) != NATS_OK) {
    // The connection closed in between: nats.c may be delivering still and will not say when it
    // ends. The delivery object is left to live; the gate is told, so that Stop does not wait for
    // it.
    gate->Leave();
  }
  opened = true;
  return NATS_OK;
}

bool Subscription::Drop() {
  const absl::MutexLock lock(&mutex_);
  if (sub_ == nullptr) return false;
  natsSubscription_Destroy(sub_);
  sub_ = nullptr;
  return true;
}

bool Subscription::Close() {
  const absl::MutexLock lock(&mutex_);
  closed_ = true;
  if (sub_ == nullptr) return false;
  BASCULE_CHECK(gate_ != nullptr);
  natsSubscription_Unsubscribe(sub_);  // sends UNSUB when the connection is up
  gate_->closed.Keep(std::exchange(sub_, nullptr));
  return true;
}

bool Subscription::is_open() const {
  const absl::MutexLock lock(&mutex_);
  return sub_ != nullptr;
}

absl::Status Subscription::SetRefusal(absl::Status refusal) {
  const absl::MutexLock lock(&mutex_);
  return std::exchange(refusal_, std::move(refusal));
}

absl::Status Subscription::refusal() const {
  const absl::MutexLock lock(&mutex_);
  return refusal_;
}

bool Subscription::closed() const {
  const absl::MutexLock lock(&mutex_);
  return closed_;
}

}  // namespace bascule::nats
