// Between the replication channel and the partitions of this broker: frames come in on foreign
// threads and go to the shards whose partitions they speak of, one task per shard and frame; what
// partitions say goes out by one ReplicaLink per broker.
//
//   channel ─► OnReplicaFrame: parsed ─► shard: ReplicaPort::OnReplicaPart..., then EndOfFrame once
//              OnReplicaLineUp, Down ──► every shard: ReplicaPort::OnLine
//   channel ◄─ NextFrame ◄─ ReplicaLink ◄─ partitions
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "core/env/executor.h"
#include "replication/partition/replica_link.h"
#include "replication/ports.h"

namespace bascule::partition {

// A frame on its way through the shards.
struct IncomingFrame {
  std::string from;  // broker
  ReplicaLane lane = ReplicaLane::kTail;
  Bytes bytes;
  std::vector<ReplicaPart> parts;  // views of `bytes`
  std::shared_ptr<const void> credit;
};

// A partition, as frames see it. On its shard.
class ReplicaPort {
 public:
  virtual ~ReplicaPort() = default;
  virtual PartitionKey key() const = 0;
  // `part` is one of the frame's, and lives as long as that.
  virtual void OnReplicaPart(const std::shared_ptr<const IncomingFrame>& frame,
                             const ReplicaPart& part) = 0;
  // All parts of a frame for this partition have been told.
  virtual void EndOfFrame() = 0;
  // Our line to that broker stands from now on; or it broke, and what was on its way may be lost.
  virtual void OnLine(const std::string& broker, ReplicaLane lane, bool up) = 0;
  // Every second: who lags (R8), what was asked and not answered.
  virtual void OnReplicaTick() = 0;
};

// Any thread, but for what says otherwise. Outlives the channel's last call, and the shards.
class ReplicaSwitch final : public ReplicaTraffic {
 public:
  explicit ReplicaSwitch(std::vector<Executor*> shards);
  ~ReplicaSwitch() override;

  // The partition's shard, among those that were given.
  size_t ShardOf(PartitionKey key) const;

  // --- metadata thread ---
  // What carries frames; null: nobody does (any more).
  void SetChannel(ReplicaChannel* channel);
  void OnBrokers(const BrokerLives& brokers);

  // Every second. One task per shard, however many partitions there are.
  void Tick();

  // The same object for the same broker, always.
  std::shared_ptr<ReplicaLink> LinkTo(const std::string& broker);

  // --- on the shard of the port's partition ---
  void Enter(const std::shared_ptr<ReplicaPort>& port);
  void Leave(PartitionKey key);

  uint64_t bad_frames() const { return bad_frames_; }

  // --- ReplicaTraffic ---
  std::vector<Bytes> NextFrame(PeerId to, ReplicaLane lane) override;
  void OnReplicaLineUp(PeerId to, ReplicaLane lane) override;
  void OnReplicaLineDown(PeerId to, ReplicaLane lane) override;
  void OnReplicaStreamBegan(const PeerIdentity& from, ReplicaLane lane) override;
  void OnReplicaFrame(const PeerIdentity& from, ReplicaLane lane, Bytes frame,
                      std::shared_ptr<const void> credit) override;

 private:
  struct Shard {
    explicit Shard(Executor& executor_in) : executor(executor_in) {}
    Executor& executor;
    std::map<PartitionKey, std::weak_ptr<ReplicaPort>>
        ports;  // only there; in the same order in each run
  };
  void TellLine(PeerId to, ReplicaLane lane, bool up);
  std::shared_ptr<ReplicaLink> LinkOf(PeerId peer);

  std::vector<std::shared_ptr<Shard>> shards_;
  std::atomic<uint64_t> bad_frames_{0};
  absl::Mutex mutex_;
  ReplicaChannel* channel_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::map<std::string, std::shared_ptr<ReplicaLink>, std::less<>> links_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, PeerId, std::less<>> nodes_ ABSL_GUARDED_BY(mutex_);
  std::map<PeerId, std::shared_ptr<ReplicaLink>> by_peer_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bascule::partition
