// What waits for a shard, and what happens when it is full.
#include "nats_bridge/ingest_queue.h"

#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <string>

#include "core/env/thread_executor.h"
#include "tests/support/sim_clock.h"
#include "tests/unit/nats_ingest_world.h"

namespace bascule::nats {
namespace {

// A queue of its own, small enough to fill.
struct SmallQueue {
  SimClock clock;
  IngestCounts counts;
  FakePartition partition;
  ThreadExecutor shard{"shard", 1};
  std::shared_ptr<IngestQueue> queue =
      std::make_shared<IngestQueue>(shard, clock, counts, 100'000, 50'000);
  std::shared_ptr<FeedState> feed = std::make_shared<FeedState>(partition, *queue);

  bool Add(size_t bytes) {
    const bool taken = queue->Add(feed, bytes, [&](IngressBatch& batch, IngressRecord& record) {
      record.body = batch.Add(std::string(bytes, 'b'));
      record.payload_bytes = static_cast<uint32_t>(bytes);
    });
    queue->Deliver();
    return taken;
  }
  // Runs `work` on the shard and waits for it and all that was posted before.
  void OnShard(Task work) {
    std::atomic<bool> done{false};
    shard.Post([&] {
      work();
      done = true;
      done.notify_all();
    });
    done.wait(false);
  }
};

TEST_CASE("nats ingest: a full queue drops, counts exactly, and reports once there is room") {
  SmallQueue q;
  q.partition.hold = true;
  int taken = 0;
  int dropped = 0;
  for (int i = 0; i < 300; ++i) {
    q.clock.Advance(Duration(10));
    ++(q.Add(1000) ? taken : dropped);
  }
  CHECK(taken > 0);
  CHECK(dropped > 0);
  CHECK(q.counts.dropped == static_cast<uint64_t>(dropped));
  // The partition still holds the batches: no room, no report yet.
  q.OnShard([&] { CHECK(q.partition.gaps.empty()); });
  CHECK(q.partition.seen.size() == static_cast<size_t>(taken));
  q.OnShard([&] {
    q.partition.hold = false;
    q.partition.held.clear();
  });
  q.OnShard([] {});  // what the release posted
  REQUIRE(q.partition.gaps.size() == 1);
  CHECK(q.partition.gaps[0].reason == GapReason::kQueueFull);
  CHECK(q.partition.gaps[0].count == dropped);
  CHECK(q.partition.gaps[0].to - q.partition.gaps[0].from == 10 * (dropped - 1));
  CHECK(q.Add(1000));
  q.shard.Stop();
  CHECK(q.partition.order == std::string(static_cast<size_t>(taken), 'm') + "gm");
  CHECK(q.queue->held_bytes() == 0);
}

TEST_CASE("nats ingest: each overload is one gap of its own for each feed that lost, every time") {
  SmallQueue q;
  FakePartition other;
  const auto second = std::make_shared<FeedState>(other, *q.queue);
  for (size_t round = 1; round <= 3; ++round) {
    const uint64_t dropped_before = q.counts.dropped;
    q.OnShard([&] { q.partition.hold = true; });
    int64_t dropped = 0;
    while (dropped < 7 + static_cast<int64_t>(round)) {
      q.clock.Advance(Duration(10));
      if (!q.Add(1000)) ++dropped;
    }
    if (round == 2) {
      CHECK_FALSE(q.queue->Add(second, 100, [](IngressBatch&, IngressRecord&) {}));
    }
    q.OnShard([&] { CHECK(q.partition.gaps.size() == round - 1); });
    q.OnShard([&] {
      q.partition.hold = false;
      q.partition.held.clear();
    });
    q.OnShard([] {});  // what the release posted
    REQUIRE(q.partition.gaps.size() == round);
    CHECK(q.partition.gaps.back().count == dropped);
    CHECK(q.partition.gaps.back().to - q.partition.gaps.back().from == 10 * (dropped - 1));
    CHECK(other.gaps.size() == (round >= 2 ? 1 : 0));
    CHECK(q.counts.dropped - dropped_before ==
          static_cast<uint64_t>(dropped) + (round == 2 ? 1 : 0));
    CHECK(q.queue->held_bytes() ==
          0);  // all of it is given back: as much fits as in the first round
  }
  CHECK(other.gaps[0].count == 1);
  q.shard.Stop();
}

TEST_CASE("nats ingest: an empty queue takes a message larger than its bound") {
  SmallQueue q;
  std::atomic<bool> go{false};
  q.shard.Post([&] { go.wait(false); });  // till then it is not empty
  CHECK(q.Add(150'000));
  CHECK(!q.Add(1000));
  go = true;
  go.notify_all();
  q.shard.Stop();
  CHECK(q.partition.seen.size() == 1);
}

TEST_CASE("nats ingest: gaps from elsewhere keep their place between messages") {
  SmallQueue q;
  std::atomic<bool> go{false};
  q.shard.Post([&] { go.wait(false); });
  q.Add(10);
  q.queue->AddGap(q.feed, GapReport{Timestamp(1), Timestamp(2), GapReason::kDisconnected, -1});
  q.Add(10);
  go = true;
  go.notify_all();
  q.shard.Stop();
  CHECK(q.partition.order == "mgm");
  CHECK(q.partition.gaps[0].count == -1);
}

}  // namespace
}  // namespace bascule::nats
