// Lines of replicas in the simulated network.
#include <doctest/doctest.h>

#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/base/limits.h"
#include "tests/sim/kernel.h"

namespace bascule {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr ReplicaLane kTail = ReplicaLane::kTail;
constexpr ReplicaLane kCatchUp = ReplicaLane::kCatchUp;
using Peered = std::pair<PeerId, ReplicaLane>;

// What a carrier's machine has seen, over its lives.
struct LineHistory {
  std::string text;
  std::map<Peered, std::vector<std::string>> came;  // since the stream began
  std::map<Peered, size_t> total;
};

// Sends "<n>" to each peer on both lanes for as long as it is told to, and notes what comes.
struct Carrier final : SimKernel::Process, ReplicaTraffic {
  Carrier(SimMachine& its_machine, LineHistory& its_history, bool carries)
      : machine(its_machine),
        history(its_history),
        port(machine.Connect({machine.id, "", "", machine.incarnation, 1})) {
    if (carries) port->CarryReplicas(*this);
    for (uint64_t id = 1; id <= 3; ++id) {
      if (PeerId(id) != machine.id) port->AddPeer(PeerId(id), "", "");
    }
  }
  ~Carrier() override { port->Stop(); }

  std::vector<Bytes> NextFrame(PeerId to, ReplicaLane lane) override {
    CHECK(up[{to, lane}]);
    ++asked[{to, lane}];
    size_t& left = to_send[{to, lane}];
    if (left == 0) return {};
    --left;
    std::string number = Concat(next[{to, lane}]++);
    const size_t padding = frame_bytes > number.size() ? frame_bytes - number.size() : 0;
    return {Bytes(std::move(number)), Bytes(), Bytes(std::string(padding, ' '))};
  }
  void OnReplicaLineUp(PeerId to, ReplicaLane lane) override { Turn(to, lane, true); }
  void OnReplicaLineDown(PeerId to, ReplicaLane lane) override { Turn(to, lane, false); }
  void OnReplicaStreamBegan(const PeerIdentity& from, ReplicaLane lane) override {
    CHECK_FALSE(waking);
    Note("began", from.id, lane);
    began[{from.id, lane}] = true;
    history.came[{from.id, lane}].clear();
  }
  void OnReplicaFrame(const PeerIdentity& from, ReplicaLane lane, Bytes frame,
                      std::shared_ptr<const void> credit) override {
    REQUIRE(began[{from.id, lane}]);
    CHECK_FALSE(waking);
    const std::string number(frame.view().substr(0, frame.view().find(' ')));
    history.came[{from.id, lane}].push_back(number);
    ++history.total[{from.id, lane}];
    history.text += Concat(from.id, "=", number, " ");
    if (holds && lane == kTail) held.push_back(std::move(credit));
  }

  void Send(PeerId to, ReplicaLane lane, size_t frames) {
    to_send[{to, lane}] += frames;
    waking = true;
    port->WakeReplicas(to, lane);
    waking = false;
  }
  void Turn(PeerId to, ReplicaLane lane, bool now_up) {
    CHECK(up[{to, lane}] != now_up);
    CHECK_FALSE(waking);
    up[{to, lane}] = now_up;
    ++(now_up ? ups : downs)[{to, lane}];
    Note(now_up ? "up" : "down", to, lane);
  }
  void Note(const char* what, PeerId peer, ReplicaLane lane) {
    history.text +=
        Concat("\n", machine.name, " ", what, " ", peer, "/", static_cast<int>(lane), " ");
  }

  SimMachine& machine;
  LineHistory& history;
  const std::unique_ptr<PeerPort> port;
  std::map<Peered, bool> up, began;
  std::map<Peered, size_t> ups, downs, asked, to_send, next;
  size_t frame_bytes = 0;
  bool waking = false;
  bool holds = false;
  std::vector<std::shared_ptr<const void>> held;
};

struct LineWorld {
  explicit LineWorld(uint64_t seed = 1, bool third_carries = true) : kernel(seed) {
    for (const char* name : {"b1", "b2", "b3"}) {
      kernel.AddMachine(name, [this, third_carries](SimMachine& machine) {
        return std::make_unique<Carrier>(machine, histories[machine.id],
                                         third_carries || machine.id != PeerId(3));
      });
    }
    for (uint64_t i = 1; i <= 3; ++i) kernel.Start(i);
  }
  Carrier& At(uint64_t machine) { return *static_cast<Carrier*>(kernel.process(machine)); }
  const std::vector<std::string>& Came(uint64_t at, uint64_t from, ReplicaLane lane) {
    return histories[PeerId(at)].came[{PeerId(from), lane}];
  }
  size_t Total(uint64_t at, uint64_t from, ReplicaLane lane) {
    return histories[PeerId(at)].total[{PeerId(from), lane}];
  }
  template <typename Condition>
  bool Until(Condition condition, Duration limit = seconds(20)) {
    return kernel.scheduler().RunUntil(condition, limit);
  }
  void Pass(Duration time) { kernel.scheduler().RunFor(time); }

  std::map<PeerId, LineHistory> histories;
  SimKernel kernel;
};

// Whether the frames of one stream are consecutive.
bool Consecutive(const std::vector<std::string>& came) {
  for (size_t i = 1; i < came.size(); ++i) {
    if (std::stoull(came[i]) != std::stoull(came[i - 1]) + 1) return false;
  }
  return true;
}

TEST_CASE(
    "sim lines: frames come in order on each line, although messages are lost and overtaken") {
  LineWorld world;
  world.kernel.network().faults = {.loss = 0.3, .duplication = 0.3, .reorder = 0.5};
  for (const ReplicaLane lane : {kTail, kCatchUp}) {
    world.At(1).Send(PeerId(2), lane, 1000);
    world.At(2).Send(PeerId(1), lane, 500);
  }
  REQUIRE(world.Until([&] { return world.Total(2, 1, kTail) == 1000; }, seconds(600)));
  REQUIRE(world.Until([&] { return world.Total(1, 2, kCatchUp) == 500; }, seconds(600)));
  REQUIRE(world.Until([&] { return world.Total(2, 1, kCatchUp) == 1000; }, seconds(600)));
  CHECK(world.Came(2, 1, kTail).front() == "0");
  CHECK(Consecutive(world.Came(2, 1, kTail)));
  CHECK(Consecutive(world.Came(2, 1, kCatchUp)));
  CHECK(Consecutive(world.Came(1, 2, kCatchUp)));
  CHECK(world.At(1).ups[{PeerId(2), kTail}] == 1);
  CHECK(world.At(1).ups.count({PeerId(3), kTail}) == 0);
}

TEST_CASE("sim lines: a line that breaks loses what was under way, and a new stream begins") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    LineWorld world(seed);
    world.kernel.network().faults.line_breaks = 0.01;
    const auto& came = world.Came(2, 1, kTail);
    world.At(1).Send(PeerId(2), kTail, 2000);
    while (world.At(1).to_send[{PeerId(2), kTail}] > 0) {
      REQUIRE(Consecutive(came));
      world.Pass(milliseconds(5));
    }
    world.kernel.network().faults.line_breaks = 0;
    world.At(1).Send(PeerId(2), kTail, 1);
    REQUIRE(world.Until([&] { return !came.empty() && came.back() == "2000"; }));
    CHECK(Consecutive(came));
    CHECK(world.At(1).downs[{PeerId(2), kTail}] > 3);
    CHECK(world.Total(2, 1, kTail) < 2001);
    CHECK(world.Total(2, 1, kTail) > 1000);
  }
}

TEST_CASE("sim lines: a cut in either direction breaks a line until it heals") {
  for (const auto& [from, to] : {std::pair(1, 2), std::pair(2, 1)}) {
    LineWorld world;
    Carrier& b1 = world.At(1);
    b1.Send(PeerId(2), kTail, 100);
    b1.Send(PeerId(3), kTail, 100);
    REQUIRE(world.Until([&] { return world.Total(2, 1, kTail) == 100; }));
    b1.Send(PeerId(2), kTail, 50);
    world.Pass(milliseconds(1));
    world.kernel.network().Cut(PeerId(static_cast<uint64_t>(from)),
                               PeerId(static_cast<uint64_t>(to)));
    const size_t total = world.Total(2, 1, kTail);
    REQUIRE(world.Until([&] { return b1.downs[{PeerId(2), kTail}] == 1; }));
    world.Pass(seconds(20));
    CHECK(world.Total(2, 1, kTail) == total);
    CHECK(b1.ups[{PeerId(2), kTail}] == 1);
    CHECK(b1.downs[{PeerId(3), kTail}] == 0);
    world.kernel.network().Heal();
    b1.Send(PeerId(2), kTail, 1);
    REQUIRE(world.Until([&] { return b1.ups[{PeerId(2), kTail}] == 2; }));
    REQUIRE(world.Until([&] { return world.Came(2, 1, kTail).size() == 1; }));
    CHECK(world.Came(2, 1, kTail).back() == "150");
  }
}

TEST_CASE("sim lines: no more is read than there is credit for") {
  LineWorld world;
  Carrier& b1 = world.At(1);
  Carrier& b2 = world.At(2);
  b1.frame_bytes = 100'000;
  b2.holds = true;
  b1.Send(PeerId(2), kTail, 300);
  b1.Send(PeerId(2), kCatchUp, 10);
  world.Pass(seconds(20));
  const size_t most = limits::kReplicaCreditBytes / b1.frame_bytes + 1;
  CHECK(world.Total(2, 1, kTail) == most);
  CHECK(world.Total(2, 1, kCatchUp) == 10);
  CHECK(b1.next[{PeerId(2), kTail}] < most + 60);  // a window's worth
  CHECK(b1.downs[{PeerId(2), kTail}] == 0);
  b2.held.erase(b2.held.begin(), b2.held.begin() + 20);
  world.Pass(seconds(20));
  CHECK(world.Total(2, 1, kTail) == most + 20);
  b2.holds = false;
  b2.held.clear();
  REQUIRE(world.Until([&] { return world.Total(2, 1, kTail) == 300; }));
  CHECK(Consecutive(world.Came(2, 1, kTail)));
}

TEST_CASE("sim lines: they end with either process and go on with the next") {
  LineWorld world;
  world.At(1).Send(PeerId(2), kTail, 10);
  REQUIRE(world.Until([&] { return world.Total(2, 1, kTail) == 10; }));
  world.kernel.Kill(2);
  REQUIRE(world.Until([&] { return world.At(1).downs[{PeerId(2), kTail}] == 1; }));
  world.At(1).Send(PeerId(2), kTail, 1);
  world.Pass(seconds(5));
  CHECK(world.At(1).ups[{PeerId(2), kTail}] == 1);
  world.kernel.Start(2);
  REQUIRE(world.Until([&] { return world.Came(2, 1, kTail) == std::vector<std::string>{"10"}; }));
  CHECK(world.At(1).ups[{PeerId(2), kTail}] == 2);
  // Its frames are under way when the sender ends: none comes, and its next life begins anew.
  world.At(1).Send(PeerId(2), kTail, 100);
  world.Pass(milliseconds(1));
  world.kernel.Kill(1);
  const size_t total = world.Total(2, 1, kTail);
  world.Pass(seconds(5));
  CHECK(world.Total(2, 1, kTail) == total);
  world.kernel.Start(1);
  world.At(1).Send(PeerId(2), kTail, 3);
  const std::vector<std::string> anew{"0", "1", "2"};
  CHECK(world.Until([&] { return world.Came(2, 1, kTail) == anew; }));
}

TEST_CASE("sim lines: removed peers and peers without replicas have none") {
  LineWorld world(1, /*third_carries=*/false);
  Carrier& b1 = world.At(1);
  b1.Send(PeerId(3), kTail, 10);
  b1.Send(PeerId(2), kTail, 10);
  REQUIRE(world.Until([&] { return world.Total(2, 1, kTail) == 10; }));
  b1.port->RemovePeer(PeerId(2));
  REQUIRE(world.Until([&] { return b1.downs[{PeerId(2), kTail}] == 1; }));
  b1.Send(PeerId(2), kTail, 1);
  world.Pass(seconds(5));
  b1.port->AddPeer(PeerId(2), "", "");
  world.Pass(seconds(5));
  CHECK(b1.ups[{PeerId(2), kTail}] == 1);
  b1.Send(PeerId(2), kTail, 1);
  REQUIRE(world.Until([&] { return world.Came(2, 1, kTail).size() == 2; }));
  // The other side removes us: its reader hears nothing more.
  world.At(2).port->RemovePeer(PeerId(1));
  b1.Send(PeerId(2), kTail, 5);
  REQUIRE(world.Until([&] { return b1.downs[{PeerId(2), kTail}] == 2; }));
  world.Pass(seconds(5));
  CHECK(world.Total(2, 1, kTail) == 12);
  CHECK(b1.ups.count({PeerId(3), kTail}) == 0);
}

TEST_CASE("sim lines: the one that catches up hangs up when it is idle") {
  LineWorld world;
  Carrier& b1 = world.At(1);
  for (const ReplicaLane lane : {kTail, kCatchUp}) b1.Send(PeerId(2), lane, 1);
  REQUIRE(world.Until([&] { return world.Total(2, 1, kCatchUp) == 1; }));
  world.Pass(limits::kPeerBulkIdle - seconds(1));
  b1.Send(PeerId(2), kCatchUp, 1);
  world.Pass(limits::kPeerBulkIdle - seconds(1));
  CHECK(b1.downs[{PeerId(2), kCatchUp}] == 0);
  world.Pass(seconds(2));
  CHECK(b1.downs[{PeerId(2), kCatchUp}] == 1);
  world.Pass(seconds(5));
  CHECK(b1.ups[{PeerId(2), kCatchUp}] == 1);
  b1.Send(PeerId(2), kCatchUp, 1);
  REQUIRE(world.Until([&] { return world.Total(2, 1, kCatchUp) == 3; }));
  CHECK(b1.downs[{PeerId(2), kTail}] == 0);
}

TEST_CASE("sim lines: the same seed has the same history") {
  const auto run = [](uint64_t seed) {
    LineWorld world(seed);
    world.kernel.network().faults.line_breaks = 0.02;
    for (int round = 0; round < 20; ++round) {
      for (const ReplicaLane lane : {kTail, kCatchUp}) {
        world.At(1).Send(PeerId(2), lane, 20);
        world.At(3).Send(PeerId(2), lane, 20);
      }
      if (round == 5) world.kernel.network().Isolate(PeerId(3));
      if (round == 10) world.kernel.network().Heal();
      if (round == 15) world.kernel.Start(2);
      world.Pass(milliseconds(300));
    }
    return world.histories[PeerId(1)].text + world.histories[PeerId(2)].text;
  };
  CHECK(run(7) == run(7));
  CHECK(run(7) != run(8));
}

}  // namespace
}  // namespace bascule
