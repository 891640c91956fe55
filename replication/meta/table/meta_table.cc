#include "replication/meta/table/meta_table.h"

#include <algorithm>
#include <utility>

#include "core/base/limits.h"
#include "core/base/text.h"
#include "replication/meta/table/commands.pb.h"
#include "replication/meta/table/meta_codec.h"

namespace bascule {
namespace {

// Results kept for one process; a sequence so far above its first unanswered one is refused. Part
// of what the commands mean: never changed without a feature level.
constexpr uint64_t kKeptResults = 4096;
// What is kept of a result's text, from this feature level on: the rest was said once. Part of what the
// commands mean.
constexpr size_t kKeptTextBytes = 160;
constexpr uint32_t kShortTextsLevel = 2;

// The largest table that the leader lets requests make can be sent as a snapshot.
constexpr size_t kMostResultsBytes = limits::kClusterMembers * kKeptResults * (kKeptTextBytes + 32);
constexpr size_t kMostBrokersBytes =
    2 * limits::kClusterMembers * (6 * limits::kPeerNameBytes + limits::kKiB);
static_assert(limits::kMaxStreamsBytes + kMostResultsBytes + kMostBrokersBytes + limits::kMiB <=
              limits::kMaxRaftSnapshotBytes);

absl::Status Shortened(const absl::Status& result) {
  if (result.message().size() <= kKeptTextBytes) return result;
  return absl::Status(result.code(), result.message().substr(0, kKeptTextBytes));
}

}  // namespace

MetaTable::Applied MetaTable::Apply(MetadataIndex index, std::string_view bytes) {
  applied_ = index;
  meta::Command command;
  const bool parsed = command.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
  if (!parsed || command.command_case() == meta::Command::COMMAND_NOT_SET) {
    return {absl::UnimplementedError(
                Concat("metadata command ", index,
                       " is unknown to this version of the program; install a newer one")),
            {}};
  }
  if (command.origin_incarnation() == 0) return Dispatch(index, command);
  if (const std::optional<absl::Status> known = Admit(command)) return {*known, {}};
  Applied applied = Dispatch(index, command);
  clients_[command.origin()].results[command.sequence()] =
      feature_level_ >= kShortTextsLevel ? Shortened(applied.result) : applied.result;
  return applied;
}

bool MetaTable::Grows(std::string_view bytes) {
  meta::Command command;
  const bool parsed = command.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
  return !parsed || command.has_create_stream();
}

MetaTable::Applied MetaTable::Dispatch(MetadataIndex index, const meta::Command& command) {
  switch (command.command_case()) {
    case meta::Command::kCreateStream:
      return CreateStream(index, command);
    case meta::Command::kDeleteStream:
      return DeleteStream(command.delete_stream().name());
    case meta::Command::kUpdateStream:
      return UpdateStream(index, command.update_stream());
    case meta::Command::kRegisterBroker:
      return RegisterBroker(index, meta::FromProto(command.register_broker()));
    case meta::Command::kRaiseEpoch:
      return RaiseEpoch(index, command.raise_epoch());
    case meta::Command::kFenceBrokers:
      return FenceBrokers(index, command.fence_brokers());
    case meta::Command::kNoteGenerations:
      return NoteGenerations(command.note_generations());
    case meta::Command::kRemoveBroker:
      return RemoveBroker(index, command.remove_broker());
    case meta::Command::kInitCluster:
      return InitCluster(command.init_cluster().cluster_id());
    case meta::Command::kRaiseFeatureLevel:
      return RaiseFeatureLevel(command.raise_feature_level().level());
    case meta::Command::COMMAND_NOT_SET:
      break;
  }
  return {absl::UnimplementedError("no command"), {}};
}

// nullopt: carry it out. What an earlier sequence may still be asked for is kept until `answered`
// says that nobody will.
std::optional<absl::Status> MetaTable::Admit(const meta::Command& command) {
  const RegisteredBroker* broker = FindBroker(command.origin());
  if (broker == nullptr || broker->incarnation != command.origin_incarnation()) {
    return absl::FailedPreconditionError(
        Concat("the process of broker ", command.origin(),
               " that asked is not registered (any more): it was replaced or removed"));
  }
  Client& client = clients_[command.origin()];
  const uint64_t sequence = command.sequence();
  if (sequence > 0 && command.answered() < sequence) {
    client.answered = std::max(client.answered, command.answered());
    client.results.erase(client.results.begin(), client.results.upper_bound(client.answered));
  }
  if (sequence <= client.answered) {
    return absl::AbortedError(Concat("request ", sequence, " of broker ", command.origin(),
                                     " was answered before and is not carried out again"));
  }
  if (const auto it = client.results.find(sequence); it != client.results.end()) return it->second;
  if (sequence - client.answered > kKeptResults) {
    return absl::ResourceExhaustedError(Concat("broker ", command.origin(), " has more than ",
                                               kKeptResults, " unanswered metadata requests"));
  }
  return std::nullopt;
}

std::optional<absl::Status> MetaTable::Kept(const CommandOrigin& origin) const {
  const RegisteredBroker* broker = FindBroker(origin.broker);
  const auto client = clients_.find(origin.broker);
  if (broker == nullptr || broker->incarnation != origin.incarnation || client == clients_.end()) {
    return std::nullopt;
  }
  const auto it = client->second.results.find(origin.sequence);
  if (it == client->second.results.end()) return std::nullopt;
  return it->second;
}

MetaTable::Applied MetaTable::CreateStream(MetadataIndex index, const meta::Command& command) {
  StreamDescription stream = meta::FromProto(command.create_stream().stream());
  if (streams_.contains(stream.name))
    return {absl::AlreadyExistsError("stream already exists"), {}};
  stream.id = StreamId(index.value());
  if (names_.contains(stream.id)) return {absl::AbortedError("the index is used already"), {}};
  const bool from_old_version = command.origin_incarnation() == 0;
  int32_t next = 0;
  for (PartitionDescription& partition : stream.partitions) {
    partition.id = PartitionId(next++);
    for (const std::string& broker : partition.replicas) {
      if (from_old_version || brokers_.contains(broker)) continue;
      return {absl::AbortedError(Concat("broker ", broker,
                                        ", chosen for the stream, was removed meanwhile; ask "
                                        "again")),
              {}};
    }
    SeatReplicas([this](const std::string& broker) { return IsLive(broker); },
                 MinIsr(stream.overrides.min_isr.value_or(0), partition.replicas.size()), index,
                 partition);
  }
  Host(stream);
  names_[stream.id] = stream.name;
  streams_[stream.name] = stream;
  return {absl::OkStatus(), {StreamCreated{std::move(stream)}}};
}

MetaTable::Applied MetaTable::DeleteStream(const std::string& name) {
  const auto it = streams_.find(name);
  if (it == streams_.end()) return {absl::NotFoundError("stream does not exist"), {}};
  StreamDeleted deleted{it->second.id, it->first};
  Unhost(it->second);
  names_.erase(it->second.id);
  streams_.erase(it);
  return {absl::OkStatus(), {std::move(deleted)}};
}

MetaTable::Applied MetaTable::UpdateStream(MetadataIndex index, const meta::UpdateStream& command) {
  const auto it = streams_.find(command.name());
  if (it == streams_.end()) return {absl::NotFoundError("stream does not exist"), {}};
  StreamDescription& stream = it->second;
  meta::StreamOverrides overrides;
  meta::ToProto(stream.overrides, overrides);
  overrides.MergeFrom(command.changes());
  stream.overrides = meta::FromProto(overrides);
  std::vector<MetaDelta> changed;
  for (const PartitionDescription& partition : stream.partitions) {  // R6a
    Change({}, index, {stream.id, partition.id}, changed);
  }
  std::vector<MetaDelta> deltas{StreamUpdated{stream}};
  for (MetaDelta& delta : changed) deltas.push_back(std::move(delta));
  return {absl::OkStatus(), std::move(deltas)};
}

MetaTable::Applied MetaTable::RaiseEpoch(MetadataIndex index, const meta::RaiseEpoch& command) {
  const PartitionKey key{StreamId(command.stream_id()), PartitionId(command.partition())};
  const StreamDescription* stream = Find(key.stream);
  const auto count = stream == nullptr ? 0 : static_cast<int32_t>(stream->partitions.size());
  if (command.partition() < 0 || command.partition() >= count)
    return {absl::NotFoundError("partition does not exist"), {}};
  const std::string& leader = stream->partitions[static_cast<size_t>(command.partition())].leader;
  if (leader.empty() || (!command.leader().empty() && command.leader() != leader)) {
    return {absl::FailedPreconditionError(Concat("partition ", key.partition, " of stream ",
                                                 stream->name, " is led by ",
                                                 leader.empty() ? "nobody" : leader)),
            {}};
  }
  BrokerChange change;
  change.raise_epoch = true;
  Applied applied;
  Change(change, index, key, applied.deltas);
  return applied;
}

MetaTable::Applied MetaTable::InitCluster(const std::string& id) {
  if (!cluster_id_.empty() && cluster_id_ != id)
    return {absl::FailedPreconditionError(Concat("the cluster is ", cluster_id_, " already")), {}};
  cluster_id_ = id;
  return {};
}

const StreamDescription* MetaTable::Find(std::string_view name) const {
  const auto it = streams_.find(name);
  return it == streams_.end() ? nullptr : &it->second;
}

const StreamDescription* MetaTable::Find(StreamId id) const {
  const auto it = names_.find(id);
  return it == names_.end() ? nullptr : Find(it->second);
}

StreamDescription* MetaTable::Mutable(StreamId id) {
  const auto it = names_.find(id);
  return it == names_.end() ? nullptr : &streams_.find(it->second)->second;
}

void MetaTable::Change(const BrokerChange& change, MetadataIndex index, PartitionKey key,
                       std::vector<MetaDelta>& deltas) {
  StreamDescription& stream = *Mutable(key.stream);
  PartitionDescription& partition = stream.partitions[static_cast<size_t>(key.partition.value())];
  const std::string before = partition.leader;
  const bool changed = ApplyBrokerChange(
      change, [this](const std::string& broker) { return IsLive(broker); },
      MinIsr(stream.overrides.min_isr.value_or(0), partition.replicas.size()), index, partition);
  if (!changed) return;
  if (before != partition.leader) {
    if (!before.empty()) --hosting_[before].leading;
    if (!partition.leader.empty()) ++hosting_[partition.leader].leading;
  }
  deltas.push_back(PartitionChanged{stream.id, stream.name, partition});
}

size_t StreamBytes(const StreamDescription& stream) {
  // Tags, lengths and numbers: of a stream with all of its settings, of a partition, of a name in it.
  constexpr size_t kStream = 256;
  constexpr size_t kPartition = 64;
  constexpr size_t kName = 8;
  size_t bytes = kStream + stream.name.size() + stream.subject.size() + stream.group.size();
  for (const PartitionDescription& partition : stream.partitions) {
    size_t names = 0;
    size_t longest = 0;
    for (const std::string& replica : partition.replicas) {
      names += replica.size() + kName;
      longest = std::max(longest, replica.size());
    }
    bytes += kPartition + longest + 3 * names;  // replicas, ISR, ELR
  }
  return bytes;
}

void MetaTable::Host(const StreamDescription& stream) {
  stream_bytes_ += StreamBytes(stream);
  for (const PartitionDescription& partition : stream.partitions) {
    for (const std::string& broker : partition.replicas)
      hosting_[broker].replicas.insert({stream.id, partition.id});
    if (!partition.leader.empty()) ++hosting_[partition.leader].leading;
  }
}

void MetaTable::Unhost(const StreamDescription& stream) {
  stream_bytes_ -= StreamBytes(stream);
  for (const PartitionDescription& partition : stream.partitions) {
    for (const std::string& broker : partition.replicas)
      hosting_[broker].replicas.erase({stream.id, partition.id});
    if (!partition.leader.empty()) --hosting_[partition.leader].leading;
  }
}

}  // namespace bascule
