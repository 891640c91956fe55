// A running Subscribe call whose messages arrive in batches, so that a reader can write many at
// once and flush when nothing more is there.
#pragma once

#include <grpcpp/support/sync_stream.h>

#include <memory>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "cmd/bascule/client.h"
#include "core/env/cond_var.h"

namespace bascule::cli {

//   reader thread: Read() -> queue (waits when kQueueBytes are waiting: the server then waits too)
//   caller:        Take() <- queue
class MessageFeed {
 public:
  MessageFeed(BrokerPtr broker, const proto::SubscribeRequest& request);
  ~MessageFeed();

  enum class Event {
    kMessages,  // `batch` has some
    kIdle,      // nothing for `wait`
    kEnded,     // status() says why
  };
  // Replaces `batch`. The empty first message is not part of it. One thread.
  Event Take(std::vector<proto::Message>& batch, Duration wait);
  // Whether the server has said that the subscription stands.
  bool established();
  // After kEnded.
  const grpc::Status& status() const { return status_; }
  // Any thread: ends the call; Take() returns what is queued, then kEnded.
  void Cancel() { context_.TryCancel(); }

 private:
  static constexpr size_t kQueueBytes = 16 << 20;
  void ReadMessages();
  // Waits for room.
  void Queue(proto::Message message);

  BrokerPtr broker_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<proto::Message>> stream_;
  grpc::Status status_;  // written before `ended_`

  absl::Mutex mutex_;
  CondVar changed_;
  std::vector<proto::Message> queue_ ABSL_GUARDED_BY(mutex_);
  size_t queued_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool established_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  bool abandoned_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread reader_;
};

}  // namespace bascule::cli
