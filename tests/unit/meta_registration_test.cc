// What a data directory owes the metadata group, and how an older copy of one is noticed.
#include <doctest/doctest.h>

#include <algorithm>

#include "core/base/crc32c.h"
#include "replication/meta/cluster/registration_record.h"
#include "replication/meta/requests/requests.pb.h"
#include "tests/unit/meta_samples.h"
#include "tests/unit/meta_world.h"

namespace bascule::metadata {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr char kPath[] = "data/registration";

std::string Copy(MetaWorld& world, uint64_t number) {
  return world.Disk(number).VisibleBytes(kPath);
}

void PutBack(MetaWorld& world, uint64_t number, const std::string& copy) {
  REQUIRE(WriteFileAtomically(world.Disk(number), kPath, copy).ok());
}

// A stream whose only replica stands on b2.
void StreamOnSecond(MetaWorld& world) {
  StreamDescription stream = SampleStream("s", 1, {"b2"});
  world[1].log->Propose(EncodeCreateStream(stream), [](const absl::Status& s) { CHECK(s.ok()); });
  world.Run(milliseconds(500));
  REQUIRE(world[1].LeaderOf("s") == "b2");
}

absl::Status Registered(MetaWorld& world, uint64_t number) {
  REQUIRE(
      world.scheduler.RunUntil([&] { return world[number].registered.has_value(); }, seconds(20)));
  world.Run(milliseconds(100));
  return *world[number].registered;
}

bool IsMember(MetaWorld& world, uint64_t number) {
  const auto& members = world.group.members();
  return std::any_of(members.begin(), members.end(),
                     [number](const GroupMember& m) { return m.id == PeerId(number); });
}

}  // namespace

// As version 1 wrote it, and as a later version may: two partitions that lost records.
std::string OwingBlock(uint64_t sequence) {
  std::string block = Concat("bascule registration 1\nsequence ", sequence,
                             "\ngeneration 1\nowes_all 0\nrejoin 0\nowes 2\n7/3\n8/0\n");
  block += Concat("crc32c ", Crc32c(block), "\n");
  block.resize(4096, '\n');
  return block;
}

TEST_CASE("R6b: what a later version owes of single partitions is told and paid") {
  MetaWorld world(3);
  StreamOnSecond(world);
  world.Stop(2);
  PutBack(world, 2, OwingBlock(90) + OwingBlock(91));
  world.Start(2);
  const std::vector<PartitionKey> owed{{StreamId(7), PartitionId(3)},
                                       {StreamId(8), PartitionId(0)}};
  CHECK(world[2].record->owed() == owed);
  CHECK_FALSE(world[2].record->owes_all());
  CHECK(world[2].record->positions() == DirectoryPositions());  // version 1 kept none
  for (int i = 0; i < 30; ++i) REQUIRE(world[2].record->Raise({}).ok());
  world.Register(2);
  REQUIRE(Registered(world, 2).ok());
  CHECK(world[2].record->owed().empty());
  // It was none of those.
  CHECK(world[1].LeaderOf("s") == "b2");
}

TEST_CASE("R6b: an emptied disk says so until it is applied, whenever its process is killed") {
  // Killed so long after it began to register; the last one is registered by then.
  for (const int ms : {0, 1, 2, 3, 4, 6, 10, 400}) {
    CAPTURE(ms);
    MetaWorld world(3);
    StreamOnSecond(world);
    world.Start(2);
    world.Register(2, /*lost_all=*/true);
    world.Run(milliseconds(ms));
    world.Disk(2).Kill();
    world.Start(2);
    world.Register(2);
    REQUIRE(Registered(world, 2).ok());
    CHECK(world[1].LeaderOf("s") == "");
    CHECK(world[1].table().Find("s")->partitions[0].isr.empty());
    CHECK_FALSE(world[2].record->owes_all());
  }
}

TEST_CASE(
    "R6b: lost records are told once: what was written since is not lost at a later fencing") {
  MetaWorld world(3);
  world.Start(2);
  world.Register(2, /*lost_all=*/true);
  REQUIRE(Registered(world, 2).ok());
  StreamOnSecond(world);
  for (int round = 0; round < 2; ++round) {
    world.network.Cut(PeerId(1), PeerId(2));
    world.group.Cut(PeerId(2));
    world.Run(seconds(3));
    CHECK(world[1].LeaderOf("s") == "");
    world.network.Heal(PeerId(1), PeerId(2));
    world.group.Heal(PeerId(2));
    world.Run(seconds(3));
    CHECK(world[1].LeaderOf("s") == "b2");
  }
  world.Start(2);
  world.Register(2);
  REQUIRE(Registered(world, 2).ok());
  CHECK(world[1].LeaderOf("s") == "b2");
}

TEST_CASE("R6b: what was told and not noted as told is not told again") {
  MetaWorld world(3);
  world.Start(2);
  world.Register(2, /*lost_all=*/true);
  // It is registered for everybody, and is killed before it hears of that.
  REQUIRE(world.scheduler.RunUntil(
      [&] {
        const RegisteredBroker* known = world[1].table().FindBroker("b2");
        return known != nullptr && known->incarnation == world[2].self.incarnation;
      },
      seconds(5)));
  REQUIRE(world[2].record->owes_all());
  world.Stop(2);
  StreamOnSecond(world);
  for (int start = 0; start < 2; ++start) {
    world.Start(2);
    CHECK(world[2].record->owes_all() == (start == 0));
    world.Register(2);
    REQUIRE(Registered(world, 2).ok());
    CHECK_FALSE(world[2].record->owes_all());
    CHECK(world[1].LeaderOf("s") == "b2");  // where nothing was written yet, nothing is lost
  }
  // What is lost later is told, whoever told before.
  world.Start(2);
  world.Register(2, /*lost_all=*/true);
  REQUIRE(Registered(world, 2).ok());
  CHECK(world[1].LeaderOf("s") == "");
}

TEST_CASE("R6b: what nobody can have been told is told, whatever was begun") {
  MetaWorld world(3);
  StreamOnSecond(world);
  world.Start(2);
  world.group.hold = true;
  world.Register(2, /*lost_all=*/true);
  world.Run(milliseconds(50));
  CHECK(world[2].record->told_by() == world[2].self.incarnation);
  world.Stop(2);
  world.group.hold = false;
  world.group.keep_on_change = false;  // what was proposed comes to nothing
  world.group.Elect(PeerId(3));
  world.Run(seconds(1));
  world.Start(2);
  world.Register(2);
  REQUIRE(Registered(world, 2).ok());
  CHECK(world[1].LeaderOf("s") == "");
}

TEST_CASE("a registration that is refused for good is told once, and not tried again") {
  MetaWorld world(3);
  for (int life = 0; life < 2; ++life) {
    world.Stop(2);
    MetaBroker& late = world.Start(2);
    // Registered and replaced before it asks.
    for (const uint64_t later : {0, 1}) {
      BrokerRegistration registration;
      registration.id = late.self.id;
      registration.node = late.self.node;
      registration.incarnation = late.self.incarnation + later;
      registration.peer_address = late.self.peer_address;
      registration.generation = late.record->generation() + 1 + later;
      registration.kept_all = true;
      world[1].log->Propose(EncodeRegisterBroker(registration),
                            [](const absl::Status& s) { CHECK(s.ok()); });
    }
    world.Run(milliseconds(300));
    world.Register(2);
    const absl::Status refused = Registered(world, 2);
    CHECK_MESSAGE(absl::IsFailedPrecondition(refused), refused.ToString());
    const MetadataIndex last = world.group.last();
    const std::string record = Copy(world, 2);
    world.Run(seconds(1));
    CHECK(world.group.last() == last);
    CHECK(Copy(world, 2) == record);
    CHECK_FALSE(world[2].fatal.has_value());  // whoever asked ends it
  }
}

TEST_CASE("a stopped registrar asks nothing, and calls nobody") {
  for (const int ms : {0, 1, 3, 40, 700}) {
    CAPTURE(ms);
    MetaWorld world(3);
    world.Start(2);
    world.group.hold = ms == 40 || ms == 700;  // 700: it waits to ask again
    if (ms == 700) world.network.Isolate(PeerId(2));
    world.Register(2, /*lost_all=*/true);
    world.Run(milliseconds(ms));
    bool stopped = false;
    world[2].home.Post([&] {
      world[2].registrar->Stop();
      stopped = true;
    });
    REQUIRE(world.scheduler.RunUntil([&] { return stopped; }, seconds(1)));
    const bool before = world[2].registered.has_value();
    world.group.hold = false;
    world.Run(seconds(20));
    CHECK(world[2].registered.has_value() == before);
    CHECK(world[2].sink.deltas.empty());
    CHECK(world[2].record->owes_all() == !before);
  }
}

TEST_CASE("an ordinary crash at any step of registering is never taken for lost records") {
  for (uint64_t step = 1; step <= 14; ++step) {
    CAPTURE(step);
    MetaWorld world(3);
    world.Run(seconds(1));
    StreamOnSecond(world);
    SimRng rng(step);
    world.Stop(2);
    constexpr uint64_t kOpening = 5;
    if (step <= kOpening) {
      world.Disk(2).faults().PowerOffAfter(step);
      CHECK_FALSE(RegistrationRecord::Open(world.Disk(2), "data").ok());
    } else {
      world.Start(2);
      world.Disk(2).faults().PowerOffAfter(step - kOpening);
      world.Register(2);
      world.Run(milliseconds(step % 2 == 0 ? 5 : 200));
      world.Stop(2);
    }
    world.Disk(2).faults().Clear();
    world.Disk(2).Crash(rng);
    world.Start(2);
    world.Register(2);
    REQUIRE(Registered(world, 2).ok());
    CHECK(world[1].LeaderOf("s") == "b2");
  }
}

TEST_CASE(
    "a voter that finds itself an older copy gives its vote up before it ends, of two as of "
    "three") {
  for (const int voters : {2, 3}) {
    CAPTURE(voters);
    MetaWorld world(voters);
    world.Run(seconds(2));
    const std::string copy = Copy(world, 2);
    world.Start(2);
    world.Register(2);
    REQUIRE(Registered(world, 2).ok());
    world.Stop(2);
    PutBack(world, 2, copy);
    world.Run(seconds(5));
    world.Start(2);
    world.Register(2);
    bool left_first = false;
    REQUIRE(world.scheduler.RunUntil(
        [&] {
          left_first = left_first || (!world[2].registered && !IsMember(world, 2));
          return world[2].registered.has_value();
        },
        seconds(20)));
    CHECK(absl::IsDataLoss(*world[2].registered));
    CHECK(left_first);
    CHECK(world[1].table().FindBroker("b2") == nullptr);
  }
}

TEST_CASE(
    "an older copy whose vote nobody takes away ends all the same, and has noted what it is") {
  MetaWorld world(3);
  world.Run(seconds(2));
  const std::string copy = Copy(world, 2);
  world.Start(2);
  world.Register(2);
  REQUIRE(Registered(world, 2).ok());
  world.Stop(2);
  PutBack(world, 2, copy);
  world.Run(seconds(5));
  world.group.silent.insert(PeerId(3));  // without the copy the others would be no majority
  world.Start(2);
  world.Register(2);
  REQUIRE(world.scheduler.RunUntil([&] { return world[2].registered.has_value(); }, seconds(60)));
  CHECK(absl::IsDataLoss(*world[2].registered));
  CHECK(IsMember(world, 2));
  CHECK(world[2].record->must_rejoin());
}

TEST_CASE("an older copy does not remove the broker whose process lives beside it") {
  MetaWorld world(3);
  world.Run(seconds(2));
  world.Register(2);
  REQUIRE(Registered(world, 2).ok());
  const uint64_t lives = world[1].table().FindBroker("b2")->incarnation;
  for (const uint64_t asks : {lives + 1, lives}) {
    meta::Request request;
    request.set_broker("b2");
    request.set_incarnation(asks);
    request.mutable_remove_member()->set_server_id("b2");
    request.mutable_remove_member()->set_force(true);
    std::optional<absl::Status> answer;
    world[1].control->Execute(request, seconds(5),
                              [&](const RequestOutcome& outcome) { answer = outcome.status; });
    REQUIRE(world.scheduler.RunUntil([&] { return answer.has_value(); }, seconds(20)));
    CHECK_MESSAGE(answer->ok() == (asks == lives), *answer);
    CHECK(IsMember(world, 2) == (asks != lives));
  }
}

TEST_CASE("R6b: an older copy of a data directory is refused, and then comes with nothing") {
  // Taken while the broker ran, which did not start again since; or before an earlier start.
  for (const bool running : {true, false}) {
    CAPTURE(running);
    MetaWorld world(3);
    world.Run(seconds(2));
    StreamOnSecond(world);
    const std::string copy = Copy(world, 2);
    if (running) {
      world.Run(limits::kGenerationPeriod * 2);
    } else {
      world.Start(2);
      world.Register(2);
      REQUIRE(Registered(world, 2).ok());
    }
    world.Stop(2);
    PutBack(world, 2, copy);
    world.Run(seconds(5));
    world.Start(2);
    world.Register(2);
    const absl::Status refused = Registered(world, 2);
    CHECK(absl::IsDataLoss(refused));
    CHECK(refused.message().find("is an older copy") != absl::string_view::npos);
    CHECK(world[1].LeaderOf("s") == "");
    CHECK(world[2].sink.deltas.empty());
    CHECK(world[2].record->must_rejoin());
    // Its vote is given up before it ends, and its new part is another member.
    CHECK_FALSE(IsMember(world, 2));
    world.Stop(2);
    world[1].log->AddMember({PeerId(2), "b2", "b2:9293", false}, [](const absl::Status&) {});
    world.Run(milliseconds(100));
    // Killed before that is told, it still knows.
    world.Start(2);
    CHECK(world[2].record->owes_all());
    world.Register(2);
    REQUIRE(Registered(world, 2).ok());
    CHECK(world[1].LeaderOf("s") == "");
    CHECK(world[1].table().Find("s")->partitions[0].isr.empty());
    // What it is given from now on it keeps.
    StreamDescription fresh = SampleStream("t", 1, {"b2"});
    world[1].log->Propose(EncodeCreateStream(fresh), [](const absl::Status&) {});
    world.Run(milliseconds(100));
    world.Start(2);
    world.Register(2);
    REQUIRE(Registered(world, 2).ok());
    CHECK(world[1].LeaderOf("t") == "b2");
  }
}

TEST_CASE("a copy of the directory as it is, put back, is no older one") {
  MetaWorld world(3);
  world.Run(seconds(2));
  StreamOnSecond(world);
  world.Stop(2);
  const std::string copy = Copy(world, 2);
  PutBack(world, 2, copy);
  world.Start(2);
  world.Register(2);
  REQUIRE(Registered(world, 2).ok());
  CHECK(world[1].LeaderOf("s") == "b2");
}

TEST_CASE("a registration that comes after the one of a later start takes nothing from it") {
  MetaTable table = TableWith({"b1", "b2"});
  REQUIRE(table.Apply(MetadataIndex(11), EncodeRaiseFeatureLevel(kGenerationsLevel)).result.ok());
  REQUIRE(
      table.Apply(MetadataIndex(12), EncodeCreateStream(SampleStream("s", 1, {"b2"}))).result.ok());
  BrokerRegistration killed = Broker("b2", 20);
  killed.generation = 5;
  BrokerRegistration next = Broker("b2", 21);
  next.generation = 6;
  REQUIRE(table.Apply(MetadataIndex(13), EncodeRegisterBroker(next)).result.ok());
  const auto late = table.Apply(MetadataIndex(14), EncodeRegisterBroker(killed));
  CHECK(absl::IsOutOfRange(late.result));
  CHECK(late.deltas.empty());
  CHECK(table.FindBroker("b2")->incarnation == 21);
  CHECK(table.Find("s")->partitions[0].leader == "b2");
  // The same process again, as when its answer was lost.
  CHECK(table.Apply(MetadataIndex(15), EncodeRegisterBroker(next)).result.ok());
  // A process that was replaced says nothing of the directory any more.
  table.Apply(MetadataIndex(16), EncodeNoteGenerations({{{"b2", 20}, 90}, {{"b9", 1}, 5}}));
  CHECK(table.FindBroker("b2")->generation == 6);
  table.Apply(MetadataIndex(17), EncodeNoteGenerations({{{"b2", 21}, 9}}));
  CHECK(table.FindBroker("b2")->generation == 9);
  MetaTable restored;
  REQUIRE(restored.Restore(table.applied(), table.Snapshot()).ok());
  CHECK(restored.FindBroker("b2")->generation == 9);
  // An emptied disk begins anew; one whose data/meta was moved away goes on.
  REQUIRE(table.Apply(MetadataIndex(18), EncodeFenceBrokers({{"b2", 21}})).result.ok());
  BrokerRegistration moved = Broker("b2", 22);
  moved.node = PeerId(70);
  moved.kept_all = true;
  moved.generation = 9;
  CHECK(absl::IsOutOfRange(table.Apply(MetadataIndex(19), EncodeRegisterBroker(moved)).result));
  moved.kept_all = false;
  moved.lost_all = true;
  moved.generation = 1;
  CHECK(table.Apply(MetadataIndex(20), EncodeRegisterBroker(moved)).result.ok());
  CHECK(table.FindBroker("b2")->generation == 1);
}

TEST_CASE("generations mean nothing until every broker knows of them") {
  MetaTable table = TableWith({"b1", "b2"});
  REQUIRE(table.Apply(MetadataIndex(11), EncodeRaiseFeatureLevel(1)).result.ok());
  BrokerRegistration first = Broker("b2", 20);
  first.generation = 6;
  REQUIRE(table.Apply(MetadataIndex(12), EncodeRegisterBroker(first)).result.ok());
  CHECK(table.FindBroker("b2")->generation == 0);
  BrokerRegistration second = Broker("b2", 21);
  second.generation = 5;
  CHECK(table.Apply(MetadataIndex(13), EncodeRegisterBroker(second)).result.ok());
}

}  // namespace bascule::metadata
