// One PublishAsync call with a bounded number of messages on their way.
#pragma once

#include <grpcpp/support/sync_stream.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>

#include "absl/synchronization/mutex.h"
#include "cmd/bascule/client.h"
#include "core/env/cond_var.h"

namespace bascule::cli {

//   caller: Send() ... Send() -> Finish()        waits while `window` messages have no answer
//   reader: Read() -> on_answer(...)             frees a place in the window, wakes the caller
class AsyncPublisher {
 public:
  // An ack or a refusal. `id` = correlation id of the message; `latency` = 0 for a refusal under
  // ack policy NONE.
  struct Answer {
    const std::string& id;
    Duration latency{0};
    const proto::PublishResponse& response;
  };
  // Runs on the reader thread, one at a time, never after Finish().
  using OnAnswer = std::function<void(const Answer&)>;
  struct Options {
    uint64_t window = 1000;
    Duration timeout{0};  // longest wait for the next answer
  };

  AsyncPublisher(BrokerPtr broker, Clock& clock, const Options& options, OnAnswer on_answer);
  ~AsyncPublisher();

  // Sends the message, whose correlation id must be unique among those on their way. With ack
  // policy NONE only a refusal answers. `more` says that the next Send() follows at once, which
  // lets messages share packets. False when the call has ended, was cancelled or got no answer in
  // time: Finish() says why.
  enum class Next { kAtOnce, kLater };
  bool Send(const proto::PublishRequest& request, Next next);

  // Waits for the outstanding answers and ends the call. DEADLINE_EXCEEDED when none came for
  // `timeout`.
  grpc::Status Finish();

  // Any thread: ends the call; Send() and Finish() return soon.
  void Cancel() { context_.TryCancel(); }
  // Messages sent that have no answer; after Finish() their outcome is unknown.
  uint64_t unanswered();

 private:
  void ReadAnswers();
  // Waits until fewer than `limit` messages are on their way; false when that cannot be.
  bool AwaitRoom(uint64_t limit) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether the reader has seen the end before `timeout` passed.
  bool AwaitEnd() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TakeAnswer(const proto::PublishResponse& response);

  BrokerPtr broker_;
  Clock& clock_;
  const Options options_;
  const OnAnswer on_answer_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<proto::PublishRequest, proto::PublishResponse>> stream_;

  absl::Mutex mutex_;
  CondVar changed_;
  std::unordered_map<std::string, MonotonicTime> pending_
      ABSL_GUARDED_BY(mutex_);  // when each was sent
  uint64_t answers_ ABSL_GUARDED_BY(mutex_) = 0;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;  // the reader has seen the end
  bool timed_out_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread reader_;
};

}  // namespace bascule::cli
