// The simulated machines and their network.
#include <doctest/doctest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "tests/sim/kernel.h"

namespace bascule {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Answers requests with their text and its name; "drop" and "late" as they say.
struct Echo final : SimKernel::Process, PeerHandler {
  explicit Echo(SimMachine& its_machine)
      : machine(its_machine),
        transport(machine.Connect({machine.id, "", "", machine.incarnation, 1})) {
    transport->Handle(PeerService::kMetadata, *this);
    for (uint64_t id = 1; id <= 3; ++id) {
      if (PeerId(id) != machine.id) transport->AddPeer(PeerId(id), "", "");
    }
  }
  void OnPeerMessage(const PeerIdentity& from, std::string message) override {
    heard.push_back(Concat(from.server_id, ":", message));
  }
  void OnPeerCall(const PeerIdentity&, std::string request, Duration, Respond respond) override {
    if (request == "drop") return;
    if (request == "keep") {
      kept = std::move(respond);
    } else {
      respond(Concat(machine.name, " says ", request));
    }
  }
  void OnPeerBulk(const PeerIdentity&, std::string header, std::string body,
                  Respond respond) override {
    respond(Concat(header, "+", body.size()));
  }
  SimMachine& machine;
  const std::unique_ptr<PeerPort> transport;
  std::vector<std::string> heard;
  Respond kept;
};

struct World {
  explicit World(uint64_t seed = 1) : kernel(seed) {
    for (const char* name : {"b1", "b2", "b3"}) {
      kernel.AddMachine(name, [](SimMachine& machine) { return std::make_unique<Echo>(machine); });
    }
    for (uint64_t i = 1; i <= 3; ++i) kernel.Start(i);
  }
  Echo& At(uint64_t machine) { return *static_cast<Echo*>(kernel.process(machine)); }
  PeerPort& From(uint64_t machine) { return *At(machine).transport; }
  // What became of a call of 1 to 2.
  std::shared_ptr<std::string> Call(const std::string& request) {
    auto answer = std::make_shared<std::string>("nothing yet");
    From(1).Call(PeerId(2), PeerService::kMetadata, request, seconds(1),
                 [answer](const absl::StatusOr<std::string>& said) {
                   *answer = said.ok() ? *said : absl::StatusCodeToString(said.status().code());
                 });
    return answer;
  }
  SimKernel kernel;
};

TEST_CASE("sim network: a call is answered, refused, unknown or too late") {
  World world;
  const auto answered = world.Call("hello");
  const auto dropped = world.Call("drop");
  const auto kept = world.Call("keep");
  world.kernel.scheduler().RunFor(milliseconds(100));
  CHECK(*answered == "b2 says hello");
  CHECK(*dropped == "UNKNOWN");
  CHECK(*kept == "nothing yet");
  world.kernel.scheduler().RunFor(seconds(1));
  CHECK(*kept == "DEADLINE_EXCEEDED");
  const auto broken = world.Call("keep");
  world.kernel.scheduler().RunFor(milliseconds(100));
  world.kernel.Kill(2);
  world.kernel.scheduler().RunFor(milliseconds(100));
  CHECK(*broken == "UNKNOWN");  // it may have been done
  const auto refused = world.Call("hello");
  world.kernel.scheduler().RunFor(milliseconds(100));
  CHECK(*refused == "UNAVAILABLE");  // it was not
}

TEST_CASE("sim network: a cut goes one way, a partition both, and both end") {
  World world;
  SimNetwork& network = world.kernel.network();
  const auto say = [&](uint64_t from, uint64_t to) {
    world.From(from).Send(PeerId(to), PeerService::kMetadata, "x");
    world.kernel.scheduler().RunFor(milliseconds(50));
    return world.At(to).heard.size();
  };
  network.Cut(PeerId(1), PeerId(2));
  CHECK(say(1, 2) == 0);
  CHECK(say(2, 1) == 1);
  network.Heal();
  CHECK(say(1, 2) == 1);
  network.Partition({PeerId(3)});
  CHECK(say(1, 3) == 0);
  CHECK(say(3, 2) == 1);
  CHECK(say(1, 2) == 2);
}

TEST_CASE("sim network: messages are lost, doubled and overtaken at the rates that are asked for") {
  World world;
  SimNetworkFaults& faults = world.kernel.network().faults;
  faults = {.loss = 0.2, .duplication = 0.2, .reorder = 0.2};
  for (int i = 1000; i < 2000; ++i) {
    world.From(1).Send(PeerId(2), PeerService::kMetadata, std::to_string(i));
    world.kernel.scheduler().RunFor(milliseconds(5));
  }
  world.kernel.scheduler().RunFor(seconds(1));
  const std::vector<std::string>& heard = world.At(2).heard;
  const std::set<std::string> different(heard.begin(), heard.end());
  CHECK(different.size() > 700);
  CHECK(different.size() < 900);
  CHECK(heard.size() > different.size() + 100);
  CHECK(!std::is_sorted(heard.begin(), heard.end()));
}

TEST_CASE("sim kernel: a life ends with its tasks and its page cache, as it was ended") {
  World world;
  SimMachine& machine = world.kernel.machine(1);
  bool ran = false;
  machine.home->After(milliseconds(10), [&ran] { ran = true; });
  {
    auto file = *machine.disk.Open("data", OpenMode::kCreate);
    REQUIRE(file->WriteAt(FilePosition(0), "unsynced").ok());
  }
  world.kernel.Kill(1);
  CHECK(!world.kernel.up(1));
  world.kernel.scheduler().RunFor(milliseconds(50));
  CHECK(!ran);
  CHECK(machine.disk.Exists("data"));
  world.kernel.Start(1);
  CHECK(machine.incarnation == 2);
}

TEST_CASE("sim kernel: the same seed is the same run") {
  const auto run = [](uint64_t seed) {
    World world(seed);
    world.kernel.network().faults = {.loss = 0.3, .duplication = 0.3, .reorder = 0.5};
    for (int i = 0; i < 50; ++i) world.From(1).Send(PeerId(2), PeerService::kMetadata, Concat(i));
    world.kernel.scheduler().RunFor(seconds(1));
    return world.At(2).heard;
  };
  CHECK(run(7) == run(7));
  CHECK(run(7) != run(8));
}

}  // namespace
}  // namespace bascule
