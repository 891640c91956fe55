#include "tests/sim/replica_world.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "core/base/text.h"
#include "replication/meta/table/meta_commands.h"

namespace bascule {
namespace {

constexpr int kReplicaCalmSteps = 300;    // 6 s at most, until they are a cluster
constexpr int kReplicaFaultySteps = 500;  // 10 s
constexpr int kReplicaPort = 9293;
constexpr size_t kSubscribers = 6;
// Each second at most, of one machine or of the network.
constexpr FaultRates kMostOfReplicas{.crash = 0.15,
                                     .kill = 0.2,
                                     .power = 0.1,
                                     .sync_error = 0.2,
                                     .full_disk = 0.1,
                                     .stand_still = 0.1,
                                     .isolation = 0.1,
                                     .cut = 0.3,
                                     .partition = 0.1};

std::string ReplicaName(uint64_t machine) { return Concat("b", machine); }

}  // namespace

const char* ReplicaCounts::NameOf(int what) {
  static constexpr const char* kNames[kEnd] = {"streams",
                                               "acked messages",
                                               "reads",
                                               "reads of followers",
                                               "moves",
                                               "orderly stops",
                                               "lost disks",
                                               "damaged replicas",
                                               "partitions of which all was promised",
                                               "partitions that lost more than is promised",
                                               "epochs"};
  return kNames[what];
}

void ReplicaCounts::Add(const ReplicaCounts& other) {
  for (size_t i = 0; i < of.size(); ++i) of[i] += other.of[i];
}

ReplicaWorld::ReplicaWorld(uint64_t seed)
    : kernel_(seed),
      client_(kernel_, [this](const std::string& what) { Fail(what); }),
      messages_([this](const std::string& what) { Fail(what); }),
      checker_(messages_, [this](const std::string& what) { Fail(what); }),
      losses_([this](const std::string& subject) { checker_.Forget(subject); }),
      faults_(kernel_, kMostOfReplicas) {
  constexpr uint64_t kSizes[] = {3, 3, 3, 3, 4, 5};
  brokers_ = kSizes[kernel_.rng().Below(6)];
  late_ = OneIn(4);
  unsynced_ = OneIn(6);
  retention_ = OneIn(3);
  if (OneIn(2)) snapshot_entries_ = static_cast<int64_t>(Draw(10, 60));
  max_lag_ = std::chrono::milliseconds(OneIn(2) ? Draw(300, 1500) : 3000);
  rates_.bus_cut = Rate(0.5);
  rates_.stop = Rate(0.4);
  rates_.lost_disk = Rate(0.4);
  rates_.damage = Rate(0.6);
  rates_.slow = Rate(1);
  rates_.move = Rate(2);
  kernel_.network().faults.line_breaks = Rate(0.05);
  bus_.on_ack = [this](const BusAck& ack) { messages_.OnAck(ack); };
  messages_.is_replicated = [this](const std::string& subject) {
    return losses_.IsReplicated(subject);
  };
  faults_.node_of = [this](uint64_t machine) { return nodes_[machine]; };
  faults_.on_down = [this](uint64_t machine, MachineFaults::End) {
    if (const metadata::MetaTable* const table = NewestTable()) losses_.OnTable(*table);
    losses_.Lose(ReplicaName(machine), IncarnationOf(machine), ReplicaLosses::Which::kUnsynced);
  };
  for (uint64_t i = 1; i <= brokers_; ++i) AddMachine();
  for (uint64_t i = 1; i <= brokers_; ++i) kernel_.Start(i);
}

ReplicaWorld::~ReplicaWorld() { kernel_.EndAll(); }

double ReplicaWorld::Rate(double most) {
  return OneIn(2) ? 0 : most * static_cast<double>(Draw(1, 100)) / 100;
}

void ReplicaWorld::AddMachine() {
  kernel_.AddMachine(ReplicaName(kernel_.size() + 1), [this](SimMachine& machine) {
    auto broker = std::make_unique<BrokerProcess>(kernel_, machine, bus_, discovery_,
                                                  ConfigOf(machine.id.value()));
    return broker;
  });
}

config::Config ReplicaWorld::ConfigOf(uint64_t machine) const {
  config::Config config;
  config.data_dir = "data";
  config.disk_reserve = {limits::kMiB, 0};
  config.replica_max_lag = std::chrono::duration_cast<std::chrono::milliseconds>(max_lag_);
  config.cluster.snapshot_entries = snapshot_entries_;
  config.cluster.enabled = config.cluster.insecure = true;
  for (uint64_t i = 1; i <= brokers_; ++i) {
    if (machine <= brokers_) config.cluster.bootstrap_peers.push_back(ReplicaName(i));
    if (i != machine) config.cluster.join.push_back({ReplicaName(i), kReplicaPort});
  }
  return config;
}

BrokerProcess* ReplicaWorld::At(uint64_t machine) {
  auto* const process = static_cast<BrokerProcess*>(kernel_.process(machine));
  if (process == nullptr || !process->ready()) return nullptr;
  nodes_[machine] = process->broker().metadata().node();
  incarnations_[machine] = process->broker().metadata().incarnation();
  return process;
}

bool ReplicaWorld::IsDead(uint64_t machine) {
  const auto* const process = static_cast<BrokerProcess*>(kernel_.process(machine));
  if (!process->dead()) return process->stopped();
  if (absl::IsDataLoss(*process->dead()))
    Fail(Concat(process->name(), " finds damage: ", FromAbsl(process->dead()->message())));
  return true;
}

uint64_t ReplicaWorld::IncarnationOf(uint64_t machine) {
  (void)At(machine);
  const metadata::MetaTable* const table = NewestTable();
  const auto* const broker = table == nullptr ? nullptr : table->FindBroker(ReplicaName(machine));
  return std::max(incarnations_[machine], broker == nullptr ? 0 : broker->incarnation);
}

const metadata::MetaTable* ReplicaWorld::NewestTable() {
  const metadata::MetaTable* newest = nullptr;
  for (uint64_t i = 1; i <= kernel_.size(); ++i) {
    BrokerProcess* const broker = At(i);
    if (broker == nullptr) continue;
    if (newest == nullptr || broker->table().applied() > newest->applied())
      newest = &broker->table();
  }
  return newest;
}

void ReplicaWorld::Fail(const std::string& what) {
  if (!violation_.empty()) return;
  violation_ = what;
  kernel_.Note("VIOLATION ", what);
}

bool ReplicaWorld::Run() {
  const auto all_ready = [this] {
    for (uint64_t i = 1; i <= kernel_.size(); ++i) {
      if (At(i) == nullptr) return false;
    }
    return NewestTable()->feature_level() >= metadata::kReplicasLevel;
  };
  kernel_.scheduler().RunUntil(all_ready, kReplicaCalmSteps * MachineFaults::kStep);
  for (uint64_t n = Draw(2, 4); n > 0; --n) CreateStream();
  kernel_.scheduler().RunFor(std::chrono::milliseconds(Draw(10, 1500)));
  const int arrival = static_cast<int>(Draw(1, kReplicaFaultySteps));
  for (int i = 0; i < kReplicaFaultySteps && violation_.empty(); ++i) {
    if (late_ && i == arrival) {
      AddMachine();
      kernel_.Start(kernel_.size());
    }
    faults_.Step([this](uint64_t machine) { return IsDead(machine); });
    Harm();
    Step();
  }
  rates_ = {};
  const bool all = OneIn(2);
  faults_.Heal([&](uint64_t machine) { return !all && At(machine) != nullptr; });
  for (uint64_t i = 1; i <= kernel_.size(); ++i) {
    if (BrokerProcess* const broker = At(i)) broker->bus().Reconnect();
  }
  if (violation_.empty()) CheckEnd();
  return violation_.empty();
}

void ReplicaWorld::Step() {
  if (const metadata::MetaTable* const table = NewestTable()) losses_.OnTable(*table);
  const uint64_t choice = kernel_.rng().Below(60);
  BrokerProcess* const broker = At(Draw(1, kernel_.size()));
  if (broker != nullptr && choice == 0) {
    CreateStream();
  } else if (broker != nullptr && choice == 1 && OneIn(3)) {
    client_.Delete(broker->broker().streams(), broker->name());
  } else if (choice < 40) {
    PublishSome();
  } else if (choice < 50) {
    LookSomewhere();
  }
  if (subscribers_.size() < kSubscribers) {
    if (const auto target = AnyPartition()) {
      subscribers_.push_back(nullptr);
      ReadAll();
    }
  } else {
    ReadAll();
  }
  kernel_.scheduler().RunFor(MachineFaults::kStep);
}

void ReplicaWorld::CreateStream() {
  BrokerProcess* const broker = At(Draw(1, kernel_.size()));
  if (broker == nullptr) return;
  const auto partitions = static_cast<int32_t>(Draw(1, 2));
  const auto factor = static_cast<int32_t>(OneIn(6)   ? 1
                                           : OneIn(3) ? Draw(1, brokers_)
                                                      : Draw(2, 3));
  StreamOverrides overrides;
  overrides.segment_max_bytes = static_cast<int64_t>(Draw(1, 40) * 1024);
  if (OneIn(3)) overrides.min_isr = static_cast<int32_t>(Draw(1, static_cast<uint64_t>(factor)));
  if (unsynced_ && OneIn(2)) overrides.durability = Durability::kOs;
  if (retention_ && OneIn(2)) {
    overrides.retention_max_messages = static_cast<int64_t>(Draw(5, 200));
    overrides.cleaner_interval = std::chrono::milliseconds(Draw(200, 2000));
  }
  if (OneIn(4)) overrides.segment_max_age = std::chrono::milliseconds(Draw(500, 5000));
  const std::string name =
      client_.Create(broker->broker().streams(), broker->name(), partitions, factor, overrides);
  partitions_[name] = partitions;
  kernel_.Note(name, ": factor ", factor, ", min isr ", overrides.min_isr.value_or(0),
               overrides.durability ? ", os" : "",
               overrides.retention_max_messages ? ", retention" : "");
}

std::optional<ReplicaWorld::Target> ReplicaWorld::AnyPartition() {
  const std::set<std::string> streams = client_.MustBe();
  if (streams.empty()) return std::nullopt;
  Target target;
  target.stream =
      *std::next(streams.begin(), static_cast<std::ptrdiff_t>(kernel_.rng().Below(streams.size())));
  target.partition = kernel_.rng().Below(static_cast<uint64_t>(partitions_[target.stream]));
  target.subject =
      PartitionSubject("in." + target.stream, PartitionId(static_cast<int32_t>(target.partition)));
  return target;
}

void ReplicaWorld::PublishSome() {
  const auto target = AnyPartition();
  if (!target) return;
  const bool much = OneIn(60);
  for (uint64_t n = much ? Draw(3, 10) : Draw(1, 8); n > 0; --n) {
    const size_t most = much ? limits::kBatchTargetBytes / 2 : 2000;
    Publish(*target, much || OneIn(4) ? kernel_.rng().Below(most) : 0);
  }
}

void ReplicaWorld::Publish(const Target& target, size_t padding) {
  const AckPolicy policy = OneIn(3) ? AckPolicy::kLeader : AckPolicy::kAll;
  const partition::TestMessage message = messages_.NewMessage(target.subject, policy, padding);
  messages_.OnHeard(message, bus_.Publish(target.subject, message));
}

}  // namespace bascule
