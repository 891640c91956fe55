// The connection that streams record from: kept up for ever, on one thread, which reads the socket, takes
// the messages apart where they lie, and hands them over as views.
//
//   other threads              the connection's thread
//   Subscribe, Unsubscribe --> SUB, UNSUB, PING             the server's PONG -> OnListening
//                              epoll: bytes -> receive -> each message -> OnMessage
//                                     end of a receive -> IngestTarget::EndOfReceive
//                                     crowded -> no more is read, for kNatsPauseMax at most
//                              every heartbeat: PING        its PONG: nothing was missed until it was sent
//                              lost -> next server of the pool, at once; all failed: back-off
//                                      login and certificates are read from their files each time
//                                      subscribed again -> OnGap for each that was listened to
//                              lame duck -> a second server is logged in to, what the first one has is
//                                      drained behind a PING, and the second one subscribed at
//
// There is one order for all that a server says: messages, gaps and answers are told in it, on this thread.
// An answered PING is a barrier (ingest_session.h). A gap begins when the last PING was sent that was
// answered: what came after it is kept, but the server may have had more.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "core/base/status.h"
#include "core/env/clock.h"
#include "core/env/rng.h"
#include "nats_bridge/ingest_subscriptions.h"
#include "nats_bridge/nats_options.h"
#include "nats_bridge/server_link.h"
#include "nats_bridge/server_pool.h"

namespace bascule::nats {

// Who takes the messages, of all subscriptions. On the connection's thread.
class IngestTarget {
 public:
  virtual ~IngestTarget() = default;
  // The messages of one receive have been handed over.
  virtual void EndOfReceive() = 0;
  // Whether another receive, with an operation of up to `bytes`, might find no room.
  virtual bool Crowded(size_t bytes) = 0;
};

// Read by anyone.
struct IngestConnectionCounts {
  std::atomic<uint64_t> connects{0};
  std::atomic<uint64_t> disconnects{0};
  std::atomic<uint64_t> errors{0};    // said by the server, and attempts that failed
  std::atomic<uint64_t> pauses{0};    // reading stopped for want of room
  std::atomic<uint64_t> overruns{0};  // of these, it went on though there was no room yet
  std::atomic<uint64_t> moves{0};     // away from a server in lame duck mode
  std::atomic<uint64_t> receives{0};
};

// Any thread, except where said.
class IngestConnection : private SessionListener {
 public:
  // Returns at once and connects for as long as it takes. Fails for what no waiting mends: wrong files, wrong
  // combinations of options, wrong URLs; or Internal: the system refused epoll or a thread. `target` and
  // `clock` outlive it.
  static absl::StatusOr<std::unique_ptr<IngestConnection>> Start(const NatsOptions& options,
                                                                 IngestTarget& target, Clock& clock,
                                                                 uint64_t seed);
  ~IngestConnection() override;  // Stop()

  // Ends everything: afterwards no handler is called. Idempotent; not from a handler.
  void Stop();

  // `subject` and `group` are words that NATS takes (IsValidSubject). Messages flow from the moment the server
  // knows of it until Unsubscribe.
  std::shared_ptr<IngestSubscription> Subscribe(std::string subject, std::string group,
                                                std::shared_ptr<SubscriptionHandler> handler);
  // Returns at once; calls of the handler may still be running or come for a moment.
  void Unsubscribe(std::shared_ptr<IngestSubscription> subscription);

  // All that was subscribed before it was connected to is listened to, or refused.
  bool connected() const { return connected_.load(std::memory_order_acquire); }
  int64_t max_payload() const { return max_payload_.load(std::memory_order_relaxed); }
  // Of the server connected to now (without secrets), empty while there is none.
  std::string server_url() const;
  const IngestConnectionCounts& counts() const { return counts_; }
  const IngestSubscriptionCounts& subscription_counts() const { return subscriptions_.counts(); }

 private:
  struct Slot {
    std::unique_ptr<ServerLink> link;
    int steps = 0;           // of an attempt, as they were last seen
    MonotonicTime since;     // and when the last of them was made
    uint32_t waits_for = 0;  // what epoll was told
    bool in_epoll = false;
  };

  IngestConnection(const NatsOptions& options, IngestTarget& target, Clock& clock,
                   std::unique_ptr<Rng> rng, ServerPool pool);
  absl::Status Open();
  void Wake();

  // --- the thread ---
  void Run();
  bool OnThread() const { return std::this_thread::get_id() == thread_id_; }
  bool TakeRequests();
  void WaitAndServe();
  void Serve(Slot& slot);
  absl::Status ReceiveFrom(Slot& slot);
  void SendAll();
  absl::Status Arm(Slot& slot);
  Duration TimeLeft() const;
  bool ready() const { return present_.link != nullptr && present_.link->ready(); }
  // There is another server to move to, and none is tried or at hand.
  bool may_dial_next() const {
    return moving_ && ready() && next_.link == nullptr && !drained_.has_value() && pool_.size() > 1;
  }
  bool may_be_tls_first(const ServerLink& link) const {
    return NeedsTls(options_) && link.silent() && !link.encrypted();
  }
  bool reads(const Slot& slot) const { return !(paused_ && &slot == &present_); }

  // SessionListener, of the present link and, until it is ready, of the one that is moved to.
  void OnMessage(uint64_t sid, const BusMessage& message) override;
  void OnInfo(const ServerInfo& info) override;
  void OnPong(uint64_t ping) override;
  void OnServerError(std::string_view text) override;

  void Tick();
  void TickAttempt(Slot& slot);
  void TickPause();
  void TickReady();
  void DialWhatIsDue();
  void Dial(Slot& slot);
  void OnEnded(Slot& slot, const absl::Status& why);
  void CannotConnect(std::string_view why);
  void ScheduleRetry();
  void Lose(const absl::Status& why);
  void NoteReady();
  void NoteSettled();
  void LearnServers(const ServerInfo& info);
  void BeginMove();
  void FinishMove();
  void PauseIfCrowded();
  Duration Backoff(int attempt);

  const NatsOptions options_;
  IngestTarget& target_;
  Clock& clock_;
  IngestConnectionCounts counts_;
  std::atomic<bool> connected_{false};
  std::atomic<int64_t> max_payload_{0};

  mutable absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::string server_url_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<IngestSubscription>> added_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<IngestSubscription>> removed_ ABSL_GUARDED_BY(mutex_);

  int epoll_fd_ = -1;
  int wake_fd_ = -1;
  // The thread only, from here on.
  std::thread::id thread_id_;
  std::unique_ptr<Rng> rng_;
  ServerPool pool_;
  IngestSubscriptions subscriptions_;
  Slot present_;                     // the server that is listened to, or is to be
  Slot next_;                        // logged in to beside it, to be moved to
  const Slot* speaking_ = nullptr;   // whose bytes are being handed over
  bool moving_ = false;              // the present server is about to end
  std::optional<uint64_t> drained_;  // the PING behind the last of its messages
  bool drained_now_ = false;         // and it is answered
  std::set<std::string> tls_first_;  // servers that wait for TLS, by host and port
  MonotonicTime retry_at_;           // when the next server is dialled
  int attempt_ = 0;                  // rounds through the pool without success
  bool was_connected_ = false;
  bool settling_ = false;  // what is subscribed in this session is not all decided
  MonotonicTime ready_at_;
  MonotonicTime ping_at_;
  uint64_t heard_bytes_ = 0;  // at the last heartbeat
  int silent_beats_ = 0;      // without a byte since
  std::string last_error_;    // said by the server in this session
  bool paused_ = false;
  bool overrun_ = false;  // it goes on though there is no room
  bool starved_ = false;  // it was paused since the last answered PING
  MonotonicTime paused_since_;
  std::thread thread_;
};

}  // namespace bascule::nats
