#pragma once

#include <string>

#include "core/stream/description.h"
#include "replication/meta/table/command.h"

namespace bascule::metadata {

extern const MetaCommand kUpdateStreamCommand;

// Settings that are set replace those of the stream; the others stay.
std::string EncodeUpdateStream(const std::string& name, const StreamOverrides& changes,
                               const CommandOrigin& origin = {});

}  // namespace bascule::metadata
