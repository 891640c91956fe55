#include "replication/meta/table/command_fence_brokers.h"

#include <utility>

#include "replication/meta/table/commands.pb.h"
#include "replication/meta/table/table_state.h"

namespace bascule::metadata {
namespace {

CommandOutcome FenceBrokers(TableState& table, MetadataIndex index, const meta::Command& command) {
  BrokerChange change;
  absl::btree_set<PartitionKey> affected;
  for (const meta::FenceBrokers::Session& session : command.fence_brokers().sessions()) {
    RegisteredBroker* broker = table.MutableBroker(session.broker());
    if (broker == nullptr || broker->incarnation != session.incarnation()) continue;
    if (std::exchange(broker->fenced, true)) continue;
    change.fenced.insert(broker->id);
    affected.merge(table.ReplicasOf(broker->id));
  }
  CommandOutcome outcome;
  for (const PartitionKey& key : affected) table.Change(change, index, key, outcome.deltas);
  return outcome;
}

}  // namespace

const MetaCommand kFenceBrokersCommand{meta::Command::kFenceBrokersFieldNumber, "fence brokers",
                                       /*feature_level=*/0, /*grows=*/false, FenceBrokers};

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

}  // namespace bascule::metadata
