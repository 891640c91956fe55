#include "replication/meta/requests/request_service.h"

#include <utility>

#include "core/base/check.h"
#include "core/base/text.h"
#include "replication/meta/requests/request_kind.h"
#include "replication/meta/requests/requests.pb.h"

namespace bascule::metadata {
namespace {

// A broker registers itself and nobody else.
bool RegistersOther(const meta::Request& request, const PeerIdentity& from) {
  return request.has_register_broker() && (request.register_broker().broker() != from.server_id ||
                                           request.register_broker().node() != from.id.value());
}

}  // namespace

void RequestService::OnPeerMessage(const PeerIdentity&, std::string) {}

void RequestService::OnPeerBulk(const PeerIdentity&, std::string, std::string, Respond respond) {
  respond(absl::UnimplementedError("metadata requests do not travel in bulk"));
}

void RequestService::OnPeerCall(const PeerIdentity& from, std::string bytes, Duration timeout,
                                Respond respond) {
  auto request = std::make_shared<meta::Request>();
  if (absl::Status parsed = DecodeRequest(bytes, *request); !parsed.ok()) return respond(parsed);
  if (request->broker() != from.server_id || RegistersOther(*request, from)) {
    return respond(absl::PermissionDeniedError(
        Concat("broker ", from.server_id, " asks in the name of another")));
  }
  (void)home_.TryPost(lifetime_.Guard([this, request, timeout,
                                       waiting = WaitingRequest(std::move(respond))]() mutable {
    Execute(*request, timeout, [respond = waiting.Begin()](const RequestOutcome& outcome) mutable {
      respond(EncodeResponse(outcome));
    });
  }));
}

void RequestService::Execute(const meta::Request& request, Duration timeout, RequestDone done) {
  BASCULE_CHECK(home_.OnThisThread());
  const RequestKind* kind = FindRequest(request.request_case());
  if (kind != nullptr && kind->command != nullptr)
    return commands_.Execute(request, timeout, std::move(done));
  if (request.has_settled()) return AnswerSettled(request, timeout, std::move(done));
  if (kind != nullptr && cluster_ != nullptr)
    return cluster_->Execute(request, timeout, std::move(done));
  done({absl::UnimplementedError("this broker does not know the request; install a newer version"),
        {},
        {}});
}

void RequestService::AnswerSettled(const meta::Request& request, Duration timeout,
                                   RequestDone done) {
  const StreamId id(request.settled().stream_id());
  auto answer = std::make_shared<RequestDone>(std::move(done));
  const auto give = [answer](const absl::Status& status) {
    if (auto once = std::exchange(*answer, nullptr)) once({status, {}, {}});
  };
  home_.After(timeout,
              [give] { give(absl::DeadlineExceededError("the stream is not ready yet")); });
  state_.WhenApplied(MetadataIndex(request.settled().index()), lifetime_.Guard([this, id, give] {
    if (!state_.handed_over()) return give(absl::UnavailableError("the broker is starting"));
    state_.settlement().WhenSettled(id, give);
  }));
}

}  // namespace bascule::metadata
