// Brokers of one cluster as far as metadata goes: frontend, the leader's work and cluster control over a log
// that the test leads (FakeMetadataGroup) and a network in memory.
#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/text.h"
#include "replication/meta/cluster/broker_registrar.h"
#include "replication/meta/cluster/cluster_control.h"
#include "replication/meta/cluster/leader_work.h"
#include "replication/meta/requests/meta_frontend.h"
#include "tests/support/fake_metadata_log.h"
#include "tests/support/fake_peer_transport.h"
#include "tests/support/sim_executor.h"
#include "tests/support/sim_file_system.h"

namespace bascule::metadata {

// Notes deltas; settles them when told.
class HeldDeltas final : public DeltaSink {
 public:
  void OnDelta(const MetaDelta& delta, absl::AnyInvocable<void(absl::Status)> settled) override {
    deltas.push_back(delta);
    waiting.push_back(std::move(settled));
    if (!hold) Settle(result);
  }
  void Settle(const absl::Status& status) {
    for (auto& settled : std::exchange(waiting, {})) settled(status);
  }
  // The streams that these deltas make.
  std::map<std::string, StreamDescription> Streams() const {
    std::map<std::string, StreamDescription> streams;
    for (const MetaDelta& delta : deltas) {
      if (const auto* created = std::get_if<StreamCreated>(&delta)) {
        CHECK_FALSE(streams.contains(created->stream.name));
        streams[created->stream.name] = created->stream;
      } else if (const auto* deleted = std::get_if<StreamDeleted>(&delta)) {
        CHECK(streams.erase(deleted->name) == 1);
      } else if (const auto* updated = std::get_if<StreamUpdated>(&delta)) {
        streams.at(updated->stream.name).overrides = updated->stream.overrides;
      } else {
        const auto& changed = std::get<PartitionChanged>(delta);
        const auto id = static_cast<size_t>(changed.partition.id.value());
        streams.at(changed.name).partitions.at(id) = changed.partition;
      }
    }
    return streams;
  }
  bool hold = false;
  absl::Status result;  // when it does not hold
  std::vector<MetaDelta> deltas;
  std::vector<absl::AnyInvocable<void(absl::Status)>> waiting;
};

// Notes how a call ended.
struct Ended {
  std::optional<absl::Status> status;
  MonotonicTime at;
};

class MetaWorld;

// One process of a broker.
struct MetaBroker final : PeerEvents {
  MetaBroker(MetaWorld& world, uint64_t number, uint64_t incarnation);
  ~MetaBroker() override;
  void OnPeerUp(const PeerIdentity& peer) override {
    home.Post([this, peer] { leader_work->OnPeerUp(peer); });
  }
  void OnPeerDown(const PeerIdentity& peer) override {
    home.Post([this, peer] { leader_work->OnPeerDown(peer); });
  }
  PeerIdentity identity() const {
    return {self.node, self.id, self.peer_address, self.incarnation, 1};
  }
  void OnIntroduction(const std::string& server_id, std::string request, Duration timeout,
                      PeerHandler::Respond respond) override {
    control->OnIntroduction(server_id, std::move(request), timeout, std::move(respond));
  }
  std::shared_ptr<Ended> Create(StreamSpec spec, Duration timeout = std::chrono::seconds(5));
  std::shared_ptr<Ended> Create(const std::string& name) {
    StreamSpec spec;
    spec.name = name;
    spec.subject = "in." + name;
    return Create(spec);
  }
  std::shared_ptr<Ended> Delete(const std::string& name,
                                Duration timeout = std::chrono::seconds(5));
  std::shared_ptr<Ended> Update(const std::string& name, const StreamOverrides& changes);
  const MetaTable& table() const { return frontend->table(); }
  std::string LeaderOf(const std::string& stream) const {
    const StreamDescription* found = table().Find(stream);
    return found == nullptr ? "no stream" : found->partitions[0].leader;
  }

  MetaWorld& world;
  const BrokerSelf self;
  SimExecutor& home;
  FakePeerTransport& peers;
  HeldDeltas sink;
  std::unique_ptr<RegistrationRecord> record;
  std::string trouble;  // as its heartbeats say
  std::unique_ptr<MetaFrontend> frontend;
  std::unique_ptr<BrokerRegistrar> registrar;
  std::unique_ptr<FakeMetadataLog> log;
  std::unique_ptr<LeaderWork> leader_work;
  std::unique_ptr<ClusterControl> control;
  std::optional<absl::Status> registered;
  std::optional<absl::Status> fatal;
};

class MetaWorld {
 public:
  static LeaderWorkOptions Patient() {
    LeaderWorkOptions options;
    options.session_timeout = std::chrono::seconds(2);
    options.heartbeat = std::chrono::milliseconds(250);
    return options;
  }
  // `count` brokers, registered; the first leads.
  explicit MetaWorld(int count, uint64_t seed = 1, LeaderWorkOptions backend_options = Patient())
      : options(backend_options), scheduler(clock, seed), network(scheduler), group(scheduler) {
    std::vector<GroupMember> members;
    for (int i = 1; i <= count; ++i) {
      const auto n = static_cast<uint64_t>(i);
      members.push_back({PeerId(n), Concat("b", i), Concat("b", i, ":9293"), true});
    }
    group.SetMembers(members);
    for (int i = 1; i <= count; ++i) Start(static_cast<uint64_t>(i));
    group.Elect(PeerId(1));
    for (auto& [number, broker] : brokers) Register(number);
    REQUIRE(scheduler.RunUntil(
        [this] {
          return std::all_of(brokers.begin(), brokers.end(), [](const auto& b) {
            return b.second->registered && b.second->registered->ok();
          });
        },
        std::chrono::seconds(10)));
    Run(std::chrono::milliseconds(50));
  }
  ~MetaWorld() {
    scheduler.DropAll();
    brokers.clear();
    scheduler.DropAll();
  }
  // A new process of broker `number`, connected; it does not register yet.
  MetaBroker& Start(uint64_t number) {
    Stop(number);
    brokers[number] = std::make_unique<MetaBroker>(*this, number, ++incarnations * 1000 + number);
    for (const auto& [other, unused] : brokers) {
      if (other == number) continue;
      Connect(number, other);
      Connect(other, number);
    }
    return *brokers[number];
  }
  // The connection that `from` dialled stands, or broke.
  void Connect(uint64_t from, uint64_t to) {
    brokers.at(from)->OnPeerUp(brokers.at(to)->identity());
  }
  void Break(uint64_t from, uint64_t to) {
    brokers.at(from)->OnPeerDown(brokers.at(to)->identity());
  }
  // As `kill -9`: everybody's connections with it break, and are refused.
  void Kill(uint64_t number) {
    const PeerIdentity gone = brokers.at(number)->identity();
    Stop(number);
    for (const auto& [other, broker] : brokers) broker->OnPeerDown(gone);
  }
  void Register(uint64_t number, bool lost_all = false) {
    MetaBroker& broker = *brokers.at(number);
    broker.registrar->Advertise(broker.self.id + ".example", 9292);
    broker.home.Post([&broker, lost_all] {
      if (lost_all) REQUIRE(broker.record->OweAll().ok());
      broker.registrar->Register(broker.sink, *broker.record,
                                 [&broker](const absl::Status& s) { broker.registered = s; });
      broker.leader_work->Start();
    });
  }
  // As a machine without power: nobody notices but by the time.
  void Stop(uint64_t number) {
    const auto it = brokers.find(number);
    if (it == brokers.end()) return;
    it->second->home.DropAll();
    group.Detach(PeerId(number));
    network.Remove(PeerId(number));
    brokers.erase(it);
  }
  void Run(Duration duration) { scheduler.RunFor(duration); }
  absl::Status Await(const std::shared_ptr<Ended>& ended,
                     Duration limit = std::chrono::seconds(20)) {
    REQUIRE(scheduler.RunUntil([&] { return ended->status.has_value(); }, limit));
    return *ended->status;
  }
  MetaBroker& operator[](uint64_t number) { return *brokers.at(number); }

  LeaderWorkOptions options;
  SimClock clock;
  SimScheduler scheduler;
  FakePeerNetwork network;
  FakeMetadataGroup group;
  std::map<uint64_t, std::unique_ptr<MetaBroker>> brokers;
  std::map<uint64_t, SimExecutor*> homes;
  uint64_t incarnations = 0;
  std::map<uint64_t, std::unique_ptr<SimFileSystem>> disks;  // with data/registration

  SimFileSystem& Disk(uint64_t number) {
    auto& disk = disks[number];
    if (disk == nullptr) {
      disk = std::make_unique<SimFileSystem>(number);
      REQUIRE(disk->CreateDirectories("data").ok());
    }
    return *disk;
  }
  SimExecutor& Home(uint64_t number) {
    SimExecutor*& home = homes[number];
    if (home == nullptr) home = &scheduler.NewExecutor(Concat("home", number));
    return *home;
  }
};

inline MetaBroker::MetaBroker(MetaWorld& given, uint64_t number, uint64_t incarnation)
    : world(given),
      self{Concat("b", number), PeerId(number), incarnation, Concat("b", number, ":9293"),
           Concat("rack", number % 2)},
      home(given.Home(number)),
      peers(given.network.Add({self.node, self.id, self.peer_address, incarnation, 1})) {
  auto opened = RegistrationRecord::Open(given.Disk(number), "data");
  REQUIRE(opened.ok());
  record = *std::move(opened);
  frontend = std::make_unique<MetaFrontend>(home, world.clock, &peers, self);
  log = world.group.Attach(self.node, home, frontend->state());
  frontend->SetLog(*log);
  registrar = std::make_unique<BrokerRegistrar>(home, *frontend, self, /*alone=*/false);
  registrar->SetLog(*log);
  leader_work = std::make_unique<LeaderWork>(home, world.clock, &peers, *log, *log,
                                             frontend->table(), self, world.options);
  frontend->AddRoleObserver([this](const MetadataRole& role) { leader_work->OnRoleChange(role); });
  frontend->state().AddObserver([this] { leader_work->OnTableChange(); });
  leader_work->SetReport([this] { return BrokerReport{registrar->generation(), trouble}; });
  control = std::make_unique<ClusterControl>(home, world.clock, &peers, *log, *log, *frontend,
                                             *leader_work, self, "ns");
  frontend->SetClusterRequests(*control);
  registrar->SetFatal([this](const absl::Status& why) { fatal = why; });
  peers.Handle(PeerService::kMetadata, frontend->peer_handler());
  peers.Handle(PeerService::kSession, *leader_work);
  peers.HandleEvents(*this);
}

inline MetaBroker::~MetaBroker() { home.DropAll(); }

inline auto Into(MetaWorld& world, const std::shared_ptr<Ended>& ended) {
  return [&world, ended](const absl::Status& status) {
    CHECK_FALSE(ended->status.has_value());  // once
    ended->status = status;
    ended->at = world.clock.Monotonic();
  };
}

inline std::shared_ptr<Ended> MetaBroker::Create(StreamSpec spec, Duration timeout) {
  auto ended = std::make_shared<Ended>();
  frontend->CreateStream(std::move(spec), timeout, Into(world, ended));
  return ended;
}

inline std::shared_ptr<Ended> MetaBroker::Delete(const std::string& name, Duration timeout) {
  auto ended = std::make_shared<Ended>();
  frontend->DeleteStream(name, timeout, Into(world, ended));
  return ended;
}

inline std::shared_ptr<Ended> MetaBroker::Update(const std::string& name,
                                                 const StreamOverrides& changes) {
  auto ended = std::make_shared<Ended>();
  frontend->UpdateStream(name, changes, std::chrono::seconds(5), Into(world, ended));
  return ended;
}

inline StreamSpec Spec(const std::string& name, int32_t partitions = 1) {
  StreamSpec spec;
  spec.name = name;
  spec.subject = "in." + name;
  spec.partitions = partitions;
  return spec;
}

}  // namespace bascule::metadata
