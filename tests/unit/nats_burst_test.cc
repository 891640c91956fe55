// What a burst makes larger or slower goes back when it is over.
#include <doctest/doctest.h>

#include <ctime>
#include <vector>

#include "nats_bridge/ingest_queue.h"
#include "tests/support/sim_clock.h"
#include "tests/support/sim_executor.h"

namespace bascule::nats {
namespace {

// Holds what it is handed until it is told to let go.
class HoldingPartition final : public PartitionIngress {
 public:
  void Enqueue(const std::shared_ptr<const IngressBatch>& batch, const IngressRecord&) override {
    ++records;
    held.push_back(batch);
  }
  void AppendPending() override {}
  void RecordGap(const GapReport&) override { ++gaps; }
  std::vector<std::shared_ptr<const IngressBatch>> held;
  size_t records = 0;
  size_t gaps = 0;
};

struct BurstQueue {
  ~BurstQueue() {
    partition.held.clear();
    scheduler.DropAll();
  }
  bool Add(size_t bytes) { return Add(bytes, feed); }
  bool Add(size_t bytes, const std::shared_ptr<FeedState>& to) {
    const bool taken = queue->Add(to, bytes, [&](IngressBatch& batch, IngressRecord& record) {
      record.body = batch.Add(std::string(bytes, 'b'));
      record.payload_bytes = static_cast<uint32_t>(bytes);
    });
    queue->Deliver();
    return taken;
  }
  // Everything is handed over, appended and acknowledged.
  void Drain() {
    scheduler.RunFor(std::chrono::milliseconds(1));
    partition.held.clear();
    scheduler.RunFor(std::chrono::milliseconds(1));
    partition.held.clear();
  }
  SimClock clock;
  SimScheduler scheduler{clock, 1};
  SimExecutor& shard = scheduler.NewExecutor("shard");
  IngestCounts counts;
  HoldingPartition partition;
  std::shared_ptr<IngestQueue> queue =
      std::make_shared<IngestQueue>(shard, clock, counts, 64 * limits::kMiB, 32 * limits::kMiB);
  std::shared_ptr<FeedState> feed = std::make_shared<FeedState>(partition, *queue);
  std::shared_ptr<FeedState> other = std::make_shared<FeedState>(partition, *queue);
};

constexpr size_t kSpareMost = limits::kIngressSpareBatches * 4 *
                              limits::kIngressArenaBytes;  // arenas, and what is beside them

TEST_CASE("nats burst: neither many nor large messages keep their memory") {
  BurstQueue q;
  for (const auto& [count, bytes] : {std::pair<int, size_t>{300'000, 10},
                                     {100'000, 200},
                                     {16, 3 * limits::kMiB},
                                     {1, 60 * limits::kMiB}}) {
    CAPTURE(bytes);
    size_t taken = 0;
    for (int i = 0; i < count; ++i) taken += q.Add(bytes) ? 1 : 0;
    CHECK(taken > 0);
    q.Drain();
    CHECK(q.queue->held_bytes() == 0);
    CHECK(q.queue->spare_bytes() <= kSpareMost);
  }
}

TEST_CASE("nats burst: neither do messages of feeds in turn, nor gaps") {
  BurstQueue q;
  // Each message begins a run, and where none has bytes one batch holds all of them.
  for (const size_t bytes : {size_t{0}, size_t{10}}) {
    CAPTURE(bytes);
    for (int i = 0; i < 250'000; ++i) {
      CHECK_UNARY(q.Add(bytes, q.feed));
      CHECK_UNARY(q.Add(bytes, q.other));
    }
    q.Drain();
    CHECK(q.queue->held_bytes() == 0);
    CHECK(q.queue->spare_bytes() <= kSpareMost);
  }
  constexpr size_t kGaps = 600'000;
  for (size_t i = 0; i < kGaps; ++i)
    q.queue->AddGap(q.feed, GapReport{Timestamp(1), Timestamp(2), GapReason::kDisconnected, -1});
  q.queue->Deliver();
  q.Drain();
  CHECK(q.partition.gaps == kGaps);
  CHECK(q.queue->held_bytes() == 0);
  CHECK(q.queue->spare_bytes() <= kSpareMost);
}

TEST_CASE(
    "nats burst: a batch is given back at one price, however many feeds wait to be told of drops") {
  BurstQueue q;
  constexpr size_t kBatches = 10'000;
  constexpr size_t kFeeds = 20'000;
  const auto hold = [&] {
    for (size_t i = 0; i < kBatches; ++i) {
      CHECK_UNARY(q.Add(1));
      q.scheduler.RunFor(std::chrono::milliseconds(1));
    }
    CHECK(q.partition.held.size() == kBatches);
  };
  // Of the processor, so that a busy machine counts for nothing.
  const auto price_of_release = [&] {
    const std::clock_t begin = std::clock();
    q.partition.held.clear();
    return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  };
  hold();
  const double alone = price_of_release();
  hold();
  CHECK(q.Add(50 * limits::kMiB));
  std::vector<std::shared_ptr<FeedState>> feeds;
  for (size_t i = 0; i < kFeeds; ++i) {
    feeds.push_back(std::make_shared<FeedState>(q.partition, *q.queue));
    CHECK_UNARY_FALSE(q.Add(20 * limits::kMiB, feeds.back()));
  }
  CHECK(price_of_release() < 10 * alone + 0.1);
  q.Drain();
  CHECK(q.partition.gaps == kFeeds);
}

TEST_CASE("nats burst: after an overload as much fits as before it, time and again") {
  BurstQueue q;
  std::vector<size_t> fitted;
  for (int round = 0; round < 4; ++round) {
    size_t taken = 0;
    while (q.Add(100'000)) ++taken;
    for (int i = 0; i < 10; ++i) CHECK_FALSE(q.Add(100'000));
    fitted.push_back(taken);
    q.Drain();
    CHECK(q.partition.gaps == static_cast<size_t>(round) + 1);
    CHECK(q.queue->held_bytes() == 0);
    // One at a time, nothing is in the way any more.
    for (int i = 0; i < 100; ++i) {
      CHECK(q.Add(100'000));
      q.Drain();
    }
    CHECK(q.partition.gaps == static_cast<size_t>(round) + 1);
  }
  CHECK(fitted[0] > 500);
  for (const size_t taken : fitted) CHECK(taken == fitted[0]);
}

}  // namespace
}  // namespace bascule::nats
