#include "nats_bridge/ingest_subscriptions.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "core/base/check.h"
#include "core/base/logging.h"
#include "core/base/text.h"

namespace bascule::nats {
namespace {

// Of a subject, in a log line.
constexpr size_t kShownSubjectBytes = 80;

// The quoted text at or behind `from`, as Go writes it, and where it ends; nullopt: there is none.
std::optional<std::string> Quoted(std::string_view text, size_t from, size_t& end) {
  const size_t begin = text.find('"', from);
  if (begin == std::string_view::npos) return std::nullopt;
  size_t at = begin + 1;
  while (at < text.size() && text[at] != '"') at += text[at] == '\\' ? 2 : 1;
  if (at >= text.size()) return std::nullopt;
  end = at + 1;
  const std::string_view raw = text.substr(begin + 1, at - begin - 1);
  std::string out;
  if (!absl::CUnescape(ToAbsl(raw), &out)) out = raw;
  return out;
}

absl::Status TooManyFor(size_t limit) {
  return absl::ResourceExhaustedError(Concat("nats: cannot listen: the server takes no more than ",
                                             limit, " subscriptions (max_subscriptions)"));
}

void LogRefusal(const IngestSubscription& subscription, const absl::Status& why) {
  LogWarning(kIngestLabel, ": '",
             std::string_view(subscription.subject()).substr(0, kShownSubjectBytes),
             "': ", FromAbsl(why.message()));
}

}  // namespace

IngestSubscriptions::IngestSubscriptions(Clock& clock) : clock_(clock) {}

IngestSubscriptions::~IngestSubscriptions() = default;

void IngestSubscriptions::CheckInvariants() const {
  BASCULE_CHECK_LE(open_, subscriptions_.size());
  BASCULE_CHECK_LE(beyond_cap_, subscriptions_.size());
  BASCULE_CHECK_GE(counts_.refused.load(), beyond_cap_);
  for (size_t i = 1; i < windows_.size(); ++i)
    BASCULE_CHECK_LT(windows_[i - 1].ping, windows_[i].ping);
}

void IngestSubscriptions::Add(std::shared_ptr<IngestSubscription> subscription) {
  BASCULE_CHECK_EQ(subscription->sid_, 0U);
  subscription->sid_ = next_sid_++;
  unsent_.push_back(subscription);
  subscriptions_.emplace(subscription->sid_, std::move(subscription));
}

void IngestSubscriptions::Remove(const IngestSubscription& subscription, IngestSession* session) {
  const auto found = subscriptions_.find(subscription.sid_);
  if (found == subscriptions_.end() || found->second.get() != &subscription) return;
  const Pointer removed = std::move(found->second);
  subscriptions_.erase(found);
  removed->removed_ = true;
  if (removed->open_) {
    BASCULE_CHECK(session != nullptr);
    session->Unsubscribe(removed->sid_);
    Close(*removed);
  }
  SetRefusal(*removed, absl::OkStatus());
  CheckInvariants();
}

void IngestSubscriptions::Close(IngestSubscription& subscription) {
  if (!std::exchange(subscription.open_, false)) return;
  BASCULE_CHECK_GT(open_, 0U);
  --open_;
}

// --- sending ---

size_t IngestSubscriptions::room_for_refused() const {
  const size_t limit = cap_.limit();
  if (beyond_cap_ == 0 || open_ >= limit) return 0;
  return std::min(beyond_cap_, limit - open_);
}

void IngestSubscriptions::SendPending(IngestSession& session) {
  Window window;
  std::vector<Pointer> unsent = std::exchange(unsent_, {});
  for (const Pointer& subscription : unsent) {
    if (!subscription->removed_ && !subscription->open_) Send(subscription, session, window);
  }
  for (const auto& [sid, subscription] : subscriptions_) {
    if (room_for_refused() == 0) break;
    if (absl::IsResourceExhausted(subscription->refusal_) && !subscription->awaited_)
      Send(subscription, session, window);
  }
  if (window.subscriptions.empty()) return;
  window.open = open_;
  window.sent = clock_.Wall();
  window.ping = session.Ping();
  windows_.push_back(std::move(window));
  CheckInvariants();
}

void IngestSubscriptions::Send(const Pointer& subscription, IngestSession& session,
                               Window& window) {
  BASCULE_CHECK(!subscription->open_);
  subscription->awaited_ = true;
  subscription->verdict_ = absl::OkStatus();
  window.subscriptions.push_back(subscription);
  const size_t line = SubLineBytes(subscription->subject(), subscription->group());
  if (!lines_.Admit(line)) {
    counts_.lines_refused.fetch_add(1, std::memory_order_relaxed);
    subscription->verdict_ = absl::InvalidArgumentError(
        Concat("nats: cannot listen: ", LineTooLongText(line, lines_.limit())));
  } else if (open_ >= cap_.limit()) {
    subscription->verdict_ = TooManyFor(cap_.limit());
  } else {
    session.Subscribe(subscription->sid_, subscription->subject(), subscription->group());
    subscription->open_ = true;
    ++open_;
  }
}

void IngestSubscriptions::SendHeartbeat(IngestSession& session) {
  Window window;
  window.sent = clock_.Wall();
  window.ping = session.Ping();
  windows_.push_back(std::move(window));
}

uint64_t IngestSubscriptions::Drain(IngestSession& session) {
  for (const auto& [sid, subscription] : subscriptions_) {
    if (subscription->open_) session.Unsubscribe(sid);
  }
  SendHeartbeat(session);
  return windows_.back().ping;
}

// --- what the session tells ---

void IngestSubscriptions::OnMessage(uint64_t sid, const BusMessage& message) {
  const auto found = subscriptions_.find(sid);
  if (found == subscriptions_.end()) return;  // it was removed, and the server has not heard of it
  IngestSubscription& subscription = *found->second;
  if (subscription.gap_due_) TellGap(subscription);
  if (subscription.deaf_since_.value() != 0) TellDeaf(subscription);
  subscription.handler_->OnMessage(message);
}

void IngestSubscriptions::OnPong(uint64_t ping) {
  while (!windows_.empty() && windows_.front().ping <= ping) {
    Window window = std::move(windows_.front());
    windows_.pop_front();
    Decide(std::move(window));
  }
  CheckInvariants();
}

void IngestSubscriptions::Decide(Window window) {
  if (window.too_many > 0) {
    RefuseLast(window);
  } else {
    cap_.Took(open_);
  }
  for (const Pointer& subscription : window.subscriptions) {
    subscription->awaited_ = false;
    if (subscription->removed_) continue;
    if (subscription->gap_due_) TellGap(*subscription);
    SetRefusal(*subscription, std::exchange(subscription->verdict_, absl::OkStatus()));
    Tell(*subscription);
  }
  heard_through_ = window.sent;
  answered_ = true;
}

// A server that has taken as many as it takes refuses all that come after, and does not say which: so they
// are the last ones of those that it had not refused for another reason.
void IngestSubscriptions::RefuseLast(const Window& window) {
  size_t left = window.too_many;
  std::vector<IngestSubscription*> refused;
  for (auto it = window.subscriptions.rbegin(); it != window.subscriptions.rend() && left > 0;
       ++it) {
    IngestSubscription& subscription = **it;
    if (!subscription.verdict_.ok()) continue;
    --left;
    Close(subscription);
    refused.push_back(&subscription);
  }
  // What was given back since does not count: there is room for as many again.
  const size_t took = window.open - std::min(window.open, window.too_many);
  for (Window& later : windows_) later.open -= std::min(later.open, window.too_many);
  cap_.Refused(took + 1);
  cap_.Took(took);
  for (IngestSubscription* subscription : refused) subscription->verdict_ = TooManyFor(took);
  LogWarning(
      kIngestLabel, ": the server takes no more than ", took,
      " subscriptions; what is beyond hears nothing (raise max_subscriptions there, or delete "
      "streams)");
}

// `why` may be OK: it is not refused (any more).
void IngestSubscriptions::SetRefusal(IngestSubscription& subscription, absl::Status why) {
  const absl::Status before = std::exchange(subscription.refusal_, std::move(why));
  const absl::Status& now = subscription.refusal_;
  if (before.ok() && !now.ok()) ++counts_.refused;
  if (!before.ok() && now.ok()) --counts_.refused;
  if (absl::IsResourceExhausted(before)) --beyond_cap_;
  if (absl::IsResourceExhausted(now)) ++beyond_cap_;
}

void IngestSubscriptions::Tell(IngestSubscription& subscription) {
  const absl::Status& verdict = subscription.refusal_;
  const bool heard_before = std::exchange(subscription.confirmed_, verdict.ok());
  // Until the last answered PING nothing was missed, unless a gap that was told ends later.
  if (heard_before && !verdict.ok())
    subscription.deaf_since_ = std::max(heard_through_, subscription.regained_);
  if (verdict.ok() && subscription.deaf_since_.value() != 0) TellDeaf(subscription);
  if (subscription.told_.has_value() && subscription.told_->code() == verdict.code()) return;
  if (!verdict.ok()) LogRefusal(subscription, verdict);
  subscription.told_ = verdict;
  subscription.handler_->OnListening(verdict);
}

void IngestSubscriptions::TellGap(IngestSubscription& subscription) {
  BASCULE_CHECK(subscription.confirmed_ && heard_through_.value() != 0);
  subscription.gap_due_ = false;
  subscription.regained_ = std::max(heard_through_, clock_.Wall());
  subscription.handler_->OnGap({heard_through_, subscription.regained_, gap_reason_, -1});
}

// It is heard again.
void IngestSubscriptions::TellDeaf(IngestSubscription& subscription) {
  const Timestamp since = std::exchange(subscription.deaf_since_, Timestamp());
  subscription.confirmed_ = true;
  subscription.regained_ = std::max(since, clock_.Wall());
  subscription.handler_->OnGap({since, subscription.regained_, GapReason::kNotListening, -1});
}

void IngestSubscriptions::OnLost(GapReason reason) {
  const auto over_too_many = std::find_if(windows_.begin(), windows_.end(),
                                          [](const Window& w) { return w.too_many > 0; });
  if (over_too_many != windows_.end()) {
    cap_.Refused(over_too_many->open);  // it ends connections over it: fewer next time
  } else {
    cap_ = SubscriptionCap();  // the next server may take more
  }
  windows_.clear();
  unsent_.clear();
  for (const auto& [sid, subscription] : subscriptions_) {
    subscription->open_ = false;
    subscription->awaited_ = false;
    subscription->gap_due_ = subscription->confirmed_;
    unsent_.push_back(subscription);
  }
  // In the order in which they were asked for.
  std::sort(unsent_.begin(), unsent_.end(),
            [](const Pointer& a, const Pointer& b) { return a->sid_ < b->sid_; });
  open_ = 0;
  answered_ = false;
  lines_.Restart();
  gap_reason_ = reason;
  CheckInvariants();
}

bool IngestSubscriptions::OnServerError(std::string_view text) {
  const absl::string_view said = ToAbsl(text);
  if (absl::StartsWithIgnoreCase(said, "permissions violation for subscription"))
    return OnPermissionRefused(text);
  if (absl::StartsWithIgnoreCase(said, "maximum subscriptions")) {
    if (windows_.empty()) return false;
    ++windows_.front().too_many;
    return true;
  }
  if (absl::StartsWithIgnoreCase(said, "maximum control line")) OnLineRefused();
  return false;
}

// Its connection ends over it.
void IngestSubscriptions::OnLineRefused() {
  const size_t longest = lines_.longest();
  if (!lines_.Refused()) return;
  LogWarning(kIngestLabel, ": the server's max_control_line is below ", longest,
             "; from now on nothing longer than ", lines_.limit(),
             " bytes is sent: streams with longer subjects hear nothing (raise max_control_line "
             "there to ",
             limits::kNatsControlLineBytes, " and restart this broker)");
}

// It names the subject, and the queue group if there is one; and the subscription where a permission is taken
// back from one that was listened to.
bool IngestSubscriptions::OnPermissionRefused(std::string_view text) {
  size_t end = 0;
  const std::optional<std::string> subject = Quoted(text, 0, end);
  if (!subject.has_value()) return false;
  std::optional<std::string> group;
  if (const size_t queue = text.find("using queue", end); queue != std::string_view::npos)
    group = Quoted(text, queue, end);
  absl::Status why = absl::PermissionDeniedError(Concat("nats: ", text));
  if (const size_t at = text.find("(sid", end); at != std::string_view::npos) {
    const std::optional<std::string> number = Quoted(text, at, end);
    uint64_t sid = 0;
    return number.has_value() && absl::SimpleAtoi(*number, &sid) && RefuseOpen(sid, std::move(why));
  }
  return RefuseAwaited(*subject, group, std::move(why));
}

bool IngestSubscriptions::RefuseOpen(uint64_t sid, absl::Status why) {
  const auto found = subscriptions_.find(sid);
  if (found == subscriptions_.end() || !found->second->open_) return false;
  IngestSubscription& subscription = *found->second;
  Close(subscription);
  if (subscription.awaited_) {
    subscription.verdict_ = std::move(why);
  } else {
    SetRefusal(subscription, std::move(why));
    Tell(subscription);
  }
  return true;
}

// One of those whose answer is next, removed ones included: the server refuses them in the order in which they
// were sent, each once. An old server names no group.
bool IngestSubscriptions::RefuseAwaited(std::string_view subject,
                                        const std::optional<std::string>& group, absl::Status why) {
  if (windows_.empty()) return false;
  Window& window = windows_.front();
  const auto find = [&](bool exact) {
    return std::find_if(window.subscriptions.begin(), window.subscriptions.end(),
                        [&](const Pointer& one) {
                          return one->verdict_.ok() && one->subject() == subject &&
                                 (!exact || one->group() == group.value_or(""));
                        });
  };
  auto found = find(true);
  if (found == window.subscriptions.end() && !group.has_value()) found = find(false);
  if (found == window.subscriptions.end()) return false;
  Close(**found);
  (*found)->verdict_ = std::move(why);
  for (Window& one : windows_) one.open -= std::min<size_t>(one.open, 1);
  return true;
}

}  // namespace bascule::nats
