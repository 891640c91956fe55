// The ingest connection against servers that do what no real one does on demand.
#include "nats_bridge/ingest_connection.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <ctime>

#include "tests/integration/nats_certificates.h"
#include "tests/integration/nats_world.h"
#include "tests/integration/scripted_server.h"

namespace bascule::nats {
namespace {

// Notes what it is told.
class NotingHandler final : public SubscriptionHandler {
 public:
  void OnMessage(const BusMessage& message) override {
    const std::lock_guard lock(mutex_);
    payloads_.emplace_back(message.payload);
    order_ += 'm';
  }
  void OnListening(absl::Status status) override {
    const std::lock_guard lock(mutex_);
    told_.push_back(std::move(status));
  }
  void OnGap(const GapReport& gap) override {
    const std::lock_guard lock(mutex_);
    gaps_.push_back(gap);
    order_ += 'g';
  }
  std::vector<std::string> payloads() const {
    const std::lock_guard lock(mutex_);
    return payloads_;
  }
  std::vector<absl::Status> told() const {
    const std::lock_guard lock(mutex_);
    return told_;
  }
  std::vector<GapReport> gaps() const {
    const std::lock_guard lock(mutex_);
    return gaps_;
  }
  std::string order() const {
    const std::lock_guard lock(mutex_);
    return order_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> payloads_;
  std::vector<absl::Status> told_;
  std::vector<GapReport> gaps_;
  std::string order_;
};

// Has room, or not.
class SwitchedTarget final : public IngestTarget {
 public:
  void EndOfReceive() override { ++receives; }
  bool Crowded(size_t) override { return crowded; }
  std::atomic<int> receives{0};
  std::atomic<bool> crowded{false};
};

struct ConnectionWorld {
  explicit ConnectionWorld(const std::vector<std::string>& urls) { options.urls = urls; }
  void Start(Clock& clock = RealClock()) {
    auto started = IngestConnection::Start(options, target, clock, 7);
    REQUIRE_MESSAGE(started.ok(), started.status().ToString());
    connection = *std::move(started);
  }
  bool Connects() const {
    return Eventually([&] { return connection->connected(); });
  }
  NatsOptions options;
  SwitchedTarget target;
  std::shared_ptr<NotingHandler> handler = std::make_shared<NotingHandler>();
  std::unique_ptr<IngestConnection> connection;  // last: it calls the others
};

std::string Msg(const std::string& sid, const std::string& payload) {
  return Concat("MSG s ", sid, " ", payload.size(), "\r\n", payload, "\r\n");
}

// The sid in "SUB subject [group] sid".
std::string SidOf(const std::string& line) { return line.substr(line.rfind(' ') + 1); }

TEST_CASE(
    "nats ingest: a server that sends what is no NATS is left, and what was missed is a gap") {
  const std::vector<std::string> wrong = {"GARBAGE\r\n",
                                          "MSG s 1 99999999999\r\n",
                                          "MSG s 1 3\r\nabcde\r\n",
                                          std::string(70'000, 'P'),
                                          "HMSG s 1 9 3\r\nabc\r\n",
                                          "INFO no json\r\n"};
  ScriptedServer server([&](ScriptedPeer& peer, int connection) {
    peer.LetIn();
    const std::string sid = SidOf(peer.Await("SUB"));
    peer.Await("PING");
    peer.Send("PONG\r\n" + Msg(sid, Concat("before ", connection)));
    if (static_cast<size_t>(connection) < wrong.size())
      peer.Send(wrong[static_cast<size_t>(connection)]);
    peer.Serve();
  });
  ConnectionWorld w({server.url()});
  w.Start();
  w.connection->Subscribe("s", "", w.handler);
  REQUIRE(Eventually([&] { return w.handler->payloads().size() == wrong.size() + 1; }));
  CHECK(w.connection->counts().disconnects == wrong.size());
  // Each loss is one gap, before the first message after it.
  std::string order = "m";
  for (size_t i = 0; i < wrong.size(); ++i) order += "gm";
  CHECK(w.handler->order() == order);
  CHECK(w.handler->told().size() == 1);
}

TEST_CASE("nats ingest: a server that lets in and ends at once is asked ever less often") {
  std::mutex mutex;
  std::vector<std::chrono::steady_clock::time_point> asked;
  ScriptedServer server([&](ScriptedPeer& peer, int) {
    {
      const std::lock_guard lock(mutex);
      asked.push_back(std::chrono::steady_clock::now());
    }
    peer.LetIn();
  });
  ConnectionWorld w({server.url()});
  w.Start();
  REQUIRE(Eventually([&] { return server.connections() >= 6; }));
  const std::lock_guard lock(mutex);
  // At least half of 50, 100, 200, 400 and 800 ms.
  CHECK(asked[5] - asked[0] >= std::chrono::milliseconds(25 + 50 + 100 + 200 + 400));
  CHECK_FALSE(w.connection->connected());
}

TEST_CASE("nats ingest: servers that the cluster names are used when the first one goes") {
  ScriptedServer second([&](ScriptedPeer& peer, int) {
    peer.LetIn();
    peer.Serve();
  });
  ScriptedServer first([&](ScriptedPeer& peer, int) {
    peer.LetIn(Concat(R"(INFO {"max_payload":1024,"headers":true,"connect_urls":[")",
                      second.address(), "\"]}\r\n"));
    peer.Serve();
  });
  ConnectionWorld w({first.url()});
  w.options.max_message_bytes = 1;
  w.Start();
  REQUIRE(w.Connects());
  CHECK(w.connection->server_url() == first.url());
  CHECK(w.connection->max_payload() == 1024);
  first.Stop();
  REQUIRE(Eventually([&] { return w.connection->server_url() == second.url(); }));
  CHECK(w.connection->max_payload() == 1'048'576);
}

TEST_CASE(
    "nats ingest: a server that goes and names no other is listened to, in peace, to its end") {
  ScriptedServer server([&](ScriptedPeer& peer, int connection) {
    peer.LetIn();
    peer.Serve([&, said = false](const std::string& line) mutable {
      if (connection == 0 && line == "PING" && !std::exchange(said, true))
        peer.Send("INFO {\"headers\":true,\"max_payload\":99,\"ldm\":true}\r\n");
    });
  });
  ConnectionWorld w({server.url()});
  w.Start();
  REQUIRE(Eventually([&] { return w.connection->max_payload() == 99; }));
  const std::clock_t begin = std::clock();
  CHECK_FALSE(Eventually([] { return false; }, std::chrono::milliseconds(500)));
  CHECK(static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC < 0.25);
  CHECK(w.connection->connected());
  CHECK(w.connection->counts().moves == 0);
}

TEST_CASE("nats ingest: max_payload is what the server said last") {
  std::atomic<bool> change{false};
  ScriptedServer server([&](ScriptedPeer& peer, int) {
    peer.LetIn();
    peer.Serve([&](const std::string&) {
      if (change) peer.Send("INFO {\"max_payload\":77}\r\n");
    });
  });
  ConnectionWorld w({server.url()});
  w.Start();
  REQUIRE(w.Connects());
  CHECK(w.connection->max_payload() == 1'048'576);
  change = true;
  CHECK(Eventually([&] { return w.connection->max_payload() == 77; }));
  CHECK(w.connection->counts().disconnects == 0);
}

TEST_CASE("nats ingest: a server that waits for TLS before it says INFO is understood") {
  const Certificates certificates;
  std::atomic<int> encrypted{0};
  ScriptedServer server([&](ScriptedPeer& peer, int) {
    if (!peer.StartTls(certificates.Path("server.pem"), certificates.Path("server.key"))) return;
    ++encrypted;
    peer.LetIn(R"(INFO {"headers":true,"max_payload":1048576,"tls_required":true})"
               "\r\n");
    const std::string sid = SidOf(peer.Await("SUB"));
    peer.Await("PING");
    peer.Send("PONG\r\n" + Msg(sid, std::string(300'000, 'x')));
    peer.Serve();
  });
  for (int round = 0; round < 2; ++round) {
    ConnectionWorld w({Concat("tls://localhost:", server.port())});
    w.options.tls.ca_file = certificates.Path("ca.pem");
    w.options.user = "u";
    w.options.password = "p";
    w.Start();
    w.connection->Subscribe("s", "", w.handler);
    REQUIRE(Eventually([&] { return w.handler->payloads().size() == 1; }));
    CHECK(w.handler->payloads()[0] == std::string(300'000, 'x'));
    CHECK(w.connection->counts().errors == 0);
  }
  CHECK(encrypted == 2);
}

TEST_CASE("nats ingest: nothing is said in plain text where TLS is to begin") {
  std::atomic<bool> said{false};
  const std::vector<std::string> greetings = {
      "INFO {\"tls_required\":false}\r\n",                            // offers none
      "INFO {\"tls_required\":true}\r\nINFO {\"nonce\":\"x\"}\r\n"};  // and somebody's words behind it
  ScriptedServer server([&](ScriptedPeer& peer, int connection) {
    peer.Send(greetings[static_cast<size_t>(connection) % greetings.size()]);
    const std::string line = peer.Line();
    if (absl::StartsWith(line, "CONNECT")) said = true;
  });
  ConnectionWorld w({Concat("tls://127.0.0.1:", server.port())});
  w.options.token = "secret";
  w.Start();
  REQUIRE(Eventually([&] { return server.connections() >= 4; }));
  CHECK_FALSE(said);
  CHECK_FALSE(w.connection->connected());
}

TEST_CASE("nats ingest: while there is no room nothing is read, and then all of it") {
  constexpr int kMessages = 400;
  const std::string payload(100'000, 'x');
  std::atomic<size_t> sent{0};
  std::atomic<int> gone{0};
  ScriptedServer server([&](ScriptedPeer& peer, int) {
    peer.LetIn();
    const std::string sid = SidOf(peer.Await("SUB"));
    peer.Await("PING");
    peer.Send("PONG\r\n");
    for (int i = 0; i < kMessages; ++i) {
      peer.Send(Msg(sid, payload));
      sent = peer.sent();
    }
    peer.Serve();
    ++gone;
  });
  LeapingClock clock;  // no pause is over before it is told
  ConnectionWorld w({server.url()});
  w.target.crowded = true;
  w.Start(clock);
  w.connection->Subscribe("s", "", w.handler);
  REQUIRE(Eventually([&] { return w.connection->counts().pauses == 1; }));
  const auto stands = [&] {  // the system's buffers are full, and nothing moves
    size_t last = SIZE_MAX;
    return Eventually([&] { return std::exchange(last, sent.load()) == sent.load(); });
  };
  REQUIRE(stands());
  const size_t heard = w.handler->payloads().size();
  CHECK(heard < kMessages / 2);
  w.target.crowded = false;
  CHECK(Eventually([&] { return w.handler->payloads().size() == kMessages; }));
  CHECK(w.connection->counts().overruns == 0);
  CHECK(w.connection->counts().disconnects == 0);
  w.connection->Stop();
  CHECK(Eventually([&] { return gone == 1; }));
}

TEST_CASE("nats ingest: a pause ends after its time, once for as long as there is no room") {
  ScriptedServer server([&](ScriptedPeer& peer, int) {
    peer.LetIn();
    const std::string sid = SidOf(peer.Await("SUB"));
    peer.Await("PING");
    peer.Send("PONG\r\n");
    while (!peer.stopping()) peer.Send(Msg(sid, std::string(10'000, 'x')));
  });
  LeapingClock clock;
  ConnectionWorld w({server.url()});
  w.Start(clock);
  w.connection->Subscribe("s", "", w.handler);
  const auto& counts = w.connection->counts();
  for (uint64_t round = 1; round <= 2; ++round) {
    w.target.crowded = true;
    REQUIRE(Eventually([&] { return counts.pauses == round; }));
    const int receives = w.target.receives;
    clock.Leap(limits::kNatsPauseMax / 2);
    CHECK(w.target.receives == receives);
    clock.Leap(limits::kNatsPauseMax);
    REQUIRE(Eventually([&] { return w.target.receives > receives + 20; }));
    CHECK(counts.overruns == round);
    CHECK(counts.pauses == round);  // not paused anew for each receive
    w.target.crowded = false;
    const int crowded = w.target.receives;
    REQUIRE(Eventually([&] { return w.target.receives > crowded + 20; }));
  }
  w.connection->Stop();
}

TEST_CASE("nats ingest: a slow consumer that the server cuts off has a gap that says so") {
  ScriptedServer server([&](ScriptedPeer& peer, int connection) {
    peer.LetIn();
    peer.Await("SUB");
    peer.Await("PING");
    peer.Send("PONG\r\n");
    if (connection == 0) return peer.Send("-ERR 'Slow Consumer'\r\n");
    peer.Serve();
  });
  ConnectionWorld w({server.url()});
  w.Start();
  w.connection->Subscribe("s", "", w.handler);
  REQUIRE(Eventually([&] { return w.handler->gaps().size() == 1; }));
  CHECK(w.handler->gaps()[0].reason == GapReason::kSlowConsumer);
}

TEST_CASE("nats ingest: what is unsubscribed is said to the server, and is heard no more") {
  std::atomic<bool> unsubscribed{false};
  ScriptedServer server([&](ScriptedPeer& peer, int) {
    peer.LetIn();
    std::string first;
    peer.Serve([&](const std::string& line) {
      if (absl::StartsWith(line, "SUB s ")) {
        if (first.empty()) first = SidOf(line);
        // One for what is gone, one for what is there.
        if (unsubscribed) peer.Send(Msg(first, "gone") + Msg(SidOf(line), "there"));
      }
      if (line == "UNSUB " + first) unsubscribed = true;
    });
  });
  ConnectionWorld w({server.url()});
  w.Start();
  auto gone = w.connection->Subscribe("s", "", w.handler);
  REQUIRE(Eventually([&] { return w.handler->told().size() == 1; }));
  w.connection->Unsubscribe(std::move(gone));
  REQUIRE(Eventually([&] { return unsubscribed.load(); }));
  const auto there = std::make_shared<NotingHandler>();
  w.connection->Subscribe("s", "", there);
  REQUIRE(Eventually([&] { return there->payloads().size() == 1; }));
  CHECK(there->payloads()[0] == "there");
  CHECK(w.handler->payloads().empty());
}

}  // namespace
}  // namespace bascule::nats
