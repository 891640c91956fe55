// What comes on lines of replicas and is refused, replaced, or none of the transport's business; and a
// peer that has no such lines.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "core/base/logging.h"
#include "tests/unit/peer_raw_client.h"
#include "tests/unit/peer_traffic.h"

namespace bascule::peer {
namespace {

constexpr const char* kTailMethod = "/bascule.peer.v1.Peer/ReplicaTail";
constexpr const char* kCatchUpMethod = "/bascule.peer.v1.Peer/ReplicaCatchUp";

// A broker b2 that knows b1 and does not dial it.
struct ReplicaTarget {
  explicit ReplicaTarget(bool carries = true) {
    b.Start();
    if (carries) b.transport->CarryReplicas(traffic);
    b.transport->AddPeer(PeerId(1), "b1", "");
    address = b.transport->address();
  }
  ~ReplicaTarget() { b.transport->Stop(); }
  static peer::Hello Hello() {
    peer::Hello hello;
    hello.cluster_id = "c1";
    hello.cluster_namespace = "ns";
    hello.from = {PeerId(1), "b1", "127.0.0.1:1", 7, 0};
    hello.to = PeerId(2);
    return hello;
  }
  NotingTraffic traffic;
  PeerBroker b{2};
  std::string address;
};

TEST_CASE("peer replicas: whoever is no peer is refused, and nothing of it is heard") {
  ReplicaTarget target;
  struct Case {
    grpc::StatusCode code;
    std::function<void(peer::Hello&)> change;
  };
  const std::vector<Case> cases = {
      {grpc::StatusCode::NOT_FOUND, [](peer::Hello& hello) { hello.from.id = PeerId(6); }},
      {grpc::StatusCode::PERMISSION_DENIED, [](peer::Hello& hello) { hello.cluster_id = "c9"; }},
      {grpc::StatusCode::PERMISSION_DENIED,
       [](peer::Hello& hello) { hello.from.server_id = "b7"; }},
      {grpc::StatusCode::FAILED_PRECONDITION, [](peer::Hello& hello) { hello.to = PeerId(5); }},
  };
  for (const char* method : {kTailMethod, kCatchUpMethod}) {
    for (const Case& c : cases) {
      peer::Hello hello = ReplicaTarget::Hello();
      c.change(hello);
      RawStream stream(target.address, {peer::EncodeFrame(hello), "a frame"}, method);
      CHECK(stream.status().error_code() == c.code);
      CHECK(stream.received().empty());
    }
    RawStream no_hello(target.address, {"a frame"}, method);
    CHECK(no_hello.status().error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  }
  CHECK(target.traffic.events().empty());
  CHECK(target.traffic.CountOf(ReplicaLane::kTail) == 0);
  CHECK(target.b.Counter("peer_replica_frames_received") == 0);
}

TEST_CASE("peer replicas: a broker that is no peer any more is refused when it dials again") {
  ReplicaPair pair;
  pair.Send(ReplicaLane::kTail, "one");
  REQUIRE(pair.to.Gets(ReplicaLane::kTail, 1));
  pair.b.transport->RemovePeer(pair.a.id());
  REQUIRE(pair.from.Sees("down 2 tail"));
  const uint64_t refused = pair.b.Counter("peer_refused_unknown_node");
  CHECK(pair.b.Reaches("peer_refused_unknown_node", refused + 4));  // control, and the tail
  pair.Send(ReplicaLane::kTail, "two");
  CHECK(pair.from.Count("up 2 tail") == 1);
  CHECK(pair.to.CountOf(ReplicaLane::kTail) == 1);
}

TEST_CASE("peer replicas: what a frame holds is not looked at, but its size is") {
  ReplicaTarget target;
  const std::string hello = peer::EncodeFrame(ReplicaTarget::Hello());
  RawStream stream(target.address, {hello, "garbage", "", hello}, kTailMethod);
  REQUIRE(target.traffic.Gets(ReplicaLane::kTail, 3));
  CHECK(target.traffic.Came(ReplicaLane::kTail) == std::vector<std::string>{"garbage", "", hello});
  CHECK_FALSE(stream.over());
  CHECK(Eventually([&] { return !stream.received().empty(); }));
  CHECK(stream.received().size() == 1);  // our hello, and nothing else
  RawStream large(target.address, {hello, std::string(limits::kReplicaFrameBytes + 1, 'l')},
                  kCatchUpMethod);
  CHECK(large.status().error_code() == grpc::StatusCode::INVALID_ARGUMENT);
  CHECK(large.status().error_message().find("a frame of replicas has") != std::string::npos);
  CHECK(target.b.Counter("peer_refused_malformed") == 1);
  RawStream larger(target.address,
                   {hello, std::string(limits::kReplicaFrameBytes + limits::kMiB, 'l')},
                   kCatchUpMethod);
  CHECK(larger.status().error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  CHECK(target.traffic.CountOf(ReplicaLane::kCatchUp) == 0);
}

TEST_CASE("peer replicas: nothing of a stream is heard once a newer one has begun") {
  ReplicaTarget target;
  const std::string hello = peer::EncodeFrame(ReplicaTarget::Hello());
  std::unique_ptr<RawStream> newer;
  // The first frame is being dealt with when the other stream is admitted.
  target.traffic.WhenFrame([&] {
    newer = std::make_unique<RawStream>(target.address, std::vector<std::string>{hello, "new"},
                                        kTailMethod);
    CHECK(target.b.Reaches("peer_refused_replaced", 1));
    // It must not begin before that frame's call has ended: there is nothing to wait for but time.
    CHECK_FALSE(Eventually([&] { return target.traffic.Count("began b1 tail") == 2; },
                           std::chrono::milliseconds(100)));
  });
  std::vector<std::string> frames{hello};
  frames.resize(200, "old");
  RawStream old(target.address, frames, kTailMethod);
  REQUIRE(target.traffic.Sees("began b1 tail", 2));
  CHECK(old.status().error_code() == grpc::StatusCode::ABORTED);
  REQUIRE(target.traffic.Gets(ReplicaLane::kTail, 1));
  CHECK(target.traffic.Came(ReplicaLane::kTail) == std::vector<std::string>{"new"});
  CHECK_FALSE(newer->over());
}

TEST_CASE("peer replicas: a peer without such lines is said once, and dialled on") {
  struct Log : LogSink {
    Log() { SetLogSink(this); }
    ~Log() override { SetLogSink(nullptr); }
    void Write(std::string line) override {
      const std::lock_guard lock(mutex);
      if (line.find("runs a version without replicas: upgrade it") != std::string::npos) ++said;
    }
    bool Flush(std::chrono::milliseconds) override { return true; }
    Losses losses() const override { return {}; }
    std::mutex mutex;
    int said = 0;
  } log;
  ReplicaTarget target(/*carries=*/false);
  NotingTraffic traffic;
  PeerBroker a(1);
  a.Start();
  a.transport->CarryReplicas(traffic);
  a.Know(target.b);
  REQUIRE(a.IsUp(target.b));
  traffic.Send(*a.transport, target.b.id(), ReplicaLane::kTail, "for later");
  CHECK(a.Reaches("peer_dial_failures", 4));
  CHECK(a.Call(target.b, "still there?").get().ok());
  CHECK(traffic.events().empty());
  // It is upgraded.
  target.b.transport->Stop();
  target.b.Restart();
  target.b.transport->CarryReplicas(target.traffic);
  target.b.transport->AddPeer(a.id(), "b1", "");
  CHECK(target.traffic.Gets(ReplicaLane::kTail, 1));
  a.transport->Stop();
  target.b.transport->Stop();
  const std::lock_guard lock(log.mutex);
  CHECK(log.said == 1);
}

}  // namespace
}  // namespace bascule::peer
