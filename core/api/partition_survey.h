// Asks every partition of some streams for its status at once, and answers when all have answered.
//
//   gRPC thread           shards                         a gRPC thread
//     Run -- Describe --> (each) OnStatus ... the last: wake --> done(results)
//
// The answer is not built on a shard: it may be megabytes.
#pragma once

#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "core/base/status.h"
#include "core/ports/stream_catalog.h"

namespace bascule::api {

struct SurveyedStream {
  std::shared_ptr<const CatalogEntry> entry;
  // By partition id. Unavailable where this broker holds no replica.
  std::vector<absl::StatusOr<PartitionStatus>> partitions;
};

// Where the partition's facts are, if not here: what a broker without a replica of it answers.
absl::Status StandsElsewhere(const PartitionDescription& partition);

using SurveyDone = absl::AnyInvocable<void(std::vector<SurveyedStream>)>;

// `done` runs once, on a thread of gRPC, with the streams in the order of `entries`.
void SurveyPartitions(std::vector<std::shared_ptr<const CatalogEntry>> entries, SurveyDone done);

}  // namespace bascule::api
