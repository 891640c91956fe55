#include "nats_bridge/subscription.h"

#include <utility>

#include "absl/synchronization/mutex.h"
#include "core/base/check.h"
#include "core/base/logging.h"
#include "nats_bridge/bridge_limits.h"
#include "nats_bridge/header_block.h"

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

// The header block of `msg` as it came in, empty when there is none. nats.c has no call for it, but
// keeps the parts of a received message one after another: subject NUL, reply NUL, header block
// NUL, data. What does not look like that (a later nats.c may differ) is no header block.
std::string_view HeaderBlock(const BusMessage& message) {
  const std::string_view last = message.reply.data() != nullptr ? message.reply : message.subject;
  const char* begin = last.data() + last.size() + 1;
  const char* data = message.payload.data();
  if (data <= begin) return {};
  const std::string_view between(begin, static_cast<size_t>(data - begin) - 1);
  return between.starts_with("NATS/1.0") ? between : std::string_view();
}

// For a nats.c that keeps messages in another way: what its own parser makes of the headers.
size_t CollectHeaders(natsMsg* msg, wire::HeaderList& out) {
  const char** names = nullptr;
  int count = 0;
  if (natsMsgHeader_Keys(msg, &names, &count) != NATS_OK) return 0;
  size_t bytes = sizeof("NATS/1.0\r\n\r\n") - 1;
  for (int i = 0; i < count; ++i) {
    const char** values = nullptr;
    int value_count = 0;
    if (natsMsgHeader_Values(msg, names[i], &values, &value_count) != NATS_OK) continue;
    const std::string_view name(names[i]);
    for (int v = 0; v < value_count; ++v) {
      const std::string_view value(values[v] != nullptr ? values[v] : "");
      bytes += name.size() + value.size() + sizeof(": \r\n") - 1;
      if (out.size() < limits::kMaxHeaders) out.emplace_back(name, value);
    }
    free(values);
  }
  free(names);
  return bytes;
}

// Whether this nats.c is one whose messages are known to be laid out as HeaderBlock expects.
bool KnownLayout() {
  static const bool known = std::string_view(nats_GetVersion()).starts_with("3.");
  return known;
}

void OnMessage(natsConnection* /*nc*/, natsSubscription* /*sub*/, natsMsg* msg, void* closure) {
  thread_local wire::HeaderList headers;
  headers.clear();
  const char* reply = natsMsg_GetReply(msg);
  BusMessage message;
  message.subject = natsMsg_GetSubject(msg);
  message.reply = reply != nullptr ? std::string_view(reply) : std::string_view();
  message.payload =
      std::string_view(natsMsg_GetData(msg), static_cast<size_t>(natsMsg_GetDataLength(msg)));
  if (KnownLayout()) {
    const std::string_view block = HeaderBlock(message);
    if (!block.empty() && ReadHeaderBlock(block, headers)) message.header_bytes = block.size();
  } else {
    message.header_bytes = CollectHeaders(msg, headers);
  }
  message.headers = headers.empty() ? nullptr : &headers;
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
  slow_ = false;
  dropped_ = 0;
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

int64_t Subscription::TakeDropped() {
  const absl::MutexLock lock(&mutex_);
  if (!slow_ || sub_ == nullptr) return 0;
  int64_t total = 0;
  if (natsSubscription_GetDropped(sub_, &total) != NATS_OK) return 0;
  const int64_t fresh = total - dropped_;
  dropped_ = total;
  slow_ = fresh > 0;
  return fresh;
}

bool Subscription::MarkSlow(natsSubscription* sub) {
  const absl::MutexLock lock(&mutex_);
  if (sub_ != sub || sub == nullptr) return false;
  slow_ = true;
  return true;
}

}  // namespace bascule::nats
