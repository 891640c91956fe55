#include "replication/meta/table/command_update_stream.h"

#include <utility>

#include "replication/meta/table/commands.pb.h"
#include "replication/meta/table/meta_codec.h"
#include "replication/meta/table/table_state.h"

namespace bascule::metadata {
namespace {

CommandOutcome UpdateStream(TableState& table, MetadataIndex index, const meta::Command& command) {
  const StreamDescription* found = table.Find(command.update_stream().name());
  if (found == nullptr) return {absl::NotFoundError("stream does not exist"), {}};
  meta::StreamOverrides overrides;
  ToProto(found->overrides, overrides);
  overrides.MergeFrom(command.update_stream().changes());
  const StreamDescription& stream = table.SetOverrides(found->id, FromProto(overrides));
  std::vector<MetaDelta> changed;
  for (const PartitionDescription& partition : stream.partitions) {  // R6a
    table.Change({}, index, {stream.id, partition.id}, changed);
  }
  std::vector<MetaDelta> deltas{StreamUpdated{stream}};
  for (MetaDelta& delta : changed) deltas.push_back(std::move(delta));
  return {absl::OkStatus(), std::move(deltas)};
}

}  // namespace

const MetaCommand kUpdateStreamCommand{meta::Command::kUpdateStreamFieldNumber, "update a stream",
                                       /*feature_level=*/0, /*grows=*/false, UpdateStream};

std::string EncodeUpdateStream(const std::string& name, const StreamOverrides& changes,
                               const CommandOrigin& origin) {
  meta::Command command = CommandFrom(origin);
  command.mutable_update_stream()->set_name(name);
  ToProto(changes, *command.mutable_update_stream()->mutable_changes());
  return command.SerializeAsString();
}

}  // namespace bascule::metadata
