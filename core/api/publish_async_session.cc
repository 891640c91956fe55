#include "core/api/publish_async_session.h"

#include <grpc/support/time.h>
#include <grpcpp/support/slice.h>

#include <utility>

#include "absl/synchronization/mutex.h"
#include "core/api/grpc_status.h"
#include "core/wire/ack.h"
#include "core/wire/coding.h"

namespace bascule::api {
namespace {

using Reactor = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

class RefusedSession final : public Reactor {
 public:
  explicit RefusedSession(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

gpr_timespec After(Duration duration) {
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                      gpr_time_from_nanos(duration.count(), GPR_TIMESPAN));
}

// The bytes of a received message as one piece, without a copy when they are one.
grpc::Slice Flat(const grpc::ByteBuffer& buffer) {
  grpc::Slice slice;
  if (!buffer.TrySingleSlice(&slice).ok() && !buffer.DumpToSingleSlice(&slice).ok())
    return grpc::Slice();
  return slice;
}

std::string_view View(const grpc::Slice& slice) {
  return std::string_view(reinterpret_cast<const char*>(slice.begin()), slice.size());
}

// A slice that owns `bytes`.
grpc::Slice Own(std::string bytes) {
  auto* owner = new std::string(std::move(bytes));
  return grpc::Slice(
      owner->data(), owner->size(), [](void* user) { delete static_cast<std::string*>(user); },
      owner);
}

}  // namespace

Reactor* PublishAsyncSession::Begin(ApiState& state) {
  auto session = std::shared_ptr<PublishAsyncSession>(new PublishAsyncSession(state));
  // The inbox dies in OnDone, after its last callback: a plain pointer is enough for it.
  auto inbox = state.ports.bus.OpenAckInbox(
      std::nullopt,
      [session = session.get()](std::string_view ack) { return session->OnAck(ack); });
  if (!inbox.ok()) {
    return new RefusedSession(
        grpc::Status(grpc::StatusCode::UNAVAILABLE, BusFailureText(inbox.status())));
  }
  session->inbox_ = *std::move(inbox);
  session->self_ = session;
  session->StartRead(&session->request_);
  return session.get();
}

PublishAsyncSession::PublishAsyncSession(ApiState& state)
    : state_(state), targets_(state.ports.catalog), window_(state.ports.rng) {}

void PublishAsyncSession::OnReadDone(bool ok) {
  if (!ok) {
    bool drain;
    {
      const absl::MutexLock lock(&mutex_);
      read_ = ReadSide::kClosed;
      drain = !window_.empty() && !cancelled_;
    }
    if (drain) {
      // Weak: an alarm keeps its function, and the session keeps the alarm.
      drain_alarm_.Set(After(limits::kAckDrainTimeout), [weak = weak_from_this()](bool) {
        if (auto session = weak.lock()) session->OnDrainTimeout();
      });
    }
    return MaybeFinish();
  }
  const grpc::Slice request = Flat(request_);
  request_.Clear();
  AsyncError error;
  if (!Publish(View(request), error)) {
    bool start;
    {
      const absl::MutexLock lock(&mutex_);
      if (TakePlace()) outbox_.AddError(view_.message.correlation_id, error);
      start = StartWriting();
    }
    if (start) WriteNext();
  }
  ReadOn();
}

bool PublishAsyncSession::Publish(std::string_view request, AsyncError& error) {
  PublishMessage& message = view_.message;
  if (!ParsePublishRequest(request, view_)) {
    error = {AsyncErrorCode::kBadRequest, "the request is not a proto.PublishRequest"};
    return false;
  }
  auto target = targets_.Find(message.stream, view_.partition, message.ack_policy);
  if (!target.ok()) {
    error = ToAsyncError(target.status());
    return false;
  }
  if (absl::Status headers = CheckHeaders(view_.headers); !headers.ok()) {
    error = ToAsyncError(headers);
    return false;
  }
  message.subject = (*target)->subject;
  message.ack_inbox = inbox_->subject();  // a client's own is overridden
  const bool awaits_ack = message.ack_policy != static_cast<int32_t>(AckPolicy::kNone);
  const std::string_view client_id = message.correlation_id;
  {
    const absl::MutexLock lock(&mutex_);
    InFlightWindow::Request waiting{std::string(client_id), *target};
    // Under policy NONE errors are told all the same.
    message.correlation_id =
        awaits_ack ? window_.Add(state_.ports.clock.Monotonic(), request.size(), std::move(waiting))
                   : window_.AddUnawaited(std::move(waiting));
  }
  absl::Status status = CheckPayload(message, state_.ports.bus.max_payload());
  if (status.ok()) status = state_.ports.bus.Publish(message.subject, message);
  const std::string_view wire_id = std::exchange(message.correlation_id, client_id);
  if (status.ok()) return true;
  {
    const absl::MutexLock lock(&mutex_);
    window_.Release(wire_id);
  }
  error = {AsyncErrorCode::kInternal, BusFailureText(status)};
  return false;
}

void PublishAsyncSession::ReadOn() {
  bool read;
  {
    const absl::MutexLock lock(&mutex_);
    if (cancelled_ || overflowed_) {
      read_ = ReadSide::kClosed;
    } else if (!window_.HasRoom(outbox_.ends.size() + being_written_)) {
      read_ = ReadSide::kPaused;
      ArmExpiry();
    }
    read = read_ == ReadSide::kWithGrpc;
  }
  read ? StartRead(&request_) : MaybeFinish();
}

AckVerdict PublishAsyncSession::OnAck(std::string_view ack) {
  wire::AckView view;
  if (!wire::ParseAck(ack, view)) return AckVerdict::kUnmatched;
  bool start;
  bool read = false;
  {
    const absl::MutexLock lock(&mutex_);
    const InFlightWindow::Request* request = window_.Find(view.correlation_id);
    if (request == nullptr) return AckVerdict::kUnmatched;
    const AckVerdict verdict = VerdictOn(view, request->target.get(), state_.ports.catalog);
    if (verdict != AckVerdict::kTaken) return verdict;
    const InFlightWindow::Request answered = window_.Release(view.correlation_id);
    view.correlation_id = answered.correlation_id;
    view.stream_id = view.leader_epoch = 0;  // between brokers only
    view.stream_created = view.partition = 0;
    if (finished_ || cancelled_ || overflowed_) return AckVerdict::kTaken;
    if (TakePlace()) {
      if (view.ack_error == 0) {
        outbox_.AddAck(view);
      } else {
        outbox_.AddError(view.correlation_id, AckFailure(view.ack_error, view.outcome_unknown));
      }
    }
    start = StartWriting();
    read = MayReadAgain();
  }
  if (start) WriteNext();
  if (read) StartRead(&request_);
  return AckVerdict::kTaken;
}

bool PublishAsyncSession::TakePlace() {
  if (overflowed_) return false;
  if (outbox_.ends.size() < state_.options.async_outbox_responses &&
      outbox_.bytes.size() < state_.options.async_outbox_bytes)
    return true;
  overflowed_ = true;
  state_.async_overflows.fetch_add(1, std::memory_order_relaxed);
  outbox_.Clear();
  if (read_ == ReadSide::kPaused) read_ = ReadSide::kClosed;
  return false;
}

// Whether the caller got the write token.
bool PublishAsyncSession::StartWriting() {
  if (writing_ || finished_ || cancelled_) return false;
  writing_ = true;
  return true;
}

// Whether the caller has to start a read: the side is marked as with gRPC, so that nobody finishes
// before.
bool PublishAsyncSession::MayReadAgain() {
  if (read_ != ReadSide::kPaused || finished_ || cancelled_) return false;
  if (!window_.HasRoom(outbox_.ends.size() + being_written_)) return false;
  read_ = ReadSide::kWithGrpc;
  return true;
}

void PublishAsyncSession::WriteNext() {
  bool more = next_ < current_.size();
  bool read = false;
  if (!more) {
    bool idle;
    {
      const absl::MutexLock lock(&mutex_);
      std::string bytes;
      bytes.swap(outbox_.bytes);
      current_.swap(outbox_.ends);
      outbox_.ends.clear();
      next_ = 0;
      being_written_ = current_.size();
      idle = current_.empty() || cancelled_;
      if (idle) {
        current_.clear();
        being_written_ = 0;
        writing_ = false;
      } else {
        slice_ = Own(std::move(bytes));
      }
      read = MayReadAgain();
    }
    if (read) StartRead(&request_);
    if (idle) return MaybeFinish();
  }
  const size_t begin = next_ == 0 ? 0 : current_[next_ - 1];
  const grpc::Slice part = slice_.sub(begin, current_[next_]);
  ++next_;
  grpc::ByteBuffer made(&part, 1);
  message_.Swap(&made);
  grpc::WriteOptions options;
  if (next_ < current_.size()) options.set_buffer_hint();
  StartWrite(&message_, options);
}

void PublishAsyncSession::OnWriteDone(bool ok) {
  if (!ok) {
    const absl::MutexLock lock(&mutex_);
    cancelled_ = true;
    current_.clear();
    next_ = 0;
    if (read_ == ReadSide::kPaused) read_ = ReadSide::kClosed;
  }
  WriteNext();
}

void PublishAsyncSession::OnCancel() {
  {
    const absl::MutexLock lock(&mutex_);
    cancelled_ = true;
    if (read_ == ReadSide::kPaused) read_ = ReadSide::kClosed;
  }
  MaybeFinish();
}

void PublishAsyncSession::MaybeFinish() {
  grpc::Status status;
  {
    const absl::MutexLock lock(&mutex_);
    if (finished_ || writing_ || read_ != ReadSide::kClosed) return;
    const bool drained = outbox_.ends.empty() && (window_.empty() || drain_over_);
    if (!cancelled_ && !overflowed_ && !drained) return;
    finished_ = true;
    if (state_.stopping) {
      status = grpc::Status(grpc::StatusCode::UNAVAILABLE, "the server is stopping");
    } else if (cancelled_) {
      status = grpc::Status::CANCELLED;
    } else if (overflowed_) {
      status = grpc::Status(grpc::StatusCode::UNAVAILABLE,
                            "too many acks wait: read the responses of PublishAsync");
    }
  }
  Finish(status);
}

void PublishAsyncSession::OnDrainTimeout() {
  {
    const absl::MutexLock lock(&mutex_);
    drain_over_ = true;
  }
  MaybeFinish();
}

// Publishes without an answer must not keep the session closed.
void PublishAsyncSession::ArmExpiry() {
  if (expiry_armed_ || window_.empty()) return;
  expiry_armed_ = true;
  const Duration wait = Between(state_.ports.clock.Monotonic(), window_.NextExpiry());
  expiry_alarm_.Set(After(wait), [weak = weak_from_this()](bool ok) {
    auto session = weak.lock();
    if (ok && session) session->OnExpiryTimer();
  });
}

void PublishAsyncSession::OnExpiryTimer() {
  bool read;
  {
    const absl::MutexLock lock(&mutex_);
    expiry_armed_ = false;
    if (finished_ || cancelled_) return;
    window_.Expire(state_.ports.clock.Monotonic());
    read = MayReadAgain();
    if (read_ == ReadSide::kPaused) ArmExpiry();
  }
  if (read) StartRead(&request_);
}

void PublishAsyncSession::OnDone() {
  inbox_.reset();  // waits for an ack that is being handled
  drain_alarm_.Cancel();
  expiry_alarm_.Cancel();
  std::shared_ptr<PublishAsyncSession> last = std::move(self_);
}

}  // namespace bascule::api
