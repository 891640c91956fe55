#include "cmd/bascule/message_feed.h"

#include <utility>

namespace bascule::cli {

MessageFeed::MessageFeed(BrokerPtr broker, const proto::SubscribeRequest& request)
    : broker_(std::move(broker)), stream_(broker_->api->Subscribe(&context_, request)) {
  reader_ = std::thread([this] { ReadMessages(); });
}

MessageFeed::~MessageFeed() {
  Cancel();
  {
    const absl::MutexLock lock(&mutex_);
    abandoned_ = true;
    changed_.SignalAll();
  }
  reader_.join();
}

void MessageFeed::ReadMessages() {
  proto::Message message;
  if (stream_->Read(&message)) {
    {
      const absl::MutexLock lock(&mutex_);
      established_ = true;
      changed_.SignalAll();
    }
    while (stream_->Read(&message)) {
      Queue(std::move(message));
      message = proto::Message();
    }
  }
  status_ = stream_->Finish();
  const absl::MutexLock lock(&mutex_);
  ended_ = true;
  changed_.SignalAll();
}

void MessageFeed::Queue(proto::Message message) {
  const size_t bytes = message.ByteSizeLong();
  const absl::MutexLock lock(&mutex_);
  while (!abandoned_ && queued_bytes_ >= kQueueBytes) changed_.Wait(mutex_);
  const bool first = queue_.empty();
  queued_bytes_ += bytes;
  queue_.push_back(std::move(message));
  if (first) changed_.SignalAll();
}

MessageFeed::Event MessageFeed::Take(std::vector<proto::Message>& batch, Duration wait) {
  batch.clear();
  const CondVar::Deadline deadline = CondVar::In(wait);
  const absl::MutexLock lock(&mutex_);
  const bool was_established = established_;
  while (!ended_ && queue_.empty() && established_ == was_established) {
    if (!changed_.WaitUntil(mutex_, deadline)) break;
  }
  if (!queue_.empty()) {
    batch.swap(queue_);
    queued_bytes_ = 0;
    changed_.SignalAll();
    return Event::kMessages;
  }
  if (ended_) return Event::kEnded;
  return Event::kIdle;
}

bool MessageFeed::established() {
  const absl::MutexLock lock(&mutex_);
  return established_;
}

}  // namespace bascule::cli
