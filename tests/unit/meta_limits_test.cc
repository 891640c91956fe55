// Limits of the metadata that requests can make, brokers in trouble, and a nearly full disk.
#include <doctest/doctest.h>

#include "replication/meta/requests/placement_book.h"
#include "replication/meta/requests/requests.pb.h"
#include "replication/meta/table/commands.pb.h"
#include "replication/meta/table/meta_codec.h"
#include "tests/unit/meta_samples.h"
#include "tests/unit/meta_world.h"
#include "tests/unit/raft_group_world.h"

namespace bascule::metadata {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

size_t Encoded(const StreamDescription& stream) {
  meta::Snapshot snapshot;
  ToProto(stream, *snapshot.add_streams());
  return snapshot.ByteSizeLong();
}

// With the largest of everything.
void FillUp(StreamDescription& stream) {
  StreamOverrides& o = stream.overrides;
  o.retention_max_bytes = o.retention_max_messages = o.segment_max_bytes = INT64_MAX;
  o.retention_max_age = o.cleaner_interval = o.segment_max_age = milliseconds(INT64_MAX);
  o.min_isr = INT32_MAX;
  o.optimistic_concurrency_control = o.record_internal_subjects = true;
  o.durability = Durability::kOs;
  o.reply_acks = ReplyAcks::kJetStream;
  o.leader_acks = LeaderAcks::kCommitted;
  stream.id = StreamId(UINT64_MAX);
  stream.created = Timestamp(INT64_MAX);
  for (PartitionDescription& partition : stream.partitions) {
    partition.isr = partition.elr = partition.replicas;
    partition.leader = partition.replicas.back();
    partition.leader_epoch = LeaderEpoch(UINT64_MAX);
    partition.version = UINT64_MAX;
  }
}

}  // namespace

TEST_CASE("a stream is counted with the most that it can come to") {
  SimRng rng(5);
  for (int i = 0; i < 50; ++i) {
    Names replicas;
    for (uint64_t n = 0; n <= rng.Below(5); ++n)
      replicas.push_back(std::string(rng.Below(300), 'r'));
    StreamDescription stream = SampleStream(std::string(1 + rng.Below(255), 'n'),
                                            static_cast<int>(rng.Below(30)), replicas);
    const size_t counted = StreamBytes(stream);
    FillUp(stream);
    CHECK(Encoded(stream) <= counted);
    CHECK(StreamBytes(stream) == counted);  // no change of its state changes it
  }
}

TEST_CASE("what is proposed counts against the table's limits until its end, again and again") {
  const MetaTable table;
  PlacementBook book(table);
  std::vector<StreamDescription> proposed;
  const auto fill = [&] {
    while (book.CheckTable(SampleStream("last", 100, {std::string(200, 'r')})).ok()) {
      proposed.push_back(
          SampleStream(Concat("s", proposed.size()), 10'000, {std::string(200, 'r')}));
      book.Begin(proposed.back());
    }
    return proposed.size();
  };
  const size_t room = fill();
  CHECK(room > 1);
  for (int round = 0; round < 2; ++round) {
    for (const StreamDescription& stream : std::exchange(proposed, {})) book.End(stream);
    CHECK(fill() == room);
  }
}

TEST_CASE("what is counted goes with the stream, and is the same after a snapshot") {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    MetaTable table;
    uint64_t index = 0;
    for (const std::string& command : SampleHistory(seed, 150))
      table.Apply(MetadataIndex(++index), command);
    size_t sum = 0;
    for (const auto& [name, stream] : table.streams()) sum += StreamBytes(stream);
    CHECK(table.stream_bytes() == sum);
    MetaTable restored;
    REQUIRE(restored.Restore(table.applied(), table.Snapshot()).ok());
    CHECK(restored.stream_bytes() == sum);
  }
}

TEST_CASE(
    "streams past the cluster's limit are refused with its name; deleting makes room, twice") {
  MetaWorld world(1);
  // Large ones, straight through the log: nobody checks there.
  StreamDescription large = SampleStream("", 1000, {std::string(500, 'b')});
  int made = 0;
  const auto fill = [&] {
    while (world[1].table().stream_bytes() + 4096 <= limits::kMaxStreamsBytes) {
      const size_t left = limits::kMaxStreamsBytes - world[1].table().stream_bytes();
      StreamDescription stream =
          StreamBytes(large) <= left ? large : SampleStream("", 1, {std::string(900, 'b')});
      stream.name = Concat("large", ++made);
      MetadataIndex before = world[1].table().applied();
      world[1].log->Propose(EncodeCreateStream(stream), [](const absl::Status&) {});
      world.Run(milliseconds(5));
      REQUIRE(world[1].table().applied() > before);
    }
  };
  world[1].sink.hold = true;
  for (int round = 0; round < 2; ++round) {
    fill();
    StreamSpec wide = Spec("wide", 900);
    const absl::Status refused = world.Await(world[1].Create(wide));
    CHECK(absl::IsResourceExhausted(refused));
    CHECK(refused.message().find("134217728") != absl::string_view::npos);
    CHECK(refused.message().find("delete some first") != absl::string_view::npos);
    world[1].sink.hold = false;
    world[1].sink.Settle(absl::OkStatus());
    CHECK(world.Await(world[1].Delete(Concat("large", round == 0 ? 1 : 2))).ok());
    CHECK(world.Await(world[1].Create(Spec(Concat("wide", round), 900))).ok());
  }
}

TEST_CASE("kept results are short once every broker has them so, and whole before") {
  for (const uint32_t level : {1u, 2u}) {
    MetaTable table = TableWith({"b1"});
    REQUIRE(table.Apply(MetadataIndex(11), EncodeRaiseFeatureLevel(level)).result.ok());
    const std::string missing(300, 'x');
    const CommandOrigin origin{"b1", 1, 1, 0};
    StreamDescription stream = SampleStream("s", 1, {missing});
    const auto refused = table.Apply(MetadataIndex(12), EncodeCreateStream(stream, origin));
    CHECK(refused.result.message().size() > 300);  // who asks now is told all of it
    REQUIRE(table.Kept(origin).has_value());
    CHECK((table.Kept(origin)->message().size() > 300) == (level == 1));
    CHECK(table.Kept(origin)->code() == refused.result.code());
  }
}

TEST_CASE("a broker's texts are bounded where it registers") {
  MetaWorld world(2);
  meta::Request request;
  request.set_broker("b2");
  BrokerRegistration registration = Broker("b2", world[2].self.incarnation);
  registration.rack = std::string(limits::kPeerNameBytes + 1, 'r');
  ToProto(registration, *request.mutable_register_broker());
  std::optional<absl::Status> outcome;
  world[2].frontend->Ask(request, seconds(5), [&](const RequestOutcome& o) { outcome = o.status; });
  world.Run(seconds(1));
  REQUIRE(outcome.has_value());
  CHECK(absl::IsInvalidArgument(*outcome));
  CHECK(outcome->message() ==
        "the rack of a broker has 513 bytes, at most 512 are kept: give it a shorter "
        "cluster.rack");
}

TEST_CASE("a command that could be sent to nobody is refused, not proposed") {
  raft::GroupWorld world(3);
  world.FoundThree();
  const uint64_t leader = world.Lead();
  const absl::Status refused =
      world.Propose(leader, std::string(limits::kMaxRaftCommandBytes + 1, 'x'));
  CHECK(absl::IsResourceExhausted(refused));
  CHECK(world.Propose(leader, std::string(limits::kMaxRaftCommandBytes, 'x')).ok());
  world.RunFor(seconds(1));
  world.CheckAllAlike();
}

TEST_CASE("a broker in trouble gets nothing new, is named, and is well again when it says so") {
  MetaWorld world(3);
  for (auto& [number, broker] : world.brokers) {
    MetaBroker* const b = broker.get();
    b->frontend->SetSilence([b](const std::string& id) { return b->leader_work->IsUnfit(id); });
  }
  const auto status = [&world](uint64_t asked) {
    std::optional<ClusterStatus> got;
    world[asked].control->Status(seconds(5), [&](const absl::StatusOr<ClusterStatus>& s) {
      REQUIRE(s.ok());
      got = *s;
    });
    REQUIRE(world.scheduler.RunUntil([&] { return got.has_value(); }, seconds(10)));
    return *got;
  };
  for (int round = 0; round < 2; ++round) {
    world[2].trouble = "its disk is full";
    world.Run(seconds(1));
    for (int i = 0; i < 6; ++i) {
      const std::string name = Concat("s", round, "-", i);
      REQUIRE(world.Await(world[3].Create(name)).ok());
      CHECK(world[1].LeaderOf(name) != "b2");
    }
    for (const uint64_t asked : {1, 3}) {
      const ClusterStatus ill = status(asked);
      CHECK(ill.members[1].live);  // its session holds, what it serves it goes on serving
      CHECK(ill.members[1].trouble == "its disk is full");
      CHECK(ill.members[0].trouble.empty());
      REQUIRE(ill.degraded.size() == 1);
      CHECK(ill.degraded[0] == "broker b2 at b2:9293 gets no new partitions: its disk is full");
    }
    world[2].trouble.clear();
    world.Run(seconds(1));
    CHECK(status(2).degraded.empty());
    REQUIRE(world.Await(world[3].Create(Concat("well", round))).ok());
    CHECK(world[1].LeaderOf(Concat("well", round)) == "b2");
  }
  // Where all are in trouble one of them has to do.
  for (auto& [number, broker] : world.brokers) broker->trouble = "ill";
  world.Run(seconds(1));
  CHECK(world.Await(world[3].Create("all")).ok());
}

TEST_CASE("the trouble that a heartbeat carries is bounded") {
  const auto heard = DecodeHeartbeat(EncodeHeartbeat({{"b", 1}, {7, std::string(9999, 'x')}}));
  REQUIRE(heard.ok());
  CHECK(heard->report.trouble.size() == limits::kTroubleBytes);
  CHECK(heard->report.generation == 7);
  std::string cut(limits::kTroubleBytes - 1, 'x');
  const auto character = DecodeHeartbeat(EncodeHeartbeat({{"b", 1}, {7, cut + "\xc3\xa9"}}));
  CHECK(character->report.trouble == cut);
  CHECK_FALSE(DecodeHeartbeat(std::string(limits::kHeartbeatBytes + 1, 'x')).ok());
}

TEST_CASE("only what makes the table larger waits for room") {
  CHECK(MetaTable::Grows(EncodeCreateStream(SampleStream("s"))));
  CHECK(MetaTable::Grows("\xff\xff"));
  StreamOverrides changes;
  changes.retention_max_bytes = 1;
  for (const std::string& command :
       {EncodeDeleteStream("s"), EncodeUpdateStream("s", changes),
        EncodeRegisterBroker(Broker("b1", 1)), EncodeFenceBrokers({{"b1", 1}}),
        EncodeRemoveBroker("b1", true), EncodeRaiseEpoch({StreamId(1), PartitionId(0)}),
        EncodeNoteGenerations({})}) {
    CHECK_FALSE(MetaTable::Grows(command));
  }
}

}  // namespace bascule::metadata
