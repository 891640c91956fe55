// Between plain types and the protobuf of commands.proto.
#pragma once

#include "core/stream/description.h"
#include "replication/meta/table/commands.pb.h"
#include "replication/meta/table/meta_commands.h"

namespace bascule::meta {

void ToProto(const bascule::StreamOverrides& in, StreamOverrides& out);
bascule::StreamOverrides FromProto(const StreamOverrides& in);
void ToProto(const StreamDescription& stream, Stream& out);
StreamDescription FromProto(const Stream& in);
void ToProto(const bascule::PartitionKey& in, PartitionKey& out);
bascule::PartitionKey FromProto(const PartitionKey& in);
// A command that `origin` asks for; which one is for the caller to fill in.
Command CommandFrom(const CommandOrigin& origin);

}  // namespace bascule::meta
