#include "nats_bridge/discovery.h"

#include <thread>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "core/base/check.h"
#include "core/base/text.h"
#include "core/env/cond_var.h"
#include "core/stream/description.h"
#include "nats_bridge/bridge_limits.h"
#include "nats_bridge/outlet.h"

namespace bascule::nats {

// Answers whoever asks.
class BusDiscovery::Questions : public SubscriptionHandler {
 public:
  explicit Questions(BusDiscovery& discovery) : discovery_(discovery) {}

  void Set(absl::AnyInvocable<std::string(std::string_view)> answer) {
    const absl::MutexLock lock(&mutex_);
    answer_ = std::move(answer);
  }

  void OnMessage(const BusMessage& message) override {
    DiscoveryCounts& counts = discovery_.counts_;
    counts.heard.fetch_add(1, std::memory_order_relaxed);
    // Answers go to discovery's own inboxes only: nobody makes us publish elsewhere.
    if (message.payload.size() > limits::kDiscoveryBytes ||
        !message.reply.starts_with(discovery_.base_) || !IsPublishableSubject(message.reply) ||
        HasWildcard(message.reply)) {
      counts.ignored.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    std::string answer;
    {
      const absl::MutexLock lock(&mutex_);
      BASCULE_CHECK(answer_ != nullptr);  // set before anybody was listened to
      answer = answer_(message.payload);
    }
    if (answer.empty() || !discovery_.Publish(std::string(message.reply), "", answer)) return;
    counts.answered.fetch_add(1, std::memory_order_relaxed);
  }

 private:
  BusDiscovery& discovery_;
  absl::Mutex mutex_;
  absl::AnyInvocable<std::string(std::string_view)> answer_ ABSL_GUARDED_BY(mutex_);
};

// A thread asks, the bus's threads find.
class BusDiscovery::Query : public DiscoveryQuery {
 public:
  // Kept by the subscription, which may outlive the query for a moment.
  class Answers : public SubscriptionHandler {
   public:
    Answers(DiscoveryCounts& counts, absl::AnyInvocable<void(std::string_view)> found)
        : counts_(counts), found_(std::move(found)) {}
    void OnMessage(const BusMessage& message) override {
      if (message.payload.empty() || message.payload.size() > limits::kDiscoveryBytes) {
        counts_.ignored.fetch_add(1, std::memory_order_relaxed);
        return;
      }
      const absl::MutexLock lock(&mutex_);  // Close waits for a running call
      if (found_ == nullptr) return;
      counts_.found.fetch_add(1, std::memory_order_relaxed);
      found_(message.payload);
    }
    void Close() {
      const absl::MutexLock lock(&mutex_);
      found_ = nullptr;
    }

   private:
    DiscoveryCounts& counts_;
    absl::Mutex mutex_;
    absl::AnyInvocable<void(std::string_view)> found_ ABSL_GUARDED_BY(mutex_);
  };

  Query(BusDiscovery& discovery, std::string question,
        absl::AnyInvocable<void(std::string_view)> found)
      : discovery_(discovery),
        question_(std::move(question)),
        inbox_(Concat(discovery.base_, discovery.token_, ".", discovery.next_.fetch_add(1))),
        answers_(std::make_shared<Answers>(discovery.counts_, std::move(found))),
        subscription_(discovery.egress_.Subscribe(inbox_, "", answers_)),
        asker_([this] { Repeat(); }) {}

  ~Query() override {
    {
      const absl::MutexLock lock(&mutex_);
      ended_ = true;
    }
    end_.SignalAll();
    asker_.join();
    discovery_.egress_.Unsubscribe(subscription_);
    answers_->Close();
  }

  bool asked() const override { return asked_.load(std::memory_order_relaxed); }

 private:
  void Repeat() {
    while (true) {
      const bool sent = discovery_.Publish(Concat(discovery_.base_, "ask"), inbox_, question_);
      asked_.store(sent, std::memory_order_relaxed);
      if (sent) discovery_.counts_.asked.fetch_add(1, std::memory_order_relaxed);
      // Without a connection it looks for one more often, so that the first question is early.
      if (Ended(CondVar::In(sent ? limits::kDiscoveryPeriod : limits::kDiscoveryRetry))) break;
    }
    nats_ReleaseThreadMemory();
  }

  // Whether it has by then.
  bool Ended(CondVar::Deadline deadline) {
    const absl::MutexLock lock(&mutex_);
    while (!ended_ && end_.WaitUntil(mutex_, deadline)) {
    }
    return ended_;
  }

  BusDiscovery& discovery_;
  const std::string question_;
  const std::string inbox_;
  const std::shared_ptr<Answers> answers_;
  const std::shared_ptr<Subscription> subscription_;
  absl::Mutex mutex_;
  CondVar end_;
  std::atomic<bool> asked_{false};
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread asker_;  // last: it uses all of the above
};

BusDiscovery::BusDiscovery(NatsConnection& egress, const std::string& cluster_namespace,
                           std::string token)
    : egress_(egress),
      base_(Concat(cluster_namespace, ".ack.discovery.")),
      token_(std::move(token)) {}

BusDiscovery::~BusDiscovery() {
  if (questions_ != nullptr) egress_.Unsubscribe(questions_);
}

void BusDiscovery::AnswerQueries(
    absl::AnyInvocable<std::string(std::string_view question)> answer) {
  const absl::MutexLock lock(&mutex_);
  if (answerer_ == nullptr) answerer_ = std::make_shared<Questions>(*this);
  answerer_->Set(std::move(answer));
  if (questions_ == nullptr) questions_ = egress_.Subscribe(Concat(base_, "ask"), "", answerer_);
}

std::unique_ptr<DiscoveryQuery> BusDiscovery::Ask(
    std::string question, absl::AnyInvocable<void(std::string_view answer)> found) {
  return std::make_unique<Query>(*this, std::move(question), std::move(found));
}

bool BusDiscovery::Publish(const std::string& subject, const std::string& reply,
                           std::string_view payload) {
  Outlet outlet(egress_);
  return outlet.Publish(subject, payload, reply).ok();
}

}  // namespace bascule::nats
