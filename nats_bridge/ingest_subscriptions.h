// What the ingest connection listens to, through every session with a server: what was asked for, what the
// server said of it, and what may have been missed. Pure but for the handlers, which it calls; one thread,
// the connection's.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "core/base/status.h"
#include "core/env/clock.h"
#include "nats_bridge/bus_message.h"
#include "nats_bridge/control_line.h"
#include "nats_bridge/ingest_session.h"
#include "nats_bridge/subscription_cap.h"

namespace bascule::nats {

// In log lines.
inline constexpr std::string_view kIngestLabel = "nats: ingest connection";

// One subject somebody listens to. Made by any thread; all but what is const belongs to the connection's.
class IngestSubscription {
 public:
  IngestSubscription(std::string subject, std::string group,
                     std::shared_ptr<SubscriptionHandler> handler)
      : subject_(std::move(subject)), group_(std::move(group)), handler_(std::move(handler)) {}
  const std::string& subject() const { return subject_; }
  const std::string& group() const { return group_; }

 private:
  friend class IngestSubscriptions;
  const std::string subject_;
  const std::string group_;  // queue group; empty: plain
  const std::shared_ptr<SubscriptionHandler> handler_;

  uint64_t sid_ = 0;
  bool removed_ = false;
  bool open_ = false;       // SUB was sent in this session, and was not refused
  bool awaited_ = false;    // the next answered PING tells what became of it
  bool confirmed_ = false;  // a server knew of it when last asked: gaps concern it
  bool gap_due_ = false;    // it was confirmed when the session before ended
  absl::Status verdict_;    // while it is awaited: what is known so far
  absl::Status refusal_;  // why it hears nothing where others do; OK: it does, or nothing is known
  Timestamp regained_;    // the end of its last gap
  Timestamp deaf_since_;  // it was heard before, and is refused now
  std::optional<absl::Status> told_;  // by OnListening, last
};

// Shared counts; read by anyone.
struct IngestSubscriptionCounts {
  std::atomic<uint64_t> refused{0};        // now: they hear nothing
  std::atomic<uint64_t> lines_refused{0};  // too long for the server, not sent
};

class IngestSubscriptions {
 public:
  // `clock` outlives it.
  explicit IngestSubscriptions(Clock& clock);
  ~IngestSubscriptions();

  void Add(std::shared_ptr<IngestSubscription> subscription);
  // Nothing more is delivered for it. `session`: the present one if it is ready, or null.
  void Remove(const IngestSubscription& subscription, IngestSession* session);

  // Sends what is not subscribed yet, as far as the server takes it, and a PING behind it when there is
  // something to be told by its answer.
  void SendPending(IngestSession& session);
  // A PING of the connection itself: its answer says that nothing was missed until it was sent.
  void SendHeartbeat(IngestSession& session);

  // --- what the session tells ---
  void OnMessage(uint64_t sid, const BusMessage& message);
  // Everything that was sent before that PING is decided.
  void OnPong(uint64_t ping);
  // Whether it is about subscriptions, and dealt with here.
  bool OnServerError(std::string_view text);
  // The session has ended; `reason`: of the gap that this is for whatever was listened to.
  void OnLost(GapReason reason);
  // The server listened to is to be left for another, whose session is ready: no more of its messages are
  // asked for. What is missed from now on is a gap that OnLost tells.
  // Its last message has come when the PING of this number is answered.
  uint64_t Drain(IngestSession& session);

  // Whether some are to be sent to a ready session.
  bool pending() const { return !unsent_.empty() || room_for_refused() > 0; }
  // Whether an answer is awaited.
  bool waits() const { return !windows_.empty(); }
  // Whether all that was sent is decided, and one PING at least of this session is answered.
  bool settled() const { return windows_.empty() && unsent_.empty() && answered_; }
  size_t size() const { return subscriptions_.size(); }
  const IngestSubscriptionCounts& counts() const { return counts_; }
  size_t line_limit() const { return lines_.limit(); }

 private:
  using Pointer = std::shared_ptr<IngestSubscription>;
  // What was sent between a PING and the one before it.
  struct Window {
    uint64_t ping = 0;
    Timestamp sent;
    std::vector<Pointer> subscriptions;  // in this order
    size_t open = 0;      // with them, of all that were sent and not refused for another reason
    size_t too_many = 0;  // of them the last ones were refused, because they are too many
  };

  void Send(const Pointer& subscription, IngestSession& session, Window& window);
  void Decide(Window window);
  void RefuseLast(const Window& window);
  void SetRefusal(IngestSubscription& subscription, absl::Status why);
  void Close(IngestSubscription& subscription);
  void Tell(IngestSubscription& subscription);
  void TellGap(IngestSubscription& subscription);
  void TellDeaf(IngestSubscription& subscription);
  bool OnPermissionRefused(std::string_view text);
  bool RefuseOpen(uint64_t sid, absl::Status why);
  bool RefuseAwaited(std::string_view subject, const std::optional<std::string>& group,
                     absl::Status why);
  void OnLineRefused();
  size_t room_for_refused() const;
  void CheckInvariants() const;

  Clock& clock_;
  IngestSubscriptionCounts counts_;
  absl::flat_hash_map<uint64_t, Pointer> subscriptions_;  // by sid, which is never given twice
  uint64_t next_sid_ = 1;
  std::vector<Pointer> unsent_;  // to be sent when a session is ready
  std::deque<Window> windows_;   // sent, not decided
  LineLimit lines_;
  SubscriptionCap cap_;
  size_t open_ = 0;
  bool answered_ = false;    // a PING of this session
  size_t beyond_cap_ = 0;    // refused because they are too many
  Timestamp heard_through_;  // nothing was missed until then; 0: nothing was heard yet
  GapReason gap_reason_ = GapReason::kDisconnected;
};

}  // namespace bascule::nats
