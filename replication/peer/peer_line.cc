#include "replication/peer/peer_line.h"

#include <algorithm>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "core/base/logging.h"
#include "core/base/text.h"

namespace bascule::peer {
namespace {

constexpr const char* kControlMethod = "/bascule.peer.v1.Peer/Control";
constexpr const char* kBulkMethod = "/bascule.peer.v1.Peer/Bulk";
// The same failure is said again after so long.
constexpr std::chrono::seconds kSayAgain{60};

Duration Backoff(int failures) {
  const auto whole = limits::kPeerBackoffMin * (1 << std::clamp(failures, 0, 10));
  return std::min<Duration>(whole, limits::kPeerBackoffMax);
}

}  // namespace

std::string PeerLine::name() const {
  return Concat("broker ", Quoted(destination_.server_id), " at ", Quoted(destination_.address));
}

void PeerLine::Dial() {
  std::shared_ptr<DialedStream> stream;
  {
    const absl::MutexLock lock(&mutex_);
    if (stopped_ || stream_ != nullptr || waits_) return;
    if (channel_ == nullptr)
      channel_ = MakeChannel(*core_, destination_.address, destination_.server_id, kind_);
    stream_ = DialedStream::Make(core_, channel_,
                                 kind_ == ChannelKind::kBulk ? kBulkMethod : kControlMethod,
                                 destination_, shared_from_this());
    stream = stream_;
  }
  stream->Start();
}

void PeerLine::DialNow() {
  TimerId retry = 0;
  {
    const absl::MutexLock lock(&mutex_);
    if (!waits_ || stopped_) return;
    waits_ = false;
    failures_ = 0;
    retry = std::exchange(retry_, 0);
  }
  core_->deadlines->Cancel(retry);
  Dial();
}

void PeerLine::Stop(absl::Status why) {
  std::shared_ptr<DialedStream> stream;
  TimerId retry = 0;
  {
    const absl::MutexLock lock(&mutex_);
    stopped_ = true;
    stream = stream_;
    retry = std::exchange(retry_, 0);
    channel_.reset();
  }
  core_->deadlines->Cancel(retry);
  if (stream != nullptr) stream->Close(std::move(why));
}

void PeerLine::End(const absl::Status& why) {
  Stop(why);
  FailPending(TakePending(/*for_good=*/true), why);
}

void PeerLine::FailPending(std::vector<PendingCall> failed, const absl::Status& why) {
  const std::string_view broke =
      kind_ == ChannelKind::kBulk ? ": the bulk connection broke: " : ": the connection broke: ";
  const std::string reason = Printable(FromAbsl(why.message()));
  for (PendingCall& pending : failed) {
    Count(core_->counts.calls_failed);
    absl::Status status = pending.sent ? absl::UnknownError(Concat(name(), broke, reason))
                                       : absl::UnavailableError(Concat(name(), ": ", reason));
    Finish(std::move(pending), std::move(status));
  }
}

void PeerLine::Finish(PendingCall pending, absl::StatusOr<std::string> result) {
  core_->deadlines->Cancel(pending.timer);
  core_->gate.Run([&] { pending.done(std::move(result)); });
}

void PeerLine::HangUp(absl::Status why) {
  std::shared_ptr<DialedStream> stream;
  {
    const absl::MutexLock lock(&mutex_);
    channel_.reset();  // the stream keeps it until it ends
    stream = stream_;
  }
  if (stream != nullptr) stream->Close(std::move(why));
}

void PeerLine::Wake() {
  std::shared_ptr<DialedStream> stream;
  {
    const absl::MutexLock lock(&mutex_);
    stream = stream_;
  }
  if (stream != nullptr) stream->Wake();
}

void PeerLine::OnOpen(const PeerIdentity& peer) {
  {
    const absl::MutexLock lock(&mutex_);
    open_ = true;
    failures_ = 0;
    said_.clear();
  }
  Count(core_->counts.connects);
  if (kind_ == ChannelKind::kControl) LogInfo("peer: connected to ", name());
  WhenOpen(peer);
}

void PeerLine::OnClosed(const absl::Status& why) {
  bool was_open = false;
  bool stopped = false;
  {
    const absl::MutexLock lock(&mutex_);
    was_open = std::exchange(open_, false);
    stopped = stopped_;
  }
  Count(was_open ? core_->counts.disconnects : core_->counts.dial_failures);
  if (!stopped) LogClosed(why, was_open);
  // The stream stands till now, so that nobody dials beside.
  FailPending(TakePending(/*for_good=*/false), why);
  WhenClosed();
  {
    const absl::MutexLock lock(&mutex_);
    stream_.reset();
    // The name may mean another machine by now, and our certificate may be a new one: the next
    // connection resolves the one and takes the other.
    channel_.reset();
  }
  if (Wanted()) DialAgain();
}

void PeerLine::DialAgain() {
  Duration delay{0};
  {
    const absl::MutexLock lock(&mutex_);
    if (stopped_ || stream_ != nullptr || waits_) return;
    waits_ = true;
    delay = Backoff(failures_++);
  }
  const TimerId timer = core_->deadlines->After(delay, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (self == nullptr) return;
    {
      const absl::MutexLock lock(&self->mutex_);
      self->waits_ = false;
      self->retry_ = 0;
    }
    self->Dial();
  });
  const absl::MutexLock lock(&mutex_);
  if (waits_) retry_ = timer;
}

void PeerLine::LogClosed(const absl::Status& why, bool was_open) {
  // The bulk connection ends when it is idle, and the control connection tells of the rest.
  if (kind_ == ChannelKind::kBulk)
    return LogDebug("peer: bulk connection to ", name(), ": ", FromAbsl(why.message()));
  {
    const absl::MutexLock lock(&mutex_);
    const MonotonicTime now = core_->clock.Monotonic();
    if (!was_open && said_ == FromAbsl(why.message()) && Between(said_at_, now) < kSayAgain) return;
    said_ = std::string(why.message());
    said_at_ = now;
  }
  LogWarning("peer: ", was_open ? "lost " : "cannot connect to ", name(), ": ",
             absl::StatusCodeToString(why.code()), ": ", Printable(FromAbsl(why.message())),
             "; dialling again for as long as it takes");
}

}  // namespace bascule::peer
