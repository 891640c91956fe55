// The calls about the cluster, over core/ports/cluster_admin.h. Each ends its call by itself;
// request and response live until then.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include "core/api/api_state.h"

namespace bascule::v1 {
class AddMemberRequest;
class GetClusterStatusResponse;
class RemoveMemberRequest;
class TransferLeadershipRequest;
}  // namespace bascule::v1

namespace bascule::api {

grpc::ServerUnaryReactor* BeginGetClusterStatus(ApiState& state,
                                                grpc::CallbackServerContext& context,
                                                v1::GetClusterStatusResponse& response);
// InvalidArgument for an empty address.
grpc::ServerUnaryReactor* BeginAddMember(ApiState& state, grpc::CallbackServerContext& context,
                                         const v1::AddMemberRequest& request);
// InvalidArgument for an empty server id.
grpc::ServerUnaryReactor* BeginRemoveMember(ApiState& state, grpc::CallbackServerContext& context,
                                            const v1::RemoveMemberRequest& request);
grpc::ServerUnaryReactor* BeginTransferLeadership(ApiState& state,
                                                  grpc::CallbackServerContext& context,
                                                  const v1::TransferLeadershipRequest& request);

}  // namespace bascule::api
