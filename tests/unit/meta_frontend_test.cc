// Requests for metadata: what is refused before it reaches the log, and when the answer comes.
#include "replication/meta/meta_frontend.h"

#include <doctest/doctest.h>

#include "core/base/text.h"
#include "replication/meta/local_metadata_log.h"
#include "tests/support/sim_executor.h"
#include "tests/support/sim_file_system.h"

namespace bascule {
namespace {

constexpr auto kTimeout = std::chrono::seconds(5);

// Notes deltas; settles them when told.
class HeldDeltas final : public DeltaSink {
 public:
  void OnDelta(const MetaDelta& delta, absl::AnyInvocable<void(absl::Status)> settled) override {
    deltas.push_back(delta);
    waiting.push_back(std::move(settled));
    if (!hold) Settle(absl::OkStatus());
  }
  void Settle(const absl::Status& status) {
    for (auto& settled : std::exchange(waiting, {})) settled(status);
  }
  bool hold = false;
  std::vector<MetaDelta> deltas;
  std::vector<absl::AnyInvocable<void(absl::Status)>> waiting;
};

class FrontendWorld {
 public:
  FrontendWorld() : scheduler(clock, 1), home(scheduler.NewExecutor("home")), fs(1) { Start(); }
  ~FrontendWorld() { scheduler.DropAll(); }

  void Start() {
    scheduler.DropAll();
    log.reset();
    frontend = std::make_unique<MetaFrontend>(home, clock, "b1");
    auto opened = LocalMetadataLog::Open(fs, home, "/data/meta", *frontend);
    REQUIRE(opened.ok());
    log = *std::move(opened);
    frontend->SetLog(*log);
    frontend->Advertise("host", 9292);
    sink = HeldDeltas();
    frontend->Register(sink, 42, [this](const absl::Status& status) { registered = status.ok(); });
    scheduler.RunUntilIdle();
    REQUIRE(registered);
  }
  // Without letting time pass; nullopt: no answer yet.
  std::optional<absl::Status> Create(StreamSpec spec) {
    answer.reset();
    frontend->CreateStream(std::move(spec), kTimeout,
                           [this](const absl::Status& status) { answer = status; });
    scheduler.RunUntilIdle();
    return answer;
  }
  std::optional<absl::Status> Delete(const std::string& name) {
    answer.reset();
    frontend->DeleteStream(name, kTimeout, [this](const absl::Status& status) { answer = status; });
    scheduler.RunUntilIdle();
    return answer;
  }
  static StreamSpec Spec(const std::string& name) {
    StreamSpec spec;
    spec.name = name;
    spec.subject = "in." + name;
    return spec;
  }

  SimClock clock;
  SimScheduler scheduler;
  SimExecutor& home;
  SimFileSystem fs;
  HeldDeltas sink;
  std::unique_ptr<MetaFrontend> frontend;
  std::unique_ptr<LocalMetadataLog> log;
  bool registered = false;
  std::optional<absl::Status> answer;
};

}  // namespace

TEST_CASE("what cannot be a stream is refused with the wire contract's texts, before the log") {
  FrontendWorld world;
  const MetadataIndex before = world.log->applied();
  auto refused = [&](auto change) {
    StreamSpec spec = FrontendWorld::Spec("s");
    change(spec);
    const auto answer = world.Create(spec);
    REQUIRE(answer.has_value());
    CHECK(absl::IsInvalidArgument(*answer));
    return std::string(answer->message());
  };
  CHECK(refused([](StreamSpec& s) { s.name = ""; }) == "Name cannot be empty");
  CHECK(refused([](StreamSpec& s) { s.subject = "a..b"; }) == "Subject is invalid");
  CHECK(refused([](StreamSpec& s) { s.subject = ""; }) == "Subject is invalid");
  CHECK(refused([](StreamSpec& s) { s.name = "__cursors"; }) == "Stream is reserved");
  CHECK(refused([](StreamSpec& s) { s.replication_factor = 3; }) ==
        "Invalid replicationFactor 3, cluster size 1");
  CHECK(refused([](StreamSpec& s) { s.replication_factor = -2; }) ==
        "Invalid replicationFactor -2");
  CHECK(world.log->applied() == before);
  CHECK(world.sink.deltas.empty());
}

TEST_CASE("a created stream is placed here, with its time, and announced") {
  FrontendWorld world;
  StreamSpec spec = FrontendWorld::Spec("s");
  spec.partitions = 0;           // the default: one
  spec.replication_factor = -1;  // every broker
  spec.group = "g";
  spec.overrides.min_isr = 1;
  CHECK(world.Create(spec)->ok());
  REQUIRE(world.sink.deltas.size() == 1);
  const auto& stream = std::get<StreamCreated>(world.sink.deltas[0]).stream;
  CHECK(stream.created == world.clock.Wall());
  CHECK(stream.group == "g");
  CHECK(stream.overrides.min_isr == 1);
  REQUIRE(stream.partitions.size() == 1);
  CHECK(stream.partitions[0].leader == "b1");
  CHECK(stream.partitions[0].isr == std::vector<std::string>{"b1"});
  const auto brokers = world.frontend->Brokers();
  REQUIRE(brokers.size() == 1);
  CHECK(brokers[0].id == "b1");
  CHECK(brokers[0].host == "host");
  CHECK(brokers[0].port == 9292);
  CHECK(brokers[0].partition_count == 1);
}

TEST_CASE("names that are taken, and names that are not there") {
  FrontendWorld world;
  CHECK(world.Create(FrontendWorld::Spec("s"))->ok());
  const auto again = world.Create(FrontendWorld::Spec("s"));
  CHECK(absl::IsAlreadyExists(*again));
  CHECK(again->message() == "stream already exists");
  const auto unknown = world.Delete("t");
  CHECK(absl::IsNotFound(*unknown));
  CHECK(unknown->message() == "stream does not exist");
  CHECK(absl::IsInvalidArgument(*world.Delete("__activity")));
  CHECK(world.Delete("s")->ok());
  CHECK(absl::IsNotFound(*world.Delete("s")));
}

TEST_CASE("of two creations of one name at one moment one wins") {
  FrontendWorld world;
  std::vector<absl::Status> answers;
  for (int i = 0; i < 2; ++i) {
    world.frontend->CreateStream(FrontendWorld::Spec("s"), kTimeout,
                                 [&](const absl::Status& s) { answers.push_back(s); });
  }
  world.scheduler.RunUntilIdle();
  REQUIRE(answers.size() == 2);
  CHECK(answers[0].ok() != answers[1].ok());
  CHECK((absl::IsAlreadyExists(answers[0]) || absl::IsAlreadyExists(answers[1])));
  CHECK(world.sink.deltas.size() == 1);
}

TEST_CASE("R1a: the answer waits until this broker has done its part") {
  FrontendWorld world;
  world.sink.hold = true;
  CHECK_FALSE(world.Create(FrontendWorld::Spec("s")).has_value());
  CHECK(world.frontend->table().Find("s") != nullptr);
  world.sink.Settle(absl::OkStatus());
  REQUIRE(world.answer.has_value());
  CHECK(world.answer->ok());
}

TEST_CASE("a part that cannot be done holds the answer no longer than the timeout") {
  FrontendWorld world;
  world.sink.hold = true;
  CHECK_FALSE(world.Create(FrontendWorld::Spec("s")).has_value());
  world.scheduler.RunFor(kTimeout - std::chrono::milliseconds(1));
  CHECK_FALSE(world.answer.has_value());
  world.scheduler.RunFor(std::chrono::milliseconds(1));
  REQUIRE(world.answer.has_value());
  CHECK(world.answer->ok());  // it exists
  world.answer.reset();
  world.sink.Settle(absl::OkStatus());
  CHECK_FALSE(world.answer.has_value());  // once
}

TEST_CASE("a part that fails does not undo the stream") {
  FrontendWorld world;
  world.sink.hold = true;
  CHECK_FALSE(world.Create(FrontendWorld::Spec("s")).has_value());
  world.sink.Settle(absl::InternalError("disk"));
  // The stream stands, and its creator is told what is wrong with it.
  CHECK(absl::IsInternal(*world.answer));
  CHECK(std::string(world.answer->message()).find("disk") != std::string::npos);
  CHECK(world.frontend->table().Find("s") != nullptr);
}

TEST_CASE("a metadata log that takes nothing is told to the requester") {
  FrontendWorld world;
  world.fs.faults().FailAfter(1, kWrite, absl::StatusCode::kResourceExhausted);
  CHECK(absl::IsUnavailable(*world.Create(FrontendWorld::Spec("s"))));
  CHECK(world.frontend->table().Find("s") == nullptr);
  CHECK(world.Create(FrontendWorld::Spec("s"))->ok());
}

TEST_CASE("R2b: a started broker hears of every stream again, under epochs of its registration") {
  FrontendWorld world;
  CHECK(world.Create(FrontendWorld::Spec("a"))->ok());
  CHECK(world.Create(FrontendWorld::Spec("b"))->ok());
  CHECK(world.Delete("a")->ok());
  world.Start();
  REQUIRE(world.sink.deltas.size() == 1);
  const auto& stream = std::get<StreamCreated>(world.sink.deltas[0]).stream;
  CHECK(stream.name == "b");
  CHECK(stream.partitions[0].leader_epoch == LeaderEpoch(world.log->applied().value()));
  CHECK(stream.partitions[0].leader_epoch > LeaderEpoch(stream.id.value()));
}

TEST_CASE("R1: an epoch is raised through the log, and asked for again when the log has no room") {
  FrontendWorld world;
  CHECK(world.Create(FrontendWorld::Spec("s"))->ok());
  const PartitionKey key{world.frontend->table().Find("s")->id, PartitionId(0)};
  world.fs.faults().FailAfter(1, kWrite, absl::StatusCode::kResourceExhausted);
  world.frontend->RequestNewEpoch(key);
  world.scheduler.RunUntilIdle();
  CHECK(world.sink.deltas.size() == 1);
  world.scheduler.RunFor(std::chrono::seconds(2));
  REQUIRE(world.sink.deltas.size() == 2);
  const auto& changed = std::get<PartitionChanged>(world.sink.deltas[1]);
  CHECK(changed.id == key.stream);
  CHECK(changed.partition.leader_epoch == LeaderEpoch(world.log->applied().value()));
  // Of a stream that is gone nobody waits for one.
  world.frontend->RequestNewEpoch({StreamId(999), PartitionId(0)});
  world.scheduler.RunFor(std::chrono::seconds(10));
  CHECK(world.sink.deltas.size() == 2);
}

}  // namespace bascule
