// The metadata of one partition as an atomic log of states. What a command does to the partition is
// decided by the product (partition_rules.h); sessions, incarnations and min ISR are kept here, as
// the commands around those rules do it (replication/meta/table/command_*.cc).
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/stream/description.h"
#include "replication/isr/partition_view.h"
#include "replication/isr/reconciliation.h"
#include "replication/meta/table/partition_rules.h"

namespace bascule::isr {

std::string BrokerName(int broker);         // 0 is "a"
int BrokerNumber(const std::string& name);  // -1 for ""
bool Contains(const std::vector<std::string>& brokers, const std::string& broker);

struct MetadataState {
  PartitionDescription partition;
  int min_isr = 1;
  struct Broker {
    Incarnation incarnation = 0;
    bool fenced = false;
  };
  std::vector<Broker> brokers;

  bool IsLive(const std::string& broker) const;
  bool IsDoubtful(const std::string& broker) const;
  // R7 and R7b, as a question: whether somebody of `live` could lead.
  bool SomebodyMayLead(const std::set<int>& live) const;
  PartitionView View() const;
};

class IsrMetadata {
 public:
  // All are registered, in incarnation 1; those that are `away` are fenced.
  IsrMetadata(int brokers, int min_isr, const std::set<int>& away);

  const MetadataState& now() const { return *log_.back(); }
  const MetadataState& at(size_t index) const { return *log_[index]; }
  const MetadataState& before() const { return *log_[log_.size() - 2]; }
  size_t newest() const { return log_.size() - 1; }

  struct Registration {
    int broker = 0;
    Incarnation incarnation = 0;
    bool new_process = false;
    bool lost = false;
    std::optional<ReplicaDoubt> doubt;
  };
  void Register(const Registration& registration);
  void Fence(const std::set<int>& brokers);
  void Move(int to);  // MayLead holds
  bool MayMove(int to) const;
  void SetMinIsr(int min_isr);
  void RaiseEpoch();  // of the leader that there is
  bool Alter(int leader, const IsrProposal& proposal);

 private:
  MetadataState& Next();
  void Change(const metadata::BrokerChange& change);

  std::vector<std::shared_ptr<MetadataState>> log_;  // the newest last; only that one changes
};

}  // namespace bascule::isr
