#pragma once

#include <string>

#include "replication/meta/table/command.h"

namespace bascule::metadata {

extern const MetaCommand kRaiseFeatureLevelCommand;

std::string EncodeRaiseFeatureLevel(uint32_t level);

}  // namespace bascule::metadata
