#include "nats_bridge/ingest_connection.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <system_error>
#include <utility>

#include "core/base/check.h"
#include "core/base/logging.h"
#include "core/base/text.h"
#include "nats_bridge/bridge_limits.h"
#include "nats_bridge/login.h"

namespace bascule::nats {
namespace {

// Of one connection, before the thread looks after everything else again.
constexpr int kReceivesInARow = 8;

// Of server order and back-off: SplitMix64.
class DelayRng : public Rng {
 public:
  explicit DelayRng(uint64_t seed) : state_(seed) {}
  uint64_t Next() override {
    uint64_t z = state_ += 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
  }

 private:
  uint64_t state_;
};

// OpenSSL writes to sockets that were closed.
void BlockSigpipe() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

}  // namespace

IngestConnection::IngestConnection(const NatsOptions& options, IngestTarget& target, Clock& clock,
                                   std::unique_ptr<Rng> rng, ServerPool pool)
    : options_(options),
      target_(target),
      clock_(clock),
      rng_(std::move(rng)),
      pool_(std::move(pool)),
      subscriptions_(clock) {}

absl::StatusOr<std::unique_ptr<IngestConnection>> IngestConnection::Start(
    const NatsOptions& options, IngestTarget& target, Clock& clock, uint64_t seed) {
  // What no waiting mends.
  RETURN_IF_ERROR(ReadLogin(options).status());
  RETURN_IF_ERROR(CheckTlsFiles(options.tls));
  if (NeedsTls(options)) RETURN_IF_ERROR(MakeTlsContext(options.tls).status());
  auto rng = std::make_unique<DelayRng>(seed);
  ASSIGN_OR_RETURN(ServerPool pool, ServerPool::Make(options.urls, *rng));
  std::unique_ptr<IngestConnection> connection(
      new IngestConnection(options, target, clock, std::move(rng), std::move(pool)));
  RETURN_IF_ERROR(connection->Open());
  return connection;
}

absl::Status IngestConnection::Open() {
  epoll_fd_ = epoll_create1(EPOLL_CLOEXEC);
  wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;
  if (epoll_fd_ < 0 || wake_fd_ < 0 || epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, wake_fd_, &event) != 0)
    return absl::InternalError(
        Concat("nats: no event loop for the ingest connection: ", strerror(errno)));
  try {
    thread_ = std::thread([this] { Run(); });  // joined by Stop
    pthread_setname_np(thread_.native_handle(), "nats-ingest");
  } catch (const std::system_error& e) {
    return absl::InternalError(Concat("nats: no thread for the ingest connection: ", e.what()));
  }
  return absl::OkStatus();
}

IngestConnection::~IngestConnection() {
  Stop();
  if (wake_fd_ >= 0) close(wake_fd_);
  if (epoll_fd_ >= 0) close(epoll_fd_);
}

void IngestConnection::Stop() {
  {
    const absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (!thread_.joinable()) return;
  Wake();
  thread_.join();
}

void IngestConnection::Wake() {
  const uint64_t one = 1;
  const ssize_t n = write(wake_fd_, &one, sizeof(one));
  BASCULE_CHECK(n == sizeof(one) || errno == EAGAIN);  // EAGAIN: it is awake anyway
}

std::shared_ptr<IngestSubscription> IngestConnection::Subscribe(
    std::string subject, std::string group, std::shared_ptr<SubscriptionHandler> handler) {
  auto subscription = std::make_shared<IngestSubscription>(std::move(subject), std::move(group),
                                                           std::move(handler));
  bool first = false;
  {
    const absl::MutexLock lock(&mutex_);
    first = added_.empty() && removed_.empty();
    added_.push_back(subscription);
  }
  if (first) Wake();
  return subscription;
}

void IngestConnection::Unsubscribe(std::shared_ptr<IngestSubscription> subscription) {
  BASCULE_CHECK(subscription != nullptr);
  bool first = false;
  {
    const absl::MutexLock lock(&mutex_);
    first = added_.empty() && removed_.empty();
    removed_.push_back(std::move(subscription));
  }
  if (first) Wake();
}

std::string IngestConnection::server_url() const {
  const absl::MutexLock lock(&mutex_);
  return connected() ? server_url_ : std::string();
}

// --- the thread ---

void IngestConnection::Run() {
  thread_id_ = std::this_thread::get_id();
  BlockSigpipe();
  while (TakeRequests()) {
    Tick();
    SendAll();
    WaitAndServe();
    if (drained_now_) FinishMove();
  }
  present_ = Slot();
  next_ = Slot();
  connected_.store(false, std::memory_order_release);
}

// False: the connection is to end.
bool IngestConnection::TakeRequests() {
  std::vector<std::shared_ptr<IngestSubscription>> added;
  std::vector<std::shared_ptr<IngestSubscription>> removed;
  {
    const absl::MutexLock lock(&mutex_);
    if (stopping_) return false;
    added.swap(added_);
    removed.swap(removed_);
  }
  IngestSession* session = ready() ? &present_.link->session() : nullptr;
  for (auto& subscription : added) subscriptions_.Add(std::move(subscription));
  for (const auto& subscription : removed) subscriptions_.Remove(*subscription, session);
  if (session != nullptr && !drained_.has_value() && subscriptions_.pending())
    subscriptions_.SendPending(*session);
  return true;
}

void IngestConnection::SendAll() {
  for (Slot* slot : {&present_, &next_}) {
    if (slot->link == nullptr) continue;
    speaking_ = slot;
    absl::Status status = slot->link->Proceed();
    speaking_ = nullptr;
    if (status.ok()) status = Arm(*slot);
    if (!status.ok()) OnEnded(*slot, status);
  }
}

absl::Status IngestConnection::Arm(Slot& slot) {
  const ServerLink& link = *slot.link;
  uint32_t wanted = link.wants_write() ? static_cast<uint32_t>(EPOLLOUT) : 0U;
  // While it connects there is nothing to be read; while TLS begins there is.
  if (link.steps() > 0 && reads(slot)) wanted |= static_cast<uint32_t>(EPOLLIN);
  // A socket that is dialled may be another one than before, of the same number.
  if (slot.in_epoll && slot.waits_for == wanted && link.steps() > 0) return absl::OkStatus();
  epoll_event event{};
  event.events = wanted;
  event.data.ptr = &slot;
  // Not even its end wakes this thread while nothing is wanted: it would do so again and again.
  if (wanted == 0) {
    epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, link.fd(), nullptr);
    slot.in_epoll = false;
  } else {
    if (epoll_ctl(epoll_fd_, EPOLL_CTL_MOD, link.fd(), &event) != 0 &&
        epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, link.fd(), &event) != 0)
      return absl::UnavailableError(Concat("its socket cannot be waited for: ", strerror(errno)));
    slot.in_epoll = true;
  }
  slot.waits_for = wanted;
  return absl::OkStatus();
}

void IngestConnection::WaitAndServe() {
  std::array<epoll_event, 4> events;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(TimeLeft());
  const int n = epoll_wait(epoll_fd_, events.data(), static_cast<int>(events.size()),
                           static_cast<int>(left.count()));
  bool present = present_.link != nullptr && present_.link->holds_bytes();
  bool next = next_.link != nullptr && next_.link->holds_bytes();
  for (int i = 0; i < n; ++i) {
    const void* const source = events[static_cast<size_t>(i)].data.ptr;
    if (source == nullptr) {
      uint64_t count = 0;
      [[maybe_unused]] const ssize_t drained = read(wake_fd_, &count, sizeof(count));
    }
    present = present || source == &present_;
    next = next || source == &next_;
  }
  if (present) Serve(present_);
  if (next) Serve(next_);
}

void IngestConnection::Serve(Slot& slot) {
  if (slot.link == nullptr) return;
  speaking_ = &slot;
  absl::Status status = slot.link->Proceed();
  if (status.ok()) status = ReceiveFrom(slot);
  speaking_ = nullptr;
  if (!status.ok()) OnEnded(slot, status);
}

absl::Status IngestConnection::ReceiveFrom(Slot& slot) {
  ServerLink& link = *slot.link;
  for (int i = 0; i < kReceivesInARow && link.may_receive() && reads(slot); ++i) {
    const absl::StatusOr<bool> more = link.Receive();
    target_.EndOfReceive();  // also of what came before it broke
    RETURN_IF_ERROR(more.status());
    counts_.receives.fetch_add(1, std::memory_order_relaxed);
    RETURN_IF_ERROR(link.Proceed());
    if (&slot == &present_ && ready()) PauseIfCrowded();
    if (!*more) break;
  }
  return absl::OkStatus();
}

// --- back-pressure ---

void IngestConnection::PauseIfCrowded() {
  if (!target_.Crowded(present_.link->wanted())) {
    overrun_ = false;
    return;
  }
  if (overrun_ || paused_) return;
  paused_ = true;
  starved_ = true;
  paused_since_ = clock_.Monotonic();
  counts_.pauses.fetch_add(1, std::memory_order_relaxed);
}

void IngestConnection::TickPause() {
  if (!paused_) return;
  const MonotonicTime now = clock_.Monotonic();
  if (!target_.Crowded(present_.link->wanted())) {
    paused_ = false;
  } else if (Between(paused_since_, now) >= limits::kNatsPauseMax) {
    paused_ = false;
    overrun_ = true;
    counts_.overruns.fetch_add(1, std::memory_order_relaxed);
  }
}

// --- time ---

Duration IngestConnection::TimeLeft() const {
  if (paused_) return limits::kNatsPauseLook;
  const MonotonicTime now = clock_.Monotonic();
  MonotonicTime at = Add(now, limits::kNatsHeartbeat);
  const auto sooner = [&at](MonotonicTime other) { at = std::min(at, other); };
  for (const Slot* slot : {&present_, &next_}) {
    if (slot->link == nullptr || slot->link->ready()) continue;
    if (slot->link->holds_bytes()) return Duration::zero();
    sooner(Add(slot->since, may_be_tls_first(*slot->link) ? limits::kNatsTlsFirstWait
                                                          : limits::kNatsConnectTimeout));
  }
  if (ready()) {
    if (present_.link->holds_bytes()) return Duration::zero();
    sooner(ping_at_);
  }
  if (present_.link == nullptr || may_dial_next()) sooner(retry_at_);
  return std::max(Between(now, at), Duration::zero());
}

void IngestConnection::Tick() {
  DialWhatIsDue();
  TickAttempt(present_);
  TickAttempt(next_);
  if (!ready()) return;
  TickPause();
  TickReady();
}

// Silence is counted in heartbeats of this thread, so that one that stood still itself does not blame the
// server.
void IngestConnection::TickReady() {
  const MonotonicTime now = clock_.Monotonic();
  if (now < ping_at_) return;
  ping_at_ = Add(now, limits::kNatsHeartbeat);
  ServerLink& link = *present_.link;
  const bool heard = std::exchange(heard_bytes_, link.received_bytes()) != link.received_bytes();
  silent_beats_ = heard || paused_ ? 0 : silent_beats_ + 1;
  if (silent_beats_ >= limits::kNatsMaxPingsOut) {
    return OnEnded(present_, absl::UnavailableError(
                                 Concat("the server has been silent for ",
                                        limits::kNatsMaxPingsOut * limits::kNatsHeartbeat.count(),
                                        " ms (stale connection)")));
  }
  // Not ever more of them while none is answered: they would be found all at once.
  if (!drained_.has_value() && link.session().pings_out() <= limits::kNatsMaxPingsOut)
    subscriptions_.SendHeartbeat(link.session());
}

void IngestConnection::TickAttempt(Slot& slot) {
  if (slot.link == nullptr || slot.link->ready()) return;
  const MonotonicTime now = clock_.Monotonic();
  ServerLink& link = *slot.link;
  if (link.steps() != slot.steps) {
    slot.steps = link.steps();
    slot.since = now;
  }
  const Duration waited = Between(slot.since, now);
  if (waited >= limits::kNatsConnectTimeout) {
    return OnEnded(slot, absl::UnavailableError(Concat(
                             "no answer within ", limits::kNatsConnectTimeout.count(), " ms")));
  }
  if (!may_be_tls_first(link) || waited < limits::kNatsTlsFirstWait) return;
  tls_first_.insert(HostPort(link.server().url));
  if (const absl::Status begun = link.BeginTls(); !begun.ok()) OnEnded(slot, begun);
}

// --- what a server tells ---

void IngestConnection::OnMessage(uint64_t sid, const BusMessage& message) {
  if (speaking_ == &present_) subscriptions_.OnMessage(sid, message);
}

void IngestConnection::OnInfo(const ServerInfo& info) {
  // Before it has let this client in nobody knows who it is.
  if (speaking_ != &present_ || !ready()) return;
  LearnServers(info);
  max_payload_.store(info.max_payload, std::memory_order_relaxed);
  if (info.lame_duck && !moving_) BeginMove();
}

// While another server is dialled the pool stands at that one.
void IngestConnection::LearnServers(const ServerInfo& info) {
  if (HostPort(pool_.current().url) == HostPort(present_.link->server().url))
    pool_.Learn(info.connect_urls);
}

void IngestConnection::OnPong(uint64_t ping) {
  constexpr uint64_t kLoginPing = 1;
  if (speaking_ == &next_) {
    if (ping == kLoginPing && ready()) drained_ = subscriptions_.Drain(present_.link->session());
    return;
  }
  if (ping == kLoginPing) return NoteReady();
  subscriptions_.OnPong(ping);
  starved_ = false;
  if (drained_.has_value()) {
    drained_now_ = drained_now_ || ping >= *drained_;
    return;
  }
  if (subscriptions_.pending()) subscriptions_.SendPending(present_.link->session());
  if (settling_ && subscriptions_.settled()) NoteSettled();
}

void IngestConnection::OnServerError(std::string_view text) {
  if (speaking_ != &present_) return;
  counts_.errors.fetch_add(1, std::memory_order_relaxed);
  if (subscriptions_.OnServerError(text)) return;
  last_error_ = text;
  LogWarning(kIngestLabel, ": the server says: ", text);
}

}  // namespace bascule::nats
