// Subscriptions that the server refuses on one connection and takes on another: who is told, and which
// time is a gap.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <mutex>

#include "nats_bridge/nats_connection.h"
#include "tests/integration/nats_world.h"

namespace bascule {
namespace {

std::string Permits(const std::string& subjects) {
  return Concat("authorization: { users: [ { user: u, password: p, permissions: { subscribe: [",
                subjects, ", \"ns.ack.>\"] } } ] }\n");
}

// A bus that may subscribe to "a" and "b", until the server is told otherwise.
struct PermittedWorld : NatsWorld {
  PermittedWorld() : NatsWorld(Server()) {
    options.user = "u";
    options.password = "p";
    StartBus();
  }
  static NatsServerOptions Server() {
    NatsServerOptions server;
    server.config = Permits("\"a\", \"b\"");
    return server;
  }
};

// What a feed was told, in order.
class FeedVerdicts {
 public:
  std::unique_ptr<SubjectFeed> Open(NatsWorld& w, const std::string& subject,
                                    const std::string& group = "") {
    FeedOptions options;
    options.group = group;
    options.subject = options.partition_subject = subject;
    options.max_message_bytes = 1024;
    return w.bus->Open(options, w.partition, w.shard, [this](absl::Status status) {
      const std::lock_guard lock(mutex_);
      told_.push_back(std::move(status));
    });
  }
  std::vector<absl::Status> all() const {
    const std::lock_guard lock(mutex_);
    return told_;
  }
  bool Comes(size_t count) const {
    return Eventually([&] { return all().size() >= count; });
  }

 private:
  mutable std::mutex mutex_;
  std::vector<absl::Status> told_;
};

TEST_CASE("nats refusal: the time in which a feed was refused is one gap, whatever reconnects") {
  PermittedWorld w;
  FeedVerdicts told;
  auto feed = told.Open(w, "a");
  REQUIRE(told.Comes(1));
  const auto deaf = [&] {
    std::vector<GapReport> gaps;
    for (const GapReport& gap : w.partition.gaps()) {
      if (gap.reason == GapReason::kNotListening) gaps.push_back(gap);
    }
    return gaps;
  };
  Timestamp refused{};
  for (int round = 0; round < 3; ++round) {
    w.server->options().config = Permits("\"b\"");
    refused = RealClock().Wall();  // for the last time: it was before
    w.Reconnect();
    REQUIRE(told.Comes(2));  // or a quick next round is one loss with this one
    CHECK(deaf().empty());
  }
  w.server->options().config = Permits("\"a\", \"b\"");
  const Timestamp allowed = RealClock().Wall();
  w.Reconnect();
  REQUIRE(Eventually([&] { return !deaf().empty(); }));
  CHECK(deaf()[0].from <= refused);
  CHECK(deaf()[0].to >= allowed);
  for (int round = 0; round < 2; ++round) w.Reconnect();
  CHECK(deaf().size() == 1);
  w.Close(std::move(feed));
}

TEST_CASE("nats refusal: a feed that loses its permission says so, and that it is heard again") {
  PermittedWorld w;
  FeedVerdicts told;
  FeedVerdicts other;
  auto feed = told.Open(w, "a", "b");  // the group's name means nothing for the subject
  auto other_feed = other.Open(w, "b");
  REQUIRE(told.Comes(1));
  REQUIRE(other.Comes(1));
  w.Reconnect();  // nothing new
  w.server->options().config = Permits("\"b\"");
  w.Reconnect();
  REQUIRE(told.Comes(2));
  w.Reconnect();  // nothing new
  const auto deaf = [&] {
    const std::vector<GapReport> gaps = w.partition.gaps();
    return std::count_if(gaps.begin(), gaps.end(), [](const GapReport& gap) {
      return gap.reason == GapReason::kNotListening;
    });
  };
  CHECK(deaf() == 0);
  w.server->options().config = Permits("\"a\", \"b\"");
  w.Reconnect();
  REQUIRE(told.Comes(3));
  w.Close(std::move(feed));
  w.Close(std::move(other_feed));
  CHECK(other.all().size() == 1);
  CHECK(deaf() == 1);
  const std::vector<absl::Status> all = told.all();
  REQUIRE(all.size() == 3);
  CHECK(all[0].ok());
  CHECK(all[1].code() == absl::StatusCode::kPermissionDenied);
  CHECK(all[1].message().find("\"a\"") != absl::string_view::npos);
  CHECK(all[2].ok());
}

// Holds up the thread on which nats.c calls back, for the whole process, from the loss of its server
// on.
class HeldCallbacks {
 public:
  explicit HeldCallbacks(const std::string& url) {
    natsOptions* options = nullptr;
    REQUIRE(natsOptions_Create(&options) == NATS_OK);
    natsOptions_SetURL(options, url.c_str());
    natsOptions_SetAllowReconnect(options, false);
    natsOptions_SetDisconnectedCB(
        options,
        [](natsConnection*, void* self) {
          auto* held = static_cast<HeldCallbacks*>(self);
          held->reached_ = true;
          held->held_.wait(true);
          held->over_ = true;
        },
        this);
    const natsStatus connected = natsConnection_Connect(&nc_, options);
    natsOptions_Destroy(options);
    REQUIRE(connected == NATS_OK);
  }
  ~HeldCallbacks() {
    Release();
    natsConnection_Destroy(nc_);
    Eventually([&] { return over_.load(); });
  }
  HeldCallbacks(const HeldCallbacks&) = delete;
  HeldCallbacks& operator=(const HeldCallbacks&) = delete;
  bool Reached() const {
    return Eventually([&] { return reached_.load(); });
  }
  void Release() {
    held_ = false;
    held_.notify_all();
  }

 private:
  natsConnection* nc_ = nullptr;
  std::atomic<bool> reached_{false}, held_{true}, over_{false};
};

TEST_CASE("nats refusal: a refusal that comes late is waited for, and costs no moment of the gap") {
  PermittedWorld w;
  FeedVerdicts told;
  auto feed = told.Open(w, "a");
  REQUIRE(told.Comes(1));
  {
    HeldCallbacks held(Concat("nats://u:p@127.0.0.1:", w.server->port()));
    const uint64_t connects = w.bus->ReadCounters()["nats_ingest_connects"];
    w.server->Kill();
    REQUIRE(held.Reached());
    w.server->options().config = Permits("\"b\"");
    REQUIRE(w.server->Restart().ok());
    REQUIRE(Eventually([&] { return w.bus->ReadCounters()["nats_ingest_connects"] > connects; }));
    // Longer than two confirmations wait: that is the time which is tested.
    CHECK_FALSE(Eventually([&] { return told.all().size() > 1; },
                           limits::kNatsHeartbeat + 3 * limits::kNatsRefusalWait));
  }
  REQUIRE(told.Comes(2));
  CHECK(told.all()[1].code() == absl::StatusCode::kPermissionDenied);
  w.server->options().config = Permits("\"a\", \"b\"");
  w.Reconnect();
  REQUIRE(told.Comes(3));
  w.Close(std::move(feed));
  const std::vector<GapReport> gaps = w.partition.gaps();
  REQUIRE(gaps.size() == 2);
  CHECK(gaps[0].reason == GapReason::kDisconnected);
  CHECK(gaps[1].reason == GapReason::kNotListening);
  CHECK(gaps[1].from == gaps[0].to);
}

// Notes what it is told, and may hold up the connection's own thread when it is told of a gap.
class GapHandler : public nats::SubscriptionHandler {
 public:
  void OnMessage(const nats::BusMessage&) override {}
  void OnListening(absl::Status status) override {
    const std::lock_guard lock(mutex_);
    told_.push_back(std::move(status));
  }
  void OnGap(const GapReport& gap) override {
    {
      const std::lock_guard lock(mutex_);
      gaps_.push_back(gap.reason);
    }
    held.wait(true);
  }
  std::vector<absl::Status> told() const {
    const std::lock_guard lock(mutex_);
    return told_;
  }
  std::vector<GapReason> gaps() const {
    const std::lock_guard lock(mutex_);
    return gaps_;
  }
  void Release() {
    held = false;
    held.notify_all();
  }
  std::atomic<bool> held{false};

 private:
  mutable std::mutex mutex_;
  std::vector<absl::Status> told_;
  std::vector<GapReason> gaps_;
};

TEST_CASE("nats refusal: a refusal on a connection that is gone judges nobody on the next") {
  NatsServerOptions server_options;
  server_options.config = Permits("\"a\", \"b\"");
  auto server = NatsServer::Start(server_options);
  REQUIRE(server.ok());
  nats::NatsOptions options;
  options.urls = {(*server)->url()};
  options.user = "u";
  options.password = "p";
  auto connection =
      nats::NatsConnection::Start(options, nats::ConnectionRole::kIngest, RealClock(), 1);
  REQUIRE(connection.ok());
  const auto a = std::make_shared<GapHandler>();
  const auto b = std::make_shared<GapHandler>();
  const struct Releasing {  // also when the test ends before it is over
    ~Releasing() { handler.Release(); }
    GapHandler& handler;
  } releasing{*b};
  (*connection)->Subscribe("a", "", a);
  (*connection)->Subscribe("b", "", b);
  REQUIRE(Eventually([&] { return a->told().size() == 1 && b->told().size() == 1; }));
  const auto restart = [&](const std::string& permitted) {
    (*server)->Kill();
    (*server)->options().config = Permits(permitted);
    REQUIRE((*server)->Restart().ok());
  };
  b->held = true;
  restart("\"a\", \"b\"");
  REQUIRE(Eventually([&] { return b->gaps().size() == 1; }));
  // Two more while nobody looks, the first of which refuses "a".
  const uint64_t errors = (*connection)->counts().errors;
  restart("\"b\"");
  const bool refused = Eventually([&] { return (*connection)->counts().errors > errors; });
  restart("\"a\", \"b\"");
  PlainClient client(Concat("nats://u:p@127.0.0.1:", (*server)->port()));
  client.Flush();
  const bool back = Eventually([&] {
    return natsConnection_Status((*connection)->Current().get()) == NATS_CONN_STATUS_CONNECTED;
  });
  b->Release();
  CHECK(refused);
  CHECK(back);
  REQUIRE(Eventually([&] { return b->gaps().size() == 2; }));
  const std::vector<GapReason> lost(2, GapReason::kDisconnected);
  CHECK(Eventually([&] { return a->gaps().size() == 2; }));
  (*connection)->Stop();
  CHECK(a->gaps() == lost);
  CHECK(b->gaps() == lost);
  CHECK(a->told().size() == 1);
}

}  // namespace
}  // namespace bascule
