// Brokers that find each other over a real nats-server.
#include <doctest/doctest.h>

#include <set>

#include "tests/integration/nats_world.h"

namespace bascule {
namespace {

// What was found, each once.
class Findings {
 public:
  absl::AnyInvocable<void(std::string_view)> Taker() {
    return [this](std::string_view answer) {
      const std::lock_guard lock(mutex_);
      found_.insert(std::string(answer));
      ++count_;
    };
  }
  bool Has(const std::set<std::string>& wanted) {
    return Eventually([&] {
      const std::lock_guard lock(mutex_);
      return found_ == wanted;
    });
  }
  size_t count() {
    const std::lock_guard lock(mutex_);
    return count_;
  }

 private:
  std::mutex mutex_;
  std::set<std::string> found_;
  size_t count_ = 0;
};

std::unique_ptr<nats::NatsBus> StartBus(const nats::NatsOptions& options) {
  auto bus = nats::NatsBus::Start(options, RealClock(), RealRng());
  REQUIRE_MESSAGE(bus.ok(), bus.status().ToString());
  return *std::move(bus);
}

TEST_CASE("nats discovery: everybody of the namespace who has an answer is found") {
  NatsWorld w;
  w.StartBus();
  const auto second = StartBus(w.options);
  const auto silent = StartBus(w.options);
  nats::NatsOptions elsewhere = w.options;
  elsewhere.cluster_namespace = "other";
  const auto foreign = StartBus(elsewhere);
  w.bus->discovery().AnswerQueries([](auto question) { return Concat("first: ", question); });
  second->discovery().AnswerQueries([](auto question) { return Concat("second: ", question); });
  silent->discovery().AnswerQueries([](auto) { return std::string(); });
  foreign->discovery().AnswerQueries([](auto) { return std::string("foreign"); });
  Findings findings;
  {
    // Asked until somebody has subscribed: nothing here is told when that is.
    const auto query = w.bus->discovery().Ask("who?", findings.Taker());
    CHECK(findings.Has({"first: who?", "second: who?"}));
    const size_t count = findings.count();
    CHECK(Eventually([&] { return findings.count() >= count + 2; }));  // it asks again
  }
  const size_t count = findings.count();
  Findings others;
  const auto query = second->discovery().Ask("and now?", others.Taker());
  CHECK(others.Has({"first: and now?", "second: and now?"}));
  CHECK(findings.count() == count);  // nothing after its end
  CHECK(foreign->ReadCounters().at("nats_discovery_heard") == 0);
}

TEST_CASE("nats discovery: a later answer replaces the first, and a lost server is outlived") {
  NatsWorld w;
  w.StartBus();
  w.bus->discovery().AnswerQueries([](auto) { return std::string("old"); });
  w.bus->discovery().AnswerQueries([](auto) { return std::string("new"); });
  Findings before, after;
  const auto first = w.bus->discovery().Ask("?", before.Taker());
  CHECK(before.Has({"new"}));
  w.server->Kill();
  REQUIRE(Eventually([&] { return !w.bus->connected(); }));
  const auto second = w.bus->discovery().Ask("?", after.Taker());
  REQUIRE(w.server->Restart().ok());
  CHECK(after.Has({"new"}));
  w.bus->Stop();
}

TEST_CASE("nats discovery: questions of anybody else are answered to discovery's inboxes only") {
  NatsWorld w;
  w.StartBus();
  std::atomic<int> asked = 0;
  w.bus->discovery().AnswerQueries([&](auto) {
    ++asked;
    return std::string("answer");
  });
  Findings findings;
  const auto query = w.bus->discovery().Ask("ready?", findings.Taker());
  REQUIRE(findings.Has({"answer"}));
  const auto count = [&](const char* name) { return w.bus->ReadCounters().at(name); };
  PlainClient client(w.server->url());
  const auto ask = [&](const char* reply, const std::string& payload) {
    REQUIRE(natsConnection_PublishRequest(client.get(), "ns.ack.discovery.ask", reply,
                                          payload.data(),
                                          static_cast<int>(payload.size())) == NATS_OK);
  };
  natsSubscription* inbox = nullptr;
  REQUIRE(natsConnection_SubscribeSync(&inbox, client.get(), "ns.ack.discovery.me.1") == NATS_OK);
  ask("orders.eu", "publish into my stream");
  ask("ns.ack.discovery.*", "x");
  client.Publish("ns.ack.discovery.ask", "no reply at all");
  ask("ns.ack.discovery.me.1", std::string(100'000, 'x'));
  ask("ns.ack.discovery.me.1", "proper");
  natsMsg* msg = nullptr;
  REQUIRE(natsSubscription_NextMsg(&msg, inbox, 20'000) == NATS_OK);
  CHECK(std::string_view(natsMsg_GetData(msg), 6) == "answer");
  natsMsg_Destroy(msg);
  natsSubscription_Destroy(inbox);
  CHECK(count("nats_discovery_ignored") == 4);
  // No wildcard stream hears any of it.
  auto feed = w.OpenAndListen(">");
  const int before = asked;
  CHECK(Eventually([&] { return asked > before; }));
  CHECK(w.partition.size() == 0);
  w.Close(std::move(feed));
}

}  // namespace
}  // namespace bascule
