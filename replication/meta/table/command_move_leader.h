#pragma once

#include <string>

#include "replication/meta/table/command.h"

namespace bascule::metadata {

extern const MetaCommand kMoveLeaderCommand;

// `epoch`: of the reign that ends; refused when it has ended already.
std::string EncodeMoveLeader(PartitionKey key, LeaderEpoch epoch, const std::string& to,
                             const CommandOrigin& origin = {});

}  // namespace bascule::metadata
