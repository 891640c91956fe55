// Between the table's plain types and the protobuf of commands.proto.
#pragma once

#include "core/stream/description.h"
#include "replication/meta/commands.pb.h"

namespace bascule::meta {

void ToProto(const StreamDescription& stream, Stream& out);
StreamDescription FromProto(const Stream& in);

}  // namespace bascule::meta
