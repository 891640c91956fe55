#include "replication/meta/meta_table.h"

#include <utility>

#include "core/base/text.h"
#include "replication/meta/commands.pb.h"
#include "replication/meta/meta_codec.h"

namespace bascule {

std::string EncodeCreateStream(const StreamDescription& stream) {
  meta::Command command;
  meta::ToProto(stream, *command.mutable_create_stream()->mutable_stream());
  return command.SerializeAsString();
}

std::string EncodeDeleteStream(const std::string& name) {
  meta::Command command;
  command.mutable_delete_stream()->set_name(name);
  return command.SerializeAsString();
}

std::string EncodeRegisterBroker(const std::string& broker, uint64_t incarnation) {
  meta::Command command;
  command.mutable_register_broker()->set_broker(broker);
  command.mutable_register_broker()->set_incarnation(incarnation);
  return command.SerializeAsString();
}

std::string EncodeRaiseEpoch(StreamId stream, PartitionId partition) {
  meta::Command command;
  command.mutable_raise_epoch()->set_stream_id(stream.value());
  command.mutable_raise_epoch()->set_partition(partition.value());
  return command.SerializeAsString();
}

namespace {

using Streams = std::map<std::string, StreamDescription, std::less<>>;

MetaTable::Applied CreateStream(Streams& streams, MetadataIndex index,
                                const meta::CreateStream& command) {
  StreamDescription stream = meta::FromProto(command.stream());
  if (streams.contains(stream.name)) return {absl::AlreadyExistsError("stream already exists"), {}};
  stream.id = StreamId(index.value());
  for (PartitionDescription& partition : stream.partitions)
    partition.leader_epoch = LeaderEpoch(index.value());
  streams[stream.name] = stream;
  return {absl::OkStatus(), {StreamCreated{std::move(stream)}}};
}

MetaTable::Applied DeleteStream(Streams& streams, const meta::DeleteStream& command) {
  const auto it = streams.find(command.name());
  if (it == streams.end()) return {absl::NotFoundError("stream does not exist"), {}};
  StreamDeleted deleted{it->second.id, it->first};
  streams.erase(it);
  return {absl::OkStatus(), {std::move(deleted)}};
}

MetaTable::Applied RegisterBroker(Streams& streams, MetadataIndex index,
                                  const std::string& broker) {
  MetaTable::Applied applied;
  for (auto& [name, stream] : streams) {
    for (PartitionDescription& partition : stream.partitions) {
      if (partition.leader != broker) continue;
      partition.leader_epoch = LeaderEpoch(index.value());
      applied.deltas.push_back(PartitionChanged{stream.id, name, partition});
    }
  }
  return applied;
}

MetaTable::Applied RaiseEpoch(Streams& streams, MetadataIndex index,
                              const meta::RaiseEpoch& command) {
  for (auto& [name, stream] : streams) {
    if (stream.id.value() != command.stream_id()) continue;
    for (PartitionDescription& partition : stream.partitions) {
      if (partition.id.value() != command.partition()) continue;
      partition.leader_epoch = LeaderEpoch(index.value());
      return {absl::OkStatus(), {PartitionChanged{stream.id, name, partition}}};
    }
  }
  return {absl::NotFoundError("partition does not exist"), {}};
}

}  // namespace

MetaTable::Applied MetaTable::Apply(MetadataIndex index, std::string_view bytes) {
  applied_ = index;
  meta::Command command;
  const bool parsed = command.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
  switch (parsed ? command.command_case() : meta::Command::COMMAND_NOT_SET) {
    case meta::Command::kCreateStream:
      return CreateStream(streams_, index, command.create_stream());
    case meta::Command::kDeleteStream:
      return DeleteStream(streams_, command.delete_stream());
    case meta::Command::kRegisterBroker:
      brokers_[command.register_broker().broker()] = command.register_broker().incarnation();
      return RegisterBroker(streams_, index, command.register_broker().broker());
    case meta::Command::kRaiseEpoch:
      return RaiseEpoch(streams_, index, command.raise_epoch());
    case meta::Command::COMMAND_NOT_SET:
      break;
  }
  return {absl::UnimplementedError(
              Concat("metadata command ", index,
                     " is unknown to this version of the program; install a newer one")),
          {}};
}

std::string MetaTable::Snapshot() const {
  meta::Snapshot snapshot;
  snapshot.set_applied(applied_.value());
  for (const auto& [name, stream] : streams_) meta::ToProto(stream, *snapshot.add_streams());
  for (const auto& [id, incarnation] : brokers_) {
    meta::Broker& broker = *snapshot.add_brokers();
    broker.set_id(id);
    broker.set_incarnation(incarnation);
  }
  return snapshot.SerializeAsString();
}

absl::Status MetaTable::Restore(std::string_view bytes) {
  meta::Snapshot snapshot;
  if (!snapshot.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::DataLossError("metadata snapshot does not parse");
  }
  streams_.clear();
  brokers_.clear();
  applied_ = MetadataIndex(snapshot.applied());
  for (const meta::Stream& stream : snapshot.streams())
    streams_[stream.name()] = meta::FromProto(stream);
  for (const meta::Broker& broker : snapshot.brokers())
    brokers_[broker.id()] = broker.incarnation();
  return absl::OkStatus();
}

const StreamDescription* MetaTable::Find(std::string_view name) const {
  const auto it = streams_.find(name);
  return it == streams_.end() ? nullptr : &it->second;
}

}  // namespace bascule
