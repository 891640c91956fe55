// The subscriptions of a connection: opened, refused, confirmed, told of gaps.
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

// Of a refused subscription, which an error names first and in quotes, before its queue group; empty
// for any other error.
std::string_view RefusedSubject(std::string_view text) {
  if (!absl::StartsWithIgnoreCase(ToAbsl(text), "permissions violation for subscription"))
    return {};
  const size_t begin = text.find('"');
  if (begin == std::string_view::npos) return {};
  const size_t end = std::min(text.find("\" using queue", begin + 1), text.rfind('"'));
  return end > begin ? text.substr(begin + 1, end - begin - 1) : std::string_view();
}

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
    // Without a server there is nothing to be heard yet, and nothing to be closed again.
    if (role_ == ConnectionRole::kEgress) now = current_;
  }
  // Only appends to a buffer there; on the ingest connection it may block, so the keeper does it.
  // While it reconnects there is nothing to be heard, and nothing to be closed again and kept.
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
  BASCULE_CHECK_LE(refused_.size(), limits::kNatsRefusals);
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

// --- the keeper, and on the egress connection whoever subscribes ---

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
  LogWarning(label_, ": '", std::string_view(subscription.subject()).substr(0, kShownSubjectBytes),
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
  for (auto& subscription : added) {
    SubscribeNow(nc.get(), *subscription);
    if (!std::exchange(subscription->awaited, true)) awaiting_.push_back(std::move(subscription));
  }
}

// nats.c has subscribed all of them again, and the server may think otherwise than before.
void NatsConnection::AwaitAll() {
  BASCULE_CHECK(OnKeeper());
  last_refusal_.clear();
  refusal_waits_ = 0;
  const absl::MutexLock lock(&mutex_);
  for (const auto& subscription : subscriptions_) {
    if (!subscription->is_open() && subscription->refusal().ok()) continue;  // it is to be opened
    if (!std::exchange(subscription->awaited, true)) awaiting_.push_back(subscription);
  }
}

void NatsConnection::NoteRefusal(natsConnection* nc, std::string text) {
  const std::string subject(RefusedSubject(text));
  if (subject.empty()) return;
  const absl::MutexLock lock(&mutex_);
  if (current_.get() != nc) return;
  if (refused_.size() < limits::kNatsRefusals || refused_.contains(subject))
    refused_[subject] = std::move(text);
  work_.SignalAll();
}

void NatsConnection::ReportGap(const GapReport& gap) {
  std::vector<std::shared_ptr<Subscription>> all;
  {
    const absl::MutexLock lock(&mutex_);
    all = subscriptions_;
  }
  for (const auto& subscription : all) {
    if (subscription->confirmed) subscription->handler().OnGap(gap);
  }
}

// nats.c sees permission errors before the PONG, but hands them over on a thread of its own, in
// order: once the reconnect before them has arrived, and the one that it keeps as the last, all have.
std::optional<Refusals> NatsConnection::TakeRefusals(const std::string& last_error) {
  BASCULE_CHECK(OnKeeper());
  const std::string_view last = RefusedSubject(last_error);
  const bool awaited = !last.empty() && last_refusal_ != last_error;
  const CondVar::Deadline deadline = CondVar::In(limits::kNatsRefusalWait);
  const absl::MutexLock lock(&mutex_);
  while (announced_ + unfinished_reconnects_ < known_reconnects_) {
    if (!work_.WaitUntil(mutex_, deadline)) break;
  }
  if (announced_ + unfinished_reconnects_ != known_reconnects_) {
    // Another one since the PING; or some never are announced: nats.c counts a reconnect when it has
    // dialled, before the handshake that may fail.
    if (announced_ <= known_reconnects_) unfinished_reconnects_ = known_reconnects_ - announced_;
    return std::nullopt;
  }
  while (awaited && refused_.size() < limits::kNatsRefusals) {
    const auto found = refused_.find(ToAbsl(last));
    if (found != refused_.end() && found->second == last_error) break;
    if (work_.WaitUntil(mutex_, deadline)) continue;
    if (++refusal_waits_ < limits::kNatsRefusalWaits) return std::nullopt;
    break;
  }
  refusal_waits_ = 0;
  if (awaited) last_refusal_ = last_error;
  return std::exchange(refused_, {});
}

absl::Status NatsConnection::Verdict(const Subscription& subscription, const Refusals& refused) {
  if (absl::Status refusal = subscription.refusal(); !refusal.ok()) return refusal;
  const auto reason = refused.find(subscription.subject());
  return reason == refused.end() ? absl::OkStatus()
                                 : absl::PermissionDeniedError(Concat("nats: ", reason->second));
}

// `open`: how many were open when the PING went out. `last_error`: nats.c's when it was answered.
void NatsConnection::Confirm(size_t open, const std::string& last_error) {
  BASCULE_CHECK(OnKeeper());
  cap_.Took(open);
  const std::optional<Refusals> refused = TakeRefusals(last_error);
  if (!refused.has_value()) return;  // the next turn tells
  const std::vector<std::shared_ptr<Subscription>> fresh = std::exchange(awaiting_, {});
  for (const auto& subscription : fresh) {
    BASCULE_CHECK(subscription->awaited);
    if (subscription->closed()) continue;
    const absl::Status verdict = Verdict(*subscription, *refused);
    if (absl::IsResourceExhausted(verdict) && !cap_.known()) {
      awaiting_.push_back(subscription);  // perhaps there is room: the next turn tries
      continue;
    }
    subscription->awaited = false;
    Tell(*subscription, verdict);
  }
}

void NatsConnection::Tell(Subscription& subscription, const absl::Status& verdict) {
  const bool heard_before = std::exchange(subscription.confirmed, verdict.ok());
  if (!verdict.ok() && (heard_before || absl::IsResourceExhausted(verdict)))
    LogRefusal(subscription, verdict);
  if (heard_before && !verdict.ok()) subscription.deaf_since = regained_;
  if (verdict.ok() && subscription.deaf_since.value() != 0) {
    const Timestamp since = std::exchange(subscription.deaf_since, Timestamp());
    subscription.handler().OnGap({since, clock_.Wall(), GapReason::kNotListening, -1});
  }
  if (subscription.told == verdict) return;
  subscription.told = verdict;
  subscription.handler().OnListening(verdict);
}

void NatsConnection::ReportSlowConsumers() {
  BASCULE_CHECK(OnKeeper());
  std::vector<std::shared_ptr<Subscription>> all;
  {
    const absl::MutexLock lock(&mutex_);
    all = subscriptions_;
  }
  for (const auto& subscription : all) {
    const int64_t dropped = subscription->TakeDropped();
    if (dropped <= 0) continue;
    counts_.slow_consumer_messages.fetch_add(static_cast<uint64_t>(dropped),
                                             std::memory_order_relaxed);
    const Timestamp now = clock_.Wall();
    const Timestamp from = now - std::chrono::nanoseconds(2 * limits::kNatsHeartbeat).count();
    LogWarning(label_, ": '", subscription->subject(), "': ", dropped,
               " messages dropped, the machine is too slow for them");
    subscription->handler().OnGap(GapReport{from, now, GapReason::kSlowConsumer, dropped});
  }
}

}  // namespace bascule::nats
