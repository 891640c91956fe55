#include "tests/sim/broker_world.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "core/base/text.h"
#include "replication/meta/cluster/registration_record.h"

namespace bascule {
namespace {

constexpr int kCalmSteps = 300;     // 6 s at most, until they are a cluster
constexpr int kFaultySteps = 500;   // 10 s
constexpr int kHealedSteps = 1000;  // 20 s at most
constexpr int kPeerPort = 9293;
// Each second at most.
constexpr FaultRates kMost{.crash = 0.15,
                           .kill = 0.15,
                           .power = 0.15,
                           .sync_error = 0.1,
                           .full_disk = 0.1,
                           .stand_still = 0.1,
                           .isolation = 0.1,
                           .cut = 0.2,
                           .partition = 0.1};

std::string NameOf(uint64_t machine) { return Concat("b", machine); }

}  // namespace

BrokerWorld::BrokerWorld(uint64_t seed)
    : kernel_(seed),
      client_(kernel_, [this](const std::string& what) { Fail(what); }),
      messages_([this](const std::string& what) { Fail(what); }),
      faults_(kernel_, kMost) {
  Rng& rng = kernel_.rng();
  constexpr int kSizes[] = {1, 1, 2, 3, 3, 3, 3, 4};
  brokers_ = kSizes[rng.Below(8)];
  clustered_ = brokers_ > 1 || rng.Below(2) == 0;
  bus_cuts_ = rng.Below(2) == 0 ? 0 : 0.2;
  if (rng.Below(2) == 0) snapshot_entries_ = static_cast<int64_t>(10 + rng.Below(50));
  bus_.on_ack = [this](const BusAck& ack) { messages_.OnAck(ack); };
  faults_.node_of = [this](uint64_t machine) { return nodes_[machine]; };
  for (int i = 1; i <= brokers_; ++i) {
    kernel_.AddMachine(NameOf(static_cast<uint64_t>(i)),
                       [this](SimMachine& machine) { return MakeBroker(machine); });
  }
  for (uint64_t i = 1; i <= kernel_.size(); ++i) kernel_.Start(i);
}

BrokerWorld::~BrokerWorld() { kernel_.EndAll(); }

config::Config BrokerWorld::ConfigOf(uint64_t machine) const {
  config::Config config;
  config.data_dir = "data";
  config.disk_reserve = {limits::kMiB, 0};
  config.cluster.snapshot_entries = snapshot_entries_;
  config.cluster.enabled = clustered_;
  config.cluster.insecure = clustered_;
  for (int i = 1; clustered_ && i <= brokers_; ++i) {
    const std::string name = NameOf(static_cast<uint64_t>(i));
    if (brokers_ > 1) config.cluster.bootstrap_peers.push_back(name);
    if (name != NameOf(machine)) config.cluster.join.push_back({name, kPeerPort});
  }
  config.cluster.bootstrap_seed = brokers_ == 1;
  return config;
}

std::unique_ptr<SimKernel::Process> BrokerWorld::MakeBroker(SimMachine& machine) {
  auto broker = std::make_unique<BrokerProcess>(kernel_, machine, bus_, discovery_,
                                                ConfigOf(machine.id.value()));
  if (broker->dead() && absl::IsDataLoss(*broker->dead()))
    Fail(Concat(machine.name, " finds damage: ", FromAbsl(broker->dead()->message())));
  return broker;
}

BrokerProcess* BrokerWorld::At(uint64_t machine) {
  auto* const process = static_cast<BrokerProcess*>(kernel_.process(machine));
  if (process == nullptr || !process->ready()) return nullptr;
  nodes_[machine] = process->broker().metadata().node();
  return process;
}

// No disk was emptied or put back.
bool BrokerWorld::IsDead(uint64_t number) {
  const auto* const process = static_cast<BrokerProcess*>(kernel_.process(number));
  if (!process->dead()) return false;
  if (absl::IsDataLoss(*process->dead()))
    Fail(Concat(process->name(), " finds damage: ", FromAbsl(process->dead()->message())));
  const auto record = metadata::RegistrationRecord::Open(kernel_.machine(number).disk, "data");
  if (record.ok() && (*record)->must_rejoin())
    Fail(Concat(process->name(), " takes itself for an older copy"));
  return true;
}

void BrokerWorld::Fail(const std::string& what) {
  if (violation_.empty()) violation_ = what;
}

bool BrokerWorld::Run() {
  const auto all_ready = [this] {
    for (uint64_t i = 1; i <= kernel_.size(); ++i) {
      if (At(i) == nullptr) return false;
    }
    return true;
  };
  kernel_.scheduler().RunUntil(all_ready, kCalmSteps * MachineFaults::kStep);
  for (int i = 0; i < kFaultySteps && violation_.empty(); ++i) {
    faults_.Step([this](uint64_t machine) { return IsDead(machine); });
    HarmBus();
    Step();
  }
  bus_cuts_ = 0;
  faults_.Heal();
  for (int i = 0; i < kHealedSteps && violation_.empty(); ++i) {
    Step();
    if (i > kHealedSteps / 10 && i % 20 == 0 && Converged()) break;
  }
  if (violation_.empty()) CheckEnd();
  return violation_.empty();
}

void BrokerWorld::HarmBus() {
  for (uint64_t i = 1; i <= kernel_.size(); ++i) {
    BrokerProcess* const broker = At(i);
    if (broker == nullptr) continue;
    const MonotonicTime now = kernel_.clock().Monotonic();
    if (!broker->bus().connected()) {
      if (off_bus_until_[i] <= now) broker->bus().Reconnect();
    } else if (faults_.Happens(bus_cuts_)) {
      kernel_.Note(broker->name(), " loses its bus");
      broker->bus().Disconnect();
      off_bus_until_[i] = Add(now, std::chrono::milliseconds(Between(kernel_.rng(), 10, 2000)));
    }
  }
}

void BrokerWorld::Step() {
  const uint64_t machine = Between(kernel_.rng(), 1, kernel_.size());
  const uint64_t choice = kernel_.rng().Below(40);
  BrokerProcess* const broker = At(machine);
  if (broker != nullptr && choice < 3) {
    client_.Create(broker->broker().streams(), broker->name(),
                   static_cast<int32_t>(1 + kernel_.rng().Below(2)));
  } else if (broker != nullptr && choice == 3) {
    client_.Delete(broker->broker().streams(), broker->name());
  } else if (choice < 26) {
    Publish();
  } else if (choice < 30) {
    ReadSomewhere();
  }
  kernel_.scheduler().RunFor(MachineFaults::kStep);
}

std::optional<std::string> BrokerWorld::AnyStream() {
  const std::set<std::string> streams = client_.MustBe();
  if (streams.empty()) return std::nullopt;
  return *std::next(streams.begin(),
                    static_cast<std::ptrdiff_t>(kernel_.rng().Below(streams.size())));
}

void BrokerWorld::Publish() {
  const auto stream = AnyStream();
  if (!stream) return;
  if (kernel_.rng().Below(100) == 0) return PublishMuch(*stream, kernel_.rng().Below(2));
  for (uint64_t n = Between(kernel_.rng(), 1, 8); n > 0; --n)
    Publish(*stream, kernel_.rng().Below(2));
}

// More than a batch takes, all at once.
void BrokerWorld::PublishMuch(const std::string& stream, size_t partition) {
  for (uint64_t n = Between(kernel_.rng(), 3, 10); n > 0; --n)
    Publish(stream, partition, kernel_.rng().Below(limits::kBatchTargetBytes / 2));
}

void BrokerWorld::Publish(const std::string& stream, size_t partition, size_t padding) {
  const std::string subject =
      PartitionSubject("in." + stream, PartitionId(static_cast<int32_t>(partition)));
  const AckPolicy policy = kernel_.rng().Below(2) == 0 ? AckPolicy::kLeader : AckPolicy::kAll;
  bus_.Publish(subject, messages_.NewMessage(subject, policy, padding));
}

void BrokerWorld::ReadSomewhere() {
  const auto stream = AnyStream();
  BrokerProcess* const broker = At(Between(kernel_.rng(), 1, kernel_.size()));
  if (!stream || broker == nullptr) return;
  if (const auto port = broker->Leading(*stream, 0)) Read(port, *stream, 0, false);
}

bool BrokerWorld::Converged() { return WhyNotConverged().empty(); }

std::string BrokerWorld::WhyNotConverged() {
  BrokerProcess* const first = At(1);
  if (first == nullptr) return "b1 is not there";
  const std::string table = first->table().Snapshot();
  for (uint64_t i = 1; i <= kernel_.size(); ++i) {
    BrokerProcess* const broker = At(i);
    if (broker == nullptr) return Concat(NameOf(i), " is not there");
    if (broker->broker().metadata().group().role().leader == PeerId())
      return Concat(NameOf(i), " knows no metadata leader");
    if (broker->table().Snapshot() != table) return Concat(NameOf(i), " has another table");
  }
  if (first->table().brokers().size() != kernel_.size()) return "not all are registered";
  for (const auto& [id, broker] : first->table().brokers()) {
    if (broker.fenced) return Concat(id, " is fenced");
  }
  for (const auto& [name, stream] : first->table().streams()) {
    for (size_t p = 0; p < stream.partitions.size(); ++p) {
      bool led = false;
      for (uint64_t i = 1; i <= kernel_.size(); ++i)
        led = led || At(i)->Leading(name, p) != nullptr;
      if (!led) return Concat("nobody leads ", name, "/", p);
    }
  }
  return "";
}

}  // namespace bascule
