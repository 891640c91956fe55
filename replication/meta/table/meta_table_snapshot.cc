// The table as bytes and back, and what lies between two tables.
#include <google/protobuf/arena.h>

#include <utility>

#include "core/base/text.h"
#include "replication/meta/table/commands.pb.h"
#include "replication/meta/table/meta_codec.h"
#include "replication/meta/table/meta_table.h"

namespace bascule::metadata {
namespace {

// For the many small parts of a snapshot: they are all freed at once.
google::protobuf::ArenaOptions LargeBlocks() {
  google::protobuf::ArenaOptions options;
  options.start_block_size = size_t{64} << 10;
  options.max_block_size = size_t{1} << 20;
  return options;
}

void AppendChanges(const StreamDescription& before, const StreamDescription& after,
                   std::vector<MetaDelta>& deltas) {
  if (!(before.overrides == after.overrides)) deltas.push_back(StreamUpdated{after});
  for (size_t i = 0; i < after.partitions.size(); ++i) {
    if (i < before.partitions.size() && before.partitions[i] == after.partitions[i]) continue;
    deltas.push_back(PartitionChanged{after.id, after.name, after.partitions[i]});
  }
}

}  // namespace

std::string MetaTable::Snapshot() const {
  google::protobuf::Arena arena(LargeBlocks());
  auto& snapshot = *google::protobuf::Arena::CreateMessage<meta::Snapshot>(&arena);
  snapshot.set_applied(applied_.value());
  for (const auto& [name, stream] : streams_) ToProto(stream, *snapshot.add_streams());
  SaveBrokers(snapshot);
  snapshot.set_cluster_id(cluster_id_);
  snapshot.set_feature_level(feature_level_);
  for (const GroupMember& member : members_) {
    meta::Member& out = *snapshot.add_members();
    out.set_node(member.id.value());
    out.set_server_id(member.server_id);
    out.set_address(member.address);
    out.set_voter(member.voter);
  }
  for (const auto& [after, through] : doubtful_) {
    meta::IndexRange& range = *snapshot.add_doubtful();
    range.set_after(after.value());
    range.set_through(through.value());
  }
  return snapshot.SerializeAsString();
}

void MetaTable::SkipTo(MetadataIndex through) {
  doubtful_.emplace_back(applied_, through);
  applied_ = through;
}

void MetaTable::SaveBrokers(meta::Snapshot& snapshot) const {
  for (const auto& [id, broker] : brokers_) {
    meta::Broker& out = *snapshot.add_brokers();
    out.set_id(id);
    out.set_incarnation(broker.incarnation);
    out.set_node(broker.node.value());
    out.set_host(broker.host);
    out.set_port(broker.port);
    out.set_peer_address(broker.peer_address);
    out.set_rack(broker.rack);
    out.set_feature_level(broker.feature_level);
    out.set_fenced(broker.fenced);
    out.set_generation(broker.generation);
    const Client& client = clients_.find(id)->second;
    out.set_answered(client.answered);
    for (const auto& [sequence, result] : client.results) {
      meta::KeptResult& kept = *out.add_results();
      kept.set_sequence(sequence);
      kept.set_code(static_cast<uint32_t>(result.code()));
      kept.set_text(std::string(result.message()));
    }
    for (const uint64_t incarnation : client.retired) out.add_retired(incarnation);
  }
}

void MetaTable::RestoreBrokers(const meta::Snapshot& snapshot) {
  for (const meta::Broker& in : snapshot.brokers()) {
    brokers_[in.id()] = {in.id(),     PeerId(in.node()), in.incarnation(), in.host(),
                         in.port(),   in.peer_address(), in.rack(),        in.feature_level(),
                         in.fenced(), in.generation()};
    Client& client = clients_[in.id()];
    client.answered = in.answered();
    for (const meta::KeptResult& kept : in.results()) {
      client.results[kept.sequence()] =
          absl::Status(static_cast<absl::StatusCode>(kept.code()), kept.text());
    }
    client.retired.assign(in.retired().begin(), in.retired().end());
  }
}

absl::Status MetaTable::Restore(MetadataIndex index, std::string_view bytes) {
  google::protobuf::Arena arena(LargeBlocks());
  auto& snapshot = *google::protobuf::Arena::CreateMessage<meta::Snapshot>(&arena);
  if (!snapshot.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return absl::DataLossError("metadata snapshot does not parse");
  if (snapshot.feature_level() > kFeatureLevel) {
    return absl::UnimplementedError(
        Concat("the metadata snapshot has feature level ", snapshot.feature_level(),
               ", this version of the program has ", kFeatureLevel, "; install a newer one"));
  }
  if (snapshot.applied() > index.value()) {
    return absl::DataLossError(Concat("metadata snapshot of index ", index,
                                      " says that it holds commands up to ", snapshot.applied()));
  }
  MetaTable restored;
  restored.applied_ = index;
  RETURN_IF_ERROR(restored.RestoreStreams(snapshot));
  restored.RestoreBrokers(snapshot);
  for (const meta::IndexRange& range : snapshot.doubtful())
    restored.doubtful_.emplace_back(range.after(), range.through());
  restored.cluster_id_ = snapshot.cluster_id();
  restored.feature_level_ = snapshot.feature_level();
  for (const meta::Member& member : snapshot.members()) {
    restored.members_.push_back(
        {PeerId(member.node()), member.server_id(), member.address(), member.voter()});
  }
  *this = std::move(restored);
  return absl::OkStatus();
}

absl::Status MetaTable::RestoreStreams(const meta::Snapshot& snapshot) {
  for (const meta::Stream& in : snapshot.streams()) {
    StreamDescription stream = FromProto(in);
    int32_t next = 0;
    for (PartitionDescription& partition : stream.partitions) partition.id = PartitionId(next++);
    const bool sound = !streams_.contains(stream.name) && !names_.contains(stream.id) &&
                       stream.id.value() <= applied_.value();
    if (!sound) {
      return absl::DataLossError(Concat("metadata snapshot of index ", applied_,
                                        " holds an impossible stream, with the id ", stream.id));
    }
    AddStream(std::move(stream));
  }
  return absl::OkStatus();
}

std::vector<MetaDelta> Differences(const MetaTable& before, const MetaTable& after) {
  std::vector<MetaDelta> deltas;
  for (const auto& [name, stream] : before.streams()) {
    if (after.Find(stream.id) == nullptr) deltas.push_back(StreamDeleted{stream.id, name});
  }
  for (const auto& [name, stream] : after.streams()) {
    const StreamDescription* known = before.Find(stream.id);
    if (known == nullptr) {
      deltas.push_back(StreamCreated{stream});
    } else {
      AppendChanges(*known, stream, deltas);
    }
  }
  return deltas;
}

}  // namespace bascule::metadata
