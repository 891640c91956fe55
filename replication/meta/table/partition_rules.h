// What metadata commands do to one partition: who stays in the ISR, who joins the ELR, who is
// doubted, who leads (R1b, R2a, R5b, R6, R6a, R6b, R7, R7a, R7b of replication/README.md). Pure and
// deterministic.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "core/stream/description.h"

namespace bascule::metadata {

struct BrokerChange {
  std::set<std::string> fenced;  // together, in one command
  std::string lost;              // the broker whose replica of this partition is gone
  std::string restarted;         // the broker that a new process runs: its epochs end
  bool raise_epoch = false;      // the leader goes on in a new epoch
  // R7b: of the broker that registers. Until it is verified or elected it is doubted, also when a
  // later start of it names no doubt.
  std::optional<ReplicaDoubt> doubt;
};

using IsLive = absl::FunctionRef<bool(const std::string& broker)>;

// Puts `change` and what follows from it into `partition`; true: something of it is another one;
// its version is raised where leader, epoch, ISR or ELR are. `live` is true after the change. A
// leader that changes, or goes, ends the epoch; an epoch is the index of the command that began it,
// or one more than the one before. A leader that a new process runs stays the leader only where no
// other member of the ISR could lead at once. (Versions of a feature level before replicas leave it
// the lead; they know of no partition with more than one.)
bool ApplyBrokerChange(const BrokerChange& change, IsLive live, int32_t min_isr,
                       MetadataIndex index, PartitionDescription& partition);

// What a leader proposes.
struct IsrChange {
  std::string leader;
  LeaderEpoch epoch;
  uint64_t version = 0;               // R1b: of the partition that it was made from
  std::vector<std::string> isr;       // with the leader
  std::vector<std::string> verified;  // R7b: doubtful members that are as good as new ones
};
enum class IsrVerdict {
  kChanged,    // the version is raised, also by the ISR as it was (R5b)
  kNotLeader,  // or not in that epoch
  kStale,      // the partition has another version
  kNotLive,    // it adds or verifies a broker that is fenced (R1c)
  kMalformed,  // it names who is no replica, one twice, or leaves the leader out
};
// That the incarnations it names are those that are registered (R1c) is for the caller to check.
IsrVerdict ApplyIsrChange(const IsrChange& change, IsLive live, int32_t min_isr,
                          PartitionDescription& partition);

// Whether `broker` may be given the lead now: a live, undoubted member of the ISR, or where the ISR
// is short of min ISR, of the ELR (R7a).
bool MayLead(const PartitionDescription& partition, const std::string& broker, IsLive live,
             int32_t min_isr);
// Who is to lead when its leader, which lives, gives the lead away: a member of the ISR that may; by
// `key`, so that what one broker led is spread. Empty: there is none.
std::string SuccessorOf(PartitionKey key, const PartitionDescription& partition, IsLive live,
                        int32_t min_isr);
// Gives it the lead, in a new epoch. MayLead holds, and it does not lead yet.
void MoveLead(const std::string& broker, int32_t min_isr, MetadataIndex index,
              PartitionDescription& partition);

// The first state of a partition of which only the replicas are known.
void SeatReplicas(IsLive live, int32_t min_isr, MetadataIndex index,
                  PartitionDescription& partition);

}  // namespace bascule::metadata
