#include "replication/meta/table/meta_codec.h"

#include <google/protobuf/unknown_field_set.h>

#include <optional>

namespace bascule::meta {

void ToProto(const bascule::StreamOverrides& in, StreamOverrides& out) {
  google::protobuf::UnknownFieldSet& fields = *out.GetReflection()->MutableUnknownFields(&out);
  for (const StreamSetting& row : kStreamSettings) {
    const std::optional<int64_t> value = row.asked(in);
    if (value) fields.AddVarint(row.number, static_cast<uint64_t>(*value));
  }
}

bascule::StreamOverrides FromProto(const StreamOverrides& in) {
  bascule::StreamOverrides out;
  const google::protobuf::UnknownFieldSet& fields = in.GetReflection()->GetUnknownFields(in);
  for (int i = 0; i < fields.field_count(); ++i) {
    const google::protobuf::UnknownField& field = fields.field(i);
    if (field.type() != google::protobuf::UnknownField::TYPE_VARINT) continue;
    const StreamSetting* row = FindSetting(field.number());
    if (row != nullptr) row->ask(out, static_cast<int64_t>(field.varint()));
  }
  return out;
}

void ToProto(const StreamDescription& stream, Stream& out) {
  out.set_id(stream.id.value());
  out.set_name(stream.name);
  out.set_subject(stream.subject);
  out.set_group(stream.group);
  out.set_created(stream.created.value());
  ToProto(stream.overrides, *out.mutable_overrides());
  for (const PartitionDescription& partition : stream.partitions) {
    Partition& p = *out.add_partitions();
    p.set_id(partition.id.value());
    p.set_leader(partition.leader);
    p.set_leader_epoch(partition.leader_epoch.value());
    for (const std::string& replica : partition.replicas) p.add_replicas(replica);
    for (const std::string& member : partition.isr) p.add_isr(member);
    for (const std::string& member : partition.elr) p.add_elr(member);
    p.set_version(partition.version);
  }
}

StreamDescription FromProto(const Stream& in) {
  StreamDescription stream;
  stream.id = StreamId(in.id());
  stream.name = in.name();
  stream.subject = in.subject();
  stream.group = in.group();
  stream.created = Timestamp(in.created());
  stream.overrides = FromProto(in.overrides());
  for (const Partition& p : in.partitions()) {
    stream.partitions.push_back({PartitionId(p.id()),
                                 p.leader(),
                                 LeaderEpoch(p.leader_epoch()),
                                 {p.replicas().begin(), p.replicas().end()},
                                 {p.isr().begin(), p.isr().end()},
                                 {p.elr().begin(), p.elr().end()},
                                 p.version()});
  }
  return stream;
}

void ToProto(const BrokerRegistration& in, RegisterBroker& out) {
  out.set_broker(in.id);
  out.set_incarnation(in.incarnation);
  out.set_node(in.node.value());
  out.set_host(in.host);
  out.set_port(in.port);
  out.set_peer_address(in.peer_address);
  out.set_rack(in.rack);
  out.set_feature_level(in.feature_level);
  out.set_lost_all(in.lost_all);
  out.set_kept_all(in.kept_all);
  out.set_generation(in.generation);
  for (const bascule::PartitionKey& key : in.lost) {
    PartitionKey& lost = *out.add_lost();
    lost.set_stream_id(key.stream.value());
    lost.set_partition(key.partition.value());
  }
}

BrokerRegistration FromProto(const RegisterBroker& in) {
  BrokerRegistration out;
  out.id = in.broker();
  out.node = PeerId(in.node());
  out.incarnation = in.incarnation();
  out.host = in.host();
  out.port = in.port();
  out.peer_address = in.peer_address();
  out.rack = in.rack();
  out.feature_level = in.feature_level();
  out.lost_all = in.lost_all();
  out.kept_all = in.kept_all();
  out.generation = in.generation();
  for (const PartitionKey& lost : in.lost()) {
    out.lost.push_back({StreamId(lost.stream_id()), PartitionId(lost.partition())});
  }
  return out;
}

}  // namespace bascule::meta
