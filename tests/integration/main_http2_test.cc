// Clients that keep to HTTP/2's letter and want the broker's memory or time: an honest publisher
// beside each goes on, and the process stays within its bound.
#include <atomic>
#include <deque>

#include "tests/integration/honest_publisher.h"
#include "tests/support/http2_client.h"
#include "tests/support/side_thread.h"

namespace bascule::main_job {
namespace {

using http2::kPing;
using http2::kReset;

constexpr std::string_view kPublish = "/proto.API/Publish";
constexpr std::string_view kPublishAsync = "/proto.API/PublishAsync";
constexpr std::string_view kSubscribe = "/proto.API/Subscribe";
constexpr std::chrono::seconds kAttack{6};
constexpr int kRounds = 3;
// What the broker may hold beyond what it held before: api.memory.max as set here, and what gRPC
// does not count (see README.md).
constexpr uint64_t kMemory = 128 << 20;
constexpr uint64_t kMemoryBound = 3 * kMemory;

int PortOf(const MainBroker& broker) {
  return std::stoi(broker.address().substr(broker.address().rfind(':') + 1));
}

// Repeated until the time is up; what it did, for the report.
using Attack = std::function<uint64_t(int port, const std::atomic<bool>& stop)>;

// A connection after the other, each for as long as the server keeps it; `step` sends something for
// the given odd stream number.
uint64_t OnConnections(int port, const std::atomic<bool>& stop,
                       const std::function<bool(Http2Client&, uint32_t)>& step,
                       uint64_t* connections = nullptr) {
  uint64_t done = 0;
  while (!stop) {
    Http2Client client(port);
    if (!client.connected() || !client.Greet()) continue;
    if (connections != nullptr) ++*connections;
    for (uint32_t stream = 1; !stop && stream < 0x7ffffff0; stream += 2, ++done) {
      if (!step(client, stream)) break;
      if (stream % 1024 == 1 && !client.Drain()) break;
    }
  }
  return done;
}

struct Beside {
  uint64_t before = 0;  // bytes
  uint64_t most = 0;
};

HonestResult Disturb(MainBroker& broker, const Attack& attack, Beside& memory) {
  HonestPublisher publisher(broker, "honest", "beside");
  SideThread attacker(
      [&](const std::atomic<bool>& stop) { MESSAGE(attack(PortOf(broker), stop), " steps"); });
  const auto end = std::chrono::steady_clock::now() + kAttack;
  (void)Eventually(
      [&] {
        memory.most = std::max(memory.most, broker.MemoryBytes("VmRSS"));
        return std::chrono::steady_clock::now() >= end || !broker.Running();
      },
      2 * kAttack);
  attacker.Stop();
  BROKER_REQUIRE(broker, broker.Running());
  return publisher.Stop();
}

// Attackers live elsewhere, but for here: where three times the undisturbed wait is not kept, three times the one
// beside threads that only spin has to be.
void Run(const std::string& what, const Attack& attack, std::vector<std::string> args = {}) {
  CAPTURE(what);
  const auto nats = StartNats();
  args.insert(args.end(), {"--set", "api.memory.max=" + std::to_string(kMemory)});
  MainBroker broker(nats->url(), args);
  broker.Start();
  broker.CreateStream("honest", "honest");
  broker.CreateStream("big", "big");
  for (int i = 0; i < 64; ++i) broker.Publish("big", std::string(256 * 1024, 'b'));
  const HonestResult before = PublishUndisturbed(broker, "honest", "before");
  Beside memory;
  memory.before = broker.MemoryBytes("VmRSS");

  // What else the machine does must not decide: one round of three within the bound will do.
  std::vector<HonestResult> results;
  bool unhurried = false;
  for (int round = 0; round < kRounds && !unhurried; ++round) {
    results.push_back(Disturb(broker, attack, memory));
    results.push_back(PublishUndisturbed(broker, "honest", "after"));
    unhurried = Unhurried(what, before, results.end()[-2], results.back());
    if (unhurried) break;
    results.push_back(PublishBesideSpinning(broker, "honest", "spinning"));
    unhurried =
        Unhurried(what + " and spinning", results.back(), results.end()[-3], results.back());
  }
  CHECK(unhurried);
  MESSAGE(what, ": memory ", memory.before >> 20, " MiB before, at most ", memory.most >> 20,
          " MiB");
  CHECK(memory.most < memory.before + kMemoryBound);
  std::vector<const HonestResult*> all = {&before};
  for (const HonestResult& result : results) all.push_back(&result);
  CheckKept(broker, "honest", all);
  broker.Stop();
}

TEST_CASE("http2: half-open streams on one connection") {
  Run("half-open streams", [](int port, const std::atomic<bool>& stop) {
    return OnConnections(port, stop, [](Http2Client& client, uint32_t stream) {
      return client.OpenCall(stream, kPublish);
    });
  });
}

// gRPC takes in what a socket has before anybody can count its streams: how much 30 connections may
// make it hold for a moment is theirs to say. What is ours: they are ended, but for what an address may
// have, and who is honest is served behind it.
TEST_CASE("http2: half-open streams on many connections, on none of them too many") {
  const auto nats = StartNats();
  MainBroker broker(nats->url(), {"--set", "api.streams.per.address=4000"});
  broker.Start();
  broker.CreateStream("honest", "honest");
  broker.Publish("honest", "before");
  for (int round = 0; round < 2; ++round) {
    std::vector<std::unique_ptr<Http2Client>> clients;
    for (int i = 0; i < 30; ++i) {
      auto next = std::make_unique<Http2Client>(PortOf(broker));
      if (!next->connected() || !next->Greet()) break;  // barred already
      clients.push_back(std::move(next));
      Http2Client& client = *clients.back();
      for (uint32_t stream = 1; stream < 2 * 1000; stream += 2)
        if (!client.OpenCall(stream, kPublish)) break;
      (void)client.Flush();
    }
    CHECK(clients.size() > 4);  // with so many none is ended
    const auto open = [&] {
      return std::count_if(clients.begin(), clients.end(),
                           [](const auto& client) { return !client->AwaitClosed(0); });
    };
    CHECK(Eventually([&] { return open() <= 4; }));
    MESSAGE("memory ", broker.MemoryBytes("VmRSS") >> 20, " MiB");
    BROKER_CHECK(broker,
                 Has(broker.Log(), "is ended: more than 4000 streams of its address are open"));
    clients.clear();
    CHECK(Eventually([&] { return Http2Client(PortOf(broker)).Greet(); }));  // no longer barred
  }
  broker.Publish("honest", "after");
  broker.Stop();
}

TEST_CASE("http2: half-open sessions on one connection") {
  Run("half-open sessions", [](int port, const std::atomic<bool>& stop) {
    return OnConnections(port, stop, [](Http2Client& client, uint32_t stream) {
      return client.OpenCall(stream, kPublishAsync);
    });
  });
}

TEST_CASE("http2: rapid resets") {
  Run("rapid resets", [](int port, const std::atomic<bool>& stop) {
    return OnConnections(port, stop, [](Http2Client& client, uint32_t stream) {
      return client.OpenCall(stream, kPublish) &&
             client.Send(kReset, http2::kNone, stream, std::string("\0\0\0\x08", 4));
    });
  });
}

// gRPC 1.51 reads a connection's frames for as long as there are some, and this costs it more than one processor.
TEST_CASE("http2: ping flood") {
  Run("pings", [](int port, const std::atomic<bool>& stop) {
    return OnConnections(port, stop, [](Http2Client& client, uint32_t) {
      return client.Send(kPing, http2::kNone, 0, "12345678");
    });
  });
}

TEST_CASE("http2: settings flood") {
  Run("settings", [](int port, const std::atomic<bool>& stop) {
    return OnConnections(port, stop, [](Http2Client& client, uint32_t) {
      return client.Send(http2::kSettings, http2::kNone, 0, "");
    });
  });
}

TEST_CASE("http2: subscribers that never open their window") {
  Run("shut windows", [](int port, const std::atomic<bool>& stop) {
    proto::SubscribeRequest request = Request("big", proto::EARLIEST, proto::STOP_ON_CANCEL);
    std::string message;
    REQUIRE(request.SerializeToString(&message));
    uint64_t done = 0;
    std::deque<Http2Client> clients;
    while (!stop && clients.size() < 20) {
      Http2Client& client = clients.emplace_back(port);
      if (!client.connected() || !client.Greet({{http2::kInitialWindowSize, 0}})) break;
      client.AckSettings();
      for (uint32_t stream = 1; stream < 400 && !stop; stream += 2, ++done) {
        if (!client.OpenCall(stream, kSubscribe) || !client.SendMessage(stream, message, true))
          break;
      }
      client.Flush();
    }
    while (!stop) {
      for (Http2Client& client : clients) client.AwaitClosed(10);
    }
    return done;
  });
}

TEST_CASE("http2: many connections") {
  Run("many connections",
      [](int port, const std::atomic<bool>& stop) {
        uint64_t done = 0;
        std::deque<Http2Client> clients;
        while (!stop) {
          clients.emplace_back(port).Greet();
          if (clients.size() > 3000) clients.pop_front();
          ++done;
        }
        return done;
      },
      {"--set", "api.connections.max=400"});
}

}  // namespace
}  // namespace bascule::main_job
