// NATS comes and goes: what the bus does meanwhile, and which gaps it reports.
#include <doctest/doctest.h>

#include "core/wire/ack.h"
#include "tests/integration/nats_world.h"

namespace bascule {
namespace {

TEST_CASE("nats reconnect: a gap from before the loss to after the return, then messages flow") {
  NatsWorld w;
  w.StartBus();
  auto feed = w.OpenAndListen("foo");
  {
    PlainClient client(w.server->url());
    client.Publish("foo", "before");
    client.Flush();
    REQUIRE(w.Hears(1));
  }
  const Timestamp before = RealClock().Wall();
  w.server->Kill();
  REQUIRE(Eventually([&] { return !w.bus->connected(); }));
  const Timestamp down = RealClock().Wall();
  REQUIRE(w.server->Restart().ok());
  REQUIRE(Eventually([&] { return !w.partition.gaps().empty(); }));
  const GapReport gap = w.partition.gaps()[0];
  CHECK(gap.reason == GapReason::kDisconnected);
  CHECK(gap.count == -1);
  CHECK(gap.from <= before);
  CHECK(gap.to >= down);
  // Whoever saw the gap's end may publish and be heard.
  PlainClient client(w.server->url());
  client.Publish("foo", "after");
  client.Flush();
  REQUIRE(w.Hears(2));
  CHECK(w.partition.heard()[1].view().value == "after");
  CHECK(w.partition.gaps().size() == 1);
  REQUIRE(Eventually([&] { return w.bus->connected(); }));
  const Counters counters = w.bus->ReadCounters();
  CHECK(counters.at("nats_ingest_disconnects") == 1);
  w.Close(std::move(feed));
}

TEST_CASE("nats reconnect: a server that hangs is noticed too") {
  NatsWorld w;
  w.StartBus();
  auto feed = w.OpenAndListen("foo");
  w.server->Freeze();
  REQUIRE(Eventually([&] { return w.bus->ReadCounters()["nats_ingest_disconnects"] == 1; }));
  w.server->Thaw();
  REQUIRE(Eventually([&] { return !w.partition.gaps().empty() && w.bus->connected(); }));
  PlainClient client(w.server->url());
  client.Publish("foo", "after");
  CHECK(w.Hears(1));
  w.Close(std::move(feed));
}

TEST_CASE("nats reconnect: the bus starts before NATS does, and nothing was missed") {
  NatsWorld w;
  w.server->Stop();
  w.StartBus();
  CHECK(!w.bus->connected());
  FeedOptions options;
  options.subject = "foo";
  auto [feed, told] = w.Open(options, w.partition);
  PublishMessage message;
  CHECK(w.bus->Publish("foo", message).code() == absl::StatusCode::kUnavailable);
  auto inbox =
      w.bus->OpenAckInbox(std::nullopt, [](std::string_view) { return AckVerdict::kTaken; });
  REQUIRE(inbox.ok());
  CHECK(told.wait_for(std::chrono::seconds(0)) == std::future_status::timeout);
  REQUIRE(w.server->Restart().ok());
  REQUIRE(told.get().ok());
  PlainClient client(w.server->url());
  client.Publish("foo", "x");
  CHECK(w.Hears(1));
  CHECK(w.partition.gaps().empty());
  w.Close(std::move(feed));
}

TEST_CASE("nats reconnect: acks lost for lack of a connection are counted, inboxes survive") {
  NatsWorld w;
  w.StartBus();
  auto feed = w.OpenAndListen("foo");
  REQUIRE(Eventually([&] { return w.bus->connected(); }));
  std::atomic<int> acks{0};
  auto made = w.bus->OpenAckInbox(std::nullopt, [&](std::string_view) {
    ++acks;
    return AckVerdict::kTaken;
  });
  auto named = w.bus->OpenAckInbox("my.inbox", [&](std::string_view) {
    ++acks;
    return AckVerdict::kTaken;
  });
  REQUIRE(made.ok());
  REQUIRE(named.ok());
  w.server->Kill();
  REQUIRE(Eventually([&] { return !w.bus->connected(); }));
  Ack ack;
  ack.inbox = "anybody";
  // The connection that acks leave by may notice a little later than the other one.
  CHECK(Eventually([&] {
    w.bus->Send(std::span(&ack, 1));
    return w.bus->ReadCounters()["nats_acks_lost"] > 0;
  }));
  REQUIRE(w.server->Restart().ok());
  REQUIRE(Eventually([&] { return w.bus->connected(); }));
  for (const auto& inbox : {(*made)->subject(), (*named)->subject()}) {
    PublishMessage message;
    message.ack_inbox = inbox;
    // The subscriptions of both connections return before the connection says that it is up.
    REQUIRE(w.bus->Publish("foo", message).ok());
  }
  CHECK(Eventually([&] { return acks == 2; }));
  w.Close(std::move(feed));
}

TEST_CASE("nats reconnect: one feed too many costs the others nothing, not even a moment") {
  NatsServerOptions server;
  server.config = "max_subscriptions: 3\n";
  NatsWorld w(server);
  w.StartBus();
  auto feed = w.OpenAndListen("a");
  std::vector<std::unique_ptr<SubjectFeed>> more;
  std::vector<std::future<absl::Status>> told;
  for (const auto* subject : {"b", "c", "d", "e"}) {
    FeedOptions options;
    options.subject = subject;
    auto [opened, listening] = w.Open(options, w.partition);
    more.push_back(std::move(opened));
    told.push_back(std::move(listening));
  }
  CHECK(told[0].get().ok());
  CHECK(told[1].get().ok());
  CHECK(absl::IsResourceExhausted(told[2].get()));
  CHECK(absl::IsResourceExhausted(told[3].get()));
  // Those that have no place get it when others go.
  PlainClient client(w.server->url());
  const size_t before = w.partition.size();
  w.Close(std::move(more[0]));
  w.Close(std::move(more[1]));
  for (size_t heard = 0; const auto* subject : {"d", "e"}) {
    ++heard;
    REQUIRE(Eventually([&] {
      client.Publish(subject, "x");
      client.Flush();
      return w.partition.size() >= before + heard;
    }));
  }
  CHECK(w.bus->ReadCounters()["nats_ingest_connects"] == 1);
  CHECK(w.bus->ReadCounters()["nats_ingest_disconnects"] == 0);
  CHECK(w.partition.gaps().empty());
  w.Close(std::move(more[2]));
  w.Close(std::move(more[3]));
  w.Close(std::move(feed));
}

TEST_CASE("nats reconnect: a connection closed for good costs one gap, each time") {
  NatsServerOptions server;
  server.user = "me";
  server.password = "right";
  NatsWorld w(server);
  w.options.user = "me";
  w.options.password = "right";
  w.StartBus();
  auto feed = w.OpenAndListen("foo");
  for (size_t round = 1; round <= 3; ++round) {
    const uint64_t errors = w.bus->ReadCounters()["nats_ingest_errors"];
    w.server->Kill();
    REQUIRE(Eventually([&] { return !w.bus->connected(); }));
    const Timestamp down = RealClock().Wall();
    w.server->options().password = "another";
    REQUIRE(w.server->Restart().ok());
    REQUIRE(Eventually([&] { return w.bus->ReadCounters()["nats_ingest_errors"] >= errors + 2; }));
    w.server->Kill();
    w.server->options().password = "right";
    REQUIRE(w.server->Restart().ok());
    REQUIRE(Eventually([&] { return w.bus->connected(); }));
    PlainClient client(Concat("nats://me:right@127.0.0.1:", w.server->port()));
    client.Publish("foo", "after");
    client.Flush();
    REQUIRE(w.Hears(round));
    REQUIRE(w.partition.gaps().size() == round);
    CHECK(w.partition.gaps().back().reason == GapReason::kDisconnected);
    CHECK(w.partition.gaps().back().from <= down);
    CHECK(w.partition.gaps().back().to >= down);
  }
  w.Close(std::move(feed));
}

TEST_CASE("nats reconnect: a feed that is closed takes no other with it, now or later") {
  NatsWorld w;
  w.StartBus();
  constexpr size_t kFeeds = 6;
  constexpr size_t kOpen = 1;
  std::vector<std::unique_ptr<NotingPartition>> heard;
  std::vector<std::unique_ptr<SubjectFeed>> feeds;
  for (size_t i = 0; i < kFeeds; ++i) {
    heard.push_back(std::make_unique<NotingPartition>());
    FeedOptions options;
    options.subject = Concat("s.", i);
    feeds.push_back(w.OpenAndListen(options, *heard.back()));
  }
  std::vector<size_t> expected(kFeeds, 0);
  const auto check = [&] {
    PlainClient client(w.server->url());
    for (size_t i = 0; i < kFeeds; ++i) {
      client.Publish(Concat("s.", i), "x");
      if (feeds[i] != nullptr) ++expected[i];
    }
    // Behind all of them, to one that is open: what a closed one would hear is there when it is.
    client.Publish(Concat("s.", kOpen), "fence");
    ++expected[kOpen];
    client.Flush();
    for (size_t i = 0; i < kFeeds; ++i) {
      CAPTURE(i);
      REQUIRE(Eventually([&] { return heard[i]->size() >= expected[i]; }));
    }
    for (size_t i = 0; i < kFeeds; ++i) {
      CAPTURE(i);
      CHECK(heard[i]->size() == expected[i]);
    }
  };
  check();
  // In the middle, the last, the first, another in the middle.
  for (const size_t closed : {size_t{2}, kFeeds - 1, size_t{0}, size_t{3}}) {
    CAPTURE(closed);
    w.Close(std::move(feeds[closed]));
    check();
    w.Reconnect();
    check();
  }
  for (auto& feed : feeds) {
    if (feed != nullptr) w.Close(std::move(feed));
  }
}

TEST_CASE("nats reconnect: feeds end while messages are in flight") {
  NatsWorld w;
  w.StartBus();
  PlainClient client(w.server->url());
  const std::string payload(128, 'x');
  for (int round = 0; round < 20; ++round) {
    auto partition = std::make_unique<NotingPartition>();
    FeedOptions options;
    options.subject = "flood";
    auto feed = w.OpenAndListen(options, *partition);
    for (int i = 0; i < 2000; ++i) client.Publish("flood", payload);
    natsConnection_Flush(client.get());
    w.Close(std::move(feed));
    // Nothing may reach it from here on, though there are messages for it still.
    std::promise<void> gone;
    w.shard.Post([&] {
      partition.reset();
      gone.set_value();
    });
    gone.get_future().get();
  }
}

TEST_CASE("nats reconnect: stopping with everything open") {
  for (int round = 0; round < 5; ++round) {
    NatsWorld w;
    w.StartBus();
    auto feed = w.OpenAndListen("foo");
    auto inbox =
        w.bus->OpenAckInbox("acks.here", [](std::string_view) { return AckVerdict::kTaken; });
    PlainClient client(w.server->url());
    for (int i = 0; i < 1000; ++i) client.Publish("foo", "x");
    w.bus->Stop();
    CHECK(!w.bus->connected());
    CHECK(w.bus->Publish("foo", PublishMessage{}).code() == absl::StatusCode::kUnavailable);
    w.Close(std::move(feed));
  }
}

}  // namespace
}  // namespace bascule
