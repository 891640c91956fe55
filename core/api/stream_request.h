// Requests to create a stream, as both services spell them, turned into a StreamSpec. Pure. Names,
// subjects and ranges are checked behind StreamAdmin.
#pragma once

#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/stream/description.h"

namespace proto {
class CreateStreamRequest;
}
namespace bascule::v1 {
class CreateStreamRequest;
class StreamSettings;
class UpdateStreamRequest;
}  // namespace bascule::v1

namespace bascule::api {

// Unimplemented for fields that this version knows but has not built: compactEnabled,
// compactMaxGoroutines, autoPauseTime, autoPauseDisableIfSubscribers, encryption. What the wire
// contract checks first (name, subject, counts; `brokers` = servers in the cluster) is reported
// first.
absl::StatusOr<StreamSpec> ToSpec(const proto::CreateStreamRequest& request, int brokers);
// InvalidArgument for enum values of a later version.
absl::StatusOr<StreamSpec> ToSpec(const v1::CreateStreamRequest& request);

// InvalidArgument for enum values of a later version, and where nothing is to change.
absl::StatusOr<StreamOverrides> ToChanges(const v1::UpdateStreamRequest& request);

// Every field set.
void FillSettings(const StreamSettings& settings, v1::StreamSettings& out);

}  // namespace bascule::api
