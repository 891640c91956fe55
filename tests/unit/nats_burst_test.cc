// What a burst makes larger or slower goes back when it is over.
#include <doctest/doctest.h>

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
  bool Add(size_t bytes) {
    return queue->Add(feed, bytes, [&](IngressBatch& batch, IngressRecord& record) {
      record.body = batch.Add(std::string(bytes, 'b'));
      record.payload_bytes = static_cast<uint32_t>(bytes);
    });
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
};

constexpr size_t kSpareMost =
    limits::kIngressSpareBatches * 4 * limits::kIngressArenaBytes;  // arenas and records

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
