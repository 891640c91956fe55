#include "replication/meta/table/partition_rules.h"

#include <algorithm>
#include <vector>

namespace bascule::metadata {
namespace {

using Brokers = std::vector<std::string>;

bool Contains(const Brokers& brokers, const std::string& broker) {
  return std::find(brokers.begin(), brokers.end(), broker) != brokers.end();
}

bool Below(const PartitionDescription& partition, int32_t min_isr) {
  return static_cast<int64_t>(partition.isr.size()) < min_isr;
}

void LeaveIsr(const BrokerChange& change, int32_t min_isr, PartitionDescription& partition) {
  std::erase(partition.isr, change.lost);  // R6b
  std::erase(partition.elr, change.lost);
  Brokers leaving;
  for (const std::string& broker : partition.isr) {
    if (change.fenced.contains(broker)) leaving.push_back(broker);
  }
  for (const std::string& broker : leaving) std::erase(partition.isr, broker);
  if (!Below(partition, min_isr)) {
    partition.elr.clear();  // R6a
    return;
  }
  for (const std::string& broker : leaving) {  // R6
    if (!Contains(partition.elr, broker)) partition.elr.push_back(broker);
  }
}

void Elect(IsLive live, int32_t min_isr, PartitionDescription& partition) {  // R7
  for (const std::string& broker : partition.replicas) {
    if (!live(broker) || !Contains(partition.isr, broker)) continue;
    partition.leader = broker;
    return;
  }
  for (const std::string& broker : partition.replicas) {
    if (!live(broker) || !Contains(partition.elr, broker)) continue;
    partition.leader = broker;
    partition.isr = {broker};
    std::erase(partition.elr, broker);
    if (!Below(partition, min_isr)) partition.elr.clear();  // R6a
    return;
  }
}

LeaderEpoch Next(LeaderEpoch epoch, MetadataIndex index) {
  return std::max(epoch + 1, LeaderEpoch(index.value()));
}

}  // namespace

bool ApplyBrokerChange(const BrokerChange& change, IsLive live, int32_t min_isr,
                       MetadataIndex index, PartitionDescription& partition) {
  const std::string leader = partition.leader;
  const Brokers isr = partition.isr;
  const Brokers elr = partition.elr;
  LeaveIsr(change, min_isr, partition);
  if (!Contains(partition.isr, partition.leader)) partition.leader.clear();
  const bool goes_on = !partition.leader.empty();
  if (!goes_on) Elect(live, min_isr, partition);
  const bool anew = goes_on && (change.raise_epoch || change.restarted == leader);  // R2a
  const bool reign_ends = anew || partition.leader != leader;
  if (reign_ends) partition.leader_epoch = Next(partition.leader_epoch, index);
  const bool changed = reign_ends || partition.isr != isr || partition.elr != elr;
  if (changed) ++partition.version;  // R1b
  return changed;
}

void SeatReplicas(IsLive live, int32_t min_isr, MetadataIndex index,
                  PartitionDescription& partition) {
  partition.leader.clear();
  partition.isr.clear();
  partition.elr.clear();
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
  Elect(live, min_isr, partition);
}

}  // namespace bascule::metadata
