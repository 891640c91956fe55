#include "replication/peer/dialed_stream.h"

#include <grpcpp/generic/generic_stub.h>

#include <utility>

#include "absl/synchronization/mutex.h"
#include "core/base/text.h"

namespace bascule::peer {

DialedStream::DialedStream(std::shared_ptr<PeerCore> core, std::shared_ptr<grpc::Channel> channel,
                           const char* method, Destination destination,
                           std::shared_ptr<StreamOwner> owner)
    : core_(std::move(core)),
      channel_(std::move(channel)),
      method_(method),
      destination_(std::move(destination)),
      owner_(std::move(owner)) {}

std::shared_ptr<DialedStream> DialedStream::Make(std::shared_ptr<PeerCore> core,
                                                 std::shared_ptr<grpc::Channel> channel,
                                                 const char* method, Destination destination,
                                                 std::shared_ptr<StreamOwner> owner) {
  std::shared_ptr<DialedStream> stream(new DialedStream(std::move(core), std::move(channel), method,
                                                        std::move(destination), std::move(owner)));
  stream->self_ = stream;
  stream->core_->CallBegins();
  return stream;
}

void DialedStream::Start() {
  const auto self = shared_from_this();  // it may end before this returns
  grpc::GenericStub stub(channel_);
  stub.PrepareBidiStreamingCall(&context_, method_, {}, this);
  AddHold();
  const TimerId timer =
      core_->deadlines->After(limits::kPeerHandshakeTimeout, [weak = weak_from_this()] {
        if (const auto stream = weak.lock()) {
          stream->Close(absl::DeadlineExceededError(Concat(
              "no answer to our hello within ", limits::kPeerHandshakeTimeout.count(), " s")));
        }
      });
  {
    const absl::MutexLock lock(&mutex_);
    handshake_ = timer;
  }
  write_ = ToByteBuffer(EncodeFrame(MakeHello(core_->names(), destination_.id)));
  StartWrite(&write_);
  StartRead(&read_);
  StartCall();
}

void DialedStream::Wake() {
  {
    const absl::MutexLock lock(&mutex_);
    wake_ = true;
    if (!open_ || over_ || writing_) return;
    writing_ = true;
  }
  Advance();
}

// Holds the write token.
void DialedStream::Advance() {
  while (true) {
    bool rest = false;
    bool let_go = false;
    {
      const absl::MutexLock lock(&mutex_);
      BASCULE_CHECK(writing_);
      rest = over_ || !open_ || !wake_;
      let_go = rest && over_ && LetGo();
      (rest ? writing_ : wake_) = false;
    }
    if (let_go) RemoveHold();
    if (rest) return;
    std::optional<grpc::ByteBuffer> frame = owner_->NextFrame();
    if (!frame.has_value()) continue;
    Count(core_->counts.messages_sent);
    Count(core_->counts.bytes_sent, frame->Length());
    write_.Swap(&*frame);
    // After the end too: it fails at once, and the hold is still ours.
    StartWrite(&write_);
    return;
  }
}

bool DialedStream::LetGo() { return std::exchange(held_, false); }

void DialedStream::End() {
  bool let_go = false;
  {
    const absl::MutexLock lock(&mutex_);
    over_ = true;
    let_go = !writing_ && LetGo();
  }
  if (let_go) RemoveHold();
}

void DialedStream::Close(absl::Status why) {
  {
    const absl::MutexLock lock(&mutex_);
    if (over_) return;
    if (reason_.ok()) reason_ = std::move(why);
  }
  context_.TryCancel();
}

void DialedStream::OnWriteDone(bool ok) {
  write_.Clear();  // what it holds is not ours
  {
    const absl::MutexLock lock(&mutex_);
    wake_ = true;
    if (!ok) over_ = true;
  }
  Advance();
}

void DialedStream::OnReadDone(bool ok) {
  if (!ok) return End();
  grpc::Slice held;
  const absl::Status status = OnBytes(ViewOf(read_, held));
  if (!status.ok()) {
    Close(status);
    return End();
  }
  StartRead(&read_);
}

absl::Status DialedStream::OnBytes(std::string_view bytes) {
  bool open = false;
  {
    const absl::MutexLock lock(&mutex_);
    if (!reason_.ok()) return reason_;
    open = open_;
  }
  if (!open) return OnHello(bytes);
  Count(core_->counts.messages_received);
  Count(core_->counts.bytes_received, bytes.size());
  ASSIGN_OR_RETURN(Frame frame, DecodeFrame(bytes));
  return owner_->OnFrame(std::move(frame));
}

absl::Status DialedStream::OnHello(std::string_view bytes) {
  ASSIGN_OR_RETURN(const Hello hello, DecodeHello(bytes));
  // TLS has compared the certificate with the server id that was dialled; this compares the hello.
  ASSIGN_OR_RETURN(const auto certificate,
                   core_->credentials.AuthenticatedServerId(*context_.auth_context()));
  const LocalNames names = core_->names();
  if (auto refused = CheckHello(hello, names, certificate, &destination_.server_id)) {
    core_->refusals.Note(*refused, destination_.address);
    return refused->status;
  }
  if (hello.from.id != destination_.id) {
    return absl::FailedPreconditionError(
        Concat("node ", hello.from.id, " answers, not node ", destination_.id));
  }
  owner_->OnOpen(hello.from);
  TimerId timer = 0;
  {
    const absl::MutexLock lock(&mutex_);
    open_ = true;
    timer = std::exchange(handshake_, 0);
  }
  core_->deadlines->Cancel(timer);
  Wake();
  return absl::OkStatus();
}

void DialedStream::OnDone(const grpc::Status& status) {
  absl::Status why;
  TimerId timer = 0;
  {
    const absl::MutexLock lock(&mutex_);
    why = reason_;
    timer = std::exchange(handshake_, 0);
  }
  core_->deadlines->Cancel(timer);
  if (why.ok()) {
    why = status.ok() ? absl::UnavailableError("the other side ended the connection")
                      : absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                                     status.error_message());
  }
  std::exchange(owner_, nullptr)->OnClosed(why);
  const std::shared_ptr<PeerCore> core = core_;
  self_.reset();  // may be the end of this object
  core->CallEnds();
}

}  // namespace bascule::peer
