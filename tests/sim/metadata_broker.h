// One life of a broker as far as metadata goes, on a simulated machine: the node that basculed runs,
// without partitions. What streams would do is settled at once.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "replication/broker/metadata_node.h"
#include "replication/partition/replica_switch.h"
#include "tests/sim/kernel.h"
#include "tests/support/fake_discovery.h"

namespace bascule {

class MetadataBroker final : public SimKernel::Process, public DeltaSink {
 public:
  // Machines 1 to `founders` are the group's first voters.
  MetadataBroker(SimKernel& kernel, SimMachine& machine, FakeDiscoveryBus& bus, int founders,
                 broker::BrokerOptions options);

  // Founds its part of the group on an empty disk, or finds what is there, and starts; an error that
  // shows at once. dead() too.
  absl::Status Open();
  bool ready() const { return ready_; }  // its metadata is there; perhaps it is not registered yet
  // Why it cannot go on.
  const std::optional<absl::Status>& dead() const { return dead_; }
  const std::string& name() const { return machine_.name; }
  uint64_t incarnation() const { return incarnation_; }
  metadata::MetaFrontend& frontend() { return node_->frontend(); }
  raft_group::RaftGroup& group() { return node_->group(); }
  std::string Describe() const;

  void OnDelta(const MetaDelta&, absl::AnyInvocable<void(absl::Status)> settled) override {
    settled(absl::OkStatus());
  }

 private:
  absl::Status Found();
  absl::Status Start();
  void OnMember(const absl::Status& status);
  void Die(const absl::Status& why);

  SimKernel& kernel_;
  SimMachine& machine_;
  const int founders_;
  const broker::BrokerOptions options_;
  const uint64_t incarnation_ = machine_.incarnation;
  FakeDiscovery discovery_;
  const broker::MetadataSeams seams_;
  std::optional<broker::DataDirectory> directory_;
  partition::ReplicaSwitch replicas_;  // of no partition
  std::unique_ptr<broker::MetadataNode> node_;
  bool ready_ = false;
  std::optional<absl::Status> dead_;
};

}  // namespace bascule
