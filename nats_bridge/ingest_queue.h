// From the bus to one shard: messages are encoded into the arena of a growing
// batch, whole batches change hands.
//
//   connection                           shard
//   Add -> lock, encode, unlock
//   Add -> ...
//   end of a receive: Deliver: Post ---> Drain -> lock, take all batches, unlock
//                                                 Enqueue each record,
//                                                 AppendPending once per partition
//                                        ... partition answers the records, the batch dies:
//                                            its bytes are free again
//
// Memory is bounded by limits::kIngressQueueBytes, batches that partitions still hold included.
// When it is used up messages are dropped and counted per feed; once there is room each such feed
// gets one gap report with the exact count, at its place between the messages before and after.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "core/base/status.h"
#include "core/env/clock.h"
#include "core/env/executor.h"
#include "core/ports/ingress.h"
#include "core/ports/subject_feeds.h"
#include "nats_bridge/bridge_limits.h"

namespace bascule::nats {

struct FeedState;

// Messages and drops so far; read by anyone.
struct IngestCounts {
  std::atomic<uint64_t> messages{0};
  std::atomic<uint64_t> bytes{0};
  std::atomic<uint64_t> dropped{0};
  std::atomic<uint64_t> gaps{0};
};

// Any thread, except where said. Owned by shared_ptr: batches that live on keep it.
class IngestQueue : public std::enable_shared_from_this<IngestQueue> {
 public:
  // The references must outlive the queue's use. `bound` and `resume`: as in the limits, smaller in
  // tests.
  IngestQueue(Executor& shard, Clock& clock, IngestCounts& counts,
              size_t bound = limits::kIngressQueueBytes,
              size_t resume = limits::kIngressResumeBytes);
  ~IngestQueue();

  using Encoder = absl::FunctionRef<void(IngressBatch& batch, IngressRecord& record)>;
  // What was added since the last call is on its way to the shard.
  void Deliver();
  // Whether messages of `bytes` more might find no room, or a queue that was so has not emptied as far as
  // `resume` since.
  bool Crowded(size_t bytes);

  // Room for one message of about `bytes`: `encode` fills the record (its partition is filled here)
  // under the queue's lock. No room: dropped, false.
  bool Add(const std::shared_ptr<FeedState>& feed, size_t bytes, Encoder encode);
  // A gap learnt from elsewhere, at its place in the order. Always taken.
  void AddGap(const std::shared_ptr<FeedState>& feed, const GapReport& gap);
  // Runs on the shard; dropped without running when the shard has stopped.
  void Post(Task task) { shard_.Post(std::move(task)); }
  size_t held_bytes() const;
  // Kept for messages to come, by what is reserved.
  size_t spare_bytes() const;

 private:
  friend struct FeedState;

  // Consecutive records of one feed, or (count 0) a gap.
  struct Run {
    std::shared_ptr<FeedState> feed;
    uint32_t count = 0;
    uint32_t gap = 0;  // index into gaps
  };
  struct Carrier {
    IngressBatch batch;
    std::vector<Run> runs;
    std::vector<GapReport> gaps;
    size_t charged = 0;
    size_t reserved_beside_arena() const;
  };
  using Carriers = std::vector<std::unique_ptr<Carrier>>;

  Carrier& OpenCarrierLocked(size_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::unique_ptr<Carrier> NewCarrierLocked(size_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ChargeLocked(Carrier& carrier) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FlushOverrunsLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void PostDrainLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DropLocked(const std::shared_ptr<FeedState>& feed) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void CheckInvariants() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void CheckAll() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);  // walks, so not for each batch
  void Release(Carrier* carrier);

  // --- shard ---
  void Drain();
  void HandOver(std::unique_ptr<Carrier> carrier, std::vector<std::shared_ptr<FeedState>>& touched);

  Executor& shard_;
  Clock& clock_;
  IngestCounts& counts_;
  const size_t bound_;
  const size_t crowded_from_;
  const size_t resume_;
  uint64_t drains_ = 0;                              // shard only
  std::vector<std::shared_ptr<FeedState>> touched_;  // shard only; kept for its memory
  Carriers taken_;                                   // shard only; kept for its memory

  mutable absl::Mutex mutex_;
  Carriers queued_ ABSL_GUARDED_BY(mutex_);  // the last one is being filled
  Carriers spare_ ABSL_GUARDED_BY(mutex_);
  bool drain_posted_ ABSL_GUARDED_BY(mutex_) = false;
  bool crowded_ ABSL_GUARDED_BY(mutex_) = false;
  bool overrun_ ABSL_GUARDED_BY(mutex_) = false;  // full, and not yet below resume_
  size_t held_ ABSL_GUARDED_BY(mutex_) = 0;       // bytes of all batches that live
  std::vector<std::shared_ptr<FeedState>> overruns_
      ABSL_GUARDED_BY(mutex_);  // with drops to report
};

static_assert(std::atomic<FeedRules>::is_always_lock_free);

// Where the messages of one subscription go. Shared by the feed's owner, its subscription and
// queued batches.
struct FeedState {
  FeedState(PartitionIngress& ingress, IngestQueue& to) : queue(to), partition(ingress) {}
  IngestQueue& queue;  // the queue keeps targets, so they do not keep it: their feeds end before it
  PartitionIngress& partition;  // called on the shard only, and not once `closed`

  std::atomic<FeedRules> rules{};  // read for each message, set by the shard

  // Shard only.
  bool closed = false;  // nothing reaches the partition any more
  absl::AnyInvocable<void(absl::Status)> listening;
  uint64_t drained = 0;  // the last drain that touched it

  bool overrun ABSL_GUARDED_BY(queue.mutex_) = false;
  GapReport overrun_gap ABSL_GUARDED_BY(queue.mutex_);
};

}  // namespace bascule::nats
