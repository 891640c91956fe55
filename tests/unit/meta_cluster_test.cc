// Metadata requests in a cluster: through any broker, past leaders that go, once each; and what the
// brokers are told.
#include <doctest/doctest.h>

#include <set>

#include "replication/meta/requests/requests.pb.h"
#include "replication/meta/table/command_remove_broker.h"
#include "tests/unit/meta_world.h"

namespace bascule::metadata {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::string DeltasAsText(const std::map<std::string, StreamDescription>& streams) {
  std::string text;
  for (const auto& [name, stream] : streams) {
    text +=
        Concat(name, " ", stream.id, " ", stream.overrides.retention_max_bytes.value_or(-1), ":");
    for (const PartitionDescription& p : stream.partitions)
      text += Concat(" ", p.id, "/", p.leader, "/", p.leader_epoch, "/", p.version);
    text += "\n";
  }
  return text;
}

std::string TableAsText(const MetaTable& table) {
  return DeltasAsText({table.streams().begin(), table.streams().end()});
}

}  // namespace

TEST_CASE("any broker takes a request, and knows its outcome when it answers") {
  MetaWorld world(3);
  for (uint64_t n = 1; n <= 3; ++n) {
    const std::string name = Concat("s", n);
    CHECK(world.Await(world[n].Create(name)).ok());
    CHECK(world[n].table().Find(name) != nullptr);
    CHECK(world.Await(world[n].Create(name)).message() == "stream already exists");
  }
  CHECK(world.Await(world[3].Delete("s1")).ok());
  CHECK(world[3].table().Find("s1") == nullptr);
  CHECK(world.Await(world[2].Delete("s1")).message() == "stream does not exist");
  StreamOverrides changes;
  changes.retention_max_age = std::chrono::hours(1);
  CHECK(world.Await(world[2].Update("s3", changes)).ok());
  CHECK(world[2].table().Find("s3")->overrides.retention_max_age == std::chrono::hours(1));
  world.Run(milliseconds(50));
  for (uint64_t n = 1; n <= 3; ++n) {
    CHECK(TableAsText(world[n].table()) == TableAsText(world[1].table()));
    CHECK(DeltasAsText(world[n].sink.Streams()) == TableAsText(world[1].table()));
  }
}

TEST_CASE("streams are spread over the brokers, those of one moment too; every broker lists all") {
  MetaWorld world(3);
  std::vector<std::shared_ptr<Ended>> all;
  for (uint64_t i = 0; i < 9; ++i) all.push_back(world[1 + i % 3].Create(Concat("s", i)));
  for (const auto& ended : all) CHECK(world.Await(ended).ok());
  CHECK(world.Await(world[2].Create(Spec("wide", 6))).ok());
  world.Run(milliseconds(50));
  for (uint64_t n = 1; n <= 3; ++n) {
    const auto brokers = world[n].frontend->Brokers();
    REQUIRE(brokers.size() == 3);
    CHECK(brokers[0].id == world[n].self.id);  // who answers is first
    for (const BrokerDescription& broker : brokers) {
      CHECK(broker.leader_count == 5);
      CHECK(broker.partition_count == 5);
      CHECK(broker.host == broker.id + ".example");
    }
  }
}

TEST_CASE("R1a: the answer waits until the brokers that lead the partitions are ready") {
  MetaWorld world(3);
  CHECK(world.Await(world[1].Create("a")).ok());
  CHECK(world.Await(world[1].Create("b")).ok());
  world[3].sink.hold = true;
  const auto created = world[1].Create("s");
  world.Run(milliseconds(300));
  REQUIRE(world[1].LeaderOf("s") == "b3");
  CHECK_FALSE(created->status.has_value());
  world[3].sink.Settle(absl::OkStatus());
  CHECK(world.Await(created).ok());
  // Its failure is told too.
  const auto updated = world[2].Delete("s");
  world.Run(milliseconds(300));
  CHECK_FALSE(updated->status.has_value());
  world[3].sink.Settle(absl::InternalError("disk"));
  CHECK(world.Await(updated).message() == "the change is made, but the stream is not ready: disk");
}

TEST_CASE(
    "of the brokers that a change waits for one that failed is told, whoever answers after it") {
  for (const uint64_t failing : {1, 2, 3}) {
    for (const bool first : {true, false}) {
      CAPTURE(failing);
      CAPTURE(first);
      MetaWorld world(3);
      for (uint64_t n = 1; n <= 3; ++n) world[n].sink.hold = true;
      StreamSpec spec;
      spec.name = spec.subject = "wide";
      spec.partitions = 3;
      const auto created = world[1].Create(spec);
      world.Run(milliseconds(300));
      const auto settle = [&](bool fails) {
        for (uint64_t n = 1; n <= 3; ++n) {
          if ((n == failing) != fails) continue;
          world[n].sink.Settle(fails ? absl::InternalError("disk") : absl::OkStatus());
          world.Run(milliseconds(300));
        }
      };
      settle(first);
      CHECK_FALSE(created->status.has_value());
      settle(!first);
      CHECK(world.Await(created).message() ==
            "the change is made, but the stream is not ready: disk");
    }
  }
}

TEST_CASE("a partition leader that is not reachable holds the answer no longer than the deadline") {
  MetaWorld world(3);
  CHECK(world.Await(world[1].Create("a")).ok());
  CHECK(world.Await(world[1].Create("b")).ok());
  world.network.Cut(PeerId(1), PeerId(3));
  const MonotonicTime start = world.clock.Monotonic();
  const auto created = world[1].Create(Spec("s"), seconds(1));
  CHECK(world.Await(created).ok());
  CHECK(Between(start, created->at) == Duration(seconds(1)));
  CHECK(world[1].LeaderOf("s") == "b3");
}

TEST_CASE("a request outlives its leader, whether it was committed or not, and is done once") {
  for (const bool kept : {true, false}) {
    MetaWorld world(3);
    world.group.hold = true;
    world.group.keep_on_change = kept;
    const auto created = world[3].Create("s");
    world.Run(milliseconds(100));
    CHECK_FALSE(created->status.has_value());
    world.Stop(1);
    world.group.hold = false;
    world.group.Elect(PeerId(2));
    CHECK(world.Await(created, seconds(3)).ok());
    CHECK(world[3].table().Find("s") != nullptr);
    const uint64_t last = world.group.last().value();
    world.Run(milliseconds(100));
    int creations = 0;
    for (const MetaDelta& delta : world[3].sink.deltas)
      creations += std::holds_alternative<StreamCreated>(delta) ? 1 : 0;
    CHECK(creations == 1);
    CHECK(world.group.last().value() == last);
  }
}

TEST_CASE("without a leader a request waits for one, and says so when there is none in time") {
  MetaWorld world(3);
  world.group.Elect(PeerId());
  world.Run(seconds(1));
  const auto late = world[2].Create(Spec("late"), seconds(4));
  world.Run(seconds(2));
  world.group.Elect(PeerId(3));
  CHECK(world.Await(late).ok());
  world.group.Elect(PeerId());
  world.Run(milliseconds(700));
  world.group.Elect(PeerId());  // another term that nobody leads
  world.Run(milliseconds(500));
  const auto never = world[2].Create(Spec("never"), seconds(3));
  const absl::Status status = world.Await(never);
  CHECK(absl::IsUnavailable(status));
  CHECK(status.message() ==
        "no metadata leader for 4.2 s: a majority of the voting brokers must be reachable; nothing "
        "was changed");
}

TEST_CASE("when the leader's answer is lost the outcome is unknown, and the text says so") {
  MetaWorld world(3);
  world.group.hold = true;
  const auto created = world[2].Create(Spec("s"), seconds(2));
  world.Run(milliseconds(500));
  world.network.Cut(PeerId(1), PeerId(2));
  world.group.hold = false;
  const absl::Status status = world.Await(created);
  CHECK(absl::IsDeadlineExceeded(status));
  CHECK(status.message() ==
        "the metadata leader did not answer within 2.0 s; the outcome is unknown");
  CHECK(world[1].table().Find("s") != nullptr);
}

TEST_CASE("what a leader that went may have done is unknown, whatever the next one says") {
  for (const bool next : {true, false}) {
    MetaWorld world(3);
    world.group.hold = true;
    world.group.keep_on_change = false;
    // Less than one attempt may take, or more.
    const auto created = world[3].Create(Spec("s"), next ? seconds(1) : seconds(3));
    world.Run(milliseconds(100));
    world.Stop(1);
    world[2].log->refuse = 1'000'000;
    world.group.Elect(PeerId(next ? 2 : 0));
    CHECK(absl::IsDeadlineExceeded(world.Await(created)));
  }
}

TEST_CASE("a leader that was replaced and does not know it refuses nothing by what it remembers") {
  MetaWorld world(3);
  CHECK(world.Await(world[1].Create("s")).ok());
  world.group.Cut(PeerId(1));
  world.group.Elect(PeerId(2));
  CHECK(world.Await(world[2].Delete("s")).ok());
  CHECK(world[1].table().Find("s") != nullptr);
  const auto created = world[1].Create("s");
  world.Run(seconds(1));
  CHECK_FALSE(created->status.has_value());
  world.group.Heal(PeerId(1));
  CHECK(world.Await(created).ok());
}

TEST_CASE("a member that was far behind is told what it missed") {
  MetaWorld world(3);
  for (const char* name : {"stays", "goes", "changes"})
    CHECK(world.Await(world[3].Create(name)).ok());
  world.group.Cut(PeerId(3));
  CHECK(world.Await(world[1].Delete("goes"), seconds(9)).ok());
  CHECK(world.Await(world[1].Create("goes"), seconds(9)).ok());  // another one of that name
  CHECK(world.Await(world[1].Create("comes"), seconds(9)).ok());
  StreamOverrides changes;
  changes.retention_max_bytes = 7;
  CHECK(world.Await(world[1].Update("changes", changes), seconds(9)).ok());
  world.group.Compact(world.group.last(), world[1].frontend->state().Snapshot());
  world.group.Heal(PeerId(3));
  world.Run(milliseconds(50));
  CHECK(TableAsText(world[3].table()) == TableAsText(world[1].table()));
  CHECK(DeltasAsText(world[3].sink.Streams()) == TableAsText(world[1].table()));
}

TEST_CASE("R6: a broker whose heartbeats do not arrive is fenced, and registers again by itself") {
  MetaWorld world(3);
  for (uint64_t i = 0; i < 3; ++i) CHECK(world.Await(world[1].Create(Concat("s", i))).ok());
  REQUIRE(world[1].LeaderOf("s1") == "b2");
  const LeaderEpoch before = world[1].table().Find("s1")->partitions[0].leader_epoch;
  world.network.Cut(PeerId(1), PeerId(2));
  world.Run(seconds(3));
  CHECK(world[1].table().FindBroker("b2")->fenced);
  CHECK(world[1].LeaderOf("s1") == "");
  CHECK(world[1].frontend->Brokers().size() == 2);
  CHECK(world[2].sink.Streams().at("s1").partitions[0].leader == "");  // it applies, and resigns
  world.network.Heal(PeerId(1), PeerId(2));
  world.Run(seconds(3));
  CHECK_FALSE(world[1].table().FindBroker("b2")->fenced);
  CHECK(world[1].LeaderOf("s1") == "b2");
  CHECK(world[1].table().Find("s1")->partitions[0].leader_epoch > before);
  CHECK(world[2].sink.Streams().at("s1").partitions[0].leader == "b2");
  CHECK(world[1].frontend->Brokers().size() == 3);
  CHECK_FALSE(world[2].fatal.has_value());
}

TEST_CASE("R2a, R2b: a broker that restarts quickly leads again under a new epoch") {
  MetaWorld world(3);
  for (uint64_t i = 0; i < 3; ++i) CHECK(world.Await(world[1].Create(Concat("s", i))).ok());
  const LeaderEpoch before = world[1].table().Find("s1")->partitions[0].leader_epoch;
  world.Start(2);
  world.Register(2);
  world.Run(milliseconds(500));
  REQUIRE(world[2].registered.has_value());
  CHECK(world[2].registered->ok());
  CHECK(world[1].LeaderOf("s1") == "b2");
  CHECK(world[1].table().Find("s1")->partitions[0].leader_epoch > before);
  CHECK(world[2].sink.Streams().at("s1").partitions[0].leader_epoch > before);
}

TEST_CASE("a process that another one replaced, or that was removed, ends") {
  for (const bool replaced : {true, false}) {
    MetaWorld world(3);
    BrokerRegistration other;
    other.id = "b2";
    other.node = PeerId(2);
    other.incarnation = 99;
    other.peer_address = "b2:1";
    const std::string command =
        replaced ? EncodeRegisterBroker(other) : EncodeRemoveBroker("b2", true);
    world[1].log->Propose(command, [](const absl::Status& status) { CHECK(status.ok()); });
    world.Run(seconds(5));
    REQUIRE(world[2].fatal.has_value());
    CHECK(world[2].fatal->message() == (replaced ? "another process runs as broker b2 at b2:1"
                                                 : "broker b2 was removed from the cluster"));
    CHECK_FALSE(world[1].fatal.has_value());
    CHECK_FALSE(world[3].fatal.has_value());
    if (!replaced) CHECK(world[1].table().FindBroker("b2") == nullptr);  // it stays so
  }
}

TEST_CASE("a server id that lives on another disk is refused to the newcomer") {
  MetaWorld world(2);
  const BrokerSelf self{"b2", PeerId(9), 5, "x:1", ""};
  MetaFrontend newcomer(world[1].home, world.clock, nullptr, self);
  BrokerRegistrar registrar(world[1].home, newcomer, self, /*alone=*/true);
  HeldDeltas sink;
  std::optional<absl::Status> registered;
  newcomer.SetLog(*world[1].log);  // shares the leader's way to the log
  SimFileSystem disk(1);
  (void)disk.CreateDirectories("data");
  const auto record = RegistrationRecord::Open(disk, "data");
  registrar.Register(sink, **record, [&](const absl::Status& status) { registered = status; });
  world.Run(milliseconds(100));
  REQUIRE(registered.has_value());
  CHECK(absl::IsAlreadyExists(*registered));
}

TEST_CASE("nobody asks in another's name, and what does not parse is refused") {
  MetaWorld world(2);
  const auto ask = [&](meta::Request request) {
    std::optional<absl::StatusOr<std::string>> answer;
    world[2].peers.Call(PeerId(1), PeerService::kMetadata, EncodeRequest(request), seconds(1),
                        [&](absl::StatusOr<std::string> response) { answer = response; });
    REQUIRE(world.scheduler.RunUntil([&] { return answer.has_value(); }, seconds(2)));
    return DecodeResponse(*answer).status;
  };
  meta::Request request;
  request.set_broker("b1");
  request.mutable_delete_stream()->set_name("s");
  CHECK(absl::IsPermissionDenied(ask(request)));
  request.set_broker("b2");
  CHECK(absl::IsNotFound(ask(request)));
  request.mutable_register_broker()->set_broker("b1");
  CHECK(absl::IsPermissionDenied(ask(request)));
  request.mutable_register_broker()->set_broker("b2");
  request.mutable_register_broker()->set_node(1);
  CHECK(absl::IsPermissionDenied(ask(request)));
  request.clear_request();
  CHECK(absl::IsUnimplemented(ask(request)));
  std::optional<absl::StatusOr<std::string>> answer;
  world[2].peers.Call(PeerId(1), PeerService::kMetadata, "\xff\xff", seconds(1),
                      [&](absl::StatusOr<std::string> response) { answer = response; });
  world.Run(milliseconds(100));
  CHECK(absl::IsInvalidArgument(answer->status()));
}

TEST_CASE("loss, delay and changing leaders: each request has one outcome, and the table agrees") {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    INFO("seed ", seed);
    MetaWorld world(3, seed);
    SimRng rng(seed);
    world.network.loss = 0.2;
    world.network.max_delay = milliseconds(30);
    struct Asked {
      std::string name;
      std::shared_ptr<Ended> created;
      std::shared_ptr<Ended> deleted;
    };
    std::vector<Asked> all;
    for (int i = 0; i < 60; ++i) {
      const std::string name = Concat("s", i);
      all.push_back({name, world[1 + rng.Below(3)].Create(Spec(name), seconds(10)), nullptr});
      if (i > 20 && i % 3 == 0) {
        Asked& earlier = all[rng.Below(all.size() - 1)];
        const bool fine = !earlier.deleted && earlier.created->status.has_value() &&
                          earlier.created->status->ok();
        if (fine) earlier.deleted = world[1 + rng.Below(3)].Delete(earlier.name, seconds(10));
      }
      if (i % 10 == 9) {
        world.group.keep_on_change = rng.Below(2) == 0;
        world.group.Elect(PeerId(rng.Below(4)));
      }
      world.Run(milliseconds(rng.Below(200)));
    }
    world.group.Elect(PeerId(1));
    world.network.loss = 0;
    world.Run(seconds(20));
    for (const Asked& asked : all) {
      REQUIRE(asked.created->status.has_value());
      const bool there = world[1].table().Find(asked.name) != nullptr;
      const absl::Status created = *asked.created->status;
      // Unique names: nothing but success and no answer is possible.
      CHECK((created.ok() || absl::IsUnavailable(created) || absl::IsDeadlineExceeded(created)));
      if (absl::IsUnavailable(created)) CHECK_FALSE(there);
      if (!asked.deleted) {
        if (created.ok()) CHECK(there);
        continue;
      }
      const absl::Status deleted = *asked.deleted->status;
      CHECK((deleted.ok() || absl::IsUnavailable(deleted) || absl::IsDeadlineExceeded(deleted)));
      if (deleted.ok()) CHECK_FALSE(there);
      if (absl::IsUnavailable(deleted)) CHECK(there);
    }
    for (uint64_t n = 1; n <= 3; ++n) {
      CHECK(TableAsText(world[n].table()) == TableAsText(world[1].table()));
      CHECK(DeltasAsText(world[n].sink.Streams()) == TableAsText(world[1].table()));
    }
  }
}

}  // namespace bascule::metadata
