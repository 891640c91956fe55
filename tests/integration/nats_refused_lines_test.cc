// What NATS would drop a connection over never leaves, and harms nobody else.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>

#include "core/wire/ack.h"
#include "nats_bridge/publish_envelope.h"
#include "tests/integration/nats_world.h"
#include "tests/support/side_thread.h"

namespace bascule {
namespace {

constexpr size_t kTooLong = 5000;

// Publishes to "honest" and waits for each ack, one at a time.
class HonestPublisher {
 public:
  explicit HonestPublisher(NatsWorld& w) : world_(w), feed_(w.OpenAndListen("honest")) {
    auto inbox = w.bus->OpenAckInbox(std::nullopt, [this](std::string_view) {
      ++acks_;
      acks_.notify_all();
      return AckVerdict::kTaken;
    });
    REQUIRE(inbox.ok());
    inbox_ = *std::move(inbox);
  }
  ~HonestPublisher() {
    inbox_.reset();
    world_.Close(std::move(feed_));
  }
  // The slowest but two of `count` (300: the 99th percentile).
  std::chrono::nanoseconds Round(int count) {
    std::vector<std::chrono::nanoseconds> waits;
    for (int i = 0; i < count; ++i) {
      PublishMessage message;
      message.ack_inbox = inbox_->subject();
      const int wanted = ++sent_;
      const auto begun = std::chrono::steady_clock::now();
      REQUIRE(world_.bus->Publish("honest", message).ok());
      REQUIRE(Eventually([&] { return acks_ >= wanted; }));
      waits.push_back(std::chrono::steady_clock::now() - begun);
    }
    std::sort(waits.begin(), waits.end());
    return waits[waits.size() * 99 / 100];
  }
  int sent() const { return sent_; }

 private:
  NatsWorld& world_;
  std::unique_ptr<SubjectFeed> feed_;
  std::unique_ptr<AckInbox> inbox_;
  std::atomic<int> acks_{0};
  std::atomic<int> sent_{0};
};

std::string EnvelopeTo(const std::string& inbox) {
  PublishMessage message;
  message.value = "v";
  message.ack_inbox = inbox;
  std::string bytes;
  nats::AppendPublishEnvelope(bytes, message);
  return bytes;
}

absl::Status Told(NatsWorld& w, std::unique_ptr<SubjectFeed>& feed, const std::string& subject,
                  const std::string& group = "") {
  FeedOptions options;
  options.subject = subject;
  options.group = group;
  auto [opened, told] = w.Open(options, w.partition);
  feed = std::move(opened);
  return told.get();
}

uint64_t Count(NatsWorld& w, const std::string& name) { return w.bus->ReadCounters()[name]; }

TEST_CASE("nats lines: what is too long is refused, and an honest publisher notices nothing") {
  NatsWorld w;
  w.StartBus();
  HonestPublisher honest(w);
  w.bus->discovery().AnswerQueries([](auto) { return std::string("here"); });
  PlainClient attacker(w.server->url());
  const std::string long_name(kTooLong, 'x');
  const auto attack = [&] {
    for (const std::string& inbox : {long_name, std::string(4086, 'y'), std::string("a b"),
                                     std::string("a..b"), std::string("a\r\nPUB x 0")}) {
      attacker.Publish("honest", EnvelopeTo(inbox));
    }
    // As much of a reply as NATS lets through: the answer's line may be no longer than the question's.
    const std::string reply = "ns.ack.discovery." + std::string(4040, 'z');
    REQUIRE(natsConnection_PublishRequest(attacker.get(), "ns.ack.discovery.ask", reply.c_str(),
                                          "?", 1) == NATS_OK);
    REQUIRE(natsConnection_PublishRequest(attacker.get(), "honest", reply.c_str(), "?", 1) ==
            NATS_OK);
    attacker.Flush();
    const absl::Status published = w.bus->Publish(long_name, PublishMessage());
    CHECK(published.code() == absl::StatusCode::kInvalidArgument);
    CHECK(published.message().find("max_control_line") != absl::string_view::npos);
    const auto inbox =
        w.bus->OpenAckInbox(long_name, [](std::string_view) { return AckVerdict::kTaken; });
    CHECK(inbox.status().code() == absl::StatusCode::kInvalidArgument);
    std::unique_ptr<SubjectFeed> feed;
    // A stream that was made before there was a bound.
    const absl::Status told = Told(w, feed, std::string(3000, 's'), std::string(1090, 'g'));
    CHECK(told.code() == absl::StatusCode::kInvalidArgument);
    CHECK(told.message().find("max_control_line") != absl::string_view::npos);
    CHECK(Count(w, "nats_ingest_subscriptions_refused") == 1);
    w.Close(std::move(feed));
    CHECK(Eventually([&] { return Count(w, "nats_ingest_subscriptions_refused") == 0; }));
  };
  // The machine may be busy with something else in one round; in all of them it is the attack.
  bool steady = false;
  int attacks = 0;
  for (int round = 0; round < 5 && !steady; ++round) {
    const auto undisturbed = honest.Round(300);
    SideThread attacking([&](const std::atomic<bool>& over) {
      for (int seen = honest.sent(); !over; seen = honest.sent()) {
        attack();
        ++attacks;
        Eventually([&] { return over || honest.sent() >= seen + 5; });
      }
    });
    const auto disturbed = honest.Round(300);
    attacking.Stop();
    MESSAGE("p99 of a publish: ", undisturbed.count() / 1000, " us undisturbed, ",
            disturbed.count() / 1000, " us under attack");
    steady = disturbed <= 3 * undisturbed;
  }
  CHECK(steady);
  // Everything was stored, the messages with the bad inboxes too, and no connection was lost.
  const size_t stored = static_cast<size_t>(honest.sent() + attacks * 6);
  CHECK(w.Hears(stored));
  CHECK(w.partition.size() == stored);
  for (const auto* side : {"nats_ingest", "nats_egress"}) {
    CHECK(Count(w, Concat(side, "_connects")) == 1);
    CHECK(Count(w, Concat(side, "_disconnects")) == 0);
  }
  CHECK(w.partition.gaps().empty());
  CHECK(Count(w, "nats_invalid_ack_inboxes") == static_cast<uint64_t>(attacks) * 5);
  CHECK(Count(w, "nats_egress_lines_refused") >= static_cast<uint64_t>(attacks) * 2);
}

TEST_CASE("nats lines: a refused feed is counted once, however often it is tried") {
  NatsServerOptions server;
  server.config = "max_control_line: 1024\n";
  NatsWorld w(server);
  w.StartBus();
  std::unique_ptr<SubjectFeed> first, second;
  CHECK_FALSE(Told(w, first, std::string(3000, 's'), std::string(1090, 'g')).ok());
  CHECK(Count(w, "nats_ingest_subscriptions_refused") == 1);
  REQUIRE(Eventually([&] { return w.bus->connected(); }));
  // The server ends the connection over this one; on the next one both are tried again.
  CHECK_FALSE(Told(w, second, std::string(2000, 's')).ok());
  REQUIRE(Eventually([&] { return w.bus->connected(); }));
  CHECK(Count(w, "nats_ingest_connects") >= 2);
  CHECK(Count(w, "nats_ingest_subscriptions_refused") == 2);
  w.Close(std::move(first));
  CHECK(Eventually([&] { return Count(w, "nats_ingest_subscriptions_refused") == 1; }));
  w.Close(std::move(second));
  CHECK(Eventually([&] { return Count(w, "nats_ingest_subscriptions_refused") == 0; }));
}

TEST_CASE("nats lines: a server that takes less is believed, and what fits lives") {
  NatsServerOptions server;
  server.config = "max_control_line: 1024\n";
  NatsWorld w(server);
  w.StartBus();
  {
    HonestPublisher honest(w);
    std::unique_ptr<SubjectFeed> deaf;
    const absl::Status told = Told(w, deaf, std::string(2000, 's'));
    CHECK(told.code() == absl::StatusCode::kInvalidArgument);
    REQUIRE(Eventually([&] { return w.bus->connected(); }));
    const uint64_t ingest = Count(w, "nats_ingest_connects");
    CHECK(ingest <= 3);
    // Egress learns it likewise, from the acks to a long inbox. One at a time: a server that closes
    // with more behind the long line unread resets the connection, and its reason is not heard.
    PlainClient client(w.server->url());
    for (const size_t length : {3000, 1500, 3000, 1500}) {
      const uint64_t refused = Count(w, "nats_acks_refused");
      const auto is_refused = [&] { return Count(w, "nats_acks_refused") > refused; };
      for (int sent = 0; sent < 2 && !is_refused(); ++sent) {
        const uint64_t connects = Count(w, "nats_egress_connects");
        client.Publish("honest", EnvelopeTo(std::string(length, 'i')));
        client.Flush();
        CHECK(Eventually(
            [&] { return is_refused() || Count(w, "nats_egress_connects") > connects; }));
      }
      CHECK(is_refused());
    }
    REQUIRE(Eventually([&] { return w.bus->connected(); }));
    const uint64_t egress = Count(w, "nats_egress_connects");
    CHECK(egress <= 3);  // lost once over each length
    honest.Round(100);
    CHECK(Count(w, "nats_egress_connects") == egress);
    CHECK(Count(w, "nats_ingest_connects") == ingest);
    w.Close(std::move(deaf));
  }
}

TEST_CASE("nats lines: beyond max_subscriptions a feed is deaf and says so, the others live") {
  NatsServerOptions server;
  server.config = "max_subscriptions: 5\n";
  NatsWorld w(server);
  w.StartBus();
  std::vector<std::unique_ptr<SubjectFeed>> feeds;
  std::vector<std::future<absl::Status>> told;
  for (int i = 0; i < 12; ++i) {
    FeedOptions options;
    options.subject = Concat("s.", i);
    auto [feed, future] = w.Open(options, w.partition);
    feeds.push_back(std::move(feed));
    told.push_back(std::move(future));
  }
  std::vector<size_t> heard, deaf;
  for (size_t i = 0; i < told.size(); ++i) {
    const absl::Status status = told[i].get();
    if (!status.ok()) {
      CHECK(status.code() == absl::StatusCode::kResourceExhausted);
      CHECK(status.message().find("max_subscriptions") != absl::string_view::npos);
    }
    (status.ok() ? heard : deaf).push_back(i);
  }
  CHECK(heard.size() == 5);
  CHECK(Count(w, "nats_ingest_subscriptions_refused") == 7);
  REQUIRE(Eventually([&] { return w.bus->connected(); }));
  const uint64_t connects = Count(w, "nats_ingest_connects");
  PlainClient client(w.server->url());
  for (int round = 0; round < 2; ++round) {
    const size_t before = w.partition.size();
    for (const size_t i : heard) client.Publish(Concat("s.", i), "x");
    CHECK(w.Hears(before + heard.size()));
  }
  // A place that is given back is taken by one that waited for it, twice over.
  for (int round = 0; round < 2; ++round) {
    w.Close(std::move(feeds[heard.back()]));
    heard.pop_back();
    const uint64_t waiting = deaf.size() - static_cast<size_t>(round) - 1;
    CHECK(Eventually([&] { return Count(w, "nats_ingest_subscriptions_refused") == waiting; }));
  }
  const size_t before = w.partition.size();
  CHECK(Eventually([&] {
    for (const size_t i : deaf) client.Publish(Concat("s.", i), "x");
    client.Flush();
    return w.partition.size() >= before + 2;
  }));
  CHECK(Count(w, "nats_ingest_connects") == connects);
  for (auto& feed : feeds) {
    if (feed != nullptr) w.Close(std::move(feed));
  }
}

}  // namespace
}  // namespace bascule
