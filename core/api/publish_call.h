// Publish and PublishToSubject: one message out through the bus, and the first ack for it.
//
//   client          gRPC thread          AckedPublish            NATS thread
//     | Publish -----> Begin ------------> OpenAckInbox, Publish -> (bus)
//     |                                                          OnAck <- first ack that is ours
//     |<-- response --------------------- Finish                 |
//     | deadline ----> OnCancel --------> Finish                 |
//
// Without a deadline, or with policy NONE, nobody waits: the call ends when the bus has taken the
// message. Ours is an ack that came to the call's inbox (whose name is the request's secret, unless
// the client chose it) with its correlation id; for Publish it also speaks for the stream and
// partition asked for, for PublishToSubject any stream's counts.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include "core/api/api_state.h"

namespace proto {
class PublishRequest;
class PublishResponse;
class PublishToSubjectRequest;
class PublishToSubjectResponse;
}  // namespace proto

namespace bascule::api {

// Both end by themselves; request and response live until then.
grpc::ServerUnaryReactor* BeginPublish(ApiState& state, grpc::CallbackServerContext& context,
                                       const proto::PublishRequest& request,
                                       proto::PublishResponse& response);
grpc::ServerUnaryReactor* BeginPublishToSubject(ApiState& state,
                                                grpc::CallbackServerContext& context,
                                                const proto::PublishToSubjectRequest& request,
                                                proto::PublishToSubjectResponse& response);

}  // namespace bascule::api
