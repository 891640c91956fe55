#include "replication/peer/bulk_line.h"

#include <algorithm>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "core/base/crc32c.h"
#include "core/base/text.h"

namespace bascule::peer {

void BulkLine::Send(Body body, Duration timeout, PeerTransport::Done done) {
  Count(core_->counts.calls);
  TimerId idle = 0;
  bool taken = false;
  bool ended = false;
  {
    const absl::MutexLock lock(&mutex_);
    idle = std::exchange(idle_, 0);
    ended = ended_;
    taken = !ended && pending_.size() < limits::kPeerBulkBodies;
    if (taken) {
      const uint64_t id = next_++;
      Pending& pending = pending_[id];
      pending.body = std::move(body);
      pending.call.done = std::move(done);
      pending.call.deadline = Add(core_->clock.Monotonic(), timeout);
      pending.call.timer = core_->deadlines->After(timeout, [weak = weak_from_this(), id] {
        if (const auto self = weak.lock()) static_cast<BulkLine&>(*self).Expire(id);
      });
      waiting_.push_back(id);
    }
  }
  core_->deadlines->Cancel(idle);
  if (taken) {
    Dial();
    return Wake();
  }
  core_->AnswerLater(std::move(done), absl::UnavailableError(Concat(
                                          name(), ended ? " is no peer any more"
                                                        : ": too much waits to be sent to it")));
}

Frame BulkLine::Begin(uint64_t id, Pending& pending) {
  const Body& body = pending.body;
  const Duration left =
      std::max(Duration(0), Between(core_->clock.Monotonic(), pending.call.deadline));
  position_ = 0;
  begun_ = body.bytes->empty() ? 0 : id;
  pending.call.sent = body.bytes->empty();
  return BulkBegin{id,          body.service,       left,
                   body.header, body.bytes->size(), ExtendCrc32c(Crc32c(body.header), *body.bytes)};
}

std::optional<grpc::ByteBuffer> BulkLine::NextFrame() {
  std::shared_ptr<const std::string> bytes;
  size_t from = 0;
  std::optional<Frame> frame;
  {
    const absl::MutexLock lock(&mutex_);
    if (begun_ != 0) {
      const auto found = pending_.find(begun_);
      if (found == pending_.end()) {
        begun_ = 0;
        frame = BulkAbort{};
      } else {
        bytes = found->second.body.bytes;
        from = position_;
        position_ = std::min(bytes->size(), position_ + limits::kPeerFrameBytes);
        if (position_ == bytes->size()) {
          begun_ = 0;
          found->second.call.sent = true;
          Count(core_->counts.bulk_sent);
        }
      }
    } else {
      while (!waiting_.empty() && !pending_.contains(waiting_.front())) waiting_.pop_front();
      if (waiting_.empty()) return std::nullopt;
      const auto found = pending_.find(waiting_.front());
      waiting_.pop_front();
      frame = Begin(found->first, found->second);
    }
  }
  if (frame.has_value()) return ToByteBuffer(EncodeFrame(*frame));
  return ToByteBuffer(EncodeFrame(BulkData{bytes->substr(from, limits::kPeerFrameBytes)}));
}

absl::Status BulkLine::OnFrame(Frame frame) {
  Answer* answer = std::get_if<Answer>(&frame);
  if (answer == nullptr) return absl::InvalidArgumentError("a frame that is no answer came back");
  Pending pending;
  {
    const absl::MutexLock lock(&mutex_);
    auto node = pending_.extract(answer->id);
    if (node.empty()) return absl::OkStatus();  // its time was up
    pending = std::move(node.mapped());
  }
  HangUpWhenIdle();  // before whoever hears of the answer sends again
  Finish(std::move(pending.call), std::move(answer->result));
  return absl::OkStatus();
}

void BulkLine::Expire(uint64_t id) {
  Pending pending;
  {
    const absl::MutexLock lock(&mutex_);
    auto node = pending_.extract(id);
    if (node.empty()) return;
    pending = std::move(node.mapped());
  }
  Count(core_->counts.calls_failed);
  pending.call.timer = 0;
  Finish(std::move(pending.call),
         absl::DeadlineExceededError(Concat(name(), pending.call.sent
                                                        ? " gave no answer to a body in time"
                                                        : " could not be sent a body in time")));
  Wake();  // the other side is told that the rest does not come
  HangUpWhenIdle();
}

void BulkLine::WhenOpen(const PeerIdentity&) { HangUpWhenIdle(); }

bool BulkLine::Wanted() {
  const absl::MutexLock lock(&mutex_);
  return !pending_.empty();
}

std::vector<PendingCall> BulkLine::TakePending(bool for_good) {
  std::vector<PendingCall> taken;
  const absl::MutexLock lock(&mutex_);
  ended_ |= for_good;
  for (auto& [id, pending] : std::exchange(pending_, {})) taken.push_back(std::move(pending.call));
  waiting_.clear();
  begun_ = 0;
  return taken;
}

void BulkLine::HangUpWhenIdle() {
  const absl::MutexLock lock(&mutex_);
  if (!pending_.empty() || idle_ != 0) return;
  idle_ = core_->deadlines->After(limits::kPeerBulkIdle, [weak = weak_from_this()] {
    const auto self = std::static_pointer_cast<BulkLine>(weak.lock());
    if (self == nullptr) return;
    {
      const absl::MutexLock own(&self->mutex_);
      self->idle_ = 0;
      if (!self->pending_.empty()) return;
    }
    self->HangUp(absl::CancelledError("nothing was to be sent for a while"));
  });
}

}  // namespace bascule::peer
