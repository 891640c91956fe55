#include "core/api/liftbridge_service.h"

#include <utility>

#include "core/api/call_deadline.h"
#include "core/api/grpc_status.h"
#include "core/api/metadata_view.h"
#include "core/api/publish_async_session.h"
#include "core/api/publish_call.h"
#include "core/api/stream_request.h"
#include "core/api/subscribe_session.h"
#include "core/base/text.h"

namespace bascule::api {
namespace {

grpc::ServerUnaryReactor* FinishWith(grpc::CallbackServerContext* context,
                                     const absl::Status& status) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpc(status));
  return reactor;
}

grpc::ServerUnaryReactor* NotBuilt(grpc::CallbackServerContext* context, std::string_view method) {
  return FinishWith(context, absl::UnimplementedError(
                                 Concat(method, " is not implemented by this version of Bascule")));
}

}  // namespace

LiftbridgeService::Unary* LiftbridgeService::CreateStream(Context* context,
                                                          const proto::CreateStreamRequest* request,
                                                          proto::CreateStreamResponse*) {
  const int brokers = static_cast<int>(state_.ports.admin.Brokers().size());
  auto spec = ToSpec(*request, brokers);
  if (!spec.ok()) return FinishWith(context, spec.status());
  Unary* reactor = context->DefaultReactor();
  state_.ports.admin.CreateStream(
      *std::move(spec), MetadataTimeout(*context, state_.ports.clock),
      [reactor](const absl::Status& status) { reactor->Finish(ToGrpc(status)); });
  return reactor;
}

LiftbridgeService::Unary* LiftbridgeService::DeleteStream(Context* context,
                                                          const proto::DeleteStreamRequest* request,
                                                          proto::DeleteStreamResponse*) {
  Unary* reactor = context->DefaultReactor();
  state_.ports.admin.DeleteStream(
      request->name(), MetadataTimeout(*context, state_.ports.clock),
      [reactor](const absl::Status& status) { reactor->Finish(ToGrpc(status)); });
  return reactor;
}

LiftbridgeService::Unary* LiftbridgeService::FetchMetadata(
    Context* context, const proto::FetchMetadataRequest* request,
    proto::FetchMetadataResponse* response) {
  return BeginFetchMetadata(state_, *context, *request, *response);
}

LiftbridgeService::Unary* LiftbridgeService::FetchPartitionMetadata(
    Context* context, const proto::FetchPartitionMetadataRequest* request,
    proto::FetchPartitionMetadataResponse* response) {
  return BeginFetchPartitionMetadata(state_, *context, *request, *response);
}

LiftbridgeService::Unary* LiftbridgeService::Publish(Context* context,
                                                     const proto::PublishRequest* request,
                                                     proto::PublishResponse* response) {
  return BeginPublish(state_, *context, *request, *response);
}

LiftbridgeService::Unary* LiftbridgeService::PublishToSubject(
    Context* context, const proto::PublishToSubjectRequest* request,
    proto::PublishToSubjectResponse* response) {
  return BeginPublishToSubject(state_, *context, *request, *response);
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* LiftbridgeService::PublishAsync(
    Context*) {
  return PublishAsyncSession::Begin(state_);
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* LiftbridgeService::Subscribe(
    Context* context, const grpc::ByteBuffer* request) {
  return SubscribeSession::Begin(state_, *context, *request);
}

LiftbridgeService::Unary* LiftbridgeService::PauseStream(Context* context,
                                                         const proto::PauseStreamRequest*,
                                                         proto::PauseStreamResponse*) {
  return NotBuilt(context, "PauseStream");
}

LiftbridgeService::Unary* LiftbridgeService::SetStreamReadonly(
    Context* context, const proto::SetStreamReadonlyRequest*, proto::SetStreamReadonlyResponse*) {
  return NotBuilt(context, "SetStreamReadonly");
}

LiftbridgeService::Unary* LiftbridgeService::SetCursor(Context* context,
                                                       const proto::SetCursorRequest*,
                                                       proto::SetCursorResponse*) {
  return NotBuilt(context, "SetCursor");
}

LiftbridgeService::Unary* LiftbridgeService::FetchCursor(Context* context,
                                                         const proto::FetchCursorRequest*,
                                                         proto::FetchCursorResponse*) {
  return NotBuilt(context, "FetchCursor");
}

LiftbridgeService::Unary* LiftbridgeService::JoinConsumerGroup(
    Context* context, const proto::JoinConsumerGroupRequest*, proto::JoinConsumerGroupResponse*) {
  return NotBuilt(context, "JoinConsumerGroup");
}

LiftbridgeService::Unary* LiftbridgeService::LeaveConsumerGroup(
    Context* context, const proto::LeaveConsumerGroupRequest*, proto::LeaveConsumerGroupResponse*) {
  return NotBuilt(context, "LeaveConsumerGroup");
}

LiftbridgeService::Unary* LiftbridgeService::FetchConsumerGroupAssignments(
    Context* context, const proto::FetchConsumerGroupAssignmentsRequest*,
    proto::FetchConsumerGroupAssignmentsResponse*) {
  return NotBuilt(context, "FetchConsumerGroupAssignments");
}

LiftbridgeService::Unary* LiftbridgeService::ReportConsumerGroupCoordinator(
    Context* context, const proto::ReportConsumerGroupCoordinatorRequest*,
    proto::ReportConsumerGroupCoordinatorResponse*) {
  return NotBuilt(context, "ReportConsumerGroupCoordinator");
}

}  // namespace bascule::api
