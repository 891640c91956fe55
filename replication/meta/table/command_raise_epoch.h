#pragma once

#include <string>

#include "replication/meta/table/command.h"

namespace bascule::metadata {

extern const MetaCommand kRaiseEpochCommand;

// `leader`: refused when another one leads; empty: whoever leads.
std::string EncodeRaiseEpoch(PartitionKey key, const std::string& leader = "",
                             const CommandOrigin& origin = {});

}  // namespace bascule::metadata
