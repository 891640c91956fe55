#include "nats_bridge/ingest_queue.h"

#include <algorithm>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "core/base/check.h"

namespace bascule::nats {
namespace {

// Room that an emptied batch keeps for its bytes, and as much for what describes them.
constexpr size_t kSpareBytes = 2 * limits::kIngressArenaBytes;

}  // namespace

IngestQueue::IngestQueue(Executor& shard, Clock& clock, IngestCounts& counts, size_t bound,
                         size_t resume)
    : shard_(shard),
      clock_(clock),
      counts_(counts),
      bound_(bound),
      crowded_from_(bound - bound / 8),
      resume_(resume) {
  BASCULE_CHECK_LT(resume_, crowded_from_);
}

void IngestQueue::Deliver() {
  const absl::MutexLock lock(&mutex_);
  if (!queued_.empty()) PostDrainLocked();
}

bool IngestQueue::Crowded(size_t bytes) {
  const absl::MutexLock lock(&mutex_);
  if (held_ > crowded_from_) crowded_ = true;
  if (held_ <= resume_) crowded_ = false;
  return crowded_ || (held_ > 0 && held_ + bytes > bound_);
}

IngestQueue::~IngestQueue() = default;

size_t IngestQueue::held_bytes() const {
  const absl::MutexLock lock(&mutex_);
  return held_;
}

size_t IngestQueue::spare_bytes() const {
  const absl::MutexLock lock(&mutex_);
  size_t bytes = 0;
  for (const std::unique_ptr<Carrier>& carrier : spare_)
    bytes += carrier->batch.arena.capacity() + carrier->reserved_beside_arena();
  return bytes;
}

size_t IngestQueue::Carrier::reserved_beside_arena() const {
  return batch.records.capacity() * sizeof(IngressRecord) + runs.capacity() * sizeof(Run) +
         gaps.capacity() * sizeof(GapReport);
}

bool IngestQueue::Add(const std::shared_ptr<FeedState>& feed, size_t bytes, Encoder encode) {
  BASCULE_CHECK(&feed->queue == this);
  const absl::MutexLock lock(&mutex_);
  // An empty queue takes any message: the largest one must get through somehow.
  if (overrun_ || (held_ > 0 && held_ + bytes > bound_)) {
    overrun_ = overrun_ || held_ > resume_;
    DropLocked(feed);
    return false;
  }
  if (!overruns_.empty()) FlushOverrunsLocked();
  Carrier& carrier = OpenCarrierLocked(bytes);
  IngressRecord& record = carrier.batch.records.emplace_back();
  record.partition = &feed->partition;
  encode(carrier.batch, record);
  if (carrier.runs.empty() || carrier.runs.back().feed != feed || carrier.runs.back().count == 0) {
    carrier.runs.push_back(Run{feed, 0, 0});
  }
  ++carrier.runs.back().count;
  ChargeLocked(carrier);
  counts_.messages.fetch_add(1, std::memory_order_relaxed);
  counts_.bytes.fetch_add(record.payload_bytes, std::memory_order_relaxed);
  return true;
}

void IngestQueue::AddGap(const std::shared_ptr<FeedState>& feed, const GapReport& gap) {
  BASCULE_CHECK(&feed->queue == this);
  const absl::MutexLock lock(&mutex_);
  Carrier& carrier = OpenCarrierLocked(0);
  carrier.runs.push_back(Run{feed, 0, static_cast<uint32_t>(carrier.gaps.size())});
  carrier.gaps.push_back(gap);
  ChargeLocked(carrier);
  counts_.gaps.fetch_add(1, std::memory_order_relaxed);
}

void IngestQueue::DropLocked(const std::shared_ptr<FeedState>& feed) {
  const Timestamp now = clock_.Wall();
  counts_.dropped.fetch_add(1, std::memory_order_relaxed);
  feed->queue.mutex_.AssertHeld();  // a feed of another queue would be told of our drops
  GapReport& gap = feed->overrun_gap;
  if (!feed->overrun) {
    feed->overrun = true;
    gap = GapReport{now, now, GapReason::kQueueFull, 0};
    overruns_.push_back(feed);
  }
  gap.to = std::max(gap.to, now);
  ++gap.count;
}

void IngestQueue::FlushOverrunsLocked() {
  for (std::shared_ptr<FeedState>& feed : overruns_) {
    feed->queue.mutex_.AssertHeld();
    BASCULE_CHECK(feed->overrun);
    Carrier& carrier = OpenCarrierLocked(0);
    carrier.runs.push_back(Run{feed, 0, static_cast<uint32_t>(carrier.gaps.size())});
    carrier.gaps.push_back(feed->overrun_gap);
    ChargeLocked(carrier);
    feed->overrun = false;
    counts_.gaps.fetch_add(1, std::memory_order_relaxed);
  }
  overruns_.clear();
}

IngestQueue::Carrier& IngestQueue::OpenCarrierLocked(size_t bytes) {
  if (!queued_.empty()) {
    const Carrier& open = *queued_.back();
    if (open.batch.arena.size() + bytes <= limits::kIngressArenaBytes || open.batch.arena.empty()) {
      return *queued_.back();
    }
  }
  queued_.push_back(NewCarrierLocked(bytes));
  return *queued_.back();
}

std::unique_ptr<IngestQueue::Carrier> IngestQueue::NewCarrierLocked(size_t bytes) {
  std::unique_ptr<Carrier> carrier;
  if (!spare_.empty()) {
    carrier = std::move(spare_.back());
    spare_.pop_back();
    BASCULE_CHECK_EQ(carrier->charged, 0U);
    BASCULE_CHECK(carrier->batch.records.empty() && carrier->runs.empty());
  } else {
    carrier = std::make_unique<Carrier>();
  }
  carrier->batch.arena.reserve(
      std::max(limits::kIngressArenaMinBytes, std::min(bytes, limits::kIngressArenaBytes)));
  ChargeLocked(*carrier);
  return carrier;
}

// By what is in it, not by what is reserved: under load many carriers with few messages each wait
// for their acks, and their spare room (bounded by the number of spare carriers) must not count
// against messages.
void IngestQueue::ChargeLocked(Carrier& carrier) {
  const size_t bytes = sizeof(Carrier) + carrier.batch.arena.size() +
                       carrier.batch.records.size() * sizeof(IngressRecord) +
                       carrier.runs.size() * sizeof(Run) + carrier.gaps.size() * sizeof(GapReport);
  BASCULE_CHECK_GE(bytes, carrier.charged);
  held_ += bytes - carrier.charged;
  carrier.charged = bytes;
}

// One task at most is waiting for each queue, so it takes a completion's place and cannot be
// refused.
void IngestQueue::PostDrainLocked() {
  if (std::exchange(drain_posted_, true)) return;
  shard_.Post([self = shared_from_this()] { self->Drain(); });
}

// Whoever waits to be told of drops is told: by the
// next message that is taken, the next drain, or the batch that gives back enough.
void IngestQueue::CheckInvariants() const {
  BASCULE_CHECK_LE(spare_.size(), limits::kIngressSpareBatches);
  if (overrun_) BASCULE_CHECK_GT(held_, resume_);
}

void IngestQueue::CheckAll() const {
  CheckInvariants();
  size_t queued = 0;
  for (const std::unique_ptr<Carrier>& carrier : queued_) queued += carrier->charged;
  BASCULE_CHECK_LE(queued, held_);
  for (const std::shared_ptr<FeedState>& feed : overruns_) {
    feed->queue.mutex_.AssertHeld();
    BASCULE_CHECK(feed->overrun);
    BASCULE_CHECK_GT(feed->overrun_gap.count, 0);
  }
}

void IngestQueue::Drain() {
  BASCULE_CHECK(shard_.OnThisThread());
  ++drains_;
  {
    const absl::MutexLock lock(&mutex_);
    CheckAll();
    drain_posted_ = false;
    if (!overrun_ && !overruns_.empty()) FlushOverrunsLocked();
    taken_.swap(queued_);
  }
  for (std::unique_ptr<Carrier>& carrier : taken_) HandOver(std::move(carrier), touched_);
  taken_.clear();
  // A partition may close feeds (its own or others') at any step, hence the look before each.
  for (const std::shared_ptr<FeedState>& feed : touched_) {
    if (!feed->closed) feed->partition.AppendPending();
  }
  touched_.clear();
}

void IngestQueue::HandOver(std::unique_ptr<Carrier> carrier,
                           std::vector<std::shared_ptr<FeedState>>& touched) {
  Carrier* raw = carrier.release();
  // Whoever lets go of the batch last gives its bytes back; the runs stay valid for as long as
  // `batch` here.
  const std::shared_ptr<const IngressBatch> batch(
      &raw->batch, [self = shared_from_this(), raw](const IngressBatch*) { self->Release(raw); });
  size_t next = 0;
  for (const Run& run : raw->runs) {
    FeedState& feed = *run.feed;
    if (run.count == 0) {
      BASCULE_CHECK_LT(run.gap, raw->gaps.size());
      if (!feed.closed) feed.partition.RecordGap(raw->gaps[run.gap]);
      continue;
    }
    for (const size_t end = next + run.count; next < end; ++next) {
      if (!feed.closed) feed.partition.Enqueue(batch, batch->records[next]);
    }
    if (std::exchange(feed.drained, drains_) != drains_) touched.push_back(run.feed);
  }
  BASCULE_CHECK_EQ(next, batch->records.size());
}

void IngestQueue::Release(Carrier* carrier) {
  std::unique_ptr<Carrier> owned(carrier);
  owned->runs.clear();  // feeds may end with them: outside the lock
  const size_t charged = owned->charged;
  {
    const absl::MutexLock lock(&mutex_);
    BASCULE_CHECK_GE(held_, charged);
    held_ -= charged;
    if (overrun_ && held_ <= resume_) overrun_ = false;
    if (!overrun_ && !overruns_.empty()) PostDrainLocked();
    CheckInvariants();
    if (spare_.size() < limits::kIngressSpareBatches &&
        owned->batch.arena.capacity() <= kSpareBytes) {
      owned->gaps.clear();
      owned->batch.records.clear();
      if (owned->reserved_beside_arena() > kSpareBytes) {
        std::vector<IngressRecord>().swap(owned->batch.records);
        std::vector<Run>().swap(owned->runs);
        std::vector<GapReport>().swap(owned->gaps);
      }
      owned->batch.arena.clear();
      owned->charged = 0;
      spare_.push_back(std::move(owned));
    }
  }
}

}  // namespace bascule::nats
