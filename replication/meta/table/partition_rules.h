// What a change of brokers does to one partition: who stays in the ISR, who joins the ELR, who
// leads (R2a, R6, R6a, R6b, R7 of replication/README.md). Pure and deterministic.
#pragma once

#include <set>
#include <string>

#include "absl/functional/function_ref.h"
#include "core/stream/description.h"

namespace bascule::metadata {

struct BrokerChange {
  std::set<std::string> fenced;  // together, in one command
  std::string lost;              // the broker whose replica of this partition is gone
  std::string restarted;         // the broker that a new process runs: its epochs end
  bool raise_epoch = false;      // the leader goes on in a new epoch
};

using IsLive = absl::FunctionRef<bool(const std::string& broker)>;

// Puts `change` and what follows from it into `partition`; true: something of it is another one,
// and its version is raised. `live` is true after the change. A leader that changes, or goes, ends
// the epoch; an epoch is the index of the command that began it, or one more than the one before.
bool ApplyBrokerChange(const BrokerChange& change, IsLive live, int32_t min_isr,
                       MetadataIndex index, PartitionDescription& partition);

// The first state of a partition of which only the replicas are known.
void SeatReplicas(IsLive live, int32_t min_isr, MetadataIndex index,
                  PartitionDescription& partition);

}  // namespace bascule::metadata
