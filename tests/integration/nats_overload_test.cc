// More than the process can take: what is dropped is counted to the message and reported as gaps;
// and many feeds.
#include <doctest/doctest.h>

#include <atomic>
#include <cstdlib>
#include <numeric>

#include "absl/strings/numbers.h"
#include "nats_bridge/nats_connection.h"
#include "nats_bridge/outlet.h"
#include "tests/integration/nats_world.h"
#include "tests/support/side_thread.h"

namespace bascule {
namespace {

int64_t Missing(const std::vector<GapReport>& gaps) {
  return std::accumulate(gaps.begin(), gaps.end(), int64_t{0},
                         [](int64_t sum, const GapReport& gap) { return sum + gap.count; });
}

TEST_CASE("nats overload: a shard that does not keep up costs an exact number of messages") {
  NatsWorld w;
  w.StartBus();
  auto feed = w.OpenAndListen("big");
  std::atomic<bool> stuck{true};
  w.shard.Post([&] { stuck.wait(true); });
  PlainClient client(w.server->url());
  const std::string payload(128 * 1024, 'x');
  constexpr uint64_t kCount = 1500;  // 187 MiB: more than the queue, less than the client's bound
  for (uint64_t i = 0; i < kCount; ++i) client.Publish("big", payload);
  client.Flush();
  const auto count = [&](const char* name) { return w.bus->ReadCounters()[name]; };
  REQUIRE(Eventually([&] {
    return count("nats_messages_received") + count("nats_messages_dropped_queue_full") == kCount;
  }));
  const uint64_t dropped = count("nats_messages_dropped_queue_full");
  CHECK(dropped > 0);
  CHECK(count("nats_ingest_bytes_held") <= limits::kIngressQueueBytes + limits::kMiB);
  stuck = false;
  stuck.notify_all();
  REQUIRE(Eventually([&] { return Missing(w.partition.gaps()) == static_cast<int64_t>(dropped); }));
  CHECK(w.partition.size() == kCount - dropped);
  CHECK(w.partition.gaps()[0].reason == GapReason::kQueueFull);
  // It goes on as if nothing had been.
  client.Publish("big", "small");
  CHECK(w.Hears(kCount - dropped + 1));
  CHECK(count("nats_gap_reports") == 1);
  w.Close(std::move(feed));
}

TEST_CASE(
    "nats overload: a server that does not read fills the outgoing buffer, and gets it all later") {
  NatsWorld w;
  w.StartBus();
  PlainClient client(w.server->url());
  std::atomic<int64_t> arrived{0};
  natsSubscription* sub = nullptr;
  REQUIRE(natsConnection_Subscribe(
              &sub, client.get(), "out",
              [](natsConnection*, natsSubscription*, natsMsg* msg, void* count) {
                ++*static_cast<std::atomic<int64_t>*>(count);
                natsMsg_Destroy(msg);
              },
              &arrived) == NATS_OK);
  client.Flush();
  REQUIRE(Eventually([&] { return w.bus->connected(); }));
  w.server->Freeze();
  const std::string payload(256 * 1024, 'x');
  PublishMessage message;
  message.value = payload;
  int64_t taken = 0;
  absl::Status status;
  while ((status = w.bus->Publish("out", message)).ok()) ++taken;
  CHECK_MESSAGE(status.code() == absl::StatusCode::kResourceExhausted, status.ToString());
  CHECK(taken > 64);
  w.server->Thaw();
  CHECK(Eventually([&] { return arrived == taken; }));
  CHECK(w.bus->Publish("out", message).ok());
  natsSubscription_Destroy(sub);
}

TEST_CASE("nats overload: after a burst the egress thread sleeps again") {
  auto server = NatsServer::Start();
  REQUIRE(server.ok());
  nats::NatsOptions options;
  options.urls = {(*server)->url()};
  auto egress = nats::NatsConnection::Start(options, RealClock(), 1);
  REQUIRE(egress.ok());
  REQUIRE(Eventually([&] { return (*egress)->connected(); }));
  const std::string payload(256 * 1024, 'x');
  const nats::EgressLoop& loop = (*egress)->loop();
  for (int burst = 0; burst < 2; ++burst) {
    (*server)->Freeze();
    while (nats::Outlet(**egress).Publish("out", payload).ok()) {
    }
    CHECK(Eventually([&] { return loop.waits_for_room(); }));
    (*server)->Thaw();
    CHECK(Eventually([&] { return natsConnection_Buffered((*egress)->Current().get()) <= 0; }));
    // Watched for room when there is nothing to write, the socket would wake it without end.
    CHECK(Eventually([&] { return !loop.waits_for_room(); }));
    CHECK(nats::Outlet(**egress).Publish("out", "next").ok());
  }
  (*egress)->Stop();
}

// Checks that what it hears is its own, in order, and nothing once it is closed.
class CheckingPartition final : public PartitionIngress {
 public:
  explicit CheckingPartition(std::string subject) : subject_(std::move(subject)) {}
  void Enqueue(const std::shared_ptr<const IngressBatch>& batch,
               const IngressRecord& record) override {
    wire::RecordView view;
    int64_t number = -1;
    const bool sound = !closed && batch->View(record.subject) == subject_ &&
                       wire::ParseBody(batch->View(record.body), view) && view.value.has_value() &&
                       absl::SimpleAtoi(ToAbsl(*view.value), &number) && number > last_;
    wrong += sound ? 0 : 1;
    last_ = number;
    ++heard;
  }
  void AppendPending() override {}
  void RecordGap(const GapReport&) override { ++gaps; }
  std::atomic<uint64_t> heard{0}, wrong{0}, gaps{0};
  bool closed = false;  // of the shard

 private:
  const std::string subject_;
  int64_t last_ = -1;
};

TEST_CASE("nats overload: feeds open and close in a flood, and each hears its own in order") {
  const char* wanted = std::getenv("BASCULE_TEST_NATS_FLOOD");
  int seconds = 2;
  if (wanted != nullptr) REQUIRE(absl::SimpleAtoi(wanted, &seconds));
  constexpr size_t kFeeds = 24;
  NatsWorld w;
  w.StartBus();
  SideThread flood([&](const std::atomic<bool>& stop) {
    PlainClient client(w.server->url());
    for (int64_t number = 0; !stop; ++number) {
      for (size_t i = 0; i < kFeeds; ++i) client.Publish(Concat("flood.", i), Concat(number));
      if (number % 64 == 0) client.Flush();
    }
  });
  std::vector<std::unique_ptr<CheckingPartition>> partitions(kFeeds);
  std::vector<std::unique_ptr<SubjectFeed>> feeds(kFeeds);
  uint64_t opened = 0;
  uint64_t heard = 0;
  uint64_t wrong = 0;
  uint64_t gaps = 0;
  const auto close = [&](size_t i) {
    if (feeds[i] == nullptr) return;
    std::promise<void> done;
    w.shard.Post([&] {
      feeds[i].reset();
      partitions[i]->closed = true;
      done.set_value();
    });
    done.get_future().get();
    // Behind whatever was on its way.
    std::promise<void> later;
    w.shard.Post([&] { later.set_value(); });
    later.get_future().get();
    heard += partitions[i]->heard;
    wrong += partitions[i]->wrong;
    gaps += partitions[i]->gaps;
    partitions[i].reset();
  };
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  for (size_t turn = 0; std::chrono::steady_clock::now() < until; ++turn) {
    const size_t i = (turn * 7) % kFeeds;
    close(i);
    FeedOptions options;
    options.subject = Concat("flood.", i);
    partitions[i] = std::make_unique<CheckingPartition>(options.subject);
    auto [feed, told] = w.Open(options, *partitions[i]);
    feeds[i] = std::move(feed);
    ++opened;
    if (turn % 3 == 0) REQUIRE(told.get().ok());
  }
  flood.Stop();
  for (size_t i = 0; i < kFeeds; ++i) close(i);
  CHECK(wrong == 0);
  CHECK(heard > 1000);
  // A server ends a client that is too slow for the flood (under a sanitizer), and then there are gaps.
  const uint64_t cut = w.bus->ReadCounters()["nats_ingest_disconnects"];
  CHECK((gaps == 0) == (cut == 0));
  MESSAGE(opened, " feeds in ", seconds, " s, ", heard, " messages");
}

TEST_CASE("nats overload: ten thousand feeds, no thread each, all back after a reconnect") {
  NatsWorld w;
  w.StartBus();
  constexpr int kFeeds = 10'000;
  std::atomic<int> listening{0};
  std::vector<std::unique_ptr<SubjectFeed>> feeds;
  for (int i = 0; i < kFeeds; ++i) {
    FeedOptions options;
    options.subject = options.partition_subject = Concat("many.", i);
    options.max_message_bytes = 1024;
    feeds.push_back(w.bus->Open(options, w.partition, w.shard,
                                [&](absl::Status status) { listening += status.ok(); }));
  }
  REQUIRE(Eventually([&] { return listening == kFeeds; }));
  w.server->Kill();
  REQUIRE(w.server->Restart().ok());
  REQUIRE(Eventually([&] { return w.partition.gaps().size() == kFeeds; }));
  PlainClient client(w.server->url());
  for (int i = 0; i < kFeeds; ++i) client.Publish(Concat("many.", i), "x");
  client.Flush();
  CHECK(w.Hears(kFeeds));
  std::promise<void> closed;
  w.shard.Post([&] {
    feeds.clear();
    closed.set_value();
  });
  closed.get_future().get();
}

}  // namespace
}  // namespace bascule
