// One life of a whole broker on a simulated machine: what basculed builds, on the machine's disk and
// threads, the simulated bus and network.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "replication/broker/broker.h"
#include "tests/sim/kernel.h"
#include "tests/sim/sim_bus.h"
#include "tests/support/fake_discovery.h"

namespace bascule {

class BrokerProcess final : public SimKernel::Process {
 public:
  BrokerProcess(SimKernel& kernel, SimMachine& machine, SimBus& bus, FakeDiscoveryBus& discovery,
                const config::Config& config);
  ~BrokerProcess() override;

  // Its ports may be used: it is a member, and registered.
  bool ready() const { return ready_ && !dead_ && !stopping_; }
  // An orderly end, as SIGTERM asks for; once, while it is ready.
  void Stop();
  bool stopped() const { return stopped_; }
  // Why the process would have ended.
  const std::optional<absl::Status>& dead() const { return dead_; }
  const std::string& name() const { return machine_.name; }
  uint64_t life() const { return life_; }
  broker::Broker& broker() { return *broker_; }
  const metadata::MetaTable& table() { return broker_->metadata().frontend().table(); }
  SimBusConnection& bus() { return *bus_; }
  // Its port of a partition that it leads, as its clients find it; null otherwise.
  std::shared_ptr<PartitionPort> Leading(const std::string& stream, size_t partition);
  // Of any replica of it that is here.
  std::shared_ptr<PartitionPort> Holding(const std::string& stream, size_t partition);

 private:
  absl::Status Start(const config::Config& config);
  void Die(const absl::Status& why);

  SimKernel& kernel_;
  SimMachine& machine_;
  const uint64_t life_ = machine_.incarnation;
  FakeDiscovery discovery_;
  std::unique_ptr<SimBusConnection> bus_;
  std::unique_ptr<broker::Broker> broker_;
  bool ready_ = false;
  bool stopping_ = false;
  bool stopped_ = false;
  std::optional<absl::Status> dead_;
};

}  // namespace bascule
