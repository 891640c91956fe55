#include "core/api/publish_call.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "api.pb.h"
#include "core/api/grpc_status.h"
#include "core/api/publish_request.h"
#include "core/api/publish_rules.h"
#include "core/wire/ack.h"

namespace bascule::api {
namespace {

enum class AckErrors { kBecomeStatus, kStayInResponse };

class AckedPublish final : public grpc::ServerUnaryReactor {
 public:
  // `ack` is filled before the call ends OK.
  AckedPublish(ApiState& state, AckErrors errors, proto::Ack* (*response_ack)(void*),
               void* response)
      : state_(state), errors_(errors), response_ack_(response_ack), response_(response) {}

  void Refuse(const absl::Status& status) { FinishOnce(ToGrpc(status)); }

  // Opens the inbox when an ack is awaited, then publishes. `target`: whose ack is waited for; null
  // = anybody's.
  void Begin(std::string_view subject, PublishMessage message, bool wait,
             std::shared_ptr<const PublishTarget> target) {
    target_ = std::move(target);
    if (absl::Status headers = CheckHeaders(message.headers.size()); !headers.ok())
      return Refuse(headers);
    absl::Status status = CheckPayload(message, state_.ports.bus.max_payload());
    if (status.ok() && wait) {
      correlation_id_ = std::string(message.correlation_id);
      std::optional<std::string> own_inbox;
      if (!message.ack_inbox.empty()) own_inbox = std::string(message.ack_inbox);
      auto inbox = state_.ports.bus.OpenAckInbox(
          std::move(own_inbox), [this](std::string_view ack) { return OnAck(ack); });
      status = inbox.status();
      if (inbox.ok()) {
        inbox_ = *std::move(inbox);
        message.ack_inbox = inbox_->subject();
      }
    }
    if (status.ok()) status = state_.ports.bus.Publish(subject, message);
    if (!status.ok())
      return FinishOnce(grpc::Status(grpc::StatusCode::UNKNOWN, BusFailureText(status)));
    if (!wait) FinishOnce(grpc::Status::OK);
  }

  void OnCancel() override {
    if (state_.stopping)
      return FinishOnce(grpc::Status(grpc::StatusCode::UNAVAILABLE, "the server is stopping"));
    FinishOnce(grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED, "context deadline exceeded"));
  }
  // Destroys the inbox, which waits for an ack that is being handled.
  void OnDone() override { delete this; }

 private:
  AckVerdict OnAck(std::string_view ack) {
    wire::AckView view;
    if (!wire::ParseAck(ack, view)) return AckVerdict::kUnmatched;
    // Callers may share an inbox of their own.
    if (view.correlation_id != correlation_id_) return AckVerdict::kUnmatched;
    const AckVerdict verdict = VerdictOn(view, target_.get(), state_.ports.catalog);
    if (verdict != AckVerdict::kTaken) return verdict;
    if (finished_.exchange(true)) return AckVerdict::kUnmatched;
    if (view.ack_error != 0 && errors_ == AckErrors::kBecomeStatus) {
      Finish(ToGrpc(AckFailureStatus(view.ack_error, view.outcome_unknown)));
    } else {
      proto::Ack& response = *response_ack_(response_);
      response.ParseFromArray(ack.data(), static_cast<int>(ack.size()));
      response.DiscardUnknownFields();  // ours, between brokers
      Finish(grpc::Status::OK);
    }
    return AckVerdict::kTaken;
  }

  // Nothing of this object may be touched by the caller after it.
  void FinishOnce(const grpc::Status& status) {
    if (!finished_.exchange(true)) Finish(status);
  }

  ApiState& state_;
  const AckErrors errors_;
  proto::Ack* (*const response_ack_)(void*);
  void* const response_;
  std::shared_ptr<const PublishTarget> target_;
  std::string correlation_id_;
  std::atomic<bool> finished_{false};
  std::unique_ptr<AckInbox> inbox_;
};

template <typename Response>
AckedPublish* NewCall(ApiState& state, AckErrors errors, Response& response) {
  return new AckedPublish(
      state, errors, [](void* r) { return static_cast<Response*>(r)->mutable_ack(); }, &response);
}

template <typename Request>
PublishMessage ToMessage(const Request& request) {
  PublishMessage message;
  message.key = request.key();
  message.value = request.value();
  message.headers.reserve(static_cast<size_t>(request.headers_size()));
  for (const auto& [name, value] : request.headers()) message.headers.emplace_back(name, value);
  message.ack_inbox = request.ackinbox();
  message.correlation_id = request.correlationid();
  message.ack_policy = request.ackpolicy();
  return message;
}

bool AwaitsAck(const grpc::CallbackServerContext& context, int32_t ack_policy) {
  return ack_policy != static_cast<int32_t>(AckPolicy::kNone) &&
         context.deadline() != std::chrono::system_clock::time_point::max();
}

}  // namespace

grpc::ServerUnaryReactor* BeginPublish(ApiState& state, grpc::CallbackServerContext& context,
                                       const proto::PublishRequest& request,
                                       proto::PublishResponse& response) {
  AckedPublish* call = NewCall(state, AckErrors::kBecomeStatus, response);
  if (request.stream().empty()) {
    call->Refuse(absl::InvalidArgumentError("no stream provided"));
    return call;
  }
  PublishTargets targets(state.ports.catalog);
  auto target = targets.Find(request.stream(), request.partition(), request.ackpolicy());
  if (!target.ok()) {
    call->Refuse(target.status());
    return call;
  }
  const std::string& subject = (*target)->subject;
  PublishMessage message = ToMessage(request);
  message.stream = request.stream();
  message.subject = subject;
  message.expected_offset = request.expectedoffset();
  call->Begin(subject, std::move(message), AwaitsAck(context, request.ackpolicy()), *target);
  return call;
}

grpc::ServerUnaryReactor* BeginPublishToSubject(ApiState& state,
                                                grpc::CallbackServerContext& context,
                                                const proto::PublishToSubjectRequest& request,
                                                proto::PublishToSubjectResponse& response) {
  AckedPublish* call = NewCall(state, AckErrors::kStayInResponse, response);
  PublishMessage message = ToMessage(request);
  message.subject = request.subject();
  call->Begin(request.subject(), std::move(message), AwaitsAck(context, request.ackpolicy()),
              nullptr);
  return call;
}

}  // namespace bascule::api
