#include "replication/meta/table/command_create_stream.h"

#include <utility>

#include "core/base/text.h"
#include "replication/meta/table/commands.pb.h"
#include "replication/meta/table/meta_codec.h"
#include "replication/meta/table/table_state.h"

namespace bascule::metadata {
namespace {

CommandOutcome CreateStream(TableState& table, MetadataIndex index, const meta::Command& command) {
  StreamDescription stream = FromProto(command.create_stream().stream());
  if (table.Find(stream.name) != nullptr)
    return {absl::AlreadyExistsError("stream already exists"), {}};
  stream.id = StreamId(index.value());
  if (table.Find(stream.id) != nullptr)
    return {absl::AbortedError("the index is used already"), {}};
  const bool from_old_version = command.origin_incarnation() == 0;
  int32_t next = 0;
  for (PartitionDescription& partition : stream.partitions) {
    partition.id = PartitionId(next++);
    for (const std::string& broker : partition.replicas) {
      if (from_old_version || table.FindBroker(broker) != nullptr) continue;
      return {absl::AbortedError(Concat("broker ", broker,
                                        ", chosen for the stream, was removed meanwhile; ask "
                                        "again")),
              {}};
    }
    SeatReplicas([&table](const std::string& broker) { return table.IsLive(broker); },
                 MinIsr(stream.overrides.min_isr.value_or(0), partition.replicas.size()), index,
                 partition);
  }
  table.AddStream(stream);
  return {absl::OkStatus(), {StreamCreated{std::move(stream)}}};
}

}  // namespace

const MetaCommand kCreateStreamCommand{meta::Command::kCreateStreamFieldNumber, "create a stream",
                                       /*feature_level=*/0, /*grows=*/true, CreateStream};

std::string EncodeCreateStream(const StreamDescription& stream, const CommandOrigin& origin) {
  meta::Command command = CommandFrom(origin);
  ToProto(stream, *command.mutable_create_stream()->mutable_stream());
  return command.SerializeAsString();
}

}  // namespace bascule::metadata
