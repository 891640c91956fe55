#include "replication/peer/control_line.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "core/base/text.h"

namespace bascule::peer {

void ControlLine::Send(PeerService service, std::string message) {
  {
    const absl::MutexLock lock(&mutex_);
    outbox_.AddMessage(service, std::move(message), core_->clock.Monotonic());
    Count(core_->counts.messages_dropped, outbox_.dropped() - told_dropped_);
    told_dropped_ = outbox_.dropped();
  }
  Wake();
}

void ControlLine::Call(PeerService service, std::string request, Duration timeout,
                       PeerTransport::Done done) {
  Count(core_->counts.calls);
  uint64_t id = 0;
  bool ended = false;
  {
    const absl::MutexLock lock(&mutex_);
    ended = ended_;
    if (!ended && pending_.size() < limits::kPeerCalls &&
        outbox_.AddCall(next_call_, service, std::move(request))) {
      id = next_call_++;
      PendingCall& pending = pending_[id];
      pending.done = std::move(done);
      pending.deadline = Add(core_->clock.Monotonic(), timeout);
      // Set under the lock, so that whoever ends the call finds it.
      pending.timer = core_->deadlines->After(timeout, [weak = weak_from_this(), id] {
        if (const auto self = weak.lock()) static_cast<ControlLine&>(*self).Expire(id);
      });
    }
  }
  if (id != 0) return Wake();
  core_->AnswerLater(std::move(done), absl::UnavailableError(Concat(
                                          name(), ended ? " is no peer any more"
                                                        : ": too much waits to be sent to it")));
}

std::optional<grpc::ByteBuffer> ControlLine::NextFrame() {
  std::optional<Outgoing> next;
  Duration left{0};
  {
    const absl::MutexLock lock(&mutex_);
    const MonotonicTime now = core_->clock.Monotonic();
    next = outbox_.Take(now);
    Count(core_->counts.messages_dropped, outbox_.dropped() - told_dropped_);
    told_dropped_ = outbox_.dropped();
    if (!next.has_value()) return std::nullopt;
    if (next->call != 0) {
      PendingCall& pending = pending_.at(next->call);  // expired calls have left the outbox
      pending.sent = true;
      left = std::max(Duration(0), Between(now, pending.deadline));
    }
  }
  if (next->call == 0)
    return ToByteBuffer(EncodeFrame(Message{next->service, std::move(next->body)}));
  return ToByteBuffer(
      EncodeFrame(peer::Call{next->call, next->service, left, std::move(next->body)}));
}

absl::Status ControlLine::OnFrame(Frame frame) {
  Answer* answer = std::get_if<Answer>(&frame);
  if (answer == nullptr) return absl::InvalidArgumentError("a frame that is no answer came back");
  PendingCall pending;
  {
    const absl::MutexLock lock(&mutex_);
    auto node = pending_.extract(answer->id);
    if (node.empty()) return absl::OkStatus();  // its time was up
    if (!node.mapped().sent) {
      pending_.insert(std::move(node));
      return absl::InvalidArgumentError("an answer to a call that was not sent");
    }
    pending = std::move(node.mapped());
  }
  Finish(std::move(pending), std::move(answer->result));
  return absl::OkStatus();
}

void ControlLine::Expire(uint64_t id) {
  PendingCall pending;
  {
    const absl::MutexLock lock(&mutex_);
    auto node = pending_.extract(id);
    if (node.empty()) return;
    pending = std::move(node.mapped());
    outbox_.RemoveCall(id);
  }
  Count(core_->counts.calls_failed);
  pending.timer = 0;
  Finish(std::move(pending),
         absl::DeadlineExceededError(Concat(
             name(), pending.sent ? " gave no answer in time" : " could not be reached in time")));
}

void ControlLine::WhenOpen(const PeerIdentity& peer) {
  const absl::MutexLock lock(&up_->mutex);
  const bool was_up = up_->by != nullptr;
  const PeerIdentity before = up_->peer;
  core_->gate.Run([&] {
    if (was_up) core_->events.OnPeerDown(before);
    core_->events.OnPeerUp(peer);
  });
  up_->by = this;
  up_->peer = peer;
}

void ControlLine::WhenClosed() {
  const absl::MutexLock lock(&up_->mutex);
  if (up_->by != this) return;
  up_->by = nullptr;
  const PeerIdentity peer = up_->peer;
  if (!core_->stopping) core_->gate.Run([&] { core_->events.OnPeerDown(peer); });
}

std::vector<PendingCall> ControlLine::TakePending(bool for_good) {
  std::vector<PendingCall> taken;
  const absl::MutexLock lock(&mutex_);
  ended_ |= for_good;
  for (auto& [id, pending] : std::exchange(pending_, {})) {
    outbox_.RemoveCall(id);
    taken.push_back(std::move(pending));
  }
  return taken;
}

}  // namespace bascule::peer
