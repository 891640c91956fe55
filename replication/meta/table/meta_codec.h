// Between plain types and the protobuf of commands.proto.
#pragma once

#include "core/stream/description.h"
#include "replication/meta/table/commands.pb.h"
#include "replication/meta/table/meta_commands.h"

namespace bascule::metadata {

void ToProto(const StreamOverrides& in, meta::StreamOverrides& out);
StreamOverrides FromProto(const meta::StreamOverrides& in);
void ToProto(const StreamDescription& stream, meta::Stream& out);
StreamDescription FromProto(const meta::Stream& in);
void ToProto(const PartitionKey& in, meta::PartitionKey& out);
PartitionKey FromProto(const meta::PartitionKey& in);
// A command that `origin` asks for; which one is for the caller to fill in.
meta::Command CommandFrom(const CommandOrigin& origin);

}  // namespace bascule::metadata
