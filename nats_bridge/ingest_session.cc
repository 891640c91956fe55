#include "nats_bridge/ingest_session.h"

#include <utility>

#include "absl/strings/match.h"
#include "core/base/check.h"
#include "core/base/text.h"
#include "nats_bridge/bridge_limits.h"
#include "nats_bridge/header_block.h"

namespace bascule::nats {
namespace {

constexpr OperationBounds kBounds{limits::kNatsServerLineBytes, limits::kNatsInfoBytes,
                                  limits::kNatsWireMessageBytes};

}  // namespace

IngestSession::IngestSession(SessionOptions options, SessionListener& listener)
    : options_(std::move(options)), listener_(listener) {}

absl::StatusOr<TakenOperation> IngestSession::Take(std::string_view bytes) {
  size_t at = 0;
  ServerOperation operation;
  while (at < bytes.size()) {
    if (stage_ == SessionStage::kEncrypting) {
      // What stood behind INFO before anything was encrypted may be anybody's.
      return absl::InvalidArgumentError("the server went on in plain text where TLS was to begin");
    }
    ASSIGN_OR_RETURN(const TakenOperation taken,
                     TakeOperation(bytes.substr(at), kBounds, operation));
    if (taken.bytes == 0) return TakenOperation{at, taken.wanted};
    BASCULE_CHECK_LE(taken.bytes, bytes.size() - at);
    at += taken.bytes;
    RETURN_IF_ERROR(Handle(operation));
  }
  CheckInvariants();
  return TakenOperation{at, 0};
}

void IngestSession::CheckInvariants() const {
  BASCULE_CHECK_LE(ponged_, pinged_);
  if (stage_ == SessionStage::kReady) BASCULE_CHECK_GE(ponged_, 1U);
  if (stage_ == SessionStage::kLoggingIn) BASCULE_CHECK_EQ(pinged_, 1U);
  if (stage_ == SessionStage::kEncrypting) BASCULE_CHECK(!encrypted_);
}

absl::Status IngestSession::Handle(const ServerOperation& operation) {
  switch (operation.kind) {
    case OperationKind::kMessage:
      if (stage_ != SessionStage::kReady) break;
      TakeMessage(operation);
      return absl::OkStatus();
    case OperationKind::kInfo:
      return TakeInfo(operation.text);
    case OperationKind::kError:
      return TakeError(operation.text);
    case OperationKind::kPing:
      if (stage_ == SessionStage::kAwaitingInfo) break;
      output_ += "PONG\r\n";
      return absl::OkStatus();
    case OperationKind::kPong:
      return TakePong();
    case OperationKind::kOk:
      if (stage_ == SessionStage::kAwaitingInfo) break;
      return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      stage_ == SessionStage::kAwaitingInfo
          ? "the server does not begin with INFO (is nats.servers its port for clients?)"
          : "the server sends messages before it has let this client in");
}

absl::Status IngestSession::TakeInfo(std::string_view json) {
  ASSIGN_OR_RETURN(info_, ParseServerInfo(json));
  if (stage_ == SessionStage::kAwaitingInfo) {
    if (encrypted_) {
      RETURN_IF_ERROR(LogIn());
    } else if (info_.tls_required || (options_.must_encrypt && info_.tls_available)) {
      stage_ = SessionStage::kEncrypting;
    } else if (options_.must_encrypt) {
      return absl::FailedPreconditionError(
          "the server offers no TLS, which nats.servers or nats.tls ask for: nothing was sent to "
          "it "
          "(set up TLS there, or take tls:// and nats.tls away)");
    } else {
      RETURN_IF_ERROR(LogIn());
    }
  }
  listener_.OnInfo(info_);
  return absl::OkStatus();
}

absl::Status IngestSession::Encrypted() {
  BASCULE_CHECK(!encrypted_);
  BASCULE_CHECK(stage_ == SessionStage::kAwaitingInfo || stage_ == SessionStage::kEncrypting);
  encrypted_ = true;
  return stage_ == SessionStage::kEncrypting ? LogIn() : absl::OkStatus();
}

absl::Status IngestSession::LogIn() {
  BASCULE_CHECK(encrypted_ || !options_.must_encrypt);
  ConnectFields fields;
  fields.name = options_.name;
  fields.tls = encrypted_;
  RETURN_IF_ERROR(SayLogin(options_.login, options_.server, info_.nonce, fields));
  output_ += ConnectLine(fields);
  output_ += "PING\r\n";
  ++pinged_;
  stage_ = SessionStage::kLoggingIn;
  return absl::OkStatus();
}

absl::Status IngestSession::TakePong() {
  // One that nobody asked for says nothing.
  if (ponged_ == pinged_) return absl::OkStatus();
  const uint64_t ping = ++ponged_;
  if (stage_ == SessionStage::kLoggingIn) stage_ = SessionStage::kReady;
  listener_.OnPong(ping);
  return absl::OkStatus();
}

absl::Status IngestSession::TakeError(std::string_view text) {
  if (stage_ == SessionStage::kReady) {
    listener_.OnServerError(text);
    return absl::OkStatus();
  }
  return absl::PermissionDeniedError(Concat(
      "the server says: ", text, " (are user, password, token, creds or certificate right?)"));
}

void IngestSession::TakeMessage(const ServerOperation& operation) {
  BusMessage message;
  message.subject = operation.subject;
  message.reply = operation.reply;
  message.payload = operation.payload;
  headers_.clear();
  if (!operation.headers.empty() && ReadHeaderBlock(operation.headers, headers_))
    message.header_bytes = operation.headers.size();
  message.headers = headers_.empty() ? nullptr : &headers_;
  listener_.OnMessage(operation.sid, message);
}

void IngestSession::Subscribe(uint64_t sid, std::string_view subject, std::string_view group) {
  BASCULE_CHECK(stage_ == SessionStage::kReady);
  output_ += Concat("SUB ", subject, group.empty() ? "" : " ", group, " ", sid, "\r\n");
}

void IngestSession::Unsubscribe(uint64_t sid) {
  BASCULE_CHECK(stage_ == SessionStage::kReady);
  output_ += Concat("UNSUB ", sid, "\r\n");
}

uint64_t IngestSession::Ping() {
  BASCULE_CHECK(stage_ == SessionStage::kReady);
  output_ += "PING\r\n";
  return ++pinged_;
}

}  // namespace bascule::nats
