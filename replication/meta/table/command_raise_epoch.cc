#include "replication/meta/table/command_raise_epoch.h"

#include "core/base/text.h"
#include "replication/meta/table/commands.pb.h"
#include "replication/meta/table/meta_codec.h"
#include "replication/meta/table/table_state.h"

namespace bascule::metadata {
namespace {

CommandOutcome RaiseEpoch(TableState& table, MetadataIndex index, const meta::Command& command) {
  const meta::RaiseEpoch& raise = command.raise_epoch();
  const PartitionKey key{StreamId(raise.stream_id()), PartitionId(raise.partition())};
  const PartitionDescription* partition = table.Find(key);
  if (partition == nullptr) return {absl::NotFoundError("partition does not exist"), {}};
  const std::string& leader = partition->leader;
  if (leader.empty() || (!raise.leader().empty() && raise.leader() != leader)) {
    return {absl::FailedPreconditionError(Concat("partition ", key.partition, " of stream ",
                                                 table.Find(key.stream)->name, " is led by ",
                                                 leader.empty() ? "nobody" : leader)),
            {}};
  }
  BrokerChange change;
  change.raise_epoch = true;
  CommandOutcome outcome;
  table.Change(change, index, key, outcome.deltas);
  return outcome;
}

}  // namespace

const MetaCommand kRaiseEpochCommand{meta::Command::kRaiseEpochFieldNumber, "raise a leader epoch",
                                     /*feature_level=*/0, /*grows=*/false, RaiseEpoch};

std::string EncodeRaiseEpoch(PartitionKey key, const std::string& leader,
                             const CommandOrigin& origin) {
  meta::Command command = CommandFrom(origin);
  command.mutable_raise_epoch()->set_stream_id(key.stream.value());
  command.mutable_raise_epoch()->set_partition(key.partition.value());
  command.mutable_raise_epoch()->set_leader(leader);
  return command.SerializeAsString();
}

}  // namespace bascule::metadata
