// Requests for metadata on one broker: what is refused before it reaches the log, and when the
// answer comes. Several brokers: meta_cluster_test.cc.
#include "replication/meta/requests/meta_frontend.h"

#include <doctest/doctest.h>

#include "core/base/limits.h"
#include "tests/unit/meta_world.h"

namespace bascule::metadata {
namespace {

constexpr auto kTimeout = std::chrono::seconds(5);
constexpr auto kMoment = std::chrono::milliseconds(20);

}  // namespace

TEST_CASE("what cannot be a stream is refused with the wire contract's texts, before the log") {
  MetaWorld world(1);
  const MetadataIndex before = world.group.last();
  const size_t deltas = world[1].sink.deltas.size();
  auto refused = [&](auto change) {
    StreamSpec spec = Spec("s");
    change(spec);
    const absl::Status answer = world.Await(world[1].Create(spec));
    CHECK(absl::IsInvalidArgument(answer));
    return std::string(answer.message());
  };
  CHECK(refused([](StreamSpec& s) { s.name = ""; }) == "Name cannot be empty");
  CHECK(refused([](StreamSpec& s) { s.subject = "a..b"; }) == "Subject is invalid");
  CHECK(refused([](StreamSpec& s) { s.subject = ""; }) == "Subject is invalid");
  CHECK(refused([](StreamSpec& s) { s.name = "__cursors"; }) == "Stream is reserved");
  CHECK(refused([](StreamSpec& s) { s.replication_factor = 3; }) ==
        "Invalid replicationFactor 3, cluster size 1");
  CHECK(refused([](StreamSpec& s) { s.replication_factor = -2; }) ==
        "Invalid replicationFactor -2");
  CHECK(world.group.last() == before);
  CHECK(world[1].sink.deltas.size() == deltas);
}

TEST_CASE("a created stream is placed here, with its time, and announced") {
  MetaWorld world(1);
  StreamSpec spec = Spec("s");
  spec.partitions = 0;           // the default: one
  spec.replication_factor = -1;  // every broker
  spec.group = "g";
  spec.overrides.min_isr = 1;
  const Timestamp before = world.clock.Wall();
  CHECK(world.Await(world[1].Create(spec)).ok());
  REQUIRE(world[1].sink.deltas.size() == 1);
  const auto& stream = std::get<StreamCreated>(world[1].sink.deltas[0]).stream;
  CHECK(stream.created == before);
  CHECK(stream.group == "g");
  CHECK(stream.overrides.min_isr == 1);
  REQUIRE(stream.partitions.size() == 1);
  CHECK(stream.partitions[0].leader == "b1");
  CHECK(stream.partitions[0].isr == std::vector<std::string>{"b1"});
  const auto brokers = world[1].frontend->Brokers();
  REQUIRE(brokers.size() == 1);
  CHECK(brokers[0].id == "b1");
  CHECK(brokers[0].host == "b1.example");
  CHECK(brokers[0].port == 9292);
  CHECK(brokers[0].rack == "rack1");
  CHECK(brokers[0].partition_count == 1);
  CHECK(brokers[0].leader_count == 1);
}

TEST_CASE("names that are taken, and names that are not there, after a read barrier") {
  MetaWorld world(1);
  CHECK(world.Await(world[1].Create("s")).ok());
  const int before = world[1].log->barriers;  // the one of the reign's beginning
  const absl::Status again = world.Await(world[1].Create("s"));
  CHECK(absl::IsAlreadyExists(again));
  CHECK(again.message() == "stream already exists");
  CHECK(world[1].log->barriers == before + 1);
  const absl::Status unknown = world.Await(world[1].Delete("t"));
  CHECK(absl::IsNotFound(unknown));
  CHECK(unknown.message() == "stream does not exist");
  CHECK(world[1].log->barriers == before + 2);
  CHECK(absl::IsInvalidArgument(world.Await(world[1].Delete("__activity"))));
  CHECK(world.Await(world[1].Delete("s")).ok());
  CHECK(absl::IsNotFound(world.Await(world[1].Delete("s"))));
}

TEST_CASE("of two creations of one name at one moment one wins, and the other hears of it") {
  MetaWorld world(1);
  const auto first = world[1].Create("s");
  const auto second = world[1].Create("s");
  const auto deleted = world[1].Delete("s");
  const auto third = world[1].Create("s");
  CHECK(world.Await(first).ok());
  CHECK(absl::IsAlreadyExists(world.Await(second)));
  CHECK(world.Await(deleted).ok());
  CHECK(world.Await(third).ok());
  CHECK(world[1].sink.deltas.size() == 3);
}

TEST_CASE("R1a: the answer waits until this broker has done its part") {
  MetaWorld world(1);
  world[1].sink.hold = true;
  const auto created = world[1].Create("s");
  world.Run(kMoment);
  CHECK_FALSE(created->status.has_value());
  CHECK(world[1].table().Find("s") != nullptr);
  world[1].sink.Settle(absl::OkStatus());
  CHECK(created->status->ok());
}

TEST_CASE("a part that cannot be done holds the answer no longer than the timeout") {
  MetaWorld world(1);
  world[1].sink.hold = true;
  const MonotonicTime start = world.clock.Monotonic();
  const auto created = world[1].Create("s");
  world.Run(kTimeout - std::chrono::milliseconds(1));
  CHECK_FALSE(created->status.has_value());
  world.Run(kMoment);
  REQUIRE(created->status.has_value());
  CHECK(created->status->ok());  // it exists
  CHECK(Between(start, created->at) == Duration(kTimeout));
  world[1].sink.Settle(absl::OkStatus());  // Into checks that it is said once
}

TEST_CASE("a part that fails does not undo the stream") {
  MetaWorld world(1);
  world[1].sink.hold = true;
  const auto created = world[1].Create("s");
  world.Run(kMoment);
  world[1].sink.Settle(absl::InternalError("disk"));
  // The stream stands, and its creator is told what is wrong with it.
  CHECK(absl::IsInternal(*created->status));
  CHECK(created->status->message() == "the change is made, but the stream is not ready: disk");
  CHECK(world[1].table().Find("s") != nullptr);
}

TEST_CASE("a part that fails at once is told too, until it is done after all") {
  MetaWorld world(1);
  world[1].sink.result = absl::InternalError("disk");
  CHECK(absl::IsInternal(world.Await(world[1].Create("s"))));
  world[1].sink.result = absl::OkStatus();
  StreamOverrides changes;
  changes.retention_max_bytes = 1000;
  CHECK(world.Await(world[1].Update("s", changes)).ok());
}

TEST_CASE("a metadata log that takes nothing is asked again; at the deadline the text says it") {
  MetaWorld world(1);
  world[1].log->refuse = 3;
  CHECK(world.Await(world[1].Create("s")).ok());
  world[1].log->refuse = 1'000'000;
  const absl::Status refused = world.Await(world[1].Create("t"));
  CHECK(absl::IsUnavailable(refused));
  CHECK(refused.message() ==
        "the metadata leader took nothing for 5.0 s; nothing was changed: the metadata log takes "
        "nothing");
  CHECK(world[1].table().Find("t") == nullptr);
}

TEST_CASE("R2b: a started broker hears of every stream again, under epochs of its registration") {
  MetaWorld world(1);
  world.Run(std::chrono::milliseconds(300));  // the feature level is raised
  CHECK(world.Await(world[1].Create("a")).ok());
  CHECK(world.Await(world[1].Create("b")).ok());
  CHECK(world.Await(world[1].Delete("a")).ok());
  world.Start(1);
  world.group.Elect(PeerId(1));
  world.Run(kMoment);
  CHECK(world[1].sink.deltas.empty());  // not before it is registered
  world.Register(1);
  world.Run(kMoment);
  REQUIRE(world[1].registered.has_value());
  REQUIRE(world[1].sink.deltas.size() == 1);
  const auto& stream = std::get<StreamCreated>(world[1].sink.deltas[0]).stream;
  CHECK(stream.name == "b");
  CHECK(stream.partitions[0].leader_epoch.value() > stream.id.value());
  CHECK(stream.partitions[0].leader == "b1");
}

TEST_CASE("registration is done when all partitions are settled") {
  MetaWorld world(1);
  world.Run(std::chrono::milliseconds(300));  // the feature level is raised
  CHECK(world.Await(world[1].Create("a")).ok());
  world.Start(1);
  world.group.Elect(PeerId(1));
  world[1].sink.hold = true;
  world.Register(1);
  world.Run(kMoment);
  CHECK(world[1].sink.deltas.size() == 1);
  CHECK_FALSE(world[1].registered.has_value());
  world[1].sink.Settle(absl::InternalError("one of them is damaged"));
  CHECK(world[1].registered->ok());  // the others are served
}

TEST_CASE("R1: an epoch is raised through the log, and asked for again when the log has no room") {
  MetaWorld world(1);
  world.Run(std::chrono::milliseconds(300));  // the feature level is raised
  CHECK(world.Await(world[1].Create("s")).ok());
  const PartitionKey key{world[1].table().Find("s")->id, PartitionId(0)};
  world[1].log->refuse = 1'000'000;
  world[1].frontend->RequestNewEpoch(key);
  world.Run(std::chrono::seconds(30));
  CHECK(world[1].sink.deltas.size() == 1);
  world[1].log->refuse = 0;
  world.Run(std::chrono::seconds(2));
  REQUIRE(world[1].sink.deltas.size() == 2);
  const auto& changed = std::get<PartitionChanged>(world[1].sink.deltas[1]);
  CHECK(changed.id == key.stream);
  CHECK(changed.partition.leader_epoch > LeaderEpoch(key.stream.value()));
  // Of a stream that is gone nobody waits for one.
  world[1].frontend->RequestNewEpoch({StreamId(999), PartitionId(0)});
  world.Run(std::chrono::seconds(10));
  CHECK(world[1].sink.deltas.size() == 2);
}

TEST_CASE(
    "who cannot serve asks for a successor, once until it is answered, and in its epoch only") {
  MetaWorld world(3);
  world.Run(std::chrono::seconds(8));
  StreamSpec spec;
  spec.name = spec.subject = "s";
  spec.replication_factor = 3;
  CHECK(world.Await(world[1].Create(spec)).ok());
  const StreamDescription& stream = *world[1].table().Find("s");
  const PartitionKey key{stream.id, PartitionId(0)};
  const LeaderEpoch epoch = stream.partitions[0].leader_epoch;
  const uint64_t leader = static_cast<uint64_t>(stream.partitions[0].leader.back() - '0');
  const MetadataIndex before = world.group.last();
  world[leader].frontend->RequestSuccessor(key, LeaderEpoch(epoch.value() - 1));
  world[leader].frontend->RequestSuccessor({key.stream, PartitionId(1)}, epoch);
  world[leader].frontend->RequestSuccessor({StreamId(999), PartitionId(0)}, epoch);
  world[leader % 3 + 1].frontend->RequestSuccessor(key, epoch);
  world.Run(std::chrono::seconds(1));
  CHECK(world.group.last() == before);
  for (int i = 0; i < 3; ++i) world[leader].frontend->RequestSuccessor(key, epoch);
  world.Run(std::chrono::seconds(1));
  CHECK(world.group.last() == before + 1);
  CHECK(stream.partitions[0].leader != Concat("b", leader));
  CHECK(stream.partitions[0].leader_epoch > epoch);
}

TEST_CASE("R1: who does not lead a partition asks once for its epoch, and is told no") {
  MetaWorld world(2);
  world.Run(std::chrono::seconds(8));
  CHECK(world.Await(world[1].Create("s")).ok());
  const StreamDescription& stream = *world[1].table().Find("s");
  const PartitionKey key{stream.id, PartitionId(0)};
  const LeaderEpoch epoch = stream.partitions[0].leader_epoch;
  world[stream.partitions[0].leader == "b1" ? 2 : 1].frontend->RequestNewEpoch(key);
  world.Run(std::chrono::seconds(2));
  const MetadataIndex asked = world.group.last();
  world.Run(std::chrono::seconds(20));
  CHECK(world.group.last() == asked);
  CHECK(world[1].table().Find("s")->partitions[0].leader_epoch == epoch);
}

TEST_CASE("results are kept until they were answered, however many there are") {
  MetaWorld world(1);
  world.Run(std::chrono::seconds(1));
  for (int round = 0; round < 30; ++round) {
    CHECK(world.Await(world[1].Create("s")).ok());
    CHECK(world.Await(world[1].Delete("s")).ok());
  }
  uint64_t kept = 0;
  for (uint64_t sequence = 1; sequence <= 100; ++sequence) {
    const CommandOrigin origin{"b1", world[1].self.incarnation, sequence, 0};
    kept += world[1].table().Kept(origin).has_value();
  }
  CHECK(kept == 1);  // the last one's: nobody has told yet that it was answered
}

TEST_CASE("settings that can change do, others and bad ones are refused") {
  MetaWorld world(1);
  CHECK(world.Await(world[1].Create("s")).ok());
  StreamOverrides changes;
  changes.retention_max_bytes = 1000;
  CHECK(world.Await(world[1].Update("s", changes)).ok());
  CHECK(world[1].table().Find("s")->overrides.retention_max_bytes == 1000);
  CHECK(std::holds_alternative<StreamUpdated>(world[1].sink.deltas.back()));
  CHECK(absl::IsNotFound(world.Await(world[1].Update("t", changes))));
  CHECK(absl::IsInvalidArgument(world.Await(world[1].Update("s", {}))));
  changes.retention_max_bytes = -1;
  CHECK(absl::IsInvalidArgument(world.Await(world[1].Update("s", changes))));
  changes = {};
  changes.min_isr = 2;
  CHECK(world.Await(world[1].Update("s", changes)).message() ==
        "Invalid minIsr 2, replicationFactor 1: nothing would ever be committed");
  changes = {};
  changes.durability = Durability::kOs;
  CHECK(world.Await(world[1].Update("s", changes)).message() ==
        "the durability of a stream cannot change; create another stream with it");
}

TEST_CASE(
    "min ISR is held against the replicas of a partition, however many partitions there are") {
  MetaWorld world(1);
  StreamSpec spec;
  spec.name = spec.subject = "wide";
  spec.partitions = 3;
  CHECK(world.Await(world[1].Create(spec)).ok());
  StreamOverrides changes;
  for (const int32_t min_isr : {2, 3, 4}) {
    changes.min_isr = min_isr;
    CHECK(world.Await(world[1].Update("wide", changes)).message() ==
          Concat("Invalid minIsr ", min_isr,
                 ", replicationFactor 1: nothing would ever be committed"));
  }
  changes.min_isr = 1;
  CHECK(world.Await(world[1].Update("wide", changes)).ok());
}

TEST_CASE("a group of one needs no peers") {
  SimClock clock;
  SimScheduler scheduler(clock, 1);
  SimExecutor& home = scheduler.NewExecutor("home");
  FakeMetadataGroup group(scheduler);
  const BrokerSelf self{"b1", PeerId(1), 42, "", ""};
  MetaFrontend frontend(home, clock, nullptr, self);
  BrokerRegistrar registrar(home, frontend, self, /*alone=*/true);
  const auto log = group.Attach(PeerId(1), home, frontend.state());
  frontend.SetLog(*log);
  HeldDeltas sink;
  std::optional<absl::Status> registered;
  SimFileSystem disk(1);
  (void)disk.CreateDirectories("data");
  const auto record = RegistrationRecord::Open(disk, "data");
  registrar.Register(sink, **record, [&](const absl::Status& status) { registered = status; });
  scheduler.RunFor(std::chrono::seconds(20));
  CHECK_FALSE(registered.has_value());  // nobody leads yet
  group.Elect(PeerId(1));
  scheduler.RunFor(kMoment);
  CHECK(registered->ok());
  std::optional<absl::Status> created;
  frontend.CreateStream(Spec("s"), kTimeout, [&](const absl::Status& status) { created = status; });
  scheduler.RunFor(kMoment);
  CHECK(created->ok());
  scheduler.DropAll();
}

TEST_CASE("more requests than may wait are refused, not queued") {
  MetaWorld world(1);
  world.group.hold = true;
  std::vector<std::shared_ptr<Ended>> all;
  for (size_t i = 0; i < limits::kMetaRequestsInFlight + 5; ++i)
    all.push_back(world[1].Create(Concat("s", i)));
  world.Run(kMoment);
  int refused = 0;
  for (const auto& ended : all) {
    if (ended->status && absl::IsResourceExhausted(*ended->status)) ++refused;
  }
  CHECK(refused == 5);
  world.group.hold = false;
  world.Run(std::chrono::seconds(4));
  CHECK(world[1].table().streams().size() == limits::kMetaRequestsInFlight);
}

}  // namespace bascule::metadata
