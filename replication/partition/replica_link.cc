#include "replication/partition/replica_link.h"

#include "core/base/limits.h"

namespace bascule::partition {

void ReplicaLink::CloseFrame(Line& line) {
  if (line.builder.parts() == 0) return;
  line.frame_bytes += line.builder.bytes();
  line.frames.push_back(line.builder.Take());
}

bool ReplicaLink::Stands() {
  {
    const absl::MutexLock lock(&mutex_);
    if (LineOf(ReplicaLane::kTail).up) return true;
  }
  Wake(ReplicaLane::kTail);
  return false;
}

bool ReplicaLink::AddAppend(ReplicaLane lane, PartitionKey key, LeaderEpoch epoch, uint64_t number,
                            Offset high_watermark, const Bytes& batches) {
  bool stands = false;
  {
    const absl::MutexLock lock(&mutex_);
    Line& line = LineOf(lane);
    stands = line.up;
    if (stands) {
      const size_t waiting = Waiting(line);
      if (waiting > kReplicaFrameHeadBytes &&
          waiting + batches.size() > limits::kReplicaLinkBytes) {
        return false;
      }
      if (line.builder.parts() > 0 &&
          line.builder.bytes() + batches.size() > limits::kReplicaFrameTargetBytes)
        CloseFrame(line);
      line.builder.AddAppend(key, epoch, high_watermark, number, batches);
    }
  }
  Wake(lane);
  return stands;
}

void ReplicaLink::Add(ReplicaPart part) {
  {
    const absl::MutexLock lock(&mutex_);
    Line& line = LineOf(ReplicaLane::kTail);
    if (line.up) {
      if (std::holds_alternative<isr::Acknowledgement>(part.what)) {
        acknowledgements_.insert_or_assign(part.key, std::move(part));
      } else if (std::holds_alternative<HighWatermarkPart>(part.what)) {
        high_watermarks_.insert_or_assign(part.key, std::move(part));
      } else {
        // What was acknowledged before a question is not to pass for what comes of its answer.
        if (std::holds_alternative<isr::ReconcileQuestion>(part.what))
          acknowledgements_.erase(part.key);
        line.builder.Add(part);
        if (line.builder.bytes() >= limits::kReplicaFrameTargetBytes) CloseFrame(line);
      }
    }
  }
  Wake(ReplicaLane::kTail);
}

void ReplicaLink::WhenRoom(ReplicaLane lane, Executor& shard, Task task) {
  {
    const absl::MutexLock lock(&mutex_);
    Line& line = LineOf(lane);
    if (!line.up || Waiting(line) >= limits::kReplicaLinkBytes / 2) {
      line.wait_for_room.emplace_back(&shard, std::move(task));
      return;
    }
  }
  shard.Post(std::move(task));
}

void ReplicaLink::Attach(ReplicaChannel* channel, PeerId peer) {
  const absl::MutexLock lock(&mutex_);
  if (channel == channel_ && peer == peer_) return;
  channel_ = channel;
  peer_ = peer;
  for (Line& line : lines_) {
    line.up = false;  // the new one's comes
    line.frames.clear();
    line.frame_bytes = 0;
    line.builder = ReplicaFrameBuilder();
  }
  acknowledgements_.clear();
  high_watermarks_.clear();
}

void ReplicaLink::Wake(ReplicaLane lane) {
  ReplicaChannel* channel = nullptr;
  PeerId peer;
  {
    const absl::MutexLock lock(&mutex_);
    channel = channel_;
    peer = peer_;
  }
  if (channel != nullptr) channel->WakeReplicas(peer, lane);
}

std::vector<Bytes> ReplicaLink::Next(ReplicaLane lane) {
  std::vector<Bytes> frame;
  std::vector<std::pair<Executor*, Task>> room;
  {
    const absl::MutexLock lock(&mutex_);
    Line& line = LineOf(lane);
    // What waits for acknowledgements is not to wait for what waits here.
    if (!line.frames.empty() && lane == ReplicaLane::kTail && !acknowledgements_.empty()) {
      ReplicaFrameBuilder first;
      for (const auto& [key, part] : std::exchange(acknowledgements_, {})) first.Add(part);
      return first.Take();
    }
    if (line.frames.empty()) {
      if (lane == ReplicaLane::kTail) {
        for (const auto& [key, part] : std::exchange(acknowledgements_, {})) line.builder.Add(part);
        for (const auto& [key, part] : std::exchange(high_watermarks_, {})) line.builder.Add(part);
      }
      if (line.builder.parts() > 0) frame = line.builder.Take();
    } else {
      frame = std::move(line.frames.front());
      line.frames.pop_front();
      for (const Bytes& piece : frame) line.frame_bytes -= piece.size();
    }
    if (Waiting(line) < limits::kReplicaLinkBytes / 2) room = std::exchange(line.wait_for_room, {});
  }
  TellRoom(std::move(room));
  return frame;
}

void ReplicaLink::TellRoom(std::vector<std::pair<Executor*, Task>> waiting) {
  for (auto& [shard, task] : waiting) shard->Post(std::move(task));
}

void ReplicaLink::Up(ReplicaLane lane) {
  std::vector<std::pair<Executor*, Task>> room;
  {
    const absl::MutexLock lock(&mutex_);
    Line& line = LineOf(lane);
    line.up = true;
    room = std::exchange(line.wait_for_room, {});
  }
  TellRoom(std::move(room));
}

void ReplicaLink::Down(ReplicaLane lane) {
  const absl::MutexLock lock(&mutex_);
  Line& line = LineOf(lane);
  line.up = false;
  line.frames.clear();
  line.frame_bytes = 0;
  line.builder = ReplicaFrameBuilder();
  if (lane != ReplicaLane::kTail) return;
  acknowledgements_.clear();
  high_watermarks_.clear();
}

}  // namespace bascule::partition
