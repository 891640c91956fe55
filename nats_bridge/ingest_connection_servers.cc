// The servers of the ingest connection: dialled, lost, left for another.
#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "core/base/check.h"
#include "core/base/logging.h"
#include "core/base/text.h"
#include "nats_bridge/bridge_limits.h"
#include "nats_bridge/ingest_connection.h"
#include "nats_bridge/login.h"

namespace bascule::nats {

// --- connecting ---

Duration IngestConnection::Backoff(int attempt) {
  const int64_t whole = std::min(limits::kNatsBackoffMax.count(),
                                 limits::kNatsBackoffMin.count() << std::clamp(attempt, 0, 10));
  return std::chrono::milliseconds(
      whole / 2 + static_cast<int64_t>(rng_->Below(static_cast<uint64_t>(whole / 2 + 1))));
}

void IngestConnection::DialWhatIsDue() {
  if (clock_.Monotonic() < retry_at_) return;
  if (present_.link == nullptr) return Dial(present_);
  if (!may_dial_next()) return;
  if (HostPort(pool_.current().url) == HostPort(present_.link->server().url)) pool_.Advance();
  Dial(next_);
}

void IngestConnection::Dial(Slot& slot) {
  BASCULE_CHECK(OnThread() && slot.link == nullptr);
  absl::StatusOr<Login> login = ReadLogin(options_);
  absl::Status status = login.status();
  if (status.ok()) {
    LinkOptions link;
    link.server = pool_.current();
    link.session = {*std::move(login), link.server.url, ClientName(options_, "ingest"),
                    NeedsTls(options_)};
    link.tls = options_.tls;
    link.tls_first = tls_first_.contains(HostPort(link.server.url));
    auto dialled = ServerLink::Dial(std::move(link), *this);
    status = dialled.status();
    if (status.ok()) slot = Slot{*std::move(dialled), 0, clock_.Monotonic(), 0, false};
  }
  if (status.ok()) return;
  if (&slot == &present_) CannotConnect(FromAbsl(status.message()));
  ScheduleRetry();
}

void IngestConnection::ScheduleRetry() {
  const Duration wait = pool_.Advance() ? Backoff(attempt_++) : Duration::zero();
  retry_at_ = Add(clock_.Monotonic(), wait);
}

void IngestConnection::CannotConnect(std::string_view why) {
  const bool first = counts_.errors.fetch_add(1, std::memory_order_relaxed) == 0;
  // Once per state change, not per attempt.
  if (was_connected_ || first) {
    LogWarning(kIngestLabel, ": cannot connect to ", Shown(pool_.current().url), ": ", why,
               "; trying again for as long as it takes");
  }
  was_connected_ = false;
}

void IngestConnection::OnEnded(Slot& slot, const absl::Status& why) {
  BASCULE_CHECK(OnThread() && slot.link != nullptr);
  if (&slot == &present_ && slot.link->ready()) return Lose(why);
  // It waited for something else than TLS.
  if (slot.link->session().stage() == SessionStage::kAwaitingInfo)
    tls_first_.erase(HostPort(slot.link->server().url));
  const bool was_ready = slot.link->ready();
  const std::string url = Shown(slot.link->server().url);
  slot = Slot();
  if (&slot == &present_) {
    CannotConnect(FromAbsl(why.message()));
  } else {
    LogWarning(kIngestLabel, ": cannot move to ", url, ": ", FromAbsl(why.message()));
    if (was_ready && drained_.has_value()) drained_now_ = true;
  }
  ScheduleRetry();
}

void IngestConnection::Lose(const absl::Status& why) {
  if (connected_.exchange(false)) {
    counts_.disconnects.fetch_add(1, std::memory_order_relaxed);
    LogWarning(kIngestLabel, ": lost: ", FromAbsl(why.message()),
               last_error_.empty() ? "" : Concat(" (it said: ", last_error_, ")"),
               "; reconnecting for as long as it takes");
  }
  const bool slow = starved_ || absl::StartsWithIgnoreCase(last_error_, "slow consumer");
  subscriptions_.OnLost(slow ? GapReason::kSlowConsumer : GapReason::kDisconnected);
  const MonotonicTime now = clock_.Monotonic();
  const bool lasted = Between(ready_at_, now) >= limits::kNatsHeartbeat;
  present_ = Slot();
  paused_ = false;
  moving_ = false;
  drained_.reset();
  drained_now_ = false;
  if (next_.link != nullptr) {
    present_ = std::exchange(next_, Slot());
    present_.in_epoll = false;  // its events name the other place
    if (ready()) NoteReady();
    return;
  }
  // Servers that take the connection and end it at once must not be asked in a tight loop.
  if (!lasted) return ScheduleRetry();
  pool_.Restart();
  attempt_ = 0;
  retry_at_ = now;
}

// The present server has let this client in.
void IngestConnection::NoteReady() {
  BASCULE_CHECK(ready());
  const MonotonicTime now = clock_.Monotonic();
  ServerLink& link = *present_.link;
  last_error_.clear();
  starved_ = false;
  overrun_ = false;
  settling_ = true;
  ready_at_ = now;
  heard_bytes_ = link.received_bytes();
  silent_beats_ = 0;
  ping_at_ = Add(now, limits::kNatsHeartbeat);
  max_payload_.store(link.session().info().max_payload, std::memory_order_relaxed);
  LearnServers(link.session().info());
  subscriptions_.SendPending(link.session());
  if (!subscriptions_.waits()) subscriptions_.SendHeartbeat(link.session());
}

// All that is subscribed is decided.
void IngestConnection::NoteSettled() {
  const std::string shown = Shown(present_.link->server().url);
  {
    const absl::MutexLock lock(&mutex_);
    server_url_ = shown;
    // Who subscribed meanwhile publishes as soon as it is connected, and must hear the answer.
    if (!added_.empty()) return;
    counts_.connects.fetch_add(1, std::memory_order_relaxed);
    connected_.store(true, std::memory_order_release);
  }
  settling_ = false;
  was_connected_ = true;
  LogInfo(kIngestLabel, ": connected to ", shown);
  if (max_payload() < static_cast<int64_t>(options_.max_message_bytes)) {
    LogWarning(kIngestLabel, ": ", shown, " takes messages up to ", max_payload(),
               " bytes, fewer than the configured ", options_.max_message_bytes,
               "; raise max_payload there or lower the limit here");
  }
}

// --- away from a server that is about to end ---

void IngestConnection::BeginMove() {
  moving_ = true;
  const bool alone = pool_.size() < 2;
  LogInfo(kIngestLabel, ": ", Shown(present_.link->server().url),
          " is about to end (lame duck mode); ",
          alone ? "it named no other server to move to" : "moving to another server");
  pool_.Restart();
  retry_at_ = clock_.Monotonic();
}

// The last of its messages has come.
void IngestConnection::FinishMove() {
  BASCULE_CHECK(drained_.has_value());
  drained_.reset();
  drained_now_ = false;
  if (present_.link == nullptr) return;  // it was lost, and that is dealt with
  subscriptions_.OnLost(GapReason::kDisconnected);
  if (next_.link == nullptr || !next_.link->ready()) return NoteReady();  // it stays, for now
  LogInfo(kIngestLabel, ": moved to ", Shown(next_.link->server().url));
  counts_.moves.fetch_add(1, std::memory_order_relaxed);
  present_ = std::exchange(next_, Slot());
  present_.in_epoll = false;
  paused_ = false;
  moving_ = false;
  NoteReady();
}

}  // namespace bascule::nats
