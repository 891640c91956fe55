#pragma once

#include <string>

#include "replication/meta/table/command.h"

namespace bascule::metadata {

extern const MetaCommand kDeleteStreamCommand;

std::string EncodeDeleteStream(const std::string& name, const CommandOrigin& origin = {});

}  // namespace bascule::metadata
