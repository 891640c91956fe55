#include "tests/bench/publisher.h"

#include <atomic>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/bench/nats_connection.h"
#include "tests/bench/payload.h"
#include "tests/bench/process_usage.h"

namespace bascule::bench {

namespace {

constexpr int64_t kPatienceNs = 30'000'000'000;
// How often a wait inside nats.c comes back to look at failures.
constexpr int64_t kStallMs = 500;

class NatsPublisher : public Publisher {
 public:
  // Releases the connection first: its callbacks use the other members.
  ~NatsPublisher() override { connection_.reset(); }

  absl::Status Open(const std::string& url, int64_t window) {
    jsOptions options;
    jsOptions_Init(&options);
    options.PublishAsync.MaxPending = window;
    options.PublishAsync.StallWait = kStallMs;
    options.PublishAsync.AckHandler = OnAck;
    options.PublishAsync.AckHandlerClosure = this;
    auto opened = NatsConnection::Open(url, &options);
    if (!opened.ok()) return opened.status();
    connection_ = *std::move(opened);
    return absl::OkStatus();
  }

  absl::Status Send(const char* subject, std::string_view payload) override {
    natsMsg* message = nullptr;
    natsStatus status = natsMsg_Create(&message, subject, nullptr, payload.data(),
                                       static_cast<int>(payload.size()));
    if (status != NATS_OK) return NatsError("creating a message", status);
    Patience patience(*this);
    while ((status = js_PublishMsgAsync(connection_->jetstream(), &message, nullptr)) ==
               NATS_TIMEOUT &&
           patience.Left()) {
    }
    if (status != NATS_OK) {
      natsMsg_Destroy(message);
      return Failure(status);
    }
    ++sent_;
    return failed_.load(std::memory_order_relaxed) ? Failure(NATS_ERR) : absl::OkStatus();
  }

  absl::Status Drain() override {
    jsPubOptions wait;
    jsPubOptions_Init(&wait);
    wait.MaxWait = kStallMs;
    Patience patience(*this);
    natsStatus status = NATS_OK;
    while (sent_ > 0 &&
           (status = js_PublishAsyncComplete(connection_->jetstream(), &wait)) == NATS_TIMEOUT &&
           patience.Left()) {
    }
    if (status != NATS_OK || failed_.load()) return Failure(status);
    if (acked_.load() != sent_) {
      return absl::DataLossError(absl::StrCat(sent_, " published, ", acked_.load(), " acked"));
    }
    return absl::OkStatus();
  }

  absl::Status SendAndWait(const char* subject, std::string_view payload) override {
    jsPubAck* ack = nullptr;
    jsErrCode code{};
    const natsStatus status = js_Publish(&ack, connection_->jetstream(), subject, payload.data(),
                                         static_cast<int>(payload.size()), nullptr, &code);
    if (status != NATS_OK) {
      return NatsError(absl::StrCat("publishing to ", subject, " (code ", code, ")"), status);
    }
    ++sent_;
    Take(ReadHeader(payload), *ack);
    jsPubAck_Destroy(ack);
    return failed_.load(std::memory_order_relaxed) ? Failure(NATS_ERR) : absl::OkStatus();
  }

  uint64_t acked() const override { return acked_.load(std::memory_order_relaxed); }

  LatencyHistogram TakeLatency() override { return std::exchange(latency_, LatencyHistogram()); }

 private:
  // Ends a wait when something has failed or no ack came for kPatienceNs.
  class Patience {
   public:
    explicit Patience(const NatsPublisher& publisher) : publisher_(publisher) {}
    bool Left() {
      if (publisher_.failed_.load() || publisher_.connection_->lost()) return false;
      const uint64_t acked = publisher_.acked();
      if (deadline_ == 0 || acked != seen_) deadline_ = NowNs() + kPatienceNs;
      seen_ = acked;
      return NowNs() < deadline_;
    }

   private:
    const NatsPublisher& publisher_;
    uint64_t seen_ = 0;
    int64_t deadline_ = 0;
  };

  static void OnAck(jsCtx*, natsMsg* message, jsPubAck* ack, jsPubAckErr* error, void* closure) {
    auto* self = static_cast<NatsPublisher*>(closure);
    const PayloadHeader header =
        ReadHeader({natsMsg_GetData(message), static_cast<size_t>(natsMsg_GetDataLength(message))});
    if (ack != nullptr) {
      self->Take(header, *ack);
    } else {
      self->Refuse(absl::UnavailableError(absl::StrCat(
          "message ", header.sequence, " on ", natsMsg_GetSubject(message),
          " was not stored: ", error->ErrText == nullptr ? "no reason given" : error->ErrText, " (",
          natsStatus_GetText(error->Err), ", code ", error->ErrCode, ")")));
    }
    natsMsg_Destroy(message);
  }

  void Take(const PayloadHeader& header, const jsPubAck& ack) {
    latency_.Add(Duration(NowNs() - header.sent_ns));
    acked_.fetch_add(1, std::memory_order_relaxed);
    if (ack.Sequence == header.sequence + 1 && !ack.Duplicate) return;
    Refuse(absl::DataLossError(absl::StrCat("message ", header.sequence, " of run ", header.run,
                                            " was acked as sequence ", ack.Sequence,
                                            ack.Duplicate ? ", a duplicate" : "")));
  }

  void Refuse(absl::Status reason) {
    const std::lock_guard lock(mutex_);
    if (first_failure_.ok()) first_failure_ = std::move(reason);
    failed_.store(true);
  }

  absl::Status Failure(natsStatus status) {
    const std::lock_guard lock(mutex_);
    if (!first_failure_.ok()) return first_failure_;
    const std::string state = absl::StrCat(acked(), " of ", sent_, " messages acked");
    if (connection_->lost()) return absl::UnavailableError("the NATS server is gone; " + state);
    if (status == NATS_TIMEOUT) return absl::DeadlineExceededError("no ack for 30 s; " + state);
    return NatsError("publishing (" + state + ")", status);
  }

  std::unique_ptr<NatsConnection> connection_;
  uint64_t sent_ = 0;         // the caller's
  LatencyHistogram latency_;  // the ack thread's until everything is acked
  std::atomic<uint64_t> acked_ = 0;
  std::atomic<bool> failed_ = false;
  std::mutex mutex_;
  absl::Status first_failure_;  // guarded by mutex_
};

}  // namespace

absl::StatusOr<std::unique_ptr<Publisher>> Publisher::Connect(const std::string& url,
                                                              int64_t window) {
  auto publisher = std::make_unique<NatsPublisher>();
  if (absl::Status opened = publisher->Open(url, window); !opened.ok()) return opened;
  return publisher;
}

}  // namespace bascule::bench
