#include "replication/meta/table/command_delete_stream.h"

#include <utility>

#include "replication/meta/table/commands.pb.h"
#include "replication/meta/table/meta_codec.h"
#include "replication/meta/table/table_state.h"

namespace bascule::metadata {
namespace {

CommandOutcome DeleteStream(TableState& table, MetadataIndex, const meta::Command& command) {
  const StreamDescription* stream = table.Find(command.delete_stream().name());
  if (stream == nullptr) return {absl::NotFoundError("stream does not exist"), {}};
  StreamDeleted deleted{stream->id, stream->name};
  table.RemoveStream(*stream);
  return {absl::OkStatus(), {std::move(deleted)}};
}

}  // namespace

const MetaCommand kDeleteStreamCommand{meta::Command::kDeleteStreamFieldNumber, "delete a stream",
                                       /*feature_level=*/0, /*grows=*/false, DeleteStream};

std::string EncodeDeleteStream(const std::string& name, const CommandOrigin& origin) {
  meta::Command command = CommandFrom(origin);
  command.mutable_delete_stream()->set_name(name);
  return command.SerializeAsString();
}

}  // namespace bascule::metadata
