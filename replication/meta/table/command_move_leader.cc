#include "replication/meta/table/command_move_leader.h"

#include "core/base/text.h"
#include "replication/meta/table/commands.pb.h"
#include "replication/meta/table/meta_codec.h"
#include "replication/meta/table/table_state.h"

namespace bascule::metadata {
namespace {

CommandOutcome MoveLeader(TableState& table, MetadataIndex index, const meta::Command& command) {
  const meta::MoveLeader& move = command.move_leader();
  const PartitionKey key = FromProto(move.partition());
  const PartitionDescription* partition = table.Find(key);
  if (partition == nullptr) return {absl::NotFoundError("partition does not exist"), {}};
  if (partition->leader == move.to() && !move.to().empty()) return {};
  const std::string where =
      Concat("partition ", key.partition, " of stream ", table.Find(key.stream)->name);
  if (partition->leader_epoch != LeaderEpoch(move.leader_epoch())) {
    return {
        absl::FailedPreconditionError(Concat(where, " is in leader epoch ", partition->leader_epoch,
                                             ", not ", move.leader_epoch())),
        {}};
  }
  CommandOutcome outcome;
  if (!table.MoveLead(move.to(), index, key, outcome.deltas)) {
    outcome.result = absl::FailedPreconditionError(
        Concat(where, " cannot be led by ", move.to(), ": it is not live and in sync"));
  }
  return outcome;
}

}  // namespace

const MetaCommand kMoveLeaderCommand{meta::Command::kMoveLeaderFieldNumber,
                                     "move a partition's leader", kReplicasLevel, /*grows=*/false,
                                     MoveLeader};

std::string EncodeMoveLeader(PartitionKey key, LeaderEpoch epoch, const std::string& to,
                             const CommandOrigin& origin) {
  meta::Command command = CommandFrom(origin);
  ToProto(key, *command.mutable_move_leader()->mutable_partition());
  command.mutable_move_leader()->set_leader_epoch(epoch.value());
  command.mutable_move_leader()->set_to(to);
  return command.SerializeAsString();
}

}  // namespace bascule::metadata
