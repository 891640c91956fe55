#include "replication/meta/table/command_alter_isr.h"

#include <algorithm>

#include "core/base/text.h"
#include "replication/meta/table/commands.pb.h"
#include "replication/meta/table/meta_codec.h"
#include "replication/meta/table/table_state.h"

namespace bascule::metadata {
namespace {

// R1c: acknowledgements of another life of a broker do not make it a member.
bool OtherLife(const TableState& table, const PartitionDescription& partition,
               const meta::AlterIsr::Member& member) {
  const bool is_member =
      std::find(partition.isr.begin(), partition.isr.end(), member.broker()) != partition.isr.end();
  if (is_member && !member.verified()) return false;
  const RegisteredBroker* broker = table.FindBroker(member.broker());
  return broker == nullptr || broker->incarnation != member.incarnation();
}

bool Alter(TableState& table, const meta::AlterIsr::Change& asked, std::vector<MetaDelta>& deltas) {
  const PartitionKey key = FromProto(asked.partition());
  const PartitionDescription* partition = table.Find(key);
  if (partition == nullptr) return false;
  IsrChange change{asked.leader(), LeaderEpoch(asked.leader_epoch()), asked.version(), {}, {}};
  for (const meta::AlterIsr::Member& member : asked.isr()) {
    if (OtherLife(table, *partition, member)) return false;
    change.isr.push_back(member.broker());
    if (member.verified()) change.verified.push_back(member.broker());
  }
  return table.Change(change, key, deltas) == IsrVerdict::kChanged;
}

CommandOutcome AlterIsr(TableState& table, MetadataIndex, const meta::Command& command) {
  const meta::AlterIsr& alter = command.alter_isr();
  CommandOutcome outcome;
  int refused = 0;
  for (const meta::AlterIsr::Change& change : alter.changes())
    refused += Alter(table, change, outcome.deltas) ? 0 : 1;
  if (refused > 0) {
    outcome.result = absl::FailedPreconditionError(
        Concat(refused, " of ", alter.changes_size(), " ISR changes are out of date"));
  }
  return outcome;
}

}  // namespace

const MetaCommand kAlterIsrCommand{meta::Command::kAlterIsrFieldNumber, "change in-sync replicas",
                                   kReplicasLevel, /*grows=*/false, AlterIsr};

std::string EncodeAlterIsr(const std::vector<IsrAlteration>& alterations) {
  meta::Command command;
  command.mutable_alter_isr();  // also of none: no command at all would stop whoever applies it
  for (const IsrAlteration& alteration : alterations) {
    meta::AlterIsr::Change& change = *command.mutable_alter_isr()->add_changes();
    ToProto(alteration.partition, *change.mutable_partition());
    change.set_leader(alteration.leader);
    change.set_leader_epoch(alteration.epoch.value());
    change.set_version(alteration.version);
    for (const IsrAlteration::Member& member : alteration.isr) {
      meta::AlterIsr::Member& added = *change.add_isr();
      added.set_broker(member.broker);
      added.set_incarnation(member.incarnation);
      added.set_verified(member.verified);
    }
  }
  return command.SerializeAsString();
}

}  // namespace bascule::metadata
