// Lines of replicas between two brokers: what arrives, how far a sender gets ahead, and what a break,
// a stranger and an end do.
#include <doctest/doctest.h>

#include <atomic>
#include <string>
#include <vector>

#include "core/base/logging.h"
#include "tests/unit/peer_raw_client.h"
#include "tests/unit/peer_traffic.h"

namespace bascule::peer {
namespace {

using std::chrono::milliseconds;

constexpr ReplicaLane kTail = ReplicaLane::kTail;
constexpr ReplicaLane kCatchUp = ReplicaLane::kCatchUp;

std::string Patterned(size_t size, size_t seed) {
  std::string text(size, '\0');
  for (size_t i = 0; i < size; ++i)
    text[i] = static_cast<char>((i + seed * 7919) * 2654435761u >> 13);
  return text;
}

// Memory that is spoilt when nobody keeps it any more, and counted until then.
Bytes Perishable(std::string text, std::atomic<int>& alive) {
  ++alive;
  const std::shared_ptr<std::string> owner(new std::string(std::move(text)),
                                           [&alive](std::string* gone) {
                                             std::fill(gone->begin(), gone->end(), 'X');
                                             --alive;
                                             delete gone;
                                           });
  return Bytes(owner, *owner);
}

TEST_CASE("peer replicas: frames of many pieces arrive as they were given, in order") {
  ReplicaPair pair;
  std::vector<std::string> sent;
  for (size_t i = 0; i < 300; ++i) {
    NotingTraffic::Pieces pieces;
    std::string whole;
    for (size_t k = 0; k <= i % 40; ++k) {
      const std::string piece = Patterned(k * k * (i % 7), i + k);  // some are empty, or short
      whole += piece;
      pieces.push_back(Bytes(Concat("..", piece, "..")).Sub(2, piece.size()));
    }
    if (whole.empty()) pieces.push_back(Bytes(whole = "x"));
    sent.push_back(whole);
    pair.from.Add(kTail, std::move(pieces));
    NotingTraffic::Wake(*pair.a.transport, pair.b.id(), kTail);
  }
  REQUIRE(pair.to.Gets(kTail, sent.size()));
  CHECK(pair.to.Came(kTail) == sent);
  PeerIdentity expected = pair.a.options.self;
  expected.address = pair.a.transport->address();
  CHECK(pair.to.from() == expected);
  CHECK(pair.from.events() == std::vector<std::string>{"up 2 tail"});
  CHECK(pair.to.events() == std::vector<std::string>{"began b1 tail"});
}

TEST_CASE("peer replicas: ten thousand small frames arrive in order, and are counted") {
  ReplicaPair pair;
  size_t bytes = 0;
  for (size_t i = 0; i < 10'000; ++i) {
    const std::string frame = Concat("frame ", i);
    bytes += frame.size();
    pair.Send(kTail, frame);
    // The line stands from here on, and wakes find it idle, writing, or just between.
    if (i % 500 == 0) REQUIRE(pair.to.Gets(kTail, i + 1));
  }
  REQUIRE(pair.to.Gets(kTail, 10'000));
  const std::vector<std::string> came = pair.to.Came(kTail);
  for (size_t i = 0; i < came.size(); ++i) REQUIRE(came[i] == Concat("frame ", i));
  CHECK(pair.a.Counter("peer_replica_frames_sent") == 10'000);
  CHECK(pair.b.Counter("peer_replica_frames_received") == 10'000);
  CHECK(pair.a.Counter("peer_replica_bytes_sent") == bytes);
  CHECK(pair.b.Counter("peer_replica_bytes_received") == bytes);
}

TEST_CASE("peer replicas: memory is kept until it is written, and let go then") {
  std::atomic<int> alive{0};
  ReplicaPair pair;
  pair.to.Hold(kTail);
  std::vector<std::string> sent;
  for (size_t i = 0; i < 40; ++i) {
    sent.push_back(Patterned(limits::kMiB, i));
    const size_t middle = i * 1000 + 1;
    NotingTraffic::Pieces pieces;
    pieces.push_back(Perishable(sent[i].substr(0, middle), alive));
    pieces.push_back(Perishable(sent[i].substr(middle), alive));
    pair.from.Add(kTail, std::move(pieces));
  }
  NotingTraffic::Wake(*pair.a.transport, pair.b.id(), kTail);
  REQUIRE(Eventually(
      [&] { return pair.to.bytes(kTail) >= limits::kReplicaCreditBytes - limits::kMiB; }));
  // What the other side does not read is with gRPC; the rest has not been asked for.
  CHECK(pair.from.given(kTail) < sent.size());
  CHECK(Eventually(
      [&] { return alive > 2 * static_cast<int>(sent.size() - pair.from.given(kTail)); }));
  pair.to.LetGo(kTail);
  REQUIRE(pair.to.Gets(kTail, sent.size()));
  CHECK(pair.to.Came(kTail) == sent);  // none was spoilt on the way
  CHECK(Eventually([&] { return alive == 0; }));
}

TEST_CASE("peer replicas: the largest frame arrives, and one that is larger ends the line") {
  struct Log : LogSink {
    Log() { SetLogSink(this); }
    ~Log() override { SetLogSink(nullptr); }
    void Write(std::string line) override {
      const std::lock_guard lock(mutex);
      text += line;
    }
    bool Flush(std::chrono::milliseconds) override { return true; }
    Losses losses() const override { return {}; }
    bool Has(const std::string& part) {
      const std::lock_guard lock(mutex);
      return text.find(part) != std::string::npos;
    }
    std::mutex mutex;
    std::string text;
  } log;
  ReplicaPair pair;
  const std::string largest = Patterned(limits::kReplicaFrameBytes, 1);
  pair.Send(kTail, largest);
  pair.Send(kTail, "next");
  REQUIRE(pair.to.Gets(kTail, 2));
  CHECK(pair.to.Came(kTail) == std::vector<std::string>{largest, "next"});
  pair.Send(kTail, std::string(limits::kReplicaFrameBytes + 1, 'l'));
  REQUIRE(pair.from.Sees("down 2 tail"));
  REQUIRE(pair.from.Sees("up 2 tail", 2));
  pair.Send(kTail, "after it");
  REQUIRE(Eventually([&] { return pair.to.Came(kTail) == std::vector<std::string>{"after it"}; }));
  CHECK(log.Has(Concat("the replication connection to broker 'b2' at '",
                       pair.b.transport->address(), "' ended: INTERNAL: a frame of replicas has ",
                       limits::kReplicaFrameBytes + 1, " bytes")));
}

TEST_CASE(
    "peer replicas: while credits are held no more is read, and it goes on when they are not") {
  ReplicaPair pair;
  pair.to.Hold(kTail);
  constexpr size_t kFrame = 100'000;
  constexpr size_t kFrames = 400;
  for (size_t i = 0; i < kFrames; ++i) pair.from.Add(kTail, Patterned(kFrame, i));
  NotingTraffic::Wake(*pair.a.transport, pair.b.id(), kTail);
  const auto full = [&] { return pair.to.bytes(kTail) >= limits::kReplicaCreditBytes - kFrame; };
  REQUIRE(Eventually(full));
  // Another line is read on meanwhile, so the one that stands still is not merely slow.
  for (size_t i = 0; i < 200; ++i) pair.Send(kCatchUp, Patterned(kFrame, i));
  REQUIRE(pair.to.Gets(kCatchUp, 200));
  CHECK(pair.to.bytes(kTail) <= limits::kReplicaCreditBytes + kFrame);
  CHECK(pair.from.given(kTail) < kFrames);
  CHECK(pair.from.Count("down 2 tail") == 0);
  pair.to.LetGo(kTail);
  REQUIRE(pair.to.Gets(kTail, kFrames));
  const auto came = pair.to.Came(kTail);
  for (size_t i = 0; i < kFrames; ++i) REQUIRE(came[i] == Patterned(kFrame, i));
}

TEST_CASE("peer replicas: the tail does not wait behind what catches up") {
  ReplicaPair pair;
  pair.to.Hold(kCatchUp);
  for (size_t i = 0; i < 40; ++i) pair.from.Add(kCatchUp, std::string(limits::kMiB, 'c'));
  NotingTraffic::Wake(*pair.a.transport, pair.b.id(), kCatchUp);
  REQUIRE(Eventually(
      [&] { return pair.to.bytes(kCatchUp) >= limits::kReplicaCreditBytes - limits::kMiB; }));
  for (int i = 0; i < 100; ++i) pair.Send(kTail, Concat(i));
  CHECK(pair.to.Gets(kTail, 100));
  CHECK(pair.to.CountOf(kCatchUp) < 40);
  pair.to.LetGo(kCatchUp);
  CHECK(pair.to.Gets(kCatchUp, 40));
}

TEST_CASE("peer replicas: a line that breaks is down, and up again with a new stream") {
  ReplicaPair pair;
  pair.Send(kTail, "before");
  REQUIRE(pair.to.Gets(kTail, 1));
  pair.b.transport->Stop();
  REQUIRE(pair.from.Sees("down 2 tail"));
  pair.Send(kTail, "meanwhile");
  CHECK(pair.from.given(kTail) == 1);  // it waits
  NotingTraffic again;
  pair.b.Restart();
  pair.b.transport->CarryReplicas(again);
  pair.b.Know(pair.a);
  REQUIRE(pair.from.Sees("up 2 tail", 2));
  CHECK(again.Gets(kTail, 1));
  CHECK(again.Came(kTail) == std::vector<std::string>{"meanwhile"});
  CHECK(again.events() == std::vector<std::string>{"began b1 tail"});
  CHECK(pair.to.events() == std::vector<std::string>{"began b1 tail"});
  pair.b.transport->Stop();  // before `again` ends
}

TEST_CASE(
    "peer replicas: a removed peer's lines are down, and are not dialled until the next wake") {
  ReplicaPair pair;
  for (const ReplicaLane lane : {kTail, kCatchUp}) {
    pair.Send(lane, "one");
    REQUIRE(pair.to.Gets(lane, 1));
  }
  pair.a.transport->RemovePeer(pair.b.id());
  for (const ReplicaLane lane : {kTail, kCatchUp})
    REQUIRE(pair.from.Sees(Concat("down 2 ", NameOf(lane))));
  NotingTraffic::Wake(*pair.a.transport, pair.b.id(), kTail);  // nobody's
  pair.a.Know(pair.b);
  REQUIRE(pair.a.IsUp(pair.b, 2));
  CHECK(pair.a.Call(pair.b, "x").get().ok());
  CHECK(pair.from.Count("up 2 tail") == 1);
  pair.Send(kTail, "two");
  REQUIRE(Eventually([&] { return pair.to.Came(kTail) == std::vector<std::string>{"two"}; }));
  CHECK(pair.from.Count("up 2 tail") == 2);
  CHECK(pair.from.Count("up 2 catch-up") == 1);
}

TEST_CASE("peer replicas: lines follow a peer that is found elsewhere, in turn") {
  NotingTraffic elsewhere;
  PeerBroker moved(2);
  moved.Start();
  moved.transport->CarryReplicas(elsewhere);
  {
    ReplicaPair pair;
    // Neither dials: a hello of theirs would say where they are.
    pair.b.transport->AddPeer(pair.a.id(), "b1", "");
    moved.transport->AddPeer(pair.a.id(), "b1", "");
    pair.Send(kTail, "first");
    REQUIRE(pair.to.Gets(kTail, 1));
    for (size_t i = 0; i < 20; ++i) {
      pair.a.Know(i % 2 == 0 ? moved : pair.b);
      REQUIRE(pair.from.Sees("up 2 tail", i + 2));
    }
    pair.a.transport->Redirect(moved.id(), moved.transport->address());
    REQUIRE(pair.from.Sees("up 2 tail", 22));
    pair.Send(kTail, "last");
    CHECK(Eventually([&] { return elsewhere.Came(kTail) == std::vector<std::string>{"last"}; }));
    CHECK(pair.from.Count("down 2 tail") == pair.from.Count("up 2 tail") - 1);
    CHECK(pair.from.Count("up 2 catch-up") == 0);  // nobody has woken it
  }
  moved.transport->Stop();
  CHECK(elsewhere.broken() == "");
}

TEST_CASE("peer replicas: a line is down before the one to a new address is up") {
  NotingTraffic elsewhere;
  PeerBroker moved(2);
  moved.Start();
  moved.transport->CarryReplicas(elsewhere);
  {
    ReplicaPair pair;
    pair.b.transport->AddPeer(pair.a.id(), "b1", "");
    moved.transport->AddPeer(pair.a.id(), "b1", "");
    pair.Send(kTail, "first");
    REQUIRE(pair.to.Gets(kTail, 1));
    REQUIRE(pair.a.IsUp(pair.b));
    // Whoever ends the line is kept busy: it lets go of a frame's memory.
    std::promise<void> release;
    const std::string text = "kept";
    pair.from.Add(kTail, {Bytes(std::shared_ptr<const void>(
                                    &text, [&](const void*) { release.get_future().wait(); }),
                                text)});
    NotingTraffic::Wake(*pair.a.transport, pair.b.id(), kTail);
    REQUIRE(pair.to.Gets(kTail, 2));
    const uint64_t before = pair.a.Counter("peer_disconnects");
    pair.a.Know(moved);
    CHECK(pair.from.Sees("up 2 tail", 2));
    CHECK(pair.from.events() == std::vector<std::string>{"up 2 tail", "down 2 tail", "up 2 tail"});
    release.set_value();
    CHECK(pair.a.Reaches("peer_disconnects", before + 2));  // control, and the tail
    pair.Send(kTail, "last");
    CHECK(elsewhere.Gets(kTail, 1));
    CHECK(elsewhere.Came(kTail).back() == "last");
    CHECK(pair.from.events() == std::vector<std::string>{"up 2 tail", "down 2 tail", "up 2 tail"});
  }
  moved.transport->Stop();
}

TEST_CASE("peer replicas: the line that catches up hangs up when it is idle, the tail stays") {
  SteppedTime time;
  ReplicaPair pair(&time);
  for (const ReplicaLane lane : {kTail, kCatchUp}) {
    pair.Send(lane, "one");
    REQUIRE(pair.to.Gets(lane, 1));
  }
  // Asked once more, in vain: only then it is idle.
  REQUIRE(Eventually([&] { return pair.from.asked(kCatchUp) >= 2; }));
  time.Advance(limits::kPeerBulkIdle - seconds(1));
  const size_t asked = pair.from.asked(kCatchUp);
  pair.Send(kCatchUp, "two");  // and the time begins anew
  REQUIRE(pair.to.Gets(kCatchUp, 2));
  REQUIRE(Eventually([&] { return pair.from.asked(kCatchUp) >= asked + 2; }));
  time.Advance(seconds(2));
  CHECK(pair.from.Count("down 2 catch-up") == 0);
  REQUIRE(Eventually([&] {
    time.Advance(seconds(1));
    return pair.from.Count("down 2 catch-up") == 1;
  }));
  CHECK(pair.from.Count("down 2 tail") == 0);
  pair.Send(kCatchUp, "three");
  REQUIRE(Eventually([&] {
    time.Advance(milliseconds(50));  // it may have been about to end still
    return pair.from.Count("up 2 catch-up") == 2;
  }));
  CHECK(Eventually([&] { return pair.to.Came(kCatchUp) == std::vector<std::string>{"three"}; }));
}

TEST_CASE("peer replicas: an end in the middle of it calls nobody afterwards") {
  for (int round = 0; round < 6; ++round) {
    std::atomic<int> alive{0};
    {
      ReplicaPair pair;
      pair.to.Hold(kTail);
      for (int i = 0; i < 50; ++i) {
        for (const ReplicaLane lane : {kTail, kCatchUp}) {
          pair.from.Add(lane, {Perishable(std::string(limits::kMiB / 4, 'f'), alive)});
          NotingTraffic::Wake(*pair.a.transport, pair.b.id(), lane);
        }
      }
      if (round % 3 != 0) REQUIRE(pair.to.Gets(kTail, 1));
      (round % 2 == 0 ? pair.a : pair.b).transport->Stop();
      NotingTraffic& ended = round % 2 == 0 ? pair.from : pair.to;
      const size_t asked = ended.asked(kTail);
      const size_t came = ended.CountOf(kTail);
      const auto events = ended.events();
      NotingTraffic::Wake(*pair.a.transport, pair.b.id(), kTail);
      pair.to.LetGo(kTail);
      (round % 2 == 0 ? pair.b : pair.a).transport->Stop();
      CHECK(ended.asked(kTail) == asked);
      CHECK(ended.CountOf(kTail) == came);
      CHECK(ended.events() == events);
    }
    CHECK(Eventually([&] { return alive == 0; }));
  }
}

}  // namespace
}  // namespace bascule::peer
