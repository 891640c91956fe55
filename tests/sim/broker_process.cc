#include "tests/sim/broker_process.h"

#include <utility>

#include "core/base/text.h"
#include "tests/sim/sim_seams.h"

namespace bascule {
namespace {

constexpr SimExecutorOptions kPool{.order = TaskOrder::kAny,
                                   .max_delay = std::chrono::milliseconds(3)};

}  // namespace

BrokerProcess::BrokerProcess(SimKernel& kernel, SimMachine& machine, SimBus& bus,
                             FakeDiscoveryBus& discovery, const config::Config& config)
    : kernel_(kernel), machine_(machine), discovery_(discovery), bus_(bus.Connect()) {
  if (const absl::Status started = Start(config); !started.ok()) Die(started);
}

BrokerProcess::~BrokerProcess() = default;

absl::Status BrokerProcess::Start(const config::Config& config) {
  ASSIGN_OR_RETURN(
      broker::DataDirectory directory,
      broker::DataDirectory::Open(machine_.disk, machine_.rng, config.data_dir, machine_.name));
  broker::BrokerSeams seams{
      SeamsOf(kernel_, machine_, discovery_,
              [this] { Die(absl::InternalError("it says so itself")); }),
      {&machine_.NewThread("shard0", {.tells_idle = machine_.rng.Below(2) == 0}),
       &machine_.NewThread("shard1", {.tells_idle = true})},
      machine_.NewThread("disk", kPool),
      machine_.NewThread("sync", kPool),
      *bus_,
      *bus_};
  broker_ = std::make_unique<broker::Broker>(
      std::move(seams),
      broker::BrokerOptions{config, Concat("machine ", machine_.name),
                            Concat("boot-", machine_.boots), SmallMetadataStore()},
      std::move(directory));
  broker_->Start([this](const absl::Status& status) {
    if (!status.ok()) return Die(status);
    ready_ = true;
    broker_->Advertise(Concat(machine_.name, ".example"), 9292);
  });
  return absl::OkStatus();
}

void BrokerProcess::Die(const absl::Status& why) {
  kernel_.Note(machine_.name, " cannot go on: ", FromAbsl(why.message()));
  if (!dead_) dead_ = why;
}

void BrokerProcess::Stop() {
  stopping_ = true;
  broker_->Stop([this] { stopped_ = true; });
}

std::shared_ptr<PartitionPort> BrokerProcess::Holding(const std::string& stream, size_t partition) {
  if (!ready()) return nullptr;
  const auto entry = broker_->catalog().Find(stream);
  return entry ? entry->partitions.at(partition) : nullptr;
}

std::shared_ptr<PartitionPort> BrokerProcess::Leading(const std::string& stream, size_t partition) {
  if (!ready()) return nullptr;
  const auto entry = broker_->catalog().Find(stream);
  if (!entry || entry->stream.partitions.at(partition).leader != machine_.name) return nullptr;
  return entry->partitions.at(partition);
}

}  // namespace bascule
