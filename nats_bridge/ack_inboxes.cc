#include "nats_bridge/ack_inboxes.h"

#include <charconv>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "core/base/text.h"
#include "core/stream/description.h"
#include "core/wire/ack.h"
#include "nats_bridge/envelope.h"

namespace bascule {

// A handler that can be closed: after Close no call runs and none begins.
class AckInboxes::State {
 public:
  explicit State(AckHandler handler) : handler_(std::move(handler)) {}

  void Call(std::string_view ack) {
    {
      std::unique_lock lock(mutex_);
      idle_.wait(lock, [this] { return !running_; });
      if (closed_) return;
      running_ = true;
    }
    handler_(ack);  // without the lock: Close waits for `running_`
    const std::lock_guard lock(mutex_);
    running_ = false;
    idle_.notify_all();
  }

  void Close() {
    std::unique_lock lock(mutex_);
    closed_ = true;
    idle_.wait(lock, [this] { return !running_; });
    handler_ = nullptr;  // what it holds ends here, on the closer's thread
  }

 private:
  std::mutex mutex_;
  std::condition_variable idle_;
  bool running_ = false;
  bool closed_ = false;
  AckHandler handler_;
};

namespace {

// The checked ack inside `message`; false (counted) for anything else.
bool TakeAck(const BusMessage& message, InboxCounts& counts, std::string_view& ack) {
  wire::AckView parsed;
  if (OpenEnvelope(message.payload, EnvelopeType::kAck, ack) != EnvelopeCheck::kOk ||
      !wire::ParseAck(ack, parsed)) {
    counts.unparsable.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  counts.received.fetch_add(1, std::memory_order_relaxed);
  return true;
}

}  // namespace

// An inbox that a client named: a subscription of its own.
class AckInboxes::Own : public AckInbox {
 public:
  // Kept by the subscription; refers to the inboxes object, which outlives the connection's
  // callbacks.
  class Listener : public BusListener {
   public:
    Listener(AckInboxes& inboxes, std::shared_ptr<State> state)
        : inboxes_(inboxes), state_(std::move(state)) {}
    void OnMessage(const BusMessage& message) override {
      std::string_view ack;
      if (TakeAck(message, inboxes_.counts_, ack)) state_->Call(ack);
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
        inboxes.egress_.Subscribe(subject_, "", std::make_shared<Listener>(inboxes, state_));
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
  Shared(AckInboxes& inboxes, uint64_t number, AckHandler handler)
      : inboxes_(inboxes),
        number_(number),
        subject_(Concat(inboxes.base_, number)),
        state_(std::make_shared<State>(std::move(handler))) {
    const std::lock_guard lock(inboxes_.mutex_);
    inboxes_.open_.emplace(number_, state_);
  }
  ~Shared() override {
    {
      const std::lock_guard lock(inboxes_.mutex_);
      inboxes_.open_.erase(number_);
    }
    state_->Close();
  }
  const std::string& subject() const override { return subject_; }

 private:
  AckInboxes& inboxes_;
  const uint64_t number_;
  const std::string subject_;
  const std::shared_ptr<State> state_;
};

// Takes every ack of the wildcard to its inbox.
class AckInboxes::Fanout : public BusListener {
 public:
  explicit Fanout(AckInboxes& inboxes) : inboxes_(inboxes) {}
  void OnMessage(const BusMessage& message) override {
    std::string_view ack;
    if (!TakeAck(message, inboxes_.counts_, ack)) return;
    const std::string_view digits =
        message.subject.substr(std::min(message.subject.size(), inboxes_.base_.size()));
    uint64_t number = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(),
                    number);  // 0 on nonsense: nobody's
    inboxes_.Deliver(number, ack);
  }

 private:
  AckInboxes& inboxes_;
};

AckInboxes::AckInboxes(NatsConnection& egress, std::string prefix, std::string token)
    : egress_(egress), base_(Concat(prefix, ".", token, ".")) {
  fanout_ = egress_.Subscribe(Concat(base_, "*"), "", std::make_shared<Fanout>(*this));
}

AckInboxes::~AckInboxes() { egress_.Unsubscribe(fanout_); }

absl::StatusOr<std::unique_ptr<AckInbox>> AckInboxes::Open(std::optional<std::string> subject,
                                                           AckHandler handler) {
  if (!subject.has_value())
    return std::make_unique<Shared>(*this, next_.fetch_add(1), std::move(handler));
  if (!IsPublishableSubject(*subject) || HasWildcard(*subject)) {
    return absl::InvalidArgumentError("nats: invalid subject");
  }
  return std::make_unique<Own>(*this, *std::move(subject), std::move(handler));
}

void AckInboxes::Deliver(uint64_t number, std::string_view ack) {
  std::shared_ptr<State> state;
  {
    const std::shared_lock lock(mutex_);
    const auto found = open_.find(number);
    if (found != open_.end()) state = found->second;
  }
  if (state == nullptr) {
    counts_.unclaimed.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  state->Call(ack);
}

}  // namespace bascule
