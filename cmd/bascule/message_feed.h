// A running Subscribe call whose messages arrive in batches, so that a reader can write many at
// once and flush when nothing more is there.
#pragma once

#include <grpcpp/support/sync_stream.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "cmd/bascule/client.h"

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

  BrokerPtr broker_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<proto::Message>> stream_;
  grpc::Status status_;  // written before `ended_`

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<proto::Message> queue_;  // mutex_
  size_t queued_bytes_ = 0;            // mutex_
  bool established_ = false;           // mutex_
  bool ended_ = false;                 // mutex_
  bool abandoned_ = false;             // mutex_
  std::thread reader_;
};

}  // namespace bascule::cli
