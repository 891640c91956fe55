// A whole broker but for the bus and gRPC, over the simulated disk and time line: metadata group
// (of one), table, frontend and partitions. A Machine outlives its brokers, of which one lives at a
// time.
#pragma once

#include "core/ports/stream_catalog.h"
#include "replication/meta/cluster/broker_registrar.h"
#include "replication/meta/group/raft_group.h"
#include "replication/meta/requests/meta_frontend.h"
#include "replication/partition/partition_set.h"
#include "tests/unit/partition_world.h"

namespace bascule::partition {

inline constexpr Duration kSecond = std::chrono::seconds(1);

// The id of the first stream that is made: before it come the bootstrap, the leader's first entry
// and the registration.
inline constexpr StreamId kFirstStream(4);

// Where there is one replica of each partition nobody proposes anything; else nothing comes of it.
class NoIsrChanges final : public IsrRequests {
 public:
  void RequestIsrChange(PartitionKey, isr::IsrProposal proposal,
                        absl::AnyInvocable<void()> ended) override {
    proposals.push_back(std::move(proposal));
    ended();
  }
  std::vector<isr::IsrProposal> proposals;
};

class SimBroker {
 public:
  struct Parts {
    FileSystem& fs;
    Clock& clock;
    Rng& rng;
    Executor& home;
    std::vector<Executor*> shards;
    Executor& pool;
    AckSink& acks;
    FakeFeeds& feeds;
    uint64_t reserve_bytes;
  };
  explicit SimBroker(const Parts& parts)
      : sync(parts.fs, parts.pool, parts.clock),
        replicas(parts.shards),
        self(Self(parts.rng)),
        metadata(parts.home, parts.clock, nullptr, self),
        registrar(parts.home, metadata, self, /*alone=*/true),
        parts_(parts) {}

  // What the daemon does; `registered` once every stream is open.
  absl::Status Start() {
    RETURN_IF_ERROR(StartGroup());
    metadata.SetLog(*group);
    auto points = log::LoadRecoveryPoints(parts_.fs, "/data");
    if (!points.ok() && !absl::IsNotFound(points.status())) return points.status();
    PartitionSetOptions options;
    options.data_directory = "/data";
    options.broker = "b1";
    options.disk_reserve_bytes = parts_.reserve_bytes;
    partitions = std::make_unique<PartitionSet>(
        PartitionSetEnvironment{parts_.fs, parts_.clock, parts_.home, parts_.shards, parts_.pool,
                                sync, parts_.acks, parts_.feeds, catalog, metadata, isr, replicas},
        options, points.ok() ? *std::move(points) : log::RecoveryPointSet());
    ASSIGN_OR_RETURN(record, metadata::RegistrationRecord::Open(parts_.fs, "/data"));
    registrar.Register(*partitions, *record, [this](const absl::Status& status) {
      partitions->Start();
      registered = status.ok();
    });
    return absl::OkStatus();
  }

  StreamCatalog catalog;
  log::SyncScheduler sync;
  ReplicaSwitch replicas;
  NoIsrChanges isr;
  std::unique_ptr<metadata::RegistrationRecord> record;
  const metadata::BrokerSelf self;
  metadata::MetaFrontend metadata;
  metadata::BrokerRegistrar registrar;
  std::unique_ptr<raft_group::RaftGroup> group;
  std::unique_ptr<PartitionSet> partitions;
  bool registered = false;
  absl::Status fatal;  // why the process would have ended

 private:
  static metadata::BrokerSelf Self(Rng& rng) {
    metadata::BrokerSelf self;
    self.id = "b1";
    self.node = PeerId(1);
    self.incarnation = rng.Next();
    return self;
  }
  absl::Status StartGroup() {
    const std::string directory = "/data/meta";
    if (!raft_store::RaftStore::Exists(parts_.fs, directory)) {
      const GroupMember member{PeerId(1), "b1", "", true};
      RETURN_IF_ERROR(
          raft_store::RaftStore::Create(
              parts_.fs, directory, {}, {"cluster", raft::NodeId(1)},
              {MetadataIndex(1), raft::Term(1), {{raft::NodeId(1)}, {}}},
              raft_group::RaftGroup::InitialSnapshot(member, metadata::MetaTable().Snapshot()))
              .status());
    }
    raft_store::StoredRaft stored;
    ASSIGN_OR_RETURN(std::unique_ptr<raft_store::RaftStore> store,
                     raft_store::RaftStore::Open(parts_.fs, directory, {}, stored));
    ASSIGN_OR_RETURN(
        group, raft_group::RaftGroup::Start({parts_.home, parts_.rng, nullptr, metadata.state(),
                                             [this](const absl::Status& why) { fatal = why; }},
                                            {}, std::move(store), std::move(stored)));
    return absl::OkStatus();
  }
  const Parts parts_;
};

class Machine {
 public:
  explicit Machine(uint64_t seed, bool start = true)
      : scheduler(clock, seed),
        home(scheduler.NewExecutor("home")),
        shard0(scheduler.NewExecutor("shard0")),
        shard1(scheduler.NewExecutor("shard1")),
        pool(scheduler.NewExecutor(
            "pool", {.order = TaskOrder::kAny, .max_delay = std::chrono::milliseconds(3)})),
        fs(seed + 1),
        acks([] { return Offset(); }) {
    if (start) Start();
  }
  ~Machine() { Die(); }

  void Start() {
    broker = std::make_unique<SimBroker>(SimBroker::Parts{
        fs, clock, scheduler.rng(), home, {&shard0, &shard1}, pool, acks, feeds, reserve_bytes});
    const absl::Status started = broker->Start();
    REQUIRE_MESSAGE(started.ok(), started.ToString());
    REQUIRE(scheduler.RunUntil([this] { return broker->registered; }, std::chrono::seconds(30)));
  }
  void Crash(SimCrash crash = {}) {
    Die();
    fs.Crash(scheduler.rng(), crash);
  }
  void Kill() {
    Die();
    fs.Kill();
  }
  void StopCleanly() {
    bool stopped = false;
    broker->partitions->Stop([&] { stopped = true; });
    REQUIRE(scheduler.RunUntil([&] { return stopped; }, std::chrono::seconds(30)));
    Die();
    fs.Kill();
  }
  void RunFor(Duration duration) { scheduler.RunFor(duration); }

  absl::Status Create(const std::string& name, int32_t partition_count = 1,
                      Duration timeout = std::chrono::seconds(5),
                      const StreamOverrides& overrides = {}) {
    StreamSpec spec;
    spec.name = name;
    spec.subject = name;
    spec.partitions = partition_count;
    spec.overrides = overrides;
    return Ask<absl::Status>(scheduler, [&](auto done) {
      broker->metadata.CreateStream(spec, timeout, std::move(done));
    });
  }
  absl::Status Delete(const std::string& name) {
    return Ask<absl::Status>(scheduler, [&](auto done) {
      broker->metadata.DeleteStream(name, std::chrono::seconds(5), std::move(done));
    });
  }
  PartitionPort& Port(const std::string& name, size_t partition = 0) {
    const auto entry = broker->catalog.Find(name);
    REQUIRE_MESSAGE(entry != nullptr, "no stream ", name);
    return *entry->partitions.at(partition);
  }
  std::string DirectoryOf(const std::string& name) {
    return Concat("/data/streams/", broker->catalog.Find(name)->stream.id);
  }
  bool Listens(const std::string& subject) { return feeds.listening.contains(subject); }
  void Publish(const std::string& subject, const std::vector<TestMessage>& messages) {
    REQUIRE(Listens(subject));
    Deliver(*feeds.listening.at(subject), messages);
  }
  PartitionContent Read(const std::string& name, size_t partition = 0) {
    return ReadCommitted(scheduler, Port(name, partition));
  }
  PartitionStatus Status(const std::string& name, size_t partition = 0) {
    const auto status = Ask<absl::StatusOr<PartitionStatus>>(
        scheduler, [&](auto done) { Port(name, partition).Describe(std::move(done)); });
    REQUIRE_MESSAGE(status.ok(), status.status().ToString());
    return *status;
  }

  SimClock clock;
  SimScheduler scheduler;
  SimExecutor& home;
  SimExecutor& shard0;
  SimExecutor& shard1;
  SimExecutor& pool;
  SimFileSystem fs;
  RecordingAcks acks;
  FakeFeeds feeds;
  uint64_t reserve_bytes = 0;
  std::unique_ptr<SimBroker> broker;

 private:
  void Die() {
    scheduler.DropAll();
    broker.reset();
    scheduler.DropAll();
  }
};

}  // namespace bascule::partition
