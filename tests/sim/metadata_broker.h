// One life of a broker as far as metadata goes, on a simulated machine: store, driver of the Raft
// group, frontend, table and the leader's work. What streams would do is settled at once.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "replication/meta/cluster/broker_registrar.h"
#include "replication/meta/cluster/leader_work.h"
#include "replication/meta/group/raft_group.h"
#include "replication/meta/requests/meta_frontend.h"
#include "tests/sim/kernel.h"

namespace bascule {

class MetadataBroker final : public SimKernel::Process, public DeltaSink {
 public:
  // Machines 1 to `founders` are the group's first voters.
  MetadataBroker(SimKernel& kernel, SimMachine& machine, int founders, RaftGroupOptions options)
      : kernel_(kernel), machine_(machine), founders_(founders), options_(options) {}

  // Founds its part of the group on an empty disk, or finds what is there.
  absl::Status Open();
  // Why it cannot go on.
  const std::optional<absl::Status>& dead() const { return dead_; }
  const std::string& name() const { return machine_.name; }
  uint64_t incarnation() const { return incarnation_; }
  MetaFrontend& frontend() { return *frontend_; }
  RaftGroup& group() { return *group_; }
  std::string Describe() const;

  void OnDelta(const MetaDelta&, absl::AnyInvocable<void(absl::Status)> settled) override {
    settled(absl::OkStatus());
  }

 private:
  absl::Status Found(const RaftStoreOptions& options);
  absl::Status Build(std::unique_ptr<RaftStore> store, StoredRaft stored);
  void Die(const absl::Status& why);

  SimKernel& kernel_;
  SimMachine& machine_;
  const int founders_;
  const RaftGroupOptions options_;
  const uint64_t incarnation_ = machine_.incarnation;
  std::unique_ptr<RegistrationRecord> record_;
  std::unique_ptr<MetaFrontend> frontend_;
  std::unique_ptr<RaftGroup> group_;
  std::unique_ptr<BrokerRegistrar> registrar_;
  std::unique_ptr<LeaderWork> leader_work_;
  std::optional<absl::Status> dead_;
};

}  // namespace bascule
