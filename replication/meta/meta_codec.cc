#include "replication/meta/meta_codec.h"

#include <chrono>

namespace bascule::meta {

void ToProto(const bascule::StreamOverrides& in, StreamOverrides& out) {
  if (in.retention_max_bytes) out.set_retention_max_bytes(*in.retention_max_bytes);
  if (in.retention_max_messages) out.set_retention_max_messages(*in.retention_max_messages);
  if (in.retention_max_age) out.set_retention_max_age_ms(in.retention_max_age->count());
  if (in.cleaner_interval) out.set_cleaner_interval_ms(in.cleaner_interval->count());
  if (in.segment_max_bytes) out.set_segment_max_bytes(*in.segment_max_bytes);
  if (in.segment_max_age) out.set_segment_max_age_ms(in.segment_max_age->count());
  if (in.min_isr) out.set_min_isr(*in.min_isr);
  if (in.optimistic_concurrency_control)
    out.set_optimistic_concurrency_control(*in.optimistic_concurrency_control);
  if (in.durability) out.set_durability(static_cast<uint32_t>(*in.durability));
  if (in.reply_acks) out.set_reply_acks(static_cast<uint32_t>(*in.reply_acks));
  if (in.leader_acks) out.set_leader_acks(static_cast<uint32_t>(*in.leader_acks));
  if (in.record_internal_subjects) out.set_record_internal_subjects(*in.record_internal_subjects);
}

bascule::StreamOverrides FromProto(const StreamOverrides& in) {
  using std::chrono::milliseconds;
  bascule::StreamOverrides out;
  if (in.has_retention_max_bytes()) out.retention_max_bytes = in.retention_max_bytes();
  if (in.has_retention_max_messages()) out.retention_max_messages = in.retention_max_messages();
  if (in.has_retention_max_age_ms())
    out.retention_max_age = milliseconds(in.retention_max_age_ms());
  if (in.has_cleaner_interval_ms()) out.cleaner_interval = milliseconds(in.cleaner_interval_ms());
  if (in.has_segment_max_bytes()) out.segment_max_bytes = in.segment_max_bytes();
  if (in.has_segment_max_age_ms()) out.segment_max_age = milliseconds(in.segment_max_age_ms());
  if (in.has_min_isr()) out.min_isr = in.min_isr();
  if (in.has_optimistic_concurrency_control())
    out.optimistic_concurrency_control = in.optimistic_concurrency_control();
  if (in.has_durability()) out.durability = static_cast<Durability>(in.durability());
  if (in.has_reply_acks()) out.reply_acks = static_cast<ReplyAcks>(in.reply_acks());
  if (in.has_leader_acks()) out.leader_acks = static_cast<LeaderAcks>(in.leader_acks());
  if (in.has_record_internal_subjects())
    out.record_internal_subjects = in.record_internal_subjects();
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
