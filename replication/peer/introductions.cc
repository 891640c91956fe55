#include "replication/peer/introductions.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/auth_context.h>

#include <chrono>
#include <utility>

#include "absl/strings/match.h"
#include "absl/synchronization/mutex.h"
#include "core/base/text.h"
#include "replication/peer/byte_buffer.h"

namespace bascule::peer {
namespace {

constexpr const char* kMethod = "/bascule.peer.v1.Peer/Introduce";

// gRPC says Unavailable for a connection that was never made as for one that broke while it waited
// for the answer; only the text differs.
absl::Status FromGrpc(const grpc::Status& status, const std::string& address) {
  const std::string text = Concat(Quoted(address), ": ", Printable(status.error_message()));
  if (status.error_code() != grpc::StatusCode::UNAVAILABLE)
    return absl::Status(static_cast<absl::StatusCode>(status.error_code()), text);
  for (const char* unsent : {"failed to connect", "DNS resolution failed", "empty address list"}) {
    if (absl::StrContains(status.error_message(), unsent)) return absl::UnavailableError(text);
  }
  return absl::UnknownError(text);
}

}  // namespace

// Lives until gRPC has answered.
struct Introductions::Question {
  std::string address;
  std::shared_ptr<grpc::Channel> channel;
  grpc::ClientContext context;
  grpc::ByteBuffer request, response;
  PeerTransport::Done done;
};

void Introductions::Ask(std::string address, std::optional<std::string> server_id,
                        std::string request, Duration timeout, PeerTransport::Done done) {
  Count(core_->counts.introductions_sent);
  if (request.size() > limits::kPeerIntroductionBytes) {
    return core_->AnswerLater(std::move(done),
                              absl::InvalidArgumentError(
                                  Concat("an introduction has ", request.size(), " bytes, at most ",
                                         limits::kPeerIntroductionBytes, " can be sent")));
  }
  auto question = std::make_shared<Question>();
  {
    const absl::MutexLock lock(&mutex_);
    if (stopped_) return;
    if (asked_.size() < limits::kPeerIntroductions) {
      asked_.emplace(question.get(), question);
      core_->CallBegins();
      question->done = std::move(done);
    }
  }
  if (question->done == nullptr) {
    return core_->AnswerLater(
        std::move(done), absl::UnavailableError(Concat(limits::kPeerIntroductions,
                                                       " introductions are under way already")));
  }
  Introduction introduction{MakeHello(core_->names(), PeerId()), timeout, std::move(request)};
  question->address = std::move(address);
  question->request = ToByteBuffer(EncodeIntroduction(introduction));
  question->channel =
      MakeChannel(*core_, question->address, std::move(server_id), ChannelKind::kIntroduction);
  question->context.set_deadline(gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                              gpr_time_from_nanos(timeout.count(), GPR_TIMESPAN)));
  grpc::GenericStub stub(question->channel);
  stub.UnaryCall(&question->context, kMethod, {}, &question->request, &question->response,
                 [self = shared_from_this(), key = question.get()](const grpc::Status& status) {
                   self->OnAnswer(key, status);
                 });
}

absl::StatusOr<std::string> Introductions::Result(const Question& question,
                                                  const absl::Status& status) {
  if (!status.ok()) return status;
  grpc::Slice held;
  auto answer = DecodeAnswer(ViewOf(question.response, held));
  if (answer.ok()) return std::move(answer->result);
  return absl::UnknownError(
      Concat(Quoted(question.address), ": ", FromAbsl(answer.status().message())));
}

void Introductions::OnAnswer(const Question* key, const grpc::Status& status) {
  std::shared_ptr<Question> question;
  {
    const absl::MutexLock lock(&mutex_);
    const auto found = asked_.find(key);
    BASCULE_CHECK(found != asked_.end());
    question = std::move(found->second);
    asked_.erase(found);
  }
  auto result =
      Result(*question, status.ok() ? absl::OkStatus() : FromGrpc(status, question->address));
  core_->gate.Run([&] { question->done(std::move(result)); });
  // Its context and its channel too: the transport may end with this, and must not leave the last
  // user of gRPC's threads to one of them.
  question.reset();
  core_->CallEnds();
}

void Introductions::Stop() {
  std::map<const Question*, std::shared_ptr<Question>> asked;
  {
    const absl::MutexLock lock(&mutex_);
    stopped_ = true;
    asked = asked_;
  }
  for (const auto& [key, question] : asked) question->context.TryCancel();
}

namespace {

// Finished by the answer or by the call's end, whichever is first.
class AnswerReactor final : public grpc::ServerUnaryReactor,
                            public std::enable_shared_from_this<AnswerReactor> {
 public:
  AnswerReactor(std::shared_ptr<PeerCore> core, grpc::ByteBuffer& response)
      : core_(std::move(core)), response_(response) {}

  static grpc::ServerUnaryReactor* Begin(std::shared_ptr<PeerCore> core,
                                         grpc::CallbackServerContext& context,
                                         const grpc::ByteBuffer& request,
                                         grpc::ByteBuffer& response) {
    auto reactor = std::make_shared<AnswerReactor>(std::move(core), response);
    reactor->self_ = reactor;
    if (auto refused = reactor->Ask(context, request)) {
      reactor->core_->refusals.Note(*refused, context.peer());
      reactor->FinishOnce(grpc::Status(static_cast<grpc::StatusCode>(refused->status.code()),
                                       std::string(refused->status.message())),
                          nullptr);
    }
    return reactor.get();
  }

  void OnCancel() override { FinishOnce(grpc::Status::CANCELLED, nullptr); }
  void OnDone() override {
    core_->introductions_in.fetch_sub(1);
    const auto last = std::move(self_);
  }

 private:
  std::optional<Refused> Ask(grpc::CallbackServerContext& context,
                             const grpc::ByteBuffer& request) {
    if (core_->introductions_in.fetch_add(1) >= limits::kPeerIntroductions) {
      return Refused{Refusal::kTooMany,
                     absl::ResourceExhaustedError(
                         Concat(limits::kPeerIntroductions,
                                " introductions wait for their answer here: come again later"))};
    }
    grpc::Slice held;
    auto introduction = DecodeIntroduction(ViewOf(request, held));
    if (!introduction.ok()) return Refused{Refusal::kMalformed, introduction.status()};
    const auto certificate = core_->credentials.AuthenticatedServerId(*context.auth_context());
    if (!certificate.ok()) return Refused{Refusal::kStranger, certificate.status()};
    if (auto refused = CheckIdentity(introduction->from, core_->names(), *certificate))
      return refused;
    Count(core_->counts.introductions_received);
    auto respond = RespondOnce([self = shared_from_this()](absl::StatusOr<std::string> result) {
      self->FinishOnce(grpc::Status::OK, &result);
    });
    core_->gate.Run([&] {
      core_->events.OnIntroduction(introduction->from.from.server_id, std::move(introduction->body),
                                   introduction->timeout, std::move(respond));
    });
    return std::nullopt;
  }

  void FinishOnce(const grpc::Status& status, absl::StatusOr<std::string>* result) {
    {
      const absl::MutexLock lock(&mutex_);
      if (std::exchange(finished_, true)) return;
    }
    if (result != nullptr) {
      if (result->ok() && (*result)->size() > limits::kPeerIntroductionBytes) {
        *result = absl::ResourceExhaustedError(
            Concat("the answer has ", (*result)->size(), " bytes, at most ",
                   limits::kPeerIntroductionBytes, " can be sent"));
      }
      response_ = ToByteBuffer(EncodeAnswer({0, std::move(*result)}));
    }
    Finish(status);
  }

  const std::shared_ptr<PeerCore> core_;
  grpc::ByteBuffer& response_;           // until Finish
  std::shared_ptr<AnswerReactor> self_;  // until OnDone
  absl::Mutex mutex_;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace

grpc::ServerUnaryReactor* AnswerIntroduction(std::shared_ptr<PeerCore> core,
                                             grpc::CallbackServerContext& context,
                                             const grpc::ByteBuffer& request,
                                             grpc::ByteBuffer& response) {
  return AnswerReactor::Begin(std::move(core), context, request, response);
}

}  // namespace bascule::peer
