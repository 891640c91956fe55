// Requests to create a stream, as both services spell them, turned into a StreamSpec; and what a
// stream is, compared with what was asked. Pure. Names, subjects and ranges are checked behind
// StreamAdmin.
#pragma once

#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/ports/stream_catalog.h"
#include "core/stream/description.h"

namespace proto {
class CreateStreamRequest;
}
namespace bascule::v1 {
class CreateStreamRequest;
class StreamSettings;
}  // namespace bascule::v1

namespace bascule {

// Unimplemented for fields that this version knows but has not built: compactEnabled,
// compactMaxGoroutines, autoPauseTime, autoPauseDisableIfSubscribers, encryption. What the wire
// contract checks first (name, subject, counts; `brokers` = servers in the cluster) is reported
// first.
absl::StatusOr<StreamSpec> ToSpec(const proto::CreateStreamRequest& request, int brokers);
// InvalidArgument for enum values of a later version.
absl::StatusOr<StreamSpec> ToSpec(const v1::CreateStreamRequest& request);

// "partitions: 1 here, 3 asked", one sentence per difference. Settings that were not asked for do
// not count.
std::vector<std::string> Differences(const CatalogEntry& here, const StreamSpec& asked,
                                     int brokers);

// Every field set.
void FillSettings(const StreamSettings& settings, v1::StreamSettings& out);

}  // namespace bascule
