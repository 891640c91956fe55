#include "tests/sim/replica_losses.h"

#include <algorithm>

#include "core/stream/description.h"

namespace bascule {

void ReplicaLosses::OnTable(const metadata::MetaTable& table) {
  if (table.applied() <= seen_) return;
  seen_ = table.applied();
  std::erase_if(owed_, [&table](const auto& owed) {
    const auto* const broker = table.FindBroker(owed.first);
    return broker != nullptr && broker->incarnation > owed.second.incarnation;
  });
  for (const auto& [name, stream] : table.streams()) {
    const StreamSettings settings = Resolve(stream.overrides, StreamSettings());
    for (const PartitionDescription& partition : stream.partitions) {
      const PartitionKey key{stream.id, partition.id};
      const bool fresh = !known_.contains(key);
      Known& known = known_[key];
      known.subject = PartitionSubject(stream.subject, partition.id);
      by_subject_[known.subject] = key;
      known.replicas = {partition.replicas.begin(), partition.replicas.end()};
      known.min_isr = static_cast<size_t>(MinIsr(settings.min_isr, partition.replicas.size()));
      known.unsynced = settings.durability == Durability::kOs;
      for (const auto& [broker, owed] : owed_) {
        if (fresh && Concerns(known, broker, owed.which)) Lose(key, broker, owed.incarnation);
      }
      std::erase_if(known.lost, [&](const auto& lost) {
        const auto* const broker = table.FindBroker(lost.first);
        const auto& isr = partition.isr;
        const bool doubted =
            std::any_of(partition.doubtful.begin(), partition.doubtful.end(),
                        [&](const ReplicaDoubt& doubt) { return doubt.broker == lost.first; });
        return broker != nullptr && broker->incarnation > lost.second && !doubted &&
               std::find(isr.begin(), isr.end(), lost.first) != isr.end();
      });
    }
  }
}

void ReplicaLosses::Lose(const std::string& broker, uint64_t incarnation, Which which) {
  Owed& owed = owed_[broker];
  owed.incarnation = std::max(owed.incarnation, incarnation);
  if (which == Which::kAll) owed.which = which;
  for (const auto& [key, known] : known_) {
    if (Concerns(known, broker, which)) Lose(key, broker, incarnation);
  }
}

void ReplicaLosses::Lose(PartitionKey key, const std::string& broker, uint64_t incarnation) {
  Known& known = known_[key];
  uint64_t& lost = known.lost[broker];
  lost = std::max(lost, incarnation);
  if (known.lost.size() >= known.min_isr) forget_(known.subject);
}

bool ReplicaLosses::Affords(const std::string& broker, Which which) const {
  return std::all_of(known_.begin(), known_.end(), [&](const auto& one) {
    const Known& known = one.second;
    const size_t more = known.lost.contains(broker) ? 0 : 1;
    return known.replicas.size() == 1 || !Concerns(known, broker, which) ||
           known.lost.size() + more < known.min_isr;
  });
}

bool ReplicaLosses::IsReplicated(const std::string& subject) const {
  const auto key = by_subject_.find(subject);
  return key == by_subject_.end() || known_.at(key->second).replicas.size() > 1;
}

bool ReplicaLosses::Unsynced(const std::string& subject) const {
  const auto key = by_subject_.find(subject);
  return key != by_subject_.end() && known_.at(key->second).unsynced;
}

}  // namespace bascule
