#include "replication/meta/table/partition_rules.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/base/check.h"

namespace bascule::metadata {
namespace {

using Brokers = std::vector<std::string>;

bool Contains(const Brokers& brokers, const std::string& broker) {
  return std::find(brokers.begin(), brokers.end(), broker) != brokers.end();
}

bool Below(const PartitionDescription& partition, int32_t min_isr) {
  return static_cast<int64_t>(partition.isr.size()) < min_isr;
}

const ReplicaDoubt* DoubtOf(const PartitionDescription& partition, const std::string& broker) {
  for (const ReplicaDoubt& doubt : partition.doubtful) {
    if (doubt.broker == broker) return &doubt;
  }
  return nullptr;
}

void EndDoubt(PartitionDescription& partition, const std::string& broker) {
  std::erase_if(partition.doubtful,
                [&broker](const ReplicaDoubt& doubt) { return doubt.broker == broker; });
}

// R6, R6a: who leaves a set that ends below min ISR is eligible still; a set of min ISR needs nobody
// else.
void Leave(const Brokers& leaving, int32_t min_isr, PartitionDescription& partition) {
  for (const std::string& broker : leaving) std::erase(partition.isr, broker);
  if (!Below(partition, min_isr)) {
    partition.elr.clear();
    return;
  }
  for (const std::string& broker : leaving) {
    if (!Contains(partition.elr, broker)) partition.elr.push_back(broker);
  }
}

// Doubt is of members only.
void ForgetStrangers(PartitionDescription& partition) {
  std::erase_if(partition.doubtful, [&partition](const ReplicaDoubt& doubt) {
    return !Contains(partition.isr, doubt.broker) && !Contains(partition.elr, doubt.broker);
  });
}

void LeaveIsr(const BrokerChange& change, int32_t min_isr, PartitionDescription& partition) {
  std::erase(partition.isr, change.lost);  // R6b
  std::erase(partition.elr, change.lost);
  Brokers leaving;
  for (const std::string& broker : partition.isr) {
    if (change.fenced.contains(broker)) leaving.push_back(broker);
  }
  Leave(leaving, min_isr, partition);
}

void Seat(const std::string& broker, int32_t min_isr, PartitionDescription& partition) {
  partition.leader = broker;
  EndDoubt(partition, broker);  // its log is what the others are measured by now
  if (Contains(partition.isr, broker)) return;
  // From the ELR: it is the whole ISR.
  Leave(Brokers(partition.isr), min_isr, partition);
  partition.isr = {broker};
  std::erase(partition.elr, broker);
  if (!Below(partition, min_isr)) partition.elr.clear();  // R6a
}

// R7b: where only doubtful ones live, and min ISR of all that could lead (all, if there are fewer),
// the one that registered the greatest position.
std::string LeastDoubtful(IsLive live, int32_t min_isr, const PartitionDescription& partition) {
  size_t eligible = 0;
  std::vector<const ReplicaDoubt*> alive;
  for (const std::string& broker : partition.replicas) {
    if (!Contains(partition.isr, broker) && !Contains(partition.elr, broker)) continue;
    ++eligible;
    const ReplicaDoubt* doubt = DoubtOf(partition, broker);
    if (doubt != nullptr && live(broker)) alive.push_back(doubt);
  }
  const size_t needed = std::min(static_cast<size_t>(std::max(min_isr, 1)), eligible);
  if (alive.empty() || alive.size() < needed) return {};
  const ReplicaDoubt* best = alive.front();
  for (const ReplicaDoubt* doubt : alive) {
    if (std::pair(doubt->epoch, doubt->end) > std::pair(best->epoch, best->end)) best = doubt;
  }
  return best->broker;
}

// R7. `last`: only where no other member of the same set can; it has just begun to open its log.
std::string Heir(IsLive live, int32_t min_isr, const std::string& last,
                 const PartitionDescription& partition) {
  for (const Brokers* set : {&partition.isr, &partition.elr}) {
    const auto can = [&](const std::string& broker) {
      return live(broker) && Contains(*set, broker) && DoubtOf(partition, broker) == nullptr;
    };
    for (const std::string& broker : partition.replicas) {
      if (broker != last && can(broker)) return broker;
    }
    if (!last.empty() && can(last)) return last;
  }
  return LeastDoubtful(live, min_isr, partition);
}

LeaderEpoch Next(LeaderEpoch epoch, MetadataIndex index) {
  return std::max(epoch + 1, LeaderEpoch(index.value()));
}

}  // namespace

bool ApplyBrokerChange(const BrokerChange& change, IsLive live, int32_t min_isr,
                       MetadataIndex index, PartitionDescription& partition) {
  const PartitionDescription was = partition;
  LeaveIsr(change, min_isr, partition);
  if (change.doubt) {
    EndDoubt(partition, change.doubt->broker);
    partition.doubtful.push_back(*change.doubt);
  }
  ForgetStrangers(partition);
  const bool restarted = !was.leader.empty() && change.restarted == was.leader;  // R2a
  const bool stays = Contains(partition.isr, partition.leader) && !restarted;
  if (!stays) partition.leader.clear();
  const bool goes_on = !partition.leader.empty();
  if (!goes_on) {
    const std::string heir = Heir(live, min_isr, change.restarted, partition);
    if (!heir.empty()) Seat(heir, min_isr, partition);
  }
  ForgetStrangers(partition);
  const bool anew = restarted || (goes_on && change.raise_epoch);
  const bool reign_ends = anew || partition.leader != was.leader;
  if (reign_ends) partition.leader_epoch = Next(partition.leader_epoch, index);
  const bool other_sets = partition.isr != was.isr || partition.elr != was.elr;
  if (reign_ends || other_sets) ++partition.version;  // R1b
  return reign_ends || other_sets || partition.doubtful != was.doubtful;
}

IsrVerdict ApplyIsrChange(const IsrChange& change, IsLive live, int32_t min_isr,
                          PartitionDescription& partition) {
  if (partition.leader.empty() || partition.leader != change.leader ||
      partition.leader_epoch != change.epoch) {
    return IsrVerdict::kNotLeader;
  }
  if (partition.version != change.version) return IsrVerdict::kStale;
  std::set<std::string> named;
  for (const std::string& broker : change.isr) {
    if (!Contains(partition.replicas, broker) || !named.insert(broker).second)
      return IsrVerdict::kMalformed;
  }
  if (!named.contains(change.leader)) return IsrVerdict::kMalformed;
  for (const std::string& broker : change.verified) {
    if (!named.contains(broker)) return IsrVerdict::kMalformed;
    if (!live(broker)) return IsrVerdict::kNotLive;
  }
  for (const std::string& broker : change.isr) {
    if (!Contains(partition.isr, broker) && !live(broker)) return IsrVerdict::kNotLive;
  }
  Brokers leaving;
  for (const std::string& broker : partition.isr) {
    if (!named.contains(broker)) leaving.push_back(broker);
  }
  for (const std::string& broker : change.isr) {
    if (Contains(partition.isr, broker)) continue;
    partition.isr.push_back(broker);
    std::erase(partition.elr, broker);
    EndDoubt(partition, broker);  // it met R8's condition, or it would not be added
  }
  for (const std::string& broker : change.verified) EndDoubt(partition, broker);
  Leave(leaving, min_isr, partition);
  ForgetStrangers(partition);
  ++partition.version;
  return IsrVerdict::kChanged;
}

bool MayLead(const PartitionDescription& partition, const std::string& broker, IsLive live,
             int32_t min_isr) {
  if (!live(broker) || DoubtOf(partition, broker) != nullptr) return false;
  if (Contains(partition.isr, broker)) return true;
  return Below(partition, min_isr) && Contains(partition.elr, broker);
}

std::string SuccessorOf(PartitionKey key, const PartitionDescription& partition, IsLive live,
                        int32_t min_isr) {
  Brokers able;
  for (const std::string& broker : partition.isr) {
    if (broker != partition.leader && MayLead(partition, broker, live, min_isr))
      able.push_back(broker);
  }
  if (able.empty()) return {};
  const uint64_t spread = key.stream.value() + static_cast<uint64_t>(key.partition.value());
  return able[spread % able.size()];
}

void MoveLead(const std::string& broker, int32_t min_isr, MetadataIndex index,
              PartitionDescription& partition) {
  BASCULE_CHECK(broker != partition.leader);
  Seat(broker, min_isr, partition);
  ForgetStrangers(partition);
  partition.leader_epoch = Next(partition.leader_epoch, index);
  ++partition.version;
}

void SeatReplicas(IsLive live, int32_t min_isr, MetadataIndex index,
                  PartitionDescription& partition) {
  partition.leader.clear();
  partition.isr.clear();
  partition.elr.clear();
  partition.doubtful.clear();
  partition.version = 0;
  partition.leader_epoch = LeaderEpoch(index.value());
  for (const std::string& broker : partition.replicas) {
    if (live(broker)) partition.isr.push_back(broker);
  }
  // Nobody has records yet, so whoever is away now lacks none.
  if (Below(partition, min_isr)) {
    for (const std::string& broker : partition.replicas) {
      if (!live(broker)) partition.elr.push_back(broker);
    }
  }
  const std::string heir = Heir(live, min_isr, {}, partition);
  if (!heir.empty()) Seat(heir, min_isr, partition);
}

}  // namespace bascule::metadata
