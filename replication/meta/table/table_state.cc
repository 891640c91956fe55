#include "replication/meta/table/table_state.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"

namespace bascule::metadata {
namespace {

bool MayAnswer(const StreamDescription& stream) {
  return stream.overrides.reply_acks != ReplyAcks::kOff;
}

}  // namespace

const StreamDescription* TableState::Find(std::string_view name) const {
  const auto it = streams_.find(name);
  return it == streams_.end() ? nullptr : &it->second;
}

const StreamDescription* TableState::Find(StreamId id) const {
  const auto it = names_.find(id);
  return it == names_.end() ? nullptr : Find(it->second);
}

const PartitionDescription* TableState::Find(PartitionKey key) const {
  const StreamDescription* stream = Find(key.stream);
  const auto count = stream == nullptr ? 0 : static_cast<int32_t>(stream->partitions.size());
  if (key.partition.value() < 0 || key.partition.value() >= count) return nullptr;
  return &stream->partitions[static_cast<size_t>(key.partition.value())];
}

std::string TableState::SuccessorOf(PartitionKey key) const {
  const PartitionDescription& partition = *Find(key);
  const int32_t setting = Find(key.stream)->overrides.min_isr.value_or(0);
  return metadata::SuccessorOf(
      key, partition, [this](const std::string& broker) { return IsLive(broker); },
      MinIsr(setting, partition.replicas.size()));
}

StreamDescription* TableState::Mutable(StreamId id) {
  const auto it = names_.find(id);
  return it == names_.end() ? nullptr : &streams_.find(it->second)->second;
}

const RegisteredBroker* TableState::FindBroker(std::string_view id) const {
  const auto it = brokers_.find(id);
  return it == brokers_.end() ? nullptr : &it->second;
}

RegisteredBroker* TableState::MutableBroker(std::string_view id) {
  const auto it = brokers_.find(id);
  return it == brokers_.end() ? nullptr : &it->second;
}

const TableState::Client* TableState::FindClient(std::string_view id) const {
  const auto it = clients_.find(id);
  return it == clients_.end() ? nullptr : &it->second;
}

void TableState::RemoveBroker(const std::string& id) {
  brokers_.erase(id);
  clients_.erase(id);
}

bool TableState::IsLive(const std::string& broker) const {
  const RegisteredBroker* found = FindBroker(broker);
  return found != nullptr && !found->fenced;
}

BrokerLoad TableState::LoadOf(const std::string& broker) const {
  const auto it = hosting_.find(broker);
  if (it == hosting_.end()) return {};
  return {static_cast<int32_t>(it->second.replicas.size()), it->second.leading};
}

int32_t TableState::OnlyReplicas(const std::string& broker) const {
  const auto it = hosting_.find(broker);
  if (it == hosting_.end()) return 0;
  int32_t only = 0;
  for (const PartitionKey& key : it->second.replicas) {
    if (Find(key)->replicas.size() == 1) ++only;
  }
  return only;
}

absl::btree_set<PartitionKey> TableState::ReplicasOf(const std::string& broker) const {
  const auto it = hosting_.find(broker);
  return it == hosting_.end() ? absl::btree_set<PartitionKey>() : it->second.replicas;
}

void TableState::AddStream(StreamDescription stream) {
  Host(stream);
  // A snapshot's come in order.
  names_.emplace_hint(names_.end(), stream.id, stream.name);
  const std::string name = stream.name;
  streams_.emplace_hint(streams_.end(), name, std::move(stream));
}

void TableState::RemoveStream(const StreamDescription& stream) {
  Unhost(stream);
  names_.erase(stream.id);
  streams_.erase(streams_.find(stream.name));
}

const StreamDescription& TableState::SetOverrides(StreamId id, StreamOverrides overrides) {
  StreamDescription* stream = Mutable(id);
  BASCULE_CHECK(stream != nullptr);
  answering_.Remove(*stream);
  stream->overrides = std::move(overrides);
  if (MayAnswer(*stream)) answering_.Add(*stream);
  return *stream;
}

void TableState::Change(const BrokerChange& change, MetadataIndex index, PartitionKey key,
                        std::vector<MetaDelta>& deltas) {
  StreamDescription& stream = *Mutable(key.stream);
  PartitionDescription& partition = stream.partitions[static_cast<size_t>(key.partition.value())];
  const std::string before = partition.leader;
  const bool changed = ApplyBrokerChange(
      change, [this](const std::string& broker) { return IsLive(broker); },
      MinIsr(stream.overrides.min_isr.value_or(0), partition.replicas.size()), index, partition);
  if (changed) Changed(before, stream, partition, deltas);
}

void TableState::Changed(const std::string& leader_before, const StreamDescription& stream,
                         const PartitionDescription& partition, std::vector<MetaDelta>& deltas) {
  if (leader_before != partition.leader) {
    if (!leader_before.empty()) --hosting_[leader_before].leading;
    if (!partition.leader.empty()) ++hosting_[partition.leader].leading;
  }
  deltas.push_back(PartitionChanged{stream.id, stream.name, partition});
}

IsrVerdict TableState::Change(const IsrChange& change, PartitionKey key,
                              std::vector<MetaDelta>& deltas) {
  StreamDescription& stream = *Mutable(key.stream);
  PartitionDescription& partition = stream.partitions[static_cast<size_t>(key.partition.value())];
  const IsrVerdict verdict = ApplyIsrChange(
      change, [this](const std::string& broker) { return IsLive(broker); },
      MinIsr(stream.overrides.min_isr.value_or(0), partition.replicas.size()), partition);
  if (verdict == IsrVerdict::kChanged) Changed(partition.leader, stream, partition, deltas);
  return verdict;
}

bool TableState::MoveLead(const std::string& to, MetadataIndex index, PartitionKey key,
                          std::vector<MetaDelta>& deltas) {
  StreamDescription& stream = *Mutable(key.stream);
  PartitionDescription& partition = stream.partitions[static_cast<size_t>(key.partition.value())];
  const int32_t min_isr = MinIsr(stream.overrides.min_isr.value_or(0), partition.replicas.size());
  const bool may = MayLead(
      partition, to, [this](const std::string& broker) { return IsLive(broker); }, min_isr);
  if (!may) return false;
  const std::string before = partition.leader;
  metadata::MoveLead(to, min_isr, index, partition);
  Changed(before, stream, partition, deltas);
  return true;
}

size_t StreamBytes(const StreamDescription& stream) {
  // Tags, lengths and numbers: of a stream with all of its settings, of a partition, of a name in it.
  constexpr size_t kStream = 256;
  constexpr size_t kPartition = 64;
  constexpr size_t kName = 8;
  constexpr size_t kDoubt = 32;
  size_t bytes = kStream + stream.name.size() + stream.subject.size() + stream.group.size();
  for (const PartitionDescription& partition : stream.partitions) {
    size_t names = 0;
    size_t longest = 0;
    for (const std::string& replica : partition.replicas) {
      names += 4 * (replica.size() + kName) + kDoubt;
      longest = std::max(longest, replica.size());
    }
    bytes += kPartition + longest + names;  // replicas, ISR, ELR, doubt
  }
  return bytes;
}

void TableState::Host(const StreamDescription& stream) {
  stream_bytes_ += StreamBytes(stream);
  if (MayAnswer(stream)) answering_.Add(stream);
  for (const PartitionDescription& partition : stream.partitions) {
    for (const std::string& broker : partition.replicas)
      hosting_[broker].replicas.insert({stream.id, partition.id});
    if (!partition.leader.empty()) ++hosting_[partition.leader].leading;
  }
}

void TableState::Unhost(const StreamDescription& stream) {
  stream_bytes_ -= StreamBytes(stream);
  answering_.Remove(stream);
  for (const PartitionDescription& partition : stream.partitions) {
    for (const std::string& broker : partition.replicas)
      hosting_[broker].replicas.erase({stream.id, partition.id});
    if (!partition.leader.empty()) --hosting_[partition.leader].leading;
  }
}

}  // namespace bascule::metadata
