// Members that are somewhere else now, and processes that should not be there.
#include <doctest/doctest.h>

#include <algorithm>
#include <optional>

#include "replication/meta/cluster/cluster_limits.h"
#include "replication/meta/cluster/cluster_lookout.h"
#include "tests/support/fake_discovery.h"
#include "tests/support/fake_peer_transport.h"

namespace bascule::metadata {
namespace {

struct LookoutWorld;

// One process of a broker: `number` is its node, "b<number>" its id.
struct Watcher final : PeerEvents {
  Watcher(LookoutWorld& world, uint64_t number, const std::string& address, bool alone,
          std::vector<std::string> join, uint64_t endpoint);
  ~Watcher() override { lookout->Stop(); }
  void OnPeerUp(const PeerIdentity&) override {}
  void OnPeerDown(const PeerIdentity&) override {}
  void OnIntroduction(const std::string&, std::string, Duration,
                      PeerHandler::Respond respond) override {
    respond(EncodeIntroAnswer(Own()));
  }
  IntroAnswer Own() const;
  // What basculed does: looks before it starts, then ticks.
  void Start();
  void Tick();

  LookoutWorld& world;
  BrokerSelf self;
  FakeDiscovery discovery;
  FakePeerTransport& peers;
  SimExecutor& home;
  std::unique_ptr<ClusterLookout> lookout;
  std::string cluster_id = "c1";
  std::optional<absl::Status> before, fatal;
};

struct LookoutWorld {
  LookoutWorld() : scheduler(clock, 7), network(scheduler), bus(scheduler) {
    for (uint64_t n = 1; n <= 3; ++n)
      members.push_back({PeerId(n), Concat("b", n), Concat("old", n, ":1"), true});
  }
  ~LookoutWorld() {
    scheduler.DropAll();
    watchers.clear();
  }
  Watcher& Add(uint64_t number, const std::string& address, bool alone = false,
               std::vector<std::string> join = {}) {
    return *watchers.emplace_back(
        std::make_unique<Watcher>(*this, number, address, alone, std::move(join), ++endpoints));
  }
  void Run(Duration duration) { scheduler.RunFor(duration); }
  // Where `watcher` dials broker `number` now.
  std::string Dialled(const Watcher& watcher, uint64_t number) {
    const auto moved = watcher.peers.redirected.find(PeerId(number));
    return moved == watcher.peers.redirected.end() ? members[number - 1].address : moved->second;
  }
  SimClock clock;
  SimScheduler scheduler;
  FakePeerNetwork network;
  FakeDiscoveryBus bus;
  std::vector<GroupMember> members;
  std::vector<std::unique_ptr<Watcher>> watchers;
  uint64_t endpoints = 100;
};

Watcher::Watcher(LookoutWorld& given, uint64_t number, const std::string& address, bool alone,
                 std::vector<std::string> join, uint64_t endpoint)
    : world(given),
      self{Concat("b", number), PeerId(number), endpoint, address, "", given.clock.Monotonic()},
      discovery(given.bus),
      peers(given.network.Add({PeerId(endpoint), self.id, address, endpoint, 1})),
      home(given.scheduler.NewExecutor(Concat("home", endpoint))) {
  peers.HandleEvents(*this);
  ClusterLookoutOptions options;
  options.cluster_namespace = "ns";
  options.self = self;
  options.place = Concat("process ", endpoint);
  options.addresses = std::move(join);
  lookout =
      std::make_unique<ClusterLookout>(home, world.clock, discovery, alone ? nullptr : &peers,
                                       options, [this](const absl::Status& why) { fatal = why; });
}

IntroAnswer Watcher::Own() const {
  IntroAnswer own;
  own.cluster_namespace = "ns";
  own.cluster_id = cluster_id;
  own.server_id = self.id;
  own.node = self.node;
  own.incarnation = self.incarnation;
  own.address = self.peer_address;
  own.uptime = Between(self.began, world.clock.Monotonic());
  if (before.has_value()) own.members = world.members;
  return own;
}

void Watcher::Start() {
  lookout->LookBefore(Own(), [this](absl::Status status) {
    before = status;
    if (status.ok()) Tick();
  });
}

void Watcher::Tick() {
  lookout->Tick(Own(), world.members);
  home.After(std::chrono::seconds(1), [this] { Tick(); });
}

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("brokers that all came back at other addresses find each other over the bus") {
  LookoutWorld world;
  std::string back = "elsewhere:1";
  SUBCASE("new ones") {
    back = "old2:1";  // where the cluster knows it
    for (uint64_t n = 1; n <= 3; ++n) world.Add(n, Concat("new", n, ":1")).Start();
  }
  SUBCASE("each other's") {
    for (uint64_t n = 1; n <= 3; ++n) world.Add(n, Concat("old", n % 3 + 1, ":1")).Start();
  }
  world.Run(3 * std::chrono::seconds(1));
  for (const auto& watcher : world.watchers) {
    for (const auto& other : world.watchers) {
      if (other != watcher)
        CHECK(world.Dialled(*watcher, other->self.node.value()) == other->self.peer_address);
    }
    CHECK(watcher->lookout->Degraded().empty());
  }
  // When all are connected nobody asks any more, but for a glance a minute.
  for (const auto& watcher : world.watchers) {
    for (uint64_t n = 1; n <= 3; ++n) watcher->lookout->OnPeerUp(PeerId(n));
  }
  world.Run(8 * std::chrono::seconds(1));
  const uint64_t asked = world.bus.asked;
  world.Run(30 * std::chrono::seconds(1));
  CHECK(world.bus.asked == asked);
  world.Run(60 * std::chrono::seconds(1));
  CHECK(world.bus.asked > asked);
  CHECK(world.bus.asked < asked + 15);
  // One moves again.
  Watcher& first = *world.watchers[0];
  Watcher& moved = world.Add(2, back);
  world.watchers[1]->discovery.AnswerQueries([](std::string_view) { return ""; });
  first.lookout->OnPeerDown(PeerId(2));
  moved.Start();
  world.Run(8 * std::chrono::seconds(1));
  CHECK(world.Dialled(first, 2) == back);
}

TEST_CASE("an address where nobody answered is asked again when it is named again, later") {
  LookoutWorld world;
  for (const uint64_t n : {1, 3}) world.Add(n, Concat("new", n, ":1")).Start();
  Watcher& first = *world.watchers[0];
  const auto found = [&](uint64_t number) {
    return first.peers.redirected.contains(PeerId(number));
  };
  world.Run(8 * std::chrono::seconds(1));
  CHECK(found(3));
  CHECK_FALSE(found(2));
  // It neither asks nor answers on the bus; the others name the address that it had.
  world.Add(2, "old2:1");
  world.Run(20 * std::chrono::seconds(1));
  CHECK(found(2));
}

TEST_CASE("a lookout that was stopped asks nobody, whoever ticks it") {
  LookoutWorld world;
  Watcher& b1 = world.Add(1, "new1:1", false, {"nowhere:1"});
  b1.Start();
  world.Run(3 * std::chrono::seconds(1));
  REQUIRE(world.bus.asked > 0);
  REQUIRE(world.network.introductions > 0);
  b1.lookout->Stop();
  world.Run(2 * std::chrono::seconds(1));  // what was under way ends; its members are still missing
  const uint64_t asked = world.bus.asked;
  const uint64_t introductions = world.network.introductions;
  world.Run(70 * std::chrono::seconds(1));
  CHECK(world.bus.asked == asked);
  CHECK(world.network.introductions == introductions);
}

TEST_CASE("a lookout that is stopped before it started does not start") {
  LookoutWorld world;
  Watcher& b1 = world.Add(1, "new1:1");
  b1.Start();
  SUBCASE("while it looks") {}
  SUBCASE("while it waits for the others' answers") { world.Run(std::chrono::milliseconds(50)); }
  REQUIRE(!b1.before.has_value());
  b1.lookout->Stop();
  world.Run(2 * std::chrono::seconds(1));
  CHECK(!b1.before.has_value());
}

TEST_CASE("without a bus the addresses of cluster.join are asked, who answers there and for whom") {
  LookoutWorld world;
  world.bus.connected = false;
  Watcher& b1 = world.Add(1, "new1:1");
  Watcher& b2 = world.Add(2, "new2:1", false, {"nowhere:1", "new1:1"});
  b1.Start();
  b2.Start();
  world.Add(3, "moved3:1").Start();
  world.Run(3 * std::chrono::seconds(1));
  CHECK(world.Dialled(b2, 1) == "new1:1");
  CHECK(world.Dialled(b1, 2) == "old2:1");  // it is dialled from there
  // A member that has heard of it tells the others.
  world.members[2].address = "moved3:1";
  world.Run(3 * std::chrono::seconds(1));
  CHECK(world.Dialled(b2, 3) == "moved3:1");
}

TEST_CASE("what the bus says diverts nobody: the broker there must be the one that is looked for") {
  LookoutWorld world;
  Watcher& b1 = world.Add(1, "new1:1");
  // It says that it is b2, and answers so, but its certificate is another's.
  Watcher& liar = world.Add(3, "liar:1");
  SUBCASE("by its certificate") {
    liar.self.id = "b2";
    liar.self.node = PeerId(2);
  }
  SUBCASE("by its cluster, where there are no certificates") {
    world.network.tls = false;
    liar.self.id = "b2";
    liar.self.node = PeerId(2);
    liar.cluster_id = "another";
  }
  SUBCASE("by its node") {
    world.network.tls = false;
    liar.self.id = "b2";
  }
  b1.Start();
  IntroAnswer lie = liar.Own();
  lie.cluster_id = "c1";
  lie.server_id = "b2";
  lie.node = PeerId(2);
  liar.discovery.AnswerQueries([&](std::string_view) { return EncodeIntroAnswer(lie); });
  world.Run(20 * std::chrono::seconds(1));
  CHECK(world.Dialled(b1, 2) == "old2:1");
  CHECK(world.network.introductions > 0);
  // The right one is found beside the lie.
  Watcher& b2 = world.Add(2, "new2:1");
  b2.Start();
  world.Run(8 * std::chrono::seconds(1));
  CHECK(world.Dialled(b1, 2) == "new2:1");
}

TEST_CASE("a member that is connected is not looked for; a flood of addresses stays bounded") {
  LookoutWorld world;
  world.network.silent = "nowhere";
  Watcher& b1 = world.Add(1, "new1:1");
  Watcher& b2 = world.Add(2, "new2:1");
  b1.lookout->OnPeerUp(PeerId(2));
  b1.Start();
  b2.Start();
  world.Run(3 * std::chrono::seconds(1));
  CHECK(world.Dialled(b1, 2) == "old2:1");
  int n = 0;
  IntroAnswer flood = b2.Own();
  b2.discovery.AnswerQueries([&](std::string_view) {
    flood.members.clear();
    for (int i = 0; i < 256; ++i)
      flood.members.push_back({PeerId(3), "b3", Concat("nowhere:", ++n), true});
    return EncodeIntroAnswer(flood);
  });
  world.network.most_introductions = 0;
  world.Run(20 * std::chrono::seconds(1));
  CHECK(world.network.most_introductions <= 2 * limits::kHearsayAddresses);
  CHECK(world.network.introductions > 50);
}

TEST_CASE("a copied directory beside its original: the newer process does not start") {
  LookoutWorld world;
  SUBCASE("members") {
    Watcher& original = world.Add(2, "b2:1");
    original.Start();
    world.Run(10 * std::chrono::seconds(1));
    Watcher& copy = world.Add(2, "copy:1");
    copy.Start();
    world.Run(2 * std::chrono::seconds(1));
    REQUIRE(copy.before.has_value());
    CHECK(absl::IsAlreadyExists(*copy.before));
    const std::string text(copy.before->message());
    CHECK_MESSAGE(Has(text, "server id b2 is in use by the broker at b2:1 (process 101)"), text);
    CHECK_MESSAGE(Has(text, "in the namespace ns"), text);
    CHECK_MESSAGE(Has(text, "is a copy of that one's"), text);
    CHECK(original.before->ok());
    CHECK_FALSE(original.fatal.has_value());
  }
  SUBCASE("one whose original was not to be heard at first") {
    Watcher& original = world.Add(2, "b2:1");
    original.Start();
    world.Run(10 * std::chrono::seconds(1));
    world.bus.connected = false;
    Watcher& copy = world.Add(2, "copy:1");
    copy.Start();
    world.Run(10 * std::chrono::seconds(1));
    CHECK(copy.before->ok());
    CHECK_FALSE(copy.fatal.has_value());
    world.bus.connected = true;
    world.Run(70 * std::chrono::seconds(1));
    REQUIRE(copy.fatal.has_value());
    CHECK(absl::IsAlreadyExists(*copy.fatal));
    CHECK_FALSE(original.fatal.has_value());
    CHECK_FALSE(original.lookout->Degraded().empty());
  }
  SUBCASE("both at once: one of them lives") {
    Watcher& one = world.Add(2, "b2:1");
    Watcher& two = world.Add(2, "copy:1");
    one.Start();
    two.Start();
    world.Run(10 * std::chrono::seconds(1));
    CHECK(one.before->ok());
    CHECK_FALSE(one.fatal.has_value());
    CHECK((!two.before->ok() || two.fatal.has_value()));
  }
}

TEST_CASE("the same of groups of one, by the word of the bus") {
  LookoutWorld world;
  const bool alone = true;
  SUBCASE("one that runs") {
    world.endpoints = 500;  // incarnations decide only between those that are equal otherwise
    Watcher& original = world.Add(2, "", alone);
    original.Start();
    world.Run(std::chrono::seconds(1));
    world.endpoints = 200;
    Watcher& copy = world.Add(2, "", alone);
    copy.Start();
    world.Run(2 * std::chrono::seconds(1));
    REQUIRE(copy.before.has_value());
    CHECK_MESSAGE(Has(std::string(copy.before->message()), "in use by the broker at process 501"),
                  copy.before->ToString());
    CHECK_FALSE(original.fatal.has_value());
  }
  SUBCASE("both at once: one of them lives") {
    Watcher& one = world.Add(2, "", alone);
    Watcher& two = world.Add(2, "", alone);
    one.Start();
    two.Start();
    world.Run(10 * std::chrono::seconds(1));
    CHECK(one.before->ok());
    CHECK_FALSE(one.fatal.has_value());
    CHECK(absl::IsAlreadyExists(*two.before));
  }
}

TEST_CASE("nobody on the bus can stop a broker that runs") {
  LookoutWorld world;
  Watcher& stranger = world.Add(3, "stranger:1");
  IntroAnswer lie = stranger.Own();
  lie.server_id = "b2";
  lie.node = PeerId(2);
  lie.uptime = std::chrono::hours(24);
  lie.incarnation = 1;
  Watcher* victim = nullptr;
  const auto lies = [&] {
    stranger.discovery.AnswerQueries([&](std::string_view) { return EncodeIntroAnswer(lie); });
  };
  SUBCASE("a member, at any time") {
    lies();
    victim = &world.Add(2, "b2:1");
    victim->Start();
    world.Run(100 * std::chrono::seconds(1));
    CHECK(victim->before->ok());
  }
  SUBCASE("a member, by its own address") {
    lie.address = "b2:1";
    lies();
    victim = &world.Add(2, "b2:1");
    victim->Start();
    world.Run(100 * std::chrono::seconds(1));
    REQUIRE(victim->lookout->Degraded().size() == 1);
    CHECK(Has(victim->lookout->Degraded()[0], "Nobody with this broker's id answers there"));
  }
  SUBCASE("a group of one, once it runs") {
    victim = &world.Add(2, "", true);
    victim->Start();
    world.Run(20 * std::chrono::seconds(1));
    lies();
    lie.address = "";
    world.Run(100 * std::chrono::seconds(1));
    // By the word of the bus alone it would not have started.
    Watcher& second = world.Add(2, "", true);
    second.Start();
    world.Run(std::chrono::seconds(1));
    CHECK_FALSE(second.before->ok());
  }
  CHECK_FALSE(victim->fatal.has_value());
  REQUIRE(victim->lookout->Degraded().size() == 1);
  CHECK(Has(victim->lookout->Degraded()[0], "server id b2 is in use"));
  // And when it is gone it is forgotten.
  stranger.discovery.AnswerQueries([](std::string_view) { return ""; });
  if (world.watchers.size() == 2) {
    world.Run(300 * std::chrono::seconds(1));
    CHECK(victim->lookout->Degraded().empty());
  }
}

TEST_CASE("another cluster in the namespace is told of") {
  LookoutWorld world;
  Watcher& b1 = world.Add(1, "", true);
  Watcher& other = world.Add(2, "", true);
  other.cluster_id = "c2";
  b1.Start();
  other.Start();
  world.Run(5 * std::chrono::seconds(1));
  REQUIRE(b1.lookout->Degraded().size() == 1);
  CHECK(Has(b1.lookout->Degraded()[0], "belongs to another cluster (c2, ours is c1)"));
  CHECK_FALSE(b1.fatal.has_value());
  // It is told for as long as it is so: what the sentence says to do ends it.
  world.Run(300 * std::chrono::seconds(1));
  CHECK(b1.lookout->Degraded().size() == 1);
  other.cluster_id = "c1";
  world.Run(300 * std::chrono::seconds(1));
  CHECK(b1.lookout->Degraded().empty());
}

TEST_CASE("a member whom no snapshot has told of the others yet goes on looking for them") {
  LookoutWorld world;
  Watcher& first = world.Add(1, "here:1", false, {"joined:1"});
  Watcher& other = world.Add(2, "there:2");
  first.Start();
  other.Start();
  world.Run(std::chrono::seconds(70));
  const auto knows = [&](const std::string& address) {
    const std::vector<std::string> addresses = first.lookout->Addresses();
    return std::find(addresses.begin(), addresses.end(), address) != addresses.end();
  };
  CHECK(knows("joined:1"));
  CHECK(knows("there:2"));
  CHECK_FALSE(knows("elsewhere:3"));
  // Long after it looked around at its start.
  world.members.clear();
  Watcher& late = world.Add(3, "elsewhere:3");
  late.Start();
  world.Run(std::chrono::seconds(10));
  CHECK(knows("elsewhere:3"));
  Watcher& stranger = world.Add(2, "nowhere:2");
  stranger.cluster_id = "c2";
  stranger.Start();
  world.Run(std::chrono::seconds(10));
  CHECK_FALSE(knows("nowhere:2"));
}

}  // namespace bascule::metadata
