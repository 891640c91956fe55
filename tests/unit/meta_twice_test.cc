// What is lent, counted or armed, the second time: a leader that leads again, a table that is full again,
// places that were given back.
#include <doctest/doctest.h>

#include "replication/meta/cluster/membership.h"
#include "replication/meta/requests/requests.pb.h"
#include "tests/unit/meta_samples.h"
#include "tests/unit/meta_world.h"

namespace bascule::metadata {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

bool AnyFenced(const MetaTable& table) {
  for (const auto& [id, broker] : table.brokers()) {
    if (broker.fenced) return true;
  }
  return false;
}

// Who registers anew, of `table`'s brokers.
std::map<std::string, uint64_t> Versions(const MetaTable& table) {
  std::map<std::string, uint64_t> versions;
  for (const auto& [name, stream] : table.streams()) versions[name] = stream.partitions[0].version;
  return versions;
}

}  // namespace

TEST_CASE("a leader that leads again counts nobody by what it heard in an earlier reign") {
  MetaWorld world(4);
  for (int i = 0; i < 8; ++i) REQUIRE(world.Await(world[1].Create(Concat("s", i))).ok());
  world.Run(seconds(1));
  const auto versions = Versions(world[1].table());
  for (int reign = 0; reign < 3; ++reign) {
    world.group.Elect(PeerId(2));
    world.Run(seconds(20));
    world.group.Elect(PeerId(1));
    world.Run(seconds(20));
    CHECK_FALSE(AnyFenced(world[1].table()));
    CHECK(Versions(world[1].table()) == versions);  // nor for a moment
  }
  // Who is silent is fenced after its timeout all the same, in every reign.
  for (int reign = 0; reign < 2; ++reign) {
    world.network.Cut(PeerId(1), PeerId(3));
    world.Run(seconds(3));
    CHECK(world[1].table().FindBroker("b3")->fenced);
    world.network.Heal(PeerId(1), PeerId(3));
    world.Run(seconds(3));
    CHECK_FALSE(AnyFenced(world[1].table()));
    world.group.Elect(PeerId(2));
    world.Run(seconds(5));
    world.group.Elect(PeerId(1));
    world.Run(seconds(5));
  }
}

TEST_CASE("silence of members is counted within one reign") {
  GroupStatus status;
  status.self = PeerId(1);
  for (uint64_t n = 1; n <= 3; ++n)
    status.members.push_back({{PeerId(n), Concat("b", n), "", true}, MetadataIndex(1), n != 3});
  SimClock clock;
  MemberSilence silence;
  silence.Begin();
  silence.Note(status, clock.Monotonic());
  clock.Advance(seconds(30));
  CHECK(silence.Of(PeerId(3), clock.Monotonic()) == Duration(seconds(30)));
  silence.Begin();
  CHECK(silence.Of(PeerId(3), clock.Monotonic()) == Duration::zero());
  silence.Note(status, clock.Monotonic());
  clock.Advance(seconds(2));
  CHECK(silence.Of(PeerId(3), clock.Monotonic()) == Duration(seconds(2)));
}

TEST_CASE("trouble and generations of a process end with it") {
  BrokerSessions sessions{std::chrono::seconds(2)};
  MetaTable table = TableWith({"b1", "b2"});
  SimClock clock;
  const MonotonicTime now = clock.Monotonic();
  sessions.Heard({"b2", 2}, table, now);
  sessions.Note({"b2", 2}, {5, "its disk is full"});
  CHECK(sessions.TroubleOf("b2") == "its disk is full");
  REQUIRE(sessions.NewGenerations(table.brokers()).size() == 1);
  CHECK(sessions.NewGenerations(table.brokers())[0].generation == 5);
  // Another process: what the old one said, late or before, is nothing of its.
  table.Apply(MetadataIndex(11), EncodeRegisterBroker(Broker("b2", 7)));
  CHECK(sessions.NewGenerations(table.brokers()).empty());
  sessions.Heard({"b2", 7}, table, now);
  CHECK(sessions.TroubleOf("b2") == "");
  sessions.Note({"b2", 2}, {9, "late"});
  CHECK(sessions.TroubleOf("b2") == "");
  sessions.Note({"b2", 7}, {6, "ill"});
  CHECK(sessions.TroubleOf("b2") == "ill");
  sessions.Note({"b2", 7}, {6, ""});
  CHECK(sessions.TroubleOf("b2") == "");
  // A new reign begins with nothing.
  sessions.Note({"b2", 7}, {6, "ill"});
  sessions.Begin("", now);
  CHECK(sessions.TroubleOf("b2") == "");
}

TEST_CASE("places of requests are given back, on the asking broker and on the leader") {
  MetaWorld world(2);
  for (int round = 0; round < 2; ++round) {
    world.group.hold = true;
    std::vector<std::shared_ptr<Ended>> all;
    for (size_t i = 0; i < limits::kMetaRequestsInFlight; ++i)
      all.push_back(world[2].Create(Concat("s", round, "-", i)));
    world.Run(milliseconds(20));
    const auto refused = world[2].Create("one more");
    world.Run(milliseconds(20));
    REQUIRE(refused->status.has_value());
    CHECK(absl::IsResourceExhausted(*refused->status));
    world.group.hold = false;
    for (const auto& ended : all) CHECK(world.Await(ended).ok());
  }
  CHECK(world.Await(world[2].Create("after")).ok());
}

TEST_CASE("what was on its way no longer weighs on placement once it is there, or refused") {
  MetaWorld world(3);
  for (int round = 0; round < 3; ++round) {
    std::vector<std::shared_ptr<Ended>> all;
    for (int i = 0; i < 30; ++i)
      all.push_back(
          world[1 + static_cast<uint64_t>(i) % 3].Create(Concat("s", i % 15)));  // half fail
    for (const auto& ended : all) (void)world.Await(ended);
    world.Run(milliseconds(100));
    for (const char* id : {"b1", "b2", "b3"}) CHECK(world[1].table().LoadOf(id).leading == 5);
    // Uneven on purpose: what one broker has is taken from it, and comes back to it.
    std::vector<std::string> gone;
    for (const auto& [name, stream] : world[1].table().streams()) {
      if (stream.partitions[0].leader == Concat("b", 1 + round)) gone.push_back(name);
    }
    for (const std::string& name : gone) CHECK(world.Await(world[2].Delete(name)).ok());
    for (const std::string& name : gone) {
      CHECK(world.Await(world[2].Create(name)).ok());
      CHECK(world[2].LeaderOf(name) == Concat("b", 1 + round));
    }
    for (int i = 0; i < 15; ++i) CHECK(world.Await(world[3].Delete(Concat("s", i))).ok());
  }
}

TEST_CASE("a broker that is fenced again and again registers again each time, with its address") {
  MetaWorld world(3);
  for (int round = 0; round < 3; ++round) {
    world.network.Cut(PeerId(1), PeerId(2));
    world.Run(seconds(3));
    CHECK(world[1].table().FindBroker("b2")->fenced);
    world.network.Heal(PeerId(1), PeerId(2));
    world.Run(seconds(3));
    const RegisteredBroker& back = *world[1].table().FindBroker("b2");
    CHECK_FALSE(back.fenced);
    CHECK(back.incarnation == world[2].self.incarnation);
    world[2].registrar->Advertise(Concat("moved", round), 9000 + round);
    world.Run(seconds(1));
    CHECK(world[1].table().FindBroker("b2")->host == Concat("moved", round));
  }
  CHECK_FALSE(world[2].fatal.has_value());
}

TEST_CASE("the lead moves around and around, a refusal in between") {
  MetaWorld world(3);
  for (int round = 0; round < 2; ++round) {
    for (const char* to : {"b2", "b3", "b1"}) {
      std::optional<absl::Status> moved;
      world[3].control->TransferLeadership(to, seconds(5),
                                           [&](const absl::Status& s) { moved = s; });
      REQUIRE(world.scheduler.RunUntil([&] { return moved.has_value(); }, seconds(10)));
      CHECK(moved->ok());
      world.Run(seconds(1));
    }
    std::optional<absl::Status> nobody;
    world[3].control->TransferLeadership("b9", seconds(5),
                                         [&](const absl::Status& s) { nobody = s; });
    REQUIRE(world.scheduler.RunUntil([&] { return nobody.has_value(); }, seconds(10)));
    CHECK(absl::IsNotFound(*nobody));
  }
}

}  // namespace bascule::metadata
