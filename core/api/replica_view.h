// What bascule.v1 tells of the replicas of one partition: what the metadata says of them, and on its leader how far
// each has come. Pure.
#pragma once

#include <set>
#include <string>

#include "core/ports/partition_port.h"
#include "core/ports/stream_catalog.h"

namespace bascule::v1 {
class Partition;
}  // namespace bascule::v1

namespace bascule::api {

// `min_isr`: the stream's setting. `live`: ids of the brokers that live. `status`: null where this broker has none.
void FillReplicas(const PartitionDescription& partition, int32_t min_isr,
                  const std::set<std::string>& live, const PartitionStatus* status,
                  v1::Partition& out);

}  // namespace bascule::api
