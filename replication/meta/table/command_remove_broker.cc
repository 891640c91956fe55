#include "replication/meta/table/command_remove_broker.h"

#include "core/base/text.h"
#include "replication/meta/table/commands.pb.h"
#include "replication/meta/table/table_state.h"

namespace bascule::metadata {
namespace {

CommandOutcome RemoveBroker(TableState& table, MetadataIndex index, const meta::Command& command) {
  const std::string& id = command.remove_broker().broker();
  const bool force = command.remove_broker().force();
  const RegisteredBroker* broker = table.FindBroker(id);
  if (broker == nullptr) return {absl::NotFoundError(Concat("there is no broker ", id)), {}};
  const int32_t only = force ? 0 : table.OnlyReplicas(id);
  if (!force && (!broker->fenced || only > 0)) {
    return {absl::FailedPreconditionError(
                !broker->fenced
                    ? Concat("broker ", id, " at ", broker->peer_address,
                             " is alive; stop it first, or force its removal")
                    : Concat("broker ", id, " holds the only replica of ", only,
                             " partitions; delete their streams first, or force its removal")),
            {}};
  }
  table.RemoveBroker(id);
  BrokerChange change;
  change.lost = id;
  CommandOutcome outcome;
  for (const PartitionKey& key : table.ReplicasOf(id))
    table.Change(change, index, key, outcome.deltas);
  return outcome;
}

}  // namespace

const MetaCommand kRemoveBrokerCommand{meta::Command::kRemoveBrokerFieldNumber, "remove a broker",
                                       /*feature_level=*/0, /*grows=*/false, RemoveBroker};

std::string EncodeRemoveBroker(const std::string& broker, bool force) {
  meta::Command command;
  command.mutable_remove_broker()->set_broker(broker);
  command.mutable_remove_broker()->set_force(force);
  return command.SerializeAsString();
}

}  // namespace bascule::metadata
