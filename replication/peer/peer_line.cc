#include "replication/peer/peer_line.h"

#include <algorithm>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "core/base/logging.h"
#include "core/base/text.h"

namespace bascule::peer {
namespace {

const char* MethodOf(ChannelKind kind) {
  switch (kind) {
    case ChannelKind::kControl:
      return "/bascule.peer.v1.Peer/Control";
    case ChannelKind::kBulk:
      return "/bascule.peer.v1.Peer/Bulk";
    case ChannelKind::kReplicaTail:
      return "/bascule.peer.v1.Peer/ReplicaTail";
    case ChannelKind::kReplicaCatchUp:
      return "/bascule.peer.v1.Peer/ReplicaCatchUp";
    case ChannelKind::kIntroduction:
      break;
  }
  BASCULE_CHECK(false);
  return nullptr;
}

std::string_view NameOf(ChannelKind kind) {
  switch (kind) {
    case ChannelKind::kBulk:
      return "bulk connection";
    case ChannelKind::kReplicaTail:
      return "replication connection";
    case ChannelKind::kReplicaCatchUp:
      return "catch-up connection";
    default:
      return "connection";
  }
}

// What befalls lines of replicas only. Of the rest the control connection tells, and the others end
// when they are idle.
bool IsOfReplicas(ChannelKind kind, const absl::Status& why) {
  return LaneOf(kind).has_value() && (absl::IsUnimplemented(why) || absl::IsInvalidArgument(why) ||
                                      absl::IsResourceExhausted(why) || absl::IsInternal(why));
}

// The same failure is said again after so long.
constexpr std::chrono::seconds kSayAgain{60};
// A connection that stood for so long is dialled again at once; one that is ended as soon as it is
// made is not, else both sides would do nothing else.
constexpr std::chrono::seconds kStood{1};

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
    stream_ =
        DialedStream::Make(core_, channel_, MethodOf(kind_), destination_, shared_from_this());
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
  const std::string broke = Concat(": the ", NameOf(kind_), " broke: ");
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
    opened_ = core_->clock.Monotonic();
    failures_ = 0;
    if (!LaneOf(kind_).has_value()) said_.clear();
  }
  Count(core_->counts.connects);
  if (kind_ == ChannelKind::kControl) LogInfo("peer: connected to ", name());
  WhenOpen(peer);
}

void PeerLine::OnClosed(const absl::Status& why) {
  bool was_open = false;
  bool stood = false;
  bool stopped = false;
  {
    const absl::MutexLock lock(&mutex_);
    was_open = std::exchange(open_, false);
    stood = was_open && Between(opened_, core_->clock.Monotonic()) >= kStood;
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
  if (Wanted()) DialAgain(stood);
}

// `at_once`: others conclude from a broken connection that cannot be made again that the peer is dead.
void PeerLine::DialAgain(bool at_once) {
  Duration delay{0};
  {
    const absl::MutexLock lock(&mutex_);
    if (stopped_ || stream_ != nullptr || waits_) return;
    waits_ = true;
    if (!at_once) delay = Backoff(failures_++);
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
  const bool of_replicas = IsOfReplicas(kind_, why);
  if (kind_ != ChannelKind::kControl && !of_replicas)
    return LogDebug("peer: ", NameOf(kind_), " to ", name(), ": ", FromAbsl(why.message()));
  const bool old = of_replicas && absl::IsUnimplemented(why);
  {
    const absl::MutexLock lock(&mutex_);
    const MonotonicTime now = core_->clock.Monotonic();
    const bool lately = old || Between(said_at_, now) < kSayAgain;
    if ((!was_open || of_replicas) && said_ == FromAbsl(why.message()) && lately) return;
    said_ = std::string(why.message());
    said_at_ = now;
  }
  if (of_replicas) {
    return LogWarning("peer: the ", NameOf(kind_), " to ", name(),
                      " ended: ", absl::StatusCodeToString(why.code()), ": ",
                      Printable(FromAbsl(why.message())),
                      old ? ": it runs a version without replicas: upgrade it" : "",
                      "; dialling again for as long as it takes");
  }
  LogWarning("peer: ", was_open ? "lost " : "cannot connect to ", name(), ": ",
             absl::StatusCodeToString(why.code()), ": ", Printable(FromAbsl(why.message())),
             "; dialling again for as long as it takes");
}

}  // namespace bascule::peer
