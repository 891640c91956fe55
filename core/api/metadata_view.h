// FetchMetadata and FetchPartitionMetadata: what the catalogue and the partitions know, as
// proto.API shows it. Pure except for the two entry points.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include "core/api/api_state.h"
#include "core/api/partition_survey.h"

namespace proto {
class FetchMetadataRequest;
class FetchMetadataResponse;
class FetchPartitionMetadataRequest;
class FetchPartitionMetadataResponse;
class PartitionMetadata;
}  // namespace proto

namespace bascule::api {

// Both end the call by themselves; request and response live until then.
grpc::ServerUnaryReactor* BeginFetchMetadata(ApiState& state, grpc::CallbackServerContext& context,
                                             const proto::FetchMetadataRequest& request,
                                             proto::FetchMetadataResponse& response);
grpc::ServerUnaryReactor* BeginFetchPartitionMetadata(
    ApiState& state, grpc::CallbackServerContext& context,
    const proto::FetchPartitionMetadataRequest& request,
    proto::FetchPartitionMetadataResponse& response);

// A partition without status (no replica here, or it is going away) shows -1 for its offsets.
void FillPartition(const PartitionDescription& partition,
                   const absl::StatusOr<PartitionStatus>& status, proto::PartitionMetadata& out);

// The address that clients should dial for `broker`; for this very broker from the options and the
// bound port.
BrokerDescription Advertised(BrokerDescription broker, const ApiState& state);

}  // namespace bascule::api
