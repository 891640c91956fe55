#pragma once

#include <string>

#include "replication/meta/table/command.h"

namespace bascule {

extern const MetaCommand kRaiseFeatureLevelCommand;

std::string EncodeRaiseFeatureLevel(uint32_t level);

}  // namespace bascule
