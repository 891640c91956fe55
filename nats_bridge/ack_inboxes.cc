#include "nats_bridge/ack_inboxes.h"

#include <utility>

#include "absl/synchronization/mutex.h"
#include "core/base/check.h"
#include "core/base/text.h"
#include "core/env/cond_var.h"
#include "core/stream/description.h"
#include "core/wire/ack.h"
#include "nats_bridge/bridge_limits.h"
#include "nats_bridge/control_line.h"
#include "nats_bridge/envelope.h"

namespace bascule::nats {

// A handler that can be closed: after Close no call runs and none begins.
class AckInboxes::State {
 public:
  explicit State(AckHandler handler) : handler_(std::move(handler)) {}

  AckVerdict Call(std::string_view ack) {
    {
      const absl::MutexLock lock(&mutex_);
      while (running_) idle_.Wait(mutex_);
      if (closed_) return AckVerdict::kUnmatched;
      running_ = true;
    }
    const AckVerdict verdict = handler_(ack);  // without the lock: Close waits for `running_`
    const absl::MutexLock lock(&mutex_);
    BASCULE_CHECK(running_);
    running_ = false;
    idle_.SignalAll();
    return verdict;
  }

  void Close() {
    const absl::MutexLock lock(&mutex_);
    closed_ = true;
    while (running_) idle_.Wait(mutex_);
    handler_ = nullptr;  // what it holds ends here, on the closer's thread
  }

 private:
  absl::Mutex mutex_;
  CondVar idle_;
  bool running_ ABSL_GUARDED_BY(mutex_) = false;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  AckHandler handler_;  // of whoever set `running_`, or of Close when nobody does
};

namespace {

constexpr int kSecretLength = 22;  // of 62 letters and digits: more than 128 bits

void Count(std::atomic<uint64_t>& counter) { counter.fetch_add(1, std::memory_order_relaxed); }

// The checked ack inside `message`; false (counted) for anything else.
bool TakeAck(const BusMessage& message, InboxCounts& counts, std::string_view& ack) {
  wire::AckView parsed;
  if (OpenEnvelope(message.payload, EnvelopeType::kAck, ack) != EnvelopeCheck::kOk ||
      !wire::ParseAck(ack, parsed)) {
    Count(counts.unparsable);
    return false;
  }
  Count(counts.received);
  return true;
}

}  // namespace

// An inbox that a client named: a subscription of its own.
class AckInboxes::Own : public AckInbox {
 public:
  // Kept by the subscription; refers to the inboxes object, which outlives the connection's
  // callbacks.
  class Handler : public SubscriptionHandler {
   public:
    Handler(AckInboxes& inboxes, std::shared_ptr<State> state)
        : inboxes_(inboxes), state_(std::move(state)) {}
    void OnMessage(const BusMessage& message) override {
      std::string_view ack;
      if (!TakeAck(message, inboxes_.counts_, ack)) return;
      // Callers may share an inbox of theirs: what does not match one of them may be another's.
      const AckVerdict verdict = state_->Call(ack);
      if (verdict != AckVerdict::kUnmatched) inboxes_.CountVerdict(verdict);
    }

   private:
    AckInboxes& inboxes_;
    const std::shared_ptr<State> state_;
  };

  Own(AckInboxes& inboxes, std::string subject, AckHandler handler)
      : inboxes_(inboxes),
        subject_(std::move(subject)),
        state_(std::make_shared<State>(std::move(handler))) {
    subscription_ =
        inboxes.egress_.Subscribe(subject_, "", std::make_shared<Handler>(inboxes, state_));
  }
  ~Own() override {
    inboxes_.egress_.Unsubscribe(subscription_);
    state_->Close();
  }
  const std::string& subject() const override { return subject_; }

 private:
  AckInboxes& inboxes_;
  const std::string subject_;
  const std::shared_ptr<State> state_;
  std::shared_ptr<Subscription> subscription_;
};

// An inbox below the wildcard subscription.
class AckInboxes::Shared : public AckInbox {
 public:
  Shared(AckInboxes& inboxes, AckHandler handler)
      : inboxes_(inboxes),
        secret_(RandomToken(inboxes.rng_, kSecretLength)),
        subject_(Concat(inboxes.base_, secret_)),
        state_(std::make_shared<State>(std::move(handler))) {
    const absl::MutexLock lock(&inboxes_.mutex_);
    const bool fresh = inboxes_.open_.emplace(secret_, state_).second;
    BASCULE_CHECK(fresh);
  }
  ~Shared() override {
    {
      const absl::MutexLock lock(&inboxes_.mutex_);
      const size_t erased = inboxes_.open_.erase(secret_);
      BASCULE_CHECK_EQ(erased, 1U);
    }
    state_->Close();
  }
  const std::string& subject() const override { return subject_; }

 private:
  AckInboxes& inboxes_;
  const std::string secret_;
  const std::string subject_;
  const std::shared_ptr<State> state_;
};

// Takes every ack of the wildcard to its inbox.
class AckInboxes::Fanout : public SubscriptionHandler {
 public:
  explicit Fanout(AckInboxes& inboxes) : inboxes_(inboxes) {}
  void OnMessage(const BusMessage& message) override {
    std::string_view ack;
    if (!TakeAck(message, inboxes_.counts_, ack)) return;
    inboxes_.Deliver(
        message.subject.substr(std::min(message.subject.size(), inboxes_.base_.size())), ack);
  }

 private:
  AckInboxes& inboxes_;
};

AckInboxes::AckInboxes(NatsConnection& egress, std::string prefix, std::string token, Rng& rng,
                       size_t most_closed)
    : egress_(egress),
      base_(Concat(prefix, ".", token, ".")),
      rng_(rng),
      most_closed_(most_closed) {
  fanout_ = egress_.Subscribe(Concat(base_, "*"), "", std::make_shared<Fanout>(*this));
}

AckInboxes::~AckInboxes() {
  egress_.Unsubscribe(fanout_);
  const absl::MutexLock lock(&mutex_);
  BASCULE_CHECK(open_.empty());
}

absl::StatusOr<std::unique_ptr<AckInbox>> AckInboxes::Open(std::optional<std::string> subject,
                                                           AckHandler handler) {
  BASCULE_CHECK(handler != nullptr);
  if (!subject.has_value()) return std::make_unique<Shared>(*this, std::move(handler));
  if (!IsPublishableSubject(*subject) || HasWildcard(*subject)) {
    return absl::InvalidArgumentError("nats: invalid subject");
  }
  const size_t line = SubLineBytes(*subject, {});
  if (!egress_.AdmitLine(line)) {
    return absl::InvalidArgumentError(
        Concat("nats: ack inbox too long: ", LineTooLongText(line, egress_.line_limit())));
  }
  if (egress_.closed_held() >= most_closed_) {
    return absl::ResourceExhaustedError(
        "nats: too many ack inboxes of clients were closed within seconds; let the server name "
        "them");
  }
  return std::make_unique<Own>(*this, *std::move(subject), std::move(handler));
}

void AckInboxes::Deliver(std::string_view secret, std::string_view ack) {
  std::shared_ptr<State> state;
  {
    const absl::ReaderMutexLock lock(&mutex_);
    const auto found = open_.find(ToAbsl(secret));
    if (found != open_.end()) state = found->second;
  }
  if (state == nullptr) {
    Count(counts_.unclaimed);
    return;
  }
  const AckVerdict verdict = state->Call(ack);
  CountVerdict(verdict);
}

void AckInboxes::CountVerdict(AckVerdict verdict) {
  if (verdict == AckVerdict::kForeign) Count(counts_.foreign);
  if (verdict == AckVerdict::kReplaced) Count(counts_.replaced);
  if (verdict == AckVerdict::kUnmatched) Count(counts_.unmatched);
}

}  // namespace bascule::nats
