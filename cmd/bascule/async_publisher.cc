#include "cmd/bascule/async_publisher.h"

#include <utility>

#include "cmd/bascule/unavailable.h"

namespace bascule::cli {

AsyncPublisher::AsyncPublisher(BrokerPtr broker, Clock& clock, const Options& options,
                               OnAnswer on_answer)
    : broker_(std::move(broker)),
      clock_(clock),
      options_(options),
      on_answer_(std::move(on_answer)) {
  stream_ = broker_->api->PublishAsync(&context_);
  reader_ = std::thread([this] { ReadAnswers(); });
}

AsyncPublisher::~AsyncPublisher() {
  if (!reader_.joinable()) return;
  Cancel();
  reader_.join();
  stream_->Finish();
}

void AsyncPublisher::ReadAnswers() {
  proto::PublishResponse response;
  while (stream_->Read(&response)) TakeAnswer(response);
  const absl::MutexLock lock(&mutex_);
  ended_ = true;
  changed_.Signal();
}

void AsyncPublisher::TakeAnswer(const proto::PublishResponse& response) {
  // Refusals carry the id of the response, successes that of the ack.
  const std::string& id =
      response.has_asyncerror() ? response.correlationid() : response.ack().correlationid();
  const MonotonicTime now = clock_.Monotonic();
  Duration latency{0};
  {
    const absl::MutexLock lock(&mutex_);
    ++answers_;
    const auto entry = pending_.find(id);
    if (entry == pending_.end() && !response.has_asyncerror()) return;
    if (entry != pending_.end()) {
      latency = Between(entry->second, now);
      pending_.erase(entry);
    }
  }
  on_answer_({id, latency, response});
  changed_.Signal();
}

bool AsyncPublisher::AwaitRoom(uint64_t limit) {
  while (!ended_ && pending_.size() >= limit) {
    const uint64_t seen = answers_;
    const CondVar::Deadline deadline = CondVar::In(options_.timeout);
    while (!ended_ && answers_ == seen && changed_.WaitUntil(mutex_, deadline)) {
    }
    if (!ended_ && answers_ == seen) {
      timed_out_ = true;
      Cancel();
      return false;
    }
  }
  return !ended_;
}

bool AsyncPublisher::AwaitEnd() {
  const CondVar::Deadline deadline = CondVar::In(options_.timeout);
  while (!ended_ && changed_.WaitUntil(mutex_, deadline)) {
  }
  return ended_;
}

bool AsyncPublisher::Send(const proto::PublishRequest& request, Next next) {
  bool room = true;
  {
    const absl::MutexLock lock(&mutex_);
    if (!AwaitRoom(options_.window)) return false;
    if (request.ackpolicy() != proto::NONE) {
      pending_.emplace(request.correlationid(), clock_.Monotonic());
      room = pending_.size() < options_.window;
    }
  }
  grpc::WriteOptions write;
  // A message held back for company must not be the one that everybody waits for.
  if (next == Next::kAtOnce && room) write.set_buffer_hint();
  return stream_->Write(request, write);
}

grpc::Status AsyncPublisher::Finish() {
  {
    const absl::MutexLock lock(&mutex_);
    AwaitRoom(1);
  }
  // Half-closed only now: a server waits for outstanding acks no longer than it likes itself.
  stream_->WritesDone();
  {
    const absl::MutexLock lock(&mutex_);
    if (!AwaitEnd()) {
      timed_out_ = !pending_.empty();
      Cancel();
    }
  }
  reader_.join();
  const grpc::Status status = stream_->Finish();
  const absl::MutexLock lock(&mutex_);
  if (timed_out_) return {grpc::StatusCode::DEADLINE_EXCEEDED, "no ack came in time"};
  if (pending_.empty() && status.error_code() == grpc::StatusCode::CANCELLED)
    return grpc::Status::OK;
  if (status.ok() && !pending_.empty()) {
    return {grpc::StatusCode::UNAVAILABLE, kPublishingEnded};
  }
  return status;
}

uint64_t AsyncPublisher::unanswered() {
  const absl::MutexLock lock(&mutex_);
  return pending_.size();
}

}  // namespace bascule::cli
