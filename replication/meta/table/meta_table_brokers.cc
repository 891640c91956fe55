// The table's brokers: registration, fencing, removal, and what they mean for partitions.
#include <algorithm>
#include <utility>

#include "core/base/text.h"
#include "replication/meta/table/commands.pb.h"
#include "replication/meta/table/meta_table.h"

namespace bascule {
namespace {

// Replaced processes that are remembered, so that a registration of theirs that comes late is
// refused. Part of what the commands mean.
constexpr size_t kRetiredIncarnations = 16;

}  // namespace

const RegisteredBroker* MetaTable::FindBroker(std::string_view id) const {
  const auto it = brokers_.find(id);
  return it == brokers_.end() ? nullptr : &it->second;
}

bool MetaTable::IsLive(const std::string& broker) const {
  const RegisteredBroker* found = FindBroker(broker);
  return found != nullptr && !found->fenced;
}

BrokerLoad MetaTable::LoadOf(const std::string& broker) const {
  const auto it = hosting_.find(broker);
  if (it == hosting_.end()) return {};
  return {static_cast<int32_t>(it->second.replicas.size()), it->second.leading};
}

int32_t MetaTable::OnlyReplicas(const std::string& broker) const {
  const auto it = hosting_.find(broker);
  if (it == hosting_.end()) return 0;
  int32_t only = 0;
  for (const PartitionKey& key : it->second.replicas) {
    const auto& partition =
        Find(key.stream)->partitions[static_cast<size_t>(key.partition.value())];
    if (partition.replicas.size() == 1) ++only;
  }
  return only;
}

absl::btree_set<PartitionKey> MetaTable::ReplicasOf(const std::string& broker) const {
  const auto it = hosting_.find(broker);
  return it == hosting_.end() ? absl::btree_set<PartitionKey>() : it->second.replicas;
}

absl::Status MetaTable::CheckRegistration(const BrokerRegistration& registration) const {
  if (registration.id.empty()) return absl::InvalidArgumentError("a broker has a server id");
  if (registration.feature_level < feature_level_) {
    return absl::FailedPreconditionError(Concat(
        "broker ", registration.id, " has feature level ", registration.feature_level,
        ", the cluster needs ", feature_level_, "; install a newer version of the program on it"));
  }
  const auto member =
      std::find_if(members_.begin(), members_.end(),
                   [&registration](const GroupMember& m) { return m.id == registration.node; });
  if (registration.node != PeerId() && !members_.empty() && member == members_.end()) {
    return absl::FailedPreconditionError(Concat("broker ", registration.id, " (data directory ",
                                                registration.node,
                                                ") is no member of the cluster: it was removed; "
                                                "to join again move its data/meta away"));
  }
  const RegisteredBroker* known = FindBroker(registration.id);
  if (known == nullptr) return absl::OkStatus();
  const std::vector<uint64_t>& retired = clients_.find(registration.id)->second.retired;
  if (std::find(retired.begin(), retired.end(), registration.incarnation) != retired.end()) {
    return absl::FailedPreconditionError(
        Concat("this process of broker ", registration.id, " was replaced by a newer one"));
  }
  if (known->node != PeerId() && registration.node != known->node && !known->fenced) {
    return absl::AlreadyExistsError(
        Concat("server id ", registration.id, " is in use by the broker at ", known->peer_address,
               " with another data directory; stop that one, or give this one an id of its own"));
  }
  return CheckGeneration(*known, registration);
}

// Refused, not taken for lost at once: a command of a process that died may come late, and must take
// nothing from the one that came after it. Who is told so and lives comes again, with lost_all.
absl::Status MetaTable::CheckGeneration(const RegisteredBroker& known,
                                        const BrokerRegistration& registration) const {
  if (feature_level_ < kGenerationsLevel || registration.generation == 0) return absl::OkStatus();
  const bool other_disk = known.node != PeerId() && known.node != registration.node;
  const bool same_process = known.incarnation == registration.incarnation;
  if (same_process || (other_disk && !registration.kept_all)) return absl::OkStatus();
  if (registration.generation > known.generation) return absl::OkStatus();
  return absl::OutOfRangeError(Concat(
      "the data directory of broker ", registration.id, " is an older copy: it has generation ",
      registration.generation, ", the cluster has seen ", known.generation, " of it"));
}

MetaTable::Applied MetaTable::RegisterBroker(MetadataIndex index,
                                             const BrokerRegistration& registration) {
  if (absl::Status refused = CheckRegistration(registration); !refused.ok()) return {refused, {}};
  RegisteredBroker& broker = brokers_[registration.id];
  Client& client = clients_[registration.id];
  const bool other_disk = broker.node != PeerId() && broker.node != registration.node;
  const bool other_process = broker.incarnation != registration.incarnation;
  if (other_process) {
    if (broker.incarnation != 0) client.retired.push_back(broker.incarnation);
    if (client.retired.size() > kRetiredIncarnations) client.retired.erase(client.retired.begin());
    client.answered = 0;
    client.results.clear();
  }
  // A table of an older feature level is the same on versions that know of no generations.
  const bool says = feature_level_ >= kGenerationsLevel && registration.generation != 0;
  const uint64_t kept_generation = other_disk && !registration.kept_all ? 0 : broker.generation;
  const uint64_t generation =
      std::max(kept_generation, says ? registration.generation : uint64_t{0});
  broker = {registration.id,   registration.node,          registration.incarnation,
            registration.host, registration.port,          registration.peer_address,
            registration.rack, registration.feature_level, /*fenced=*/false,
            generation};
  const absl::btree_set<PartitionKey> lost(registration.lost.begin(), registration.lost.end());
  Applied applied;
  for (const PartitionKey& key : ReplicasOf(registration.id)) {
    BrokerChange change;
    if (other_process) change.restarted = registration.id;  // R2a
    const bool all_gone = registration.lost_all || (other_disk && !registration.kept_all);
    if (all_gone || lost.contains(key)) change.lost = registration.id;
    Change(change, index, key, applied.deltas);
  }
  return applied;
}

MetaTable::Applied MetaTable::FenceBrokers(MetadataIndex index, const meta::FenceBrokers& command) {
  BrokerChange change;
  absl::btree_set<PartitionKey> affected;
  for (const meta::FenceBrokers::Session& session : command.sessions()) {
    const auto it = brokers_.find(session.broker());
    if (it == brokers_.end() || it->second.incarnation != session.incarnation()) continue;
    if (std::exchange(it->second.fenced, true)) continue;
    change.fenced.insert(it->first);
    affected.merge(ReplicasOf(it->first));
  }
  Applied applied;
  for (const PartitionKey& key : affected) Change(change, index, key, applied.deltas);
  return applied;
}

MetaTable::Applied MetaTable::NoteGenerations(const meta::NoteGenerations& command) {
  for (const meta::NoteGenerations::Directory& directory : command.directories()) {
    const auto it = brokers_.find(directory.broker());
    if (it == brokers_.end() || it->second.incarnation != directory.incarnation()) continue;
    it->second.generation = std::max(it->second.generation, directory.generation());
  }
  return {};
}

MetaTable::Applied MetaTable::RemoveBroker(MetadataIndex index, const meta::RemoveBroker& command) {
  const std::string& id = command.broker();
  const RegisteredBroker* broker = FindBroker(id);
  if (broker == nullptr) return {absl::NotFoundError(Concat("there is no broker ", id)), {}};
  const int32_t only = command.force() ? 0 : OnlyReplicas(id);
  if (!command.force() && (!broker->fenced || only > 0)) {
    return {absl::FailedPreconditionError(
                !broker->fenced
                    ? Concat("broker ", id, " at ", broker->peer_address,
                             " is alive; stop it first, or force its removal")
                    : Concat("broker ", id, " holds the only replica of ", only,
                             " partitions; delete their streams first, or force its removal")),
            {}};
  }
  brokers_.erase(id);
  clients_.erase(id);
  BrokerChange change;
  change.lost = id;
  Applied applied;
  for (const PartitionKey& key : ReplicasOf(id)) Change(change, index, key, applied.deltas);
  return applied;
}

MetaTable::Applied MetaTable::RaiseFeatureLevel(uint32_t level) {
  if (level > kFeatureLevel) {
    return {absl::UnimplementedError(Concat("the cluster goes on with feature level ", level,
                                            ", this version of the program has ", kFeatureLevel,
                                            "; install a newer one")),
            {}};
  }
  for (const auto& [id, broker] : brokers_) {
    if (broker.feature_level >= level) continue;
    return {absl::FailedPreconditionError(
                Concat("broker ", id, " has feature level ", broker.feature_level)),
            {}};
  }
  feature_level_ = std::max(feature_level_, level);
  return {};
}

void MetaTable::ApplyMembers(MetadataIndex index, const std::vector<GroupMember>& members) {
  applied_ = std::max(applied_, index);
  members_ = members;
}

}  // namespace bascule
