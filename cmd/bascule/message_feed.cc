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
    std::unique_lock lock(mutex_);
    abandoned_ = true;
    changed_.notify_all();
  }
  reader_.join();
}

void MessageFeed::ReadMessages() {
  proto::Message message;
  if (stream_->Read(&message)) {
    std::unique_lock lock(mutex_);
    established_ = true;
    changed_.notify_all();
    lock.unlock();
    while (stream_->Read(&message)) {
      const size_t bytes = message.ByteSizeLong();
      lock.lock();
      changed_.wait(lock, [this] { return abandoned_ || queued_bytes_ < kQueueBytes; });
      const bool first = queue_.empty();
      queued_bytes_ += bytes;
      queue_.push_back(std::move(message));
      if (first) changed_.notify_all();
      lock.unlock();
      message = proto::Message();
    }
  }
  status_ = stream_->Finish();
  std::unique_lock lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

MessageFeed::Event MessageFeed::Take(std::vector<proto::Message>& batch, Duration wait) {
  batch.clear();
  std::unique_lock lock(mutex_);
  const bool was_established = established_;
  const auto ready = [&] { return ended_ || !queue_.empty() || established_ != was_established; };
  const bool woken = changed_.wait_for(lock, wait, ready);
  if (!queue_.empty()) {
    batch.swap(queue_);
    queued_bytes_ = 0;
    changed_.notify_all();
    return Event::kMessages;
  }
  if (woken && ended_) return Event::kEnded;
  return Event::kIdle;
}

bool MessageFeed::established() {
  std::unique_lock lock(mutex_);
  return established_;
}

}  // namespace bascule::cli
