// The ingest connection while it is paused for want of room.
#include "nats_bridge/ingest_connection.h"

#include <doctest/doctest.h>

#include <atomic>
#include <string>
#include <vector>

#include "tests/integration/scripted_server.h"
#include "tests/support/eventually.h"

namespace bascule::nats {
namespace {

// Has room, or not.
class RoomTarget final : public IngestTarget {
 public:
  void EndOfReceive() override {}
  bool Crowded(size_t) override { return crowded; }
  std::atomic<bool> crowded{false};
};

// What is measured passes only in leaps.
class LeapClock final : public Clock {
 public:
  MonotonicTime Monotonic() override { return MonotonicTime(++now_); }
  Timestamp Wall() override { return Timestamp(now_); }
  void Leap(Duration by) { now_ += by.count(); }

 private:
  std::atomic<int64_t> now_{1'000'000'000};
};

class DeafHandler final : public SubscriptionHandler {
 public:
  void OnMessage(const BusMessage&) override {}
  void OnListening(absl::Status) override {}
  void OnGap(const GapReport&) override {}
};

TEST_CASE("nats ingest: a server that is lost during a pause is connected to again, twice") {
  std::atomic<int> leave{0};  // connections that are to end at their next line
  ScriptedServer server([&](ScriptedPeer& peer, int connection) {
    peer.LetIn();
    for (std::string line; leave <= connection && !(line = peer.Line()).empty();) {
      if (line == "PING") peer.Send("PONG\r\n");
    }
  });
  LeapClock clock;
  RoomTarget target;
  NatsOptions options;
  options.urls = {server.url()};
  const auto connection = IngestConnection::Start(options, target, clock, 7);
  REQUIRE(connection.ok());
  const IngestConnectionCounts& counts = (*connection)->counts();
  const auto handler = std::make_shared<DeafHandler>();
  std::vector<std::shared_ptr<IngestSubscription>> feeds;
  const auto subscribe = [&] {
    feeds.push_back((*connection)->Subscribe(Concat("s", feeds.size()), "", handler));
  };
  for (int i = 0; i < 100; ++i) subscribe();
  REQUIRE(Eventually([&] { return (*connection)->connected(); }));
  for (int round = 1; round <= 2; ++round) {
    CAPTURE(round);
    clock.Leap(limits::kNatsHeartbeat);  // a connection that lasted
    const uint64_t paused =
        counts.pauses;  // the connection may have been made again before there was room
    target.crowded = true;
    subscribe();  // what the server answers finds no room
    REQUIRE(Eventually([&] { return counts.pauses > paused; }));
    leave = round;
    // Who reads nothing finds out by what is sent.
    REQUIRE(Eventually([&] {
      if (counts.disconnects == static_cast<uint64_t>(round)) return true;
      (*connection)->Unsubscribe(feeds.back());
      feeds.pop_back();
      return false;
    }));
    target.crowded = false;
    REQUIRE(Eventually([&] { return (*connection)->connected(); }));
    CHECK(counts.connects == static_cast<uint64_t>(round) + 1);
  }
  CHECK(counts.overruns == 0);
  (*connection)->Stop();
}

}  // namespace
}  // namespace bascule::nats
