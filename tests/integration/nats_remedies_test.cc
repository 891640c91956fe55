// What the bus says to do about NATS, done: each remedy that a message names is carried out, and works.
#include <doctest/doctest.h>

#include <fstream>

#include "tests/integration/nats_world.h"

namespace bascule {
namespace {

absl::Status ListensTo(NatsWorld& w, std::unique_ptr<SubjectFeed>& feed,
                       const std::string& subject) {
  FeedOptions options;
  options.subject = subject;
  auto [opened, told] = w.Open(options, w.partition);
  feed = std::move(opened);
  return told.get();
}

// As after an operator changed the server's configuration and restarted this broker.
void RestartBoth(NatsWorld& w, const std::string& config) {
  w.bus->Stop();
  w.bus.reset();
  w.server->Stop();
  w.server->options().config = config;
  REQUIRE(w.server->Restart().ok());
  w.StartBus();
}

TEST_CASE("nats remedies: max_control_line raised, and this broker restarted") {
  NatsServerOptions server;
  server.config = "max_control_line: 1024\n";
  NatsWorld w(server);
  w.StartBus();
  std::unique_ptr<SubjectFeed> feed;
  const std::string subject(2000, 's');
  const absl::Status refused = ListensTo(w, feed, subject);
  CHECK(refused.message().find("max_control_line") != absl::string_view::npos);
  w.Close(std::move(feed));
  RestartBoth(w, Concat("max_control_line: ", limits::kNatsControlLineBytes, "\n"));
  CHECK(ListensTo(w, feed, subject).ok());
  w.Close(std::move(feed));
}

TEST_CASE("nats remedies: max_subscriptions raised there; nothing here is restarted") {
  NatsServerOptions server;
  server.config = "max_subscriptions: 4\n";
  NatsWorld w(server);
  w.StartBus();
  std::vector<std::unique_ptr<SubjectFeed>> feeds(8);
  size_t refused = 0;
  for (size_t i = 0; i < feeds.size(); ++i)
    refused += !ListensTo(w, feeds[i], Concat("s.", i)).ok();
  CHECK(refused == 4);
  w.server->Kill();
  w.server->options().config = "max_subscriptions: 100\n";
  REQUIRE(w.server->Restart().ok());
  const auto count = [&](const char* name) { return w.bus->ReadCounters()[name]; };
  CHECK(Eventually([&] { return count("nats_ingest_subscriptions_refused") == 0; }));
  REQUIRE(Eventually([&] { return w.bus->connected(); }));
  PlainClient client(w.server->url());
  for (size_t i = 0; i < feeds.size(); ++i) client.Publish(Concat("s.", i), "x");
  CHECK(w.Hears(feeds.size()));
  for (auto& feed : feeds) w.Close(std::move(feed));
}

TEST_CASE("nats remedies: max_payload raised there; nothing here is restarted") {
  NatsWorld w;
  w.StartBus();
  REQUIRE(Eventually([&] { return w.bus->connected(); }));
  const std::string large(1536 * 1024, 'x');
  PublishMessage message;
  message.value = large;
  CHECK(w.bus->Publish("foo", message).message() == "nats: maximum payload exceeded");
  w.server->Stop();
  w.server->options().config = "max_payload: 2097152\n";
  REQUIRE(w.server->Restart().ok());
  CHECK(Eventually([&] { return w.bus->connected() && w.bus->Publish("foo", message).ok(); }));
}

TEST_CASE("nats remedies: a server without TLS gets it, or is not asked for it") {
  NatsWorld w;
  const std::string plain = w.server->url();
  w.options.urls = {Concat("tls://127.0.0.1:", w.server->port())};
  w.StartBus();
  REQUIRE(Eventually([&] { return w.bus->ReadCounters()["nats_ingest_errors"] > 0; }));
  CHECK_FALSE(w.bus->connected());
  w.bus->Stop();
  w.options.urls = {plain};
  w.StartBus();
  CHECK(Eventually([&] { return w.bus->connected(); }));
}

TEST_CASE("nats remedies: of several ways to log in each alone is taken") {
  const TempDir files;
  nats::NatsOptions options;
  options.user = "me";
  options.password = "secret";
  options.token = "t0ken";
  const auto start = [](const nats::NatsOptions& with) {
    return nats::NatsBus::Start(with, RealClock(), RealRng()).status();
  };
  CHECK(start(options).message().find("keep one") != absl::string_view::npos);
  nats::NatsOptions one = options;
  one.token.clear();
  CHECK(start(one).ok());
  one = options;
  one.user.clear();
  CHECK(start(one).ok());
}

}  // namespace
}  // namespace bascule
