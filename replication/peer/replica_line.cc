#include "replication/peer/replica_line.h"

#include <utility>

#include "absl/synchronization/mutex.h"
#include "core/base/text.h"
#include "replication/peer/byte_buffer.h"

namespace bascule::peer {

void ReplicaLine::Want() {
  const absl::MutexLock lock(&mutex_);
  wanted_ = true;
  woken_ = true;
}

void ReplicaLine::WakeUp() {
  StayUp();
  if (destination_.address.empty()) return;  // nobody knows yet where it is
  Dial();
  Wake();
}

bool ReplicaLine::Wanted() {
  const absl::MutexLock lock(&mutex_);
  return wanted_;
}

absl::Status ReplicaLine::OnFrame(Frame) {
  return absl::InvalidArgumentError("something came back on a line that is not answered");
}

std::optional<grpc::ByteBuffer> ReplicaLine::NextFrame() {
  std::vector<Bytes> pieces;
  {
    const absl::MutexLock turn(&turn_->mutex);
    if (turn_->by != this) return std::nullopt;
    {
      const absl::MutexLock lock(&mutex_);
      woken_ = false;
    }
    core_->gate.Run([&] { pieces = core_->replicas->NextFrame(destination_.id, lane_); });
  }
  size_t size = 0;
  for (const Bytes& piece : pieces) size += piece.size();
  if (size == 0) {
    HangUpWhenIdle();
    return std::nullopt;
  }
  if (size > limits::kReplicaFrameBytes) {
    HangUp(absl::InternalError(Concat("a frame of replicas has ", size, " bytes, at most ",
                                      limits::kReplicaFrameBytes, " can be sent")));
    return std::nullopt;
  }
  Count(core_->counts.replica_frames_sent);
  Count(core_->counts.replica_bytes_sent, size);
  return ToByteBuffer(std::move(pieces));
}

void ReplicaLine::WhenOpen(const PeerIdentity&) {
  const absl::MutexLock turn(&turn_->mutex);
  if (number_ < turn_->newest) return;  // it has been replaced, and is about to end
  const bool was_up = turn_->by != nullptr;
  turn_->by = this;
  turn_->newest = number_;
  core_->gate.Run([&] {
    if (was_up) core_->replicas->OnReplicaLineDown(destination_.id, lane_);
    core_->replicas->OnReplicaLineUp(destination_.id, lane_);
  });
}

void ReplicaLine::WhenClosed() {
  StayUp();
  const absl::MutexLock turn(&turn_->mutex);
  if (turn_->by != this) return;
  turn_->by = nullptr;
  if (core_->stopping) return;
  core_->gate.Run([&] { core_->replicas->OnReplicaLineDown(destination_.id, lane_); });
}

void ReplicaLine::StayUp() {
  TimerId idle = 0;
  {
    const absl::MutexLock lock(&mutex_);
    idle = std::exchange(idle_, 0);
  }
  core_->deadlines->Cancel(idle);
}

void ReplicaLine::HangUpWhenIdle() {
  const absl::MutexLock lock(&mutex_);
  if (lane_ != ReplicaLane::kCatchUp || woken_ || idle_ != 0) return;
  idle_ = core_->deadlines->After(limits::kPeerBulkIdle, [weak = weak_from_this()] {
    const auto self = std::static_pointer_cast<ReplicaLine>(weak.lock());
    if (self == nullptr) return;
    {
      const absl::MutexLock own(&self->mutex_);
      self->idle_ = 0;
      if (self->woken_) return;
      self->wanted_ = false;
    }
    self->HangUp(absl::CancelledError("nothing was to be sent for a while"));
  });
}

}  // namespace bascule::peer
