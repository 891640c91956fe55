#pragma once

#include <string>

#include "core/stream/description.h"
#include "replication/meta/table/command.h"

namespace bascule::metadata {

extern const MetaCommand kCreateStreamCommand;

// Of the stream's partitions only the replicas count.
std::string EncodeCreateStream(const StreamDescription& stream, const CommandOrigin& origin = {});

}  // namespace bascule::metadata
