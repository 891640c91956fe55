#pragma once

#include <string>

#include "replication/meta/table/command.h"

namespace bascule::metadata {

extern const MetaCommand kRemoveBrokerCommand;

// `force`: though it lives, or holds the only replica of partitions.
std::string EncodeRemoveBroker(const std::string& broker, bool force);

}  // namespace bascule::metadata
