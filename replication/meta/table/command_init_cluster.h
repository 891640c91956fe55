#pragma once

#include <string>

#include "replication/meta/table/command.h"

namespace bascule::metadata {

extern const MetaCommand kInitClusterCommand;

std::string EncodeInitCluster(const std::string& cluster_id);

}  // namespace bascule::metadata
