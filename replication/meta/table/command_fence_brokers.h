#pragma once

#include <string>
#include <vector>

#include "replication/meta/table/command.h"

namespace bascule::metadata {

extern const MetaCommand kFenceBrokersCommand;

// Their sessions expired together (R6).
std::string EncodeFenceBrokers(const std::vector<BrokerSession>& sessions);

}  // namespace bascule::metadata
