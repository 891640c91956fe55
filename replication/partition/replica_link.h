// What goes to one other broker about the partitions of which both have a replica: shards put parts
// in, the two lines of the replication channel take frames out. What gathers while a frame is being
// written goes into the next one; of acknowledgements and high watermarks the newest of a partition
// is enough. Nothing is kept for a line that does not stand: whoever needs it says it again when it
// does.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "core/env/executor.h"
#include "replication/partition/replica_frames.h"
#include "replication/replica_channel.h"

namespace bascule::partition {

// Any thread.
class ReplicaLink {
 public:
  explicit ReplicaLink(std::string broker) : broker_(std::move(broker)) {}
  const std::string& broker() const { return broker_; }

  // Whether the tail line stands; dialled, if not.
  bool Stands();
  // The leader's next batches. False, and nothing is taken: the line does not stand, or so much waits
  // for it already; see WhenRoom.
  bool AddAppend(ReplicaLane lane, PartitionKey key, LeaderEpoch epoch, uint64_t number,
                 Offset high_watermark, const Bytes& batches);
  // Everything else, by the tail line.
  void Add(ReplicaPart part);
  // Posts `task` to `shard`, once, when AddAppend may succeed again; at once if it may now.
  void WhenRoom(ReplicaLane lane, Executor& shard, Task task);

  // --- called by ReplicaSwitch ---
  // Where the broker is reached from now on; what waited for another place is dropped.
  void Attach(ReplicaChannel* channel, PeerId peer);
  std::vector<Bytes> Next(ReplicaLane lane);
  void Up(ReplicaLane lane);
  void Down(ReplicaLane lane);

 private:
  struct Line {
    bool up = false;
    std::deque<std::vector<Bytes>> frames;  // whole ones
    ReplicaFrameBuilder builder;            // the next
    size_t frame_bytes = 0;                 // of `frames`
    std::vector<std::pair<Executor*, Task>> wait_for_room;
  };
  Line& LineOf(ReplicaLane lane) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return lines_[static_cast<size_t>(lane)];
  }
  static size_t Waiting(const Line& line) { return line.frame_bytes + line.builder.bytes(); }
  static void CloseFrame(Line& line);
  void Wake(ReplicaLane lane);
  static void TellRoom(std::vector<std::pair<Executor*, Task>> waiting);

  const std::string broker_;
  absl::Mutex mutex_;
  ReplicaChannel* channel_ ABSL_GUARDED_BY(mutex_) = nullptr;
  PeerId peer_ ABSL_GUARDED_BY(mutex_);
  std::array<Line, kReplicaLanes> lines_ ABSL_GUARDED_BY(mutex_);
  // The newest of each partition, by the tail line.
  std::map<PartitionKey, ReplicaPart> acknowledgements_ ABSL_GUARDED_BY(mutex_);
  std::map<PartitionKey, ReplicaPart> high_watermarks_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bascule::partition
