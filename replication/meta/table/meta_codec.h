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
void ToProto(const BrokerRegistration& in, RegisterBroker& out);
BrokerRegistration FromProto(const RegisterBroker& in);

}  // namespace bascule::meta
