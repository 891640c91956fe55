#include "replication/meta/table/meta_commands.h"

#include "replication/meta/table/commands.pb.h"
#include "replication/meta/table/meta_codec.h"

namespace bascule {
namespace {

meta::Command From(const CommandOrigin& origin) {
  meta::Command command;
  if (origin.incarnation == 0) return command;
  command.set_origin(origin.broker);
  command.set_origin_incarnation(origin.incarnation);
  command.set_sequence(origin.sequence);
  command.set_answered(origin.answered);
  return command;
}

}  // namespace

std::string EncodeCreateStream(const StreamDescription& stream, const CommandOrigin& origin) {
  meta::Command command = From(origin);
  meta::ToProto(stream, *command.mutable_create_stream()->mutable_stream());
  return command.SerializeAsString();
}

std::string EncodeDeleteStream(const std::string& name, const CommandOrigin& origin) {
  meta::Command command = From(origin);
  command.mutable_delete_stream()->set_name(name);
  return command.SerializeAsString();
}

std::string EncodeUpdateStream(const std::string& name, const StreamOverrides& changes,
                               const CommandOrigin& origin) {
  meta::Command command = From(origin);
  command.mutable_update_stream()->set_name(name);
  meta::ToProto(changes, *command.mutable_update_stream()->mutable_changes());
  return command.SerializeAsString();
}

std::string EncodeRegisterBroker(const BrokerRegistration& registration) {
  meta::Command command;
  meta::ToProto(registration, *command.mutable_register_broker());
  return command.SerializeAsString();
}

std::string EncodeRaiseEpoch(PartitionKey key, const std::string& leader,
                             const CommandOrigin& origin) {
  meta::Command command = From(origin);
  command.mutable_raise_epoch()->set_stream_id(key.stream.value());
  command.mutable_raise_epoch()->set_partition(key.partition.value());
  command.mutable_raise_epoch()->set_leader(leader);
  return command.SerializeAsString();
}

std::string EncodeFenceBrokers(const std::vector<BrokerSession>& sessions) {
  meta::Command command;
  command.mutable_fence_brokers();
  for (const BrokerSession& session : sessions) {
    meta::FenceBrokers::Session& out = *command.mutable_fence_brokers()->add_sessions();
    out.set_broker(session.broker);
    out.set_incarnation(session.incarnation);
  }
  return command.SerializeAsString();
}

std::string EncodeNoteGenerations(const std::vector<DirectoryGeneration>& directories) {
  meta::Command command;
  command.mutable_note_generations();
  for (const DirectoryGeneration& directory : directories) {
    meta::NoteGenerations::Directory& out = *command.mutable_note_generations()->add_directories();
    out.set_broker(directory.session.broker);
    out.set_incarnation(directory.session.incarnation);
    out.set_generation(directory.generation);
  }
  return command.SerializeAsString();
}

std::string EncodeRemoveBroker(const std::string& broker, bool force) {
  meta::Command command;
  command.mutable_remove_broker()->set_broker(broker);
  command.mutable_remove_broker()->set_force(force);
  return command.SerializeAsString();
}

std::string EncodeInitCluster(const std::string& cluster_id) {
  meta::Command command;
  command.mutable_init_cluster()->set_cluster_id(cluster_id);
  return command.SerializeAsString();
}

std::string EncodeRaiseFeatureLevel(uint32_t level) {
  meta::Command command;
  command.mutable_raise_feature_level()->set_level(level);
  return command.SerializeAsString();
}

}  // namespace bascule
