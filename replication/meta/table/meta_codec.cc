#include "replication/meta/table/meta_codec.h"

#include <google/protobuf/unknown_field_set.h>

#include <optional>

namespace bascule::metadata {

void ToProto(const StreamOverrides& in, meta::StreamOverrides& out) {
  google::protobuf::UnknownFieldSet& fields = *out.GetReflection()->MutableUnknownFields(&out);
  for (const StreamSetting& row : kStreamSettings) {
    const std::optional<int64_t> value = row.asked(in);
    if (value) fields.AddVarint(row.number, static_cast<uint64_t>(*value));
  }
}

StreamOverrides FromProto(const meta::StreamOverrides& in) {
  StreamOverrides out;
  const google::protobuf::UnknownFieldSet& fields = in.GetReflection()->GetUnknownFields(in);
  for (int i = 0; i < fields.field_count(); ++i) {
    const google::protobuf::UnknownField& field = fields.field(i);
    if (field.type() != google::protobuf::UnknownField::TYPE_VARINT) continue;
    const StreamSetting* row = FindSetting(field.number());
    if (row != nullptr) row->ask(out, static_cast<int64_t>(field.varint()));
  }
  return out;
}

void ToProto(const StreamDescription& stream, meta::Stream& out) {
  out.set_id(stream.id.value());
  out.set_name(stream.name);
  out.set_subject(stream.subject);
  out.set_group(stream.group);
  out.set_created(stream.created.value());
  ToProto(stream.overrides, *out.mutable_overrides());
  for (const PartitionDescription& partition : stream.partitions) {
    meta::Partition& p = *out.add_partitions();
    p.set_id(partition.id.value());
    p.set_leader(partition.leader);
    p.set_leader_epoch(partition.leader_epoch.value());
    for (const std::string& replica : partition.replicas) p.add_replicas(replica);
    for (const std::string& member : partition.isr) p.add_isr(member);
    for (const std::string& member : partition.elr) p.add_elr(member);
    p.set_version(partition.version);
    for (const ReplicaDoubt& doubt : partition.doubtful) {
      meta::ReplicaDoubt& d = *p.add_doubtful();
      d.set_broker(doubt.broker);
      d.set_epoch(doubt.epoch.value());
      d.set_end(doubt.end.value());
    }
  }
}

StreamDescription FromProto(const meta::Stream& in) {
  StreamDescription stream;
  stream.id = StreamId(in.id());
  stream.name = in.name();
  stream.subject = in.subject();
  stream.group = in.group();
  stream.created = Timestamp(in.created());
  stream.overrides = FromProto(in.overrides());
  for (const meta::Partition& p : in.partitions()) {
    stream.partitions.push_back({PartitionId(p.id()),
                                 p.leader(),
                                 LeaderEpoch(p.leader_epoch()),
                                 {p.replicas().begin(), p.replicas().end()},
                                 {p.isr().begin(), p.isr().end()},
                                 {p.elr().begin(), p.elr().end()},
                                 p.version(),
                                 {}});
    for (const meta::ReplicaDoubt& d : p.doubtful()) {
      stream.partitions.back().doubtful.push_back(
          {d.broker(), LeaderEpoch(d.epoch()), Offset(d.end())});
    }
  }
  return stream;
}

void ToProto(const PartitionKey& in, meta::PartitionKey& out) {
  out.set_stream_id(in.stream.value());
  out.set_partition(in.partition.value());
}

PartitionKey FromProto(const meta::PartitionKey& in) {
  return {StreamId(in.stream_id()), PartitionId(in.partition())};
}

meta::Command CommandFrom(const CommandOrigin& origin) {
  meta::Command command;
  if (origin.incarnation == 0) return command;
  command.set_origin(origin.broker);
  command.set_origin_incarnation(origin.incarnation);
  command.set_sequence(origin.sequence);
  command.set_answered(origin.answered);
  return command;
}

}  // namespace bascule::metadata
