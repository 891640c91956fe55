// How the partitions of a cluster stand, for its status: counted, and a sentence for what is not as it should be. Pure.
#pragma once

#include <string>
#include <vector>

#include "core/ports/cluster_admin.h"
#include "replication/meta/table/meta_table.h"

namespace bascule::metadata {

PartitionCounts CountPartitions(const MetaTable& table);
// Empty when all is well. Which brokers are missed, and why, is said with them.
std::vector<std::string> PartitionTroubles(const MetaTable& table);

}  // namespace bascule::metadata
