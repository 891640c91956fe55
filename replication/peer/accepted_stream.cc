#include "replication/peer/accepted_stream.h"

#include <grpcpp/security/auth_context.h>

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/synchronization/mutex.h"
#include "core/base/crc32c.h"
#include "core/base/text.h"

namespace bascule::peer {
namespace {

grpc::Status ToGrpc(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

constexpr std::chrono::seconds kLastWrite{1};

// What a frame of replicas costs beside its bytes, so that many empty ones are bounded too.
constexpr size_t kReplicaFrameCost = 256;

Refused Malformed(absl::Status status) { return {Refusal::kMalformed, std::move(status)}; }

}  // namespace

// Of one frame of replicas, until nobody holds it.
class AcceptedStream::Credit {
 public:
  Credit(std::weak_ptr<AcceptedStream> stream, size_t bytes)
      : stream_(std::move(stream)), bytes_(bytes) {}
  Credit(const Credit&) = delete;
  Credit& operator=(const Credit&) = delete;
  ~Credit() {
    if (const auto stream = stream_.lock()) stream->GiveBack(bytes_);
  }

 private:
  const std::weak_ptr<AcceptedStream> stream_;
  const size_t bytes_;
};

AcceptedStream::AcceptedStream(std::shared_ptr<PeerCore> core, Admission& admission,
                               grpc::CallbackServerContext& context, ChannelKind kind)
    : core_(std::move(core)),
      admission_(admission),
      context_(context),
      kind_(kind),
      remote_(context.peer()) {}

AcceptedStream* AcceptedStream::Accept(std::shared_ptr<PeerCore> core, Admission& admission,
                                       grpc::CallbackServerContext& context, ChannelKind kind) {
  std::shared_ptr<AcceptedStream> stream(
      new AcceptedStream(std::move(core), admission, context, kind));
  stream->self_ = stream;
  stream->Begin();
  return stream.get();
}

void AcceptedStream::Begin() {
  if (core_->waiting_handshakes.fetch_add(1) >= limits::kPeerHandshakes) {
    core_->waiting_handshakes.fetch_sub(1);
    return End({Refusal::kTooMany, absl::ResourceExhaustedError(
                                       Concat(limits::kPeerHandshakes,
                                              " connections wait for their handshake here: come "
                                              "again later"))});
  }
  {
    const absl::MutexLock lock(&mutex_);
    handshaking_ = true;
  }
  const TimerId timer =
      core_->deadlines->After(limits::kPeerHandshakeTimeout, [weak = weak_from_this()] {
        if (const auto stream = weak.lock()) {
          stream->End({Refusal::kTimeout,
                       absl::DeadlineExceededError(Concat(
                           "no hello within ", limits::kPeerHandshakeTimeout.count(), " s"))});
        }
      });
  {
    const absl::MutexLock lock(&mutex_);
    handshake_ = timer;
  }
  ReadNext();
}

bool AcceptedStream::ReleaseHandshake() {
  TimerId timer = 0;
  {
    const absl::MutexLock lock(&mutex_);
    if (!std::exchange(handshaking_, false)) return false;
    timer = std::exchange(handshake_, 0);
  }
  core_->waiting_handshakes.fetch_sub(1);
  core_->deadlines->Cancel(timer);
  return true;
}

void AcceptedStream::OnReadDone(bool ok) {
  if (!ok) return EndWith(absl::OkStatus());
  grpc::Slice held;
  const std::string_view bytes = ViewOf(read_, held);
  if (turn_ == nullptr && bytes.size() > kMaxFrameBytes) {
    return End(Malformed(absl::ResourceExhaustedError(
        Concat("a frame has ", bytes.size(), " bytes, at most ", kMaxFrameBytes, " are taken"))));
  }
  if (!admitted_) return OnHello(bytes);
  Count(core_->counts.messages_received);
  Count(core_->counts.bytes_received, bytes.size());
  auto refused = turn_ != nullptr ? OnReplicaFrame(std::move(held)) : OnFrame(bytes);
  if (refused.has_value()) return End(*std::move(refused));
  ReadOn();
}

void AcceptedStream::OnHello(std::string_view bytes) {
  auto hello = DecodeHello(bytes);
  if (!hello.ok()) return End(Malformed(hello.status()));
  const auto certificate = core_->credentials.AuthenticatedServerId(*context_.auth_context());
  if (!certificate.ok()) return End({Refusal::kStranger, certificate.status()});
  if (!ReleaseHandshake()) return;  // its time was up just now
  if (auto refused = admission_.Admit(*hello, *certificate, kind_, shared_from_this()))
    return End(*std::move(refused));
  admitted_ = true;
  peer_ = hello->from;
  if (turn_ != nullptr && !BeginReplicas()) return;
  QueueFrame(EncodeFrame(MakeHello(core_->names(), peer_.id)));
  ReadOn();
}

void AcceptedStream::TakeTurn(std::shared_ptr<StreamTurn> turn, uint64_t number) {
  turn_ = std::move(turn);
  number_ = number;
}

bool AcceptedStream::BeginReplicas() {
  if (core_->replicas == nullptr) {
    // As a broker says that has never heard of them.
    EndWith(absl::UnimplementedError("this broker has no replicas of others"));
    return false;
  }
  const absl::MutexLock lock(&turn_->mutex);
  if (number_ < turn_->newest) return true;  // replaced already, and about to end
  turn_->newest = number_;
  core_->gate.Run([&] { core_->replicas->OnReplicaStreamBegan(peer_, *LaneOf(kind_)); });
  return true;
}

std::optional<Refused> AcceptedStream::OnReplicaFrame(grpc::Slice slice) {
  read_.Clear();  // the frame's memory is the frame's
  const Bytes frame = ToBytes(std::move(slice));
  if (frame.size() > limits::kReplicaFrameBytes) {
    return Malformed(absl::InvalidArgumentError(Concat(
        "a frame of replicas has ", frame.size(), " bytes, at most ", limits::kReplicaFrameBytes,
        " are "
        "taken")));
  }
  Count(core_->counts.replica_frames_received);
  Count(core_->counts.replica_bytes_received, frame.size());
  const size_t cost = frame.size() + kReplicaFrameCost;
  {
    const absl::MutexLock lock(&mutex_);
    credit_bytes_ += cost;
  }
  auto credit = std::make_shared<const Credit>(weak_from_this(), cost);
  const absl::MutexLock lock(&turn_->mutex);
  if (turn_->newest != number_) return std::nullopt;
  core_->gate.Run(
      [&] { core_->replicas->OnReplicaFrame(peer_, *LaneOf(kind_), frame, std::move(credit)); });
  return std::nullopt;
}

void AcceptedStream::GiveBack(size_t credit) {
  {
    const absl::MutexLock lock(&mutex_);
    BASCULE_CHECK_GE(credit_bytes_, credit);
    credit_bytes_ -= credit;
  }
  ReadNext();
}

std::optional<Refused> AcceptedStream::OnFrame(std::string_view bytes) {
  auto frame = DecodeFrame(bytes);
  if (!frame.ok()) return Malformed(frame.status());
  return std::visit([this](auto&& kind) { return Take(std::forward<decltype(kind)>(kind)); },
                    *std::move(frame));
}

template <typename Other>
std::optional<Refused> AcceptedStream::Take(const Other&) {
  return Malformed(absl::InvalidArgumentError("a frame that has no place on this stream"));
}

std::optional<Refused> AcceptedStream::Take(Message message) {
  if (kind_ != ChannelKind::kControl) return Take<Message>(message);
  PeerHandler* handler = core_->HandlerOf(message.service);
  if (handler == nullptr) {
    Count(core_->counts.messages_unclaimed);
    return std::nullopt;
  }
  core_->gate.Run([&] { handler->OnPeerMessage(peer_, std::move(message.body)); });
  return std::nullopt;
}

std::optional<Refused> AcceptedStream::Take(Call call) {
  if (kind_ != ChannelKind::kControl) return Take<Call>(call);
  PeerHandler* handler = core_->HandlerOf(call.service);
  size_t unanswered = 0;
  {
    const absl::MutexLock lock(&mutex_);
    unanswered = unanswered_;
  }
  auto respond = Responder(call.id, call.body.size());
  if (handler == nullptr) {
    Count(core_->counts.messages_unclaimed);
    respond(absl::UnimplementedError(
        Concat("this broker has no service ", static_cast<int>(call.service))));
  } else if (unanswered >= limits::kPeerCalls) {
    respond(absl::ResourceExhaustedError(
        Concat(unanswered, " calls of this broker are not answered yet")));
  } else {
    core_->gate.Run([&] {
      handler->OnPeerCall(peer_, std::move(call.body), call.timeout, std::move(respond));
    });
  }
  return std::nullopt;
}

std::optional<Refused> AcceptedStream::Take(BulkBegin begin) {
  if (kind_ != ChannelKind::kBulk) return Take<BulkBegin>(begin);
  if (body_of_.has_value())
    return Malformed(absl::InvalidArgumentError("a body begins within another"));
  body_of_ = std::move(begin);
  return body_of_->length == 0 ? FinishBody() : std::nullopt;
}

std::optional<Refused> AcceptedStream::Take(BulkData data) {
  if (kind_ != ChannelKind::kBulk || !body_of_.has_value()) return Take<BulkData>(data);
  if (data.data.empty() || data.data.size() > body_of_->length - body_.size()) {
    return Malformed(
        absl::InvalidArgumentError("a piece of a body is empty or longer than what is missing"));
  }
  // Memory is taken for what has come, not for what was announced.
  body_ += data.data;
  return body_.size() == body_of_->length ? FinishBody() : std::nullopt;
}

std::optional<Refused> AcceptedStream::Take(BulkAbort abort) {
  if (kind_ != ChannelKind::kBulk || !body_of_.has_value()) return Take<BulkAbort>(abort);
  body_of_.reset();
  std::string().swap(body_);
  return std::nullopt;
}

std::optional<Refused> AcceptedStream::FinishBody() {
  BulkBegin begin = *std::exchange(body_of_, std::nullopt);
  std::string body;
  body.swap(body_);
  if (ExtendCrc32c(Crc32c(begin.header), body) != begin.crc) {
    return Malformed(absl::DataLossError(
        Concat("a body of ", body.size(), " bytes does not match its checksum")));
  }
  Count(core_->counts.bulk_received);
  auto respond = Responder(begin.id, body.size() + begin.header.size());
  PeerHandler* handler = core_->HandlerOf(begin.service);
  if (handler == nullptr) {
    Count(core_->counts.messages_unclaimed);
    respond(absl::UnimplementedError(
        Concat("this broker has no service ", static_cast<int>(begin.service))));
    return std::nullopt;
  }
  core_->gate.Run([&] {
    handler->OnPeerBulk(peer_, std::move(begin.header), std::move(body), std::move(respond));
  });
  return std::nullopt;
}

PeerHandler::Respond AcceptedStream::Responder(uint64_t id, size_t weight) {
  {
    const absl::MutexLock lock(&mutex_);
    ++unanswered_;
    unanswered_bytes_ += weight;
  }
  return RespondOnce([weak = weak_from_this(), id, weight](absl::StatusOr<std::string> result) {
    if (const auto stream = weak.lock()) stream->Answer(id, weight, std::move(result));
  });
}

void AcceptedStream::Answer(uint64_t id, size_t weight, absl::StatusOr<std::string> result) {
  {
    const absl::MutexLock lock(&mutex_);
    BASCULE_CHECK_GT(unanswered_, 0U);
    BASCULE_CHECK_GE(unanswered_bytes_, weight);
    --unanswered_;
    unanswered_bytes_ -= weight;
  }
  if (result.ok() && result->size() > limits::kPeerFrameBytes) {
    result =
        absl::ResourceExhaustedError(Concat("the answer has ", result->size(), " bytes, at most ",
                                            limits::kPeerFrameBytes, " can be sent"));
  }
  QueueFrame(EncodeFrame(peer::Answer{id, std::move(result)}));
  ReadNext();
}

void AcceptedStream::QueueFrame(std::string frame) {
  {
    const absl::MutexLock lock(&mutex_);
    if (over_) return;
    answer_bytes_ += frame.size();
    answers_.push_back(std::move(frame));
  }
  WriteNext();
}

void AcceptedStream::WriteNext() {
  if (!Enter()) return;
  std::string frame;
  {
    const absl::MutexLock lock(&mutex_);
    if (!writing_ && !answers_.empty()) {
      frame = std::move(answers_.front());
      answers_.pop_front();
      BASCULE_CHECK_GE(answer_bytes_, frame.size());
      answer_bytes_ -= frame.size();
      writing_ = true;
    }
  }
  if (!frame.empty()) {
    Count(core_->counts.messages_sent);
    Count(core_->counts.bytes_sent, frame.size());
    write_ = ToByteBuffer(frame);
    StartWrite(&write_);
  }
  Leave();
}

// The frame that was read has been dealt with; till here nobody reads beside.
void AcceptedStream::ReadOn() {
  {
    const absl::MutexLock lock(&mutex_);
    reading_ = false;
  }
  ReadNext();
}

void AcceptedStream::ReadNext() {
  if (!Enter()) return;
  bool read = false;
  {
    const absl::MutexLock lock(&mutex_);
    read = !reading_ && answer_bytes_ <= limits::kPeerQueueBytes &&
           unanswered_bytes_ <= limits::kPeerBulkBytes &&
           credit_bytes_ < limits::kReplicaCreditBytes;
    reading_ |= read;
  }
  if (read) StartRead(&read_);
  Leave();
}

bool AcceptedStream::Enter() {
  const absl::MutexLock lock(&mutex_);
  if (over_) return false;
  ++entered_;
  return true;
}

void AcceptedStream::Leave() {
  absl::Status end;
  {
    const absl::MutexLock lock(&mutex_);
    BASCULE_CHECK_GT(entered_, 0U);
    if (--entered_ > 0 || !over_ || writing_ || finished_) return;
    finished_ = true;
    end = end_;
  }
  Finish(ToGrpc(end));
}

void AcceptedStream::OnWriteDone(bool ok) {
  {
    const absl::MutexLock lock(&mutex_);
    writing_ = false;
    ++entered_;
  }
  Leave();  // finishes what ended while it wrote
  if (!ok) return EndWith(absl::CancelledError("the connection broke"));
  WriteNext();
  ReadNext();
}

void AcceptedStream::EndWith(const absl::Status& status) {
  bool writing = false;
  {
    const absl::MutexLock lock(&mutex_);
    if (over_) return;
    over_ = true;
    end_ = status;
    answers_.clear();
    answer_bytes_ = 0;
    writing = writing_;
    ++entered_;
  }
  ReleaseHandshake();
  // What is being written may go out, but a peer that does not read must not keep the stream.
  if (writing) {
    core_->deadlines->After(kLastWrite, [weak = weak_from_this()] {
      if (const auto stream = weak.lock()) stream->CutOff();
    });
  }
  Leave();
}

void AcceptedStream::CutOff() {
  {
    const absl::MutexLock lock(&mutex_);
    if (finished_) return;
    ++entered_;  // the context stays
  }
  context_.TryCancel();
  Leave();
}

void AcceptedStream::End(Refused why) {
  {
    const absl::MutexLock lock(&mutex_);
    if (over_) return;
  }
  core_->refusals.Note(why, remote_);
  EndWith(why.status);
}

void AcceptedStream::OnCancel() { EndWith(absl::CancelledError()); }

void AcceptedStream::OnDone() { const std::shared_ptr<AcceptedStream> last = std::move(self_); }

}  // namespace bascule::peer
