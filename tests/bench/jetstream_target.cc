#include <condition_variable>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/bench/nats_connection.h"
#include "tests/bench/target.h"

namespace bascule::bench {

namespace {

// Shared by the caller that waits and nats.c's delivery thread.
struct Delivery {
  const Target::Visitor* visit;
  uint64_t wanted;
  uint64_t seen = 0;  // the delivery thread's
  std::mutex mutex{};
  std::condition_variable changed{};
  bool finished = false;  // these two guarded by mutex
  absl::Status result{};

  void Finish(absl::Status status) {
    const std::lock_guard lock(mutex);
    result = std::move(status);
    finished = true;
    changed.notify_all();
  }
};

void OnMessage(natsConnection*, natsSubscription*, natsMsg* message, void* closure) {
  auto* delivery = static_cast<Delivery*>(closure);
  if (delivery->seen < delivery->wanted) {
    const std::string_view payload(natsMsg_GetData(message),
                                   static_cast<size_t>(natsMsg_GetDataLength(message)));
    const absl::Status status = (*delivery->visit)(payload);
    ++delivery->seen;
    if (!status.ok()) delivery->seen = delivery->wanted;
    if (delivery->seen == delivery->wanted) delivery->Finish(status);
  }
  natsMsg_Destroy(message);
}

// Ends the subscription and waits until its callback runs no more.
void Unsubscribe(natsSubscription* subscription) {
  std::mutex mutex;
  std::condition_variable changed;
  bool complete = false;
  std::function<void()> on_complete = [&] {
    const std::lock_guard lock(mutex);
    complete = true;
    changed.notify_all();
  };
  natsSubscription_SetOnCompleteCB(
      subscription, [](void* closure) { (*static_cast<std::function<void()>*>(closure))(); },
      &on_complete);
  natsSubscription_Unsubscribe(subscription);
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return complete; });
  natsSubscription_Destroy(subscription);
}

class JetStreamTarget : public Target {
 public:
  explicit JetStreamTarget(std::unique_ptr<NatsConnection> connection)
      : connection_(std::move(connection)) {}

  absl::Status WaitReady(std::chrono::seconds) override { return absl::OkStatus(); }

  absl::Status CreateStream(const StreamChoice& choice) override {
    jsStreamConfig config;
    jsStreamConfig_Init(&config);
    const char* subjects[] = {choice.subject.c_str()};
    config.Name = choice.name.c_str();
    config.Subjects = subjects;
    config.SubjectsLen = 1;
    config.Storage = js_FileStorage;
    config.Replicas = choice.replicas;
    if (choice.retention_bytes > 0) config.MaxBytes = choice.retention_bytes;
    jsErrCode code{};
    const natsStatus status =
        js_AddStream(nullptr, connection_->jetstream(), &config, nullptr, &code);
    if (status == NATS_OK) return absl::OkStatus();
    return NatsError(absl::StrCat("creating stream ", choice.name, " (code ", code, ")"), status);
  }

  absl::Status Replay(const std::string& name, uint64_t count, std::chrono::seconds limit,
                      const Visitor& visit) override {
    if (count == 0) return absl::OkStatus();
    Delivery delivery{.visit = &visit, .wanted = count};
    jsSubOptions options;
    jsSubOptions_Init(&options);
    options.Stream = name.c_str();
    options.Ordered = true;
    natsSubscription* subscription = nullptr;
    jsErrCode code{};
    const natsStatus status = js_Subscribe(&subscription, connection_->jetstream(), ">", OnMessage,
                                           &delivery, nullptr, &options, &code);
    if (status != NATS_OK) {
      return NatsError(absl::StrCat("ordered consumer on ", name, " (code ", code, ")"), status);
    }
    // The consumer's flow control bounds what is pending; nats.c's own limits would drop messages
    // first.
    natsSubscription_SetPendingLimits(subscription, -1, -1);
    const absl::Status result = Await(delivery, limit);
    Unsubscribe(subscription);
    return result;
  }

  absl::Status ReplayRaw(const std::string& name, uint64_t count,
                         std::chrono::seconds limit) override {
    return Replay(name, count, limit, [](std::string_view) { return absl::OkStatus(); });
  }

  absl::StatusOr<uint64_t> Stored(const std::string& name) override {
    jsStreamInfo* facts = nullptr;
    jsErrCode code{};
    const natsStatus status =
        js_GetStreamInfo(&facts, connection_->jetstream(), name.c_str(), nullptr, &code);
    if (status != NATS_OK) {
      return NatsError(absl::StrCat("asking about stream ", name, " (code ", code, ")"), status);
    }
    const uint64_t messages = facts->State.Msgs;
    jsStreamInfo_Destroy(facts);
    return messages;
  }

 private:
  absl::Status Await(Delivery& delivery, std::chrono::seconds limit) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    std::unique_lock lock(delivery.mutex);
    while (!delivery.finished) {
      delivery.changed.wait_for(lock, std::chrono::milliseconds(200));
      if (connection_->lost()) return absl::UnavailableError("the NATS server is gone");
      if (!delivery.finished && std::chrono::steady_clock::now() > deadline) {
        return absl::DeadlineExceededError(
            absl::StrCat("fewer than ", delivery.wanted, " messages in ", limit.count(), " s"));
      }
    }
    return delivery.result;
  }

  std::unique_ptr<NatsConnection> connection_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Target>> MakeJetStreamTarget(const std::string& nats_url) {
  auto connection = NatsConnection::Open(nats_url, nullptr);
  if (!connection.ok()) return connection.status();
  return std::make_unique<JetStreamTarget>(*std::move(connection));
}

}  // namespace bascule::bench
