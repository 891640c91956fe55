#include "nats_bridge/nats_connection.h"

#include <algorithm>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/synchronization/mutex.h"
#include "core/base/check.h"
#include "core/base/logging.h"
#include "core/base/text.h"
#include "core/base/url.h"
#include "nats_bridge/bridge_limits.h"
#include "nats_bridge/control_line.h"
#include "nats_bridge/server_url.h"

namespace bascule::nats {
namespace {

// Drawn by nats.c's threads as well as the keeper: SplitMix64 over an atomic counter.
uint64_t NextJitter(std::atomic<uint64_t>& state) {
  uint64_t z = state.fetch_add(0x9E3779B97F4A7C15, std::memory_order_relaxed);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

}  // namespace

NatsConnection::NatsConnection(NatsOptions options, Clock& clock, uint64_t seed)
    : clock_(clock),
      settings_(std::move(options)),
      jitter_(seed),
      gate_(std::make_shared<CallbackGate>(clock)) {}

absl::StatusOr<std::unique_ptr<NatsConnection>> NatsConnection::Start(const NatsOptions& options,
                                                                      Clock& clock, uint64_t seed) {
  std::unique_ptr<NatsConnection> connection(new NatsConnection(options, clock, seed));
  RETURN_IF_ERROR(connection->loop_.Start());
  RETURN_IF_ERROR(connection->MakeOptions());
  try {
    connection->keeper_ = std::thread([c = connection.get()] { c->Keep(); });  // joined by Stop
  } catch (const std::system_error& e) {
    return absl::InternalError(Concat("nats: no thread for a connection: ", e.what()));
  }
  return connection;
}

absl::Status NatsConnection::MakeOptions() {
  // The digest first: a file that changes in between is read again next time.
  const uint64_t digest = DigestOfFiles(settings_);
  ASSIGN_OR_RETURN(NatsOptionsPtr made, MakeNatsOptions(settings_, "egress"));
  natsOptions* raw = made.get();
  natsStatus s = natsOptions_SetDisconnectedCB(raw, &OnDisconnected, this);
  if (s == NATS_OK) s = natsOptions_SetReconnectedCB(raw, &OnReconnected, this);
  if (s == NATS_OK) s = natsOptions_SetClosedCB(raw, &OnClosed, this);
  if (s == NATS_OK) s = natsOptions_SetErrorHandler(raw, &OnError, this);
  if (s == NATS_OK) s = natsOptions_SetCustomReconnectDelay(raw, &ReconnectDelay, this);
  if (s == NATS_OK) s = loop_.Install(raw);
  RETURN_IF_ERROR(FromNats(s, "options"));
  options_ = std::move(made);
  files_digest_ = digest;
  return absl::OkStatus();
}

NatsConnection::~NatsConnection() { Stop(); }

void NatsConnection::Stop() {
  {
    const absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  work_.SignalAll();
  if (keeper_.joinable()) keeper_.join();
  {
    // nats.c announces the end of each connection last, on a thread of its own, and with a pointer
    // to this object.
    const CondVar::Deadline deadline = CondVar::In(limits::kNatsStopTimeout);
    const absl::MutexLock lock(&mutex_);
    while (unannounced_ != 0 && work_.WaitUntil(mutex_, deadline)) {
    }
  }
  if (!gate_->WaitUntilEmpty(limits::kNatsStopTimeout)) {
    LogWarning(kEgressLabel, ": message callbacks are still running after ",
               limits::kNatsStopTimeout.count(), " s");
  }
}

std::string NatsConnection::server_url() const {
  const absl::MutexLock lock(&mutex_);
  return connected() ? server_url_ : std::string();
}

std::shared_ptr<natsConnection> NatsConnection::Current() const {
  const absl::MutexLock lock(&mutex_);
  return current_;
}

// --- nats.c's threads ---

void NatsConnection::OnDisconnected(natsConnection* nc, void* self) {
  auto* c = static_cast<NatsConnection*>(self);
  if (natsConnection_Status(nc) == NATS_CONN_STATUS_CONNECTED)
    return;  // late news: it is back already
  if (c->connected_.exchange(false)) {
    c->counts_.disconnects.fetch_add(1, std::memory_order_relaxed);
    LogWarning(kEgressLabel, ": lost; reconnecting for as long as it takes");
  }
  {
    const absl::MutexLock lock(&c->mutex_);
    c->wake_ = true;  // were credentials rotated?
  }
  c->work_.SignalAll();
}

void NatsConnection::OnReconnected(natsConnection* /*nc*/, void* self) {
  auto* c = static_cast<NatsConnection*>(self);
  {
    const absl::MutexLock lock(&c->mutex_);
    c->wake_ = true;
  }
  c->work_.SignalAll();
}

void NatsConnection::OnClosed(natsConnection* nc, void* self) {
  auto* c = static_cast<NatsConnection*>(self);
  const absl::MutexLock lock(&c->mutex_);
  BASCULE_CHECK_GT(c->unannounced_, 0);
  --c->unannounced_;
  if (c->current_.get() == nc) {  // not one that was retired
    c->closed_ = true;
    c->connected_.store(false, std::memory_order_release);
  }
  c->work_.SignalAll();  // with the lock held: Stop may return, and this object end, as soon as it
                         // is released
}

void NatsConnection::OnError(natsConnection* nc, natsSubscription* /*sub*/, natsStatus status,
                             void* self) {
  auto* c = static_cast<NatsConnection*>(self);
  c->counts_.errors.fetch_add(1, std::memory_order_relaxed);
  // The text of this very error is this thread's last one; the connection keeps only its newest.
  natsStatus ignored = NATS_OK;
  const char* own = nats_GetLastError(&ignored);
  const std::string text = own != nullptr && *own != '\0' ? std::string(own) : c->ErrorText(nc);
  LogWarning(kEgressLabel, ": the server says: ", text.empty() ? natsStatus_GetText(status) : text);
}

std::string NatsConnection::ErrorText(natsConnection* nc) {
  const char* text = nullptr;
  natsConnection_GetLastError(nc, &text);
  return text != nullptr ? std::string(text) : std::string();
}

int64_t NatsConnection::ReconnectDelay(natsConnection* /*nc*/, int attempt, void* self) {
  return static_cast<NatsConnection*>(self)->Backoff(attempt - 1).count();
}

std::chrono::milliseconds NatsConnection::Backoff(int attempt) {
  const int64_t cap = limits::kNatsBackoffMax.count();
  const int64_t whole =
      std::min(cap, limits::kNatsBackoffMin.count() << std::clamp(attempt, 0, 10));
  return std::chrono::milliseconds(whole / 2 +
                                   static_cast<int64_t>(NextJitter(jitter_) % (whole / 2 + 1)));
}

// --- the keeper ---

void NatsConnection::Keep() {
  keeper_id_ = std::this_thread::get_id();
  int attempt = 0;
  while (true) {
    {
      const absl::MutexLock lock(&mutex_);
      if (stopping_) break;
      closed_ = false;
    }
    if (MustStartAfresh()) Retire();
    if (GivenUp()) {
      Retire();
      // A server that takes the connection and ends it at once must not be asked in a tight loop.
      WaitForWork(Backoff(attempt++));
      continue;
    }
    if (Current() == nullptr && !Connect()) {
      WaitForWork(Backoff(attempt++));
      continue;
    }
    SubscribePending();
    if (RoundTrip()) {
      attempt = 0;
      if (!cap_.known() && RoomForRefused() > 0) continue;
    }
    WaitForWork(limits::kNatsHeartbeat);
  }
  Retire();
  nats_ReleaseThreadMemory();
}

// nats.c closes a connection for good over refused credentials and most errors a server sends.
bool NatsConnection::GivenUp() {
  const std::shared_ptr<natsConnection> nc = Current();
  if (nc == nullptr || !natsConnection_IsClosed(nc.get())) return false;
  const std::string error = ErrorText(nc.get());
  LogWarning(kEgressLabel, ": ended by the server: ", error, "; connecting anew");
  LearnLimits(error);
  return true;
}

// The same again would end the next connection too.
void NatsConnection::LearnLimits(const std::string& error) {
  const std::string text = absl::AsciiStrToLower(error);
  if (absl::StrContains(text, "maximum subscriptions")) {
    cap_.Refused(open_.load());
    LogWarning(kEgressLabel, ": the server takes fewer than ", open_.load(),
               " subscriptions; what is beyond hears nothing (raise max_subscriptions there and "
               "restart this broker, or delete streams)");
  }
  if (!absl::StrContains(text, "maximum control line")) return;
  const size_t lower = LowerLineLimit(longest_line_.load(std::memory_order_relaxed));
  if (lower >= line_limit()) return;
  line_limit_.store(lower, std::memory_order_relaxed);
  LogWarning(kEgressLabel, ": the server's max_control_line is below ",
             longest_line_.load(std::memory_order_relaxed), "; from now on nothing longer than ",
             lower,
             " bytes is sent: streams with longer subjects hear nothing (raise "
             "max_control_line there to ",
             limits::kNatsControlLineBytes, " and restart this broker)");
}

void NatsConnection::WaitForWork(std::chrono::milliseconds at_most) {
  const CondVar::Deadline deadline = CondVar::In(at_most);
  const absl::MutexLock lock(&mutex_);
  while (!stopping_ && !closed_ && !(wake_ && current_ != nullptr)) {
    if (!work_.WaitUntil(mutex_, deadline)) break;
  }
  wake_ = false;
}

// nats.c reconnects with the options that it has; what was rotated since is used by a connection
// made anew.
bool NatsConnection::MustStartAfresh() {
  const std::shared_ptr<natsConnection> nc = Current();
  if (nc == nullptr) return false;
  const bool undisturbed = natsConnection_Status(nc.get()) == NATS_CONN_STATUS_CONNECTED &&
                           Reconnects() == known_reconnects_;
  if (undisturbed || DigestOfFiles(settings_) == files_digest_) return false;
  LogInfo(kEgressLabel,
          ": credentials or certificates have changed; connecting anew with the new ones");
  return true;
}

void NatsConnection::CannotConnect(std::string_view why) {
  // Once per state change, not per attempt.
  if (was_connected_ || counts_.errors.fetch_add(1, std::memory_order_relaxed) == 0) {
    LogWarning(kEgressLabel, ": cannot connect: ", why, "; trying again for as long as it takes");
  }
  was_connected_ = false;
}

bool NatsConnection::Connect() {
  BASCULE_CHECK(OnKeeper());
  if (const absl::Status made = MakeOptions(); !made.ok()) {
    CannotConnect(FromAbsl(made.message()));
    return false;
  }
  // Before it is made: it may be closed for good, and say so on a thread of its own, before this
  // thread hears that it was made.
  {
    const absl::MutexLock lock(&mutex_);
    ++unannounced_;
  }
  natsConnection* raw = nullptr;
  const natsStatus s = natsConnection_Connect(&raw, options_.get());
  if (s != NATS_OK) {
    {
      const absl::MutexLock lock(&mutex_);
      BASCULE_CHECK_GT(unannounced_, 0);
      --unannounced_;
    }
    CannotConnect(s == NATS_SECURE_CONNECTION_WANTED
                      ? "the server offers no TLS, which nats.servers or nats.tls ask for: nothing "
                        "was sent to it (set up TLS there, or take tls:// and nats.tls away)"
                      : Concat(natsStatus_GetText(s),
                               " (is the server up, are address and credentials right?)"));
    return false;
  }
  {
    const absl::MutexLock lock(&mutex_);
    BASCULE_CHECK(current_ == nullptr);
    // Destroyed by Retire, once no publisher holds it: the destructor may wait for threads.
    released_ = std::make_shared<std::atomic<bool>>(false);
    current_ = std::shared_ptr<natsConnection>(raw, [released = released_](natsConnection*) {
      released->store(true);
      released->notify_all();
    });
    added_ = subscriptions_;
  }
  if (natsConnection_IsClosed(raw)) {  // said before it was the current one
    const absl::MutexLock lock(&mutex_);
    closed_ = true;
  }
  longest_line_.store(0, std::memory_order_relaxed);
  known_reconnects_ = 0;
  return true;  // connected() with the first answered PING, when all subscriptions are there
}

void NatsConnection::NoteConnected() {
  natsConnection* nc = Current().get();
  char url[1024] = "";
  natsConnection_GetConnectedUrl(nc, url, sizeof(url));
  const std::string shown = WithoutUserInfo(url);
  max_payload_.store(natsConnection_GetMaxPayload(nc), std::memory_order_relaxed);
  {
    const absl::MutexLock lock(&mutex_);
    server_url_ = shown;
    if (closed_ || natsConnection_Status(nc) != NATS_CONN_STATUS_CONNECTED) return;
    // Who subscribed meanwhile publishes as soon as it is connected, and must hear the answer.
    for (const auto& subscription : added_) {
      if (!subscription->is_open() && subscription->refusal().ok()) return;
    }
    connected_.store(true, std::memory_order_release);
  }
  was_connected_ = true;
  counts_.connects.fetch_add(1, std::memory_order_relaxed);
  LogInfo(kEgressLabel, ": connected to ", shown);
  if (max_payload() < static_cast<int64_t>(settings_.max_message_bytes)) {
    LogWarning(kEgressLabel, ": ", shown, " takes messages up to ", max_payload(),
               " bytes, fewer than the configured ", settings_.max_message_bytes,
               "; raise max_payload there or lower the limit here");
  }
}

uint64_t NatsConnection::Reconnects() {
  natsStatistics* statistics = nullptr;
  uint64_t ignored[4] = {};
  uint64_t reconnects = 0;
  if (natsStatistics_Create(&statistics) != NATS_OK) return known_reconnects_;
  natsConnection_GetStats(Current().get(), statistics);
  natsStatistics_GetCounts(statistics, &ignored[0], &ignored[1], &ignored[2], &ignored[3],
                           &reconnects);
  natsStatistics_Destroy(statistics);
  return reconnects;
}

bool NatsConnection::RoundTrip() {
  BASCULE_CHECK(OnKeeper());
  natsConnection* nc = Current().get();
  BASCULE_CHECK(nc != nullptr);
  if (natsConnection_Status(nc) != NATS_CONN_STATUS_CONNECTED) return false;
  const uint64_t reconnects = Reconnects();
  const MonotonicTime sent_at = clock_.Monotonic();
  const size_t open = open_.load();
  if (natsConnection_FlushTimeout(nc, limits::kNatsConnectTimeout.count()) != NATS_OK) return false;
  if (natsConnection_Status(nc) != NATS_CONN_STATUS_CONNECTED) return false;
  if (Reconnects() != reconnects) return false;
  gate_->closed.Answered(sent_at);
  gate_->closed.Sweep();
  cap_.Took(open);
  if (std::exchange(known_reconnects_, reconnects) != reconnects || !connected()) NoteConnected();
  return true;
}

void NatsConnection::Retire() {
  BASCULE_CHECK(OnKeeper());
  std::shared_ptr<natsConnection> nc;
  std::vector<std::shared_ptr<Subscription>> all;
  std::vector<std::shared_ptr<Subscription>> removed;
  {
    const absl::MutexLock lock(&mutex_);
    nc.swap(current_);
    connected_.store(false, std::memory_order_release);
    all = subscriptions_;
    removed.swap(removed_);
  }
  if (nc != nullptr) natsConnection_Close(nc.get());
  all.insert(all.end(), removed.begin(), removed.end());
  for (const auto& subscription : all) {
    if (subscription->Drop()) NoteClosed();
  }
  for (const auto& subscription : removed) Discard(*subscription);
  if (nc == nullptr) return;
  BASCULE_CHECK(released_ != nullptr);
  loop_.Quiesce();
  natsConnection* raw = nc.get();
  nc.reset();
  released_->wait(false);  // publishers hold it for the length of one call
  natsConnection_Destroy(raw);
  gate_->closed.Answered(clock_.Monotonic());  // its reader has ended
  gate_->closed.Sweep();
}

}  // namespace bascule::nats
