// The Publish envelope around one message. Pure; any thread.
#pragma once

#include <string>

#include "core/ports/bus_publisher.h"

namespace bascule::nats {

// Appends header and proto.Message. Strings must be UTF-8 (they come out of protobuf strings).
void AppendPublishEnvelope(std::string& out, const PublishMessage& message);

}  // namespace bascule::nats
