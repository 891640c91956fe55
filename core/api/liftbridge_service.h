// proto.API: each method hands its call to the file that knows it.
#pragma once

#include "api.grpc.pb.h"
#include "core/api/api_state.h"

namespace bascule::api {

// Subscribe and PublishAsync carry raw bytes: their sessions read and write messages without
// protobuf objects. The rest are ordinary calls.
template <template <class> class... Methods>
struct WithMethods;
template <>
struct WithMethods<> {
  using Type = proto::API::Service;
};
template <template <class> class First, template <class> class... Rest>
struct WithMethods<First, Rest...> {
  using Type = First<typename WithMethods<Rest...>::Type>;
};

using LiftbridgeBase = WithMethods<
    proto::API::WithRawCallbackMethod_Subscribe, proto::API::WithRawCallbackMethod_PublishAsync,
    proto::API::WithCallbackMethod_CreateStream, proto::API::WithCallbackMethod_DeleteStream,
    proto::API::WithCallbackMethod_PauseStream, proto::API::WithCallbackMethod_SetStreamReadonly,
    proto::API::WithCallbackMethod_FetchMetadata,
    proto::API::WithCallbackMethod_FetchPartitionMetadata, proto::API::WithCallbackMethod_Publish,
    proto::API::WithCallbackMethod_PublishToSubject, proto::API::WithCallbackMethod_SetCursor,
    proto::API::WithCallbackMethod_FetchCursor, proto::API::WithCallbackMethod_JoinConsumerGroup,
    proto::API::WithCallbackMethod_LeaveConsumerGroup,
    proto::API::WithCallbackMethod_FetchConsumerGroupAssignments,
    proto::API::WithCallbackMethod_ReportConsumerGroupCoordinator>::Type;

class LiftbridgeService final : public LiftbridgeBase {
 public:
  explicit LiftbridgeService(ApiState& state) : state_(state) {}

  using Context = grpc::CallbackServerContext;
  using Unary = grpc::ServerUnaryReactor;

  Unary* CreateStream(Context* context, const proto::CreateStreamRequest* request,
                      proto::CreateStreamResponse*) override;
  Unary* DeleteStream(Context* context, const proto::DeleteStreamRequest* request,
                      proto::DeleteStreamResponse*) override;
  Unary* FetchMetadata(Context* context, const proto::FetchMetadataRequest* request,
                       proto::FetchMetadataResponse* response) override;
  Unary* FetchPartitionMetadata(Context* context,
                                const proto::FetchPartitionMetadataRequest* request,
                                proto::FetchPartitionMetadataResponse* response) override;
  Unary* Publish(Context* context, const proto::PublishRequest* request,
                 proto::PublishResponse* response) override;
  Unary* PublishToSubject(Context* context, const proto::PublishToSubjectRequest* request,
                          proto::PublishToSubjectResponse* response) override;
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* PublishAsync(Context*) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* Subscribe(Context*,
                                                        const grpc::ByteBuffer* request) override;

  // Known, not built yet: Unimplemented, with a text that says so.
  Unary* PauseStream(Context*, const proto::PauseStreamRequest*,
                     proto::PauseStreamResponse*) override;
  Unary* SetStreamReadonly(Context*, const proto::SetStreamReadonlyRequest*,
                           proto::SetStreamReadonlyResponse*) override;
  Unary* SetCursor(Context*, const proto::SetCursorRequest*, proto::SetCursorResponse*) override;
  Unary* FetchCursor(Context*, const proto::FetchCursorRequest*,
                     proto::FetchCursorResponse*) override;
  Unary* JoinConsumerGroup(Context*, const proto::JoinConsumerGroupRequest*,
                           proto::JoinConsumerGroupResponse*) override;
  Unary* LeaveConsumerGroup(Context*, const proto::LeaveConsumerGroupRequest*,
                            proto::LeaveConsumerGroupResponse*) override;
  Unary* FetchConsumerGroupAssignments(Context*, const proto::FetchConsumerGroupAssignmentsRequest*,
                                       proto::FetchConsumerGroupAssignmentsResponse*) override;
  Unary* ReportConsumerGroupCoordinator(Context*,
                                        const proto::ReportConsumerGroupCoordinatorRequest*,
                                        proto::ReportConsumerGroupCoordinatorResponse*) override;

 private:
  ApiState& state_;
};

}  // namespace bascule::api
