// The subscriptions of the egress connection: opened, refused, closed.
#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/synchronization/mutex.h"
#include "core/base/check.h"
#include "core/base/logging.h"
#include "core/base/text.h"
#include "nats_bridge/bridge_limits.h"
#include "nats_bridge/control_line.h"
#include "nats_bridge/nats_connection.h"

namespace bascule::nats {
namespace {

// Of a subject, in a log line.
constexpr size_t kShownSubjectBytes = 80;

}  // namespace

std::shared_ptr<Subscription> NatsConnection::Subscribe(
    std::string subject, std::string group, std::shared_ptr<SubscriptionHandler> handler) {
  auto subscription =
      std::make_shared<Subscription>(std::move(subject), std::move(group), std::move(handler));
  std::shared_ptr<natsConnection> now;
  {
    const absl::MutexLock lock(&mutex_);
    positions_[subscription.get()] = subscriptions_.size();
    subscriptions_.push_back(subscription);
    CheckInvariants();
    added_.push_back(subscription);
    wake_ = true;
    now = current_;  // without a server there is nothing to be heard yet, and nothing to be closed
  }
  // Only appends to a buffer. While it reconnects there is nothing to be heard, and nothing to be closed
  // again and kept.
  if (now != nullptr && natsConnection_Status(now.get()) == NATS_CONN_STATUS_CONNECTED)
    SubscribeNow(now.get(), *subscription);
  work_.SignalAll();
  return subscription;
}

void NatsConnection::Unsubscribe(const std::shared_ptr<Subscription>& subscription) {
  {
    const absl::MutexLock lock(&mutex_);
    const auto found = positions_.find(subscription.get());
    if (found == positions_.end()) return;
    const size_t position = found->second;
    BASCULE_CHECK_LT(position, subscriptions_.size());
    BASCULE_CHECK(subscriptions_[position] == subscription);
    positions_.erase(found);
    if (position + 1 < subscriptions_.size()) {
      subscriptions_[position] = subscriptions_.back();
      positions_[subscriptions_[position].get()] = position;
    }
    subscriptions_.pop_back();
    CheckInvariants();
    removed_.push_back(subscription);
    wake_ = true;
  }
  work_.SignalAll();
}

// Each once: what is subscribed anew after a loss is what is heard.
void NatsConnection::CheckInvariants() const {
  BASCULE_CHECK_EQ(positions_.size(), subscriptions_.size());
  if (!subscriptions_.empty()) {
    const auto last = positions_.find(subscriptions_.back().get());
    BASCULE_CHECK(last != positions_.end());
    BASCULE_CHECK_EQ(last->second, subscriptions_.size() - 1);
  }
}

void NatsConnection::NoteClosed() { BASCULE_CHECK_GT(open_.fetch_sub(1), 0U); }

bool NatsConnection::AdmitLine(size_t bytes) {
  if (bytes > line_limit()) {
    counts_.lines_refused.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  size_t longest = longest_line_.load(std::memory_order_relaxed);
  while (bytes > longest &&
         !longest_line_.compare_exchange_weak(longest, bytes, std::memory_order_relaxed)) {
  }
  return true;
}

// --- the keeper, and whoever subscribes ---

void NatsConnection::SubscribeNow(natsConnection* nc, Subscription& subscription) {
  if (subscription.is_open()) return;
  const size_t line = SubLineBytes(subscription.subject(), subscription.group());
  if (!AdmitLine(line)) {
    return Refuse(subscription, absl::InvalidArgumentError(Concat(
                                    "nats: cannot listen: ", LineTooLongText(line, line_limit()))));
  }
  const size_t limit = open_limit_.load(std::memory_order_relaxed);
  if (open_.fetch_add(1) >= limit) {
    NoteClosed();
    return Refuse(subscription, absl::ResourceExhaustedError(
                                    Concat("nats: cannot listen: the server takes no more than ",
                                           limit, " subscriptions (max_subscriptions)")));
  }
  bool opened = false;
  const natsStatus s = subscription.Open(nc, gate_, opened);
  if (!opened) NoteClosed();
  if (s == NATS_CONNECTION_CLOSED) return;
  Refuse(subscription, FromNats(s, "cannot listen"));
}

// `why` may be OK: it is not refused (any more).
void NatsConnection::Refuse(Subscription& subscription, absl::Status why) {
  const absl::Status before = subscription.SetRefusal(why);
  if (before.ok() && !why.ok()) ++counts_.subscriptions_refused;
  if (!before.ok() && why.ok()) --counts_.subscriptions_refused;
  // One that is one too many may fit in the next turn, while their number is looked for.
  if (!why.ok() && before != why && !absl::IsResourceExhausted(why)) LogRefusal(subscription, why);
}

void NatsConnection::LogRefusal(const Subscription& subscription, const absl::Status& why) {
  LogWarning(kEgressLabel, ": '",
             std::string_view(subscription.subject()).substr(0, kShownSubjectBytes),
             "': ", FromAbsl(why.message()));
}

void NatsConnection::Discard(Subscription& subscription) {
  if (subscription.Close()) NoteClosed();
  Refuse(subscription, absl::OkStatus());
}

// How many of those that were too many may be tried.
size_t NatsConnection::RoomForRefused() {
  open_limit_.store(cap_.limit(), std::memory_order_relaxed);
  const size_t open = open_.load();
  if (counts_.subscriptions_refused.load() == 0 || open >= cap_.limit()) return 0;
  return cap_.limit() - open;
}

std::vector<std::shared_ptr<Subscription>> NatsConnection::RefusedThatMayFit() {
  std::vector<std::shared_ptr<Subscription>> out;
  const size_t room = RoomForRefused();
  if (room == 0) return out;
  const absl::MutexLock lock(&mutex_);
  for (const auto& subscription : subscriptions_) {
    if (out.size() >= room) break;
    if (absl::IsResourceExhausted(subscription->refusal())) out.push_back(subscription);
  }
  return out;
}

void NatsConnection::SubscribePending() {
  BASCULE_CHECK(OnKeeper());
  std::vector<std::shared_ptr<Subscription>> added;
  std::vector<std::shared_ptr<Subscription>> removed;
  std::shared_ptr<natsConnection> nc;
  {
    const absl::MutexLock lock(&mutex_);
    added.swap(added_);
    removed.swap(removed_);
    nc = current_;
    CheckInvariants();
  }
  for (const auto& subscription : removed) Discard(*subscription);
  for (auto& subscription : RefusedThatMayFit()) added.push_back(std::move(subscription));
  for (const auto& subscription : added) SubscribeNow(nc.get(), *subscription);
}

}  // namespace bascule::nats
