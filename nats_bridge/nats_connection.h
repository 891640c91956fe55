// The connection by which this process publishes, and hears what is meant for itself (acks, discovery):
// nats.c's, kept up for ever, and its subscriptions, which outlive every single connect.
//
//   keeper thread                                 nats.c threads
//   read files, Connect ... back-off ...
//   Subscribe all, PING/PONG -> connected         delivery: OnMessage
//   PING/PONG every heartbeat                     reader: connection lost; nats.c reconnects,
//                                                   resubscribes, PING/PONG
//   connection closed for good (refused credentials, protocol error): a new one, from the top
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "core/base/status.h"
#include "core/env/clock.h"
#include "core/env/cond_var.h"
#include "nats_bridge/bus_message.h"
#include "nats_bridge/egress_loop.h"
#include "nats_bridge/nats_options.h"
#include "nats_bridge/nats_setup.h"
#include "nats_bridge/subscription.h"
#include "nats_bridge/subscription_cap.h"

namespace bascule::nats {

// In log lines.
inline constexpr std::string_view kEgressLabel = "nats: egress connection";

// What a connection counts; read by anyone.
struct ConnectionCounts {
  std::atomic<uint64_t> connects{0};
  std::atomic<uint64_t> disconnects{0};
  std::atomic<uint64_t> errors{0};
  std::atomic<uint64_t> lines_refused{0};          // too long for the server, not sent
  std::atomic<uint64_t> subscriptions_refused{0};  // now: they hear nothing
};

// Any thread, except where said.
class NatsConnection {
 public:
  // Reads and writes through an EgressLoop of its own: publishing never blocks. Fails for what no
  // waiting mends: wrong files, wrong combinations of options. `clock` must outlive the connection.
  static absl::StatusOr<std::unique_ptr<NatsConnection>> Start(const NatsOptions& options,
                                                               Clock& clock, uint64_t seed);
  ~NatsConnection();  // Stop()

  // Ends everything: afterwards no handler is called. Idempotent; not from a handler.
  void Stop();

  // Messages flow from the moment the server knows of it until Unsubscribe. The SUB is written before
  // whatever this thread publishes next. `group` empty = plain.
  std::shared_ptr<Subscription> Subscribe(std::string subject, std::string group,
                                          std::shared_ptr<SubscriptionHandler> handler);
  // Returns at once; calls of the handler may still be running or come for a moment.
  void Unsubscribe(const std::shared_ptr<Subscription>& subscription);

  bool connected() const { return connected_.load(std::memory_order_acquire); }
  int64_t max_payload() const { return max_payload_.load(std::memory_order_relaxed); }
  // Whether the server takes a control line of `bytes` (PubLineBytes, SubLineBytes). No: counted,
  // and it must not be sent. To be asked before each line.
  bool AdmitLine(size_t bytes);
  // limits::kNatsControlLineBytes, until a server refused a line and so showed that it takes less.
  size_t line_limit() const { return line_limit_.load(std::memory_order_relaxed); }
  // Closed subscriptions that nats.c might still use.
  size_t closed_held() const { return gate_->closed.size(); }
  // Of the server connected to now (without secrets), empty while there is none.
  std::string server_url() const;
  const ConnectionCounts& counts() const { return counts_; }

  // The nats.c connection for publishing, kept alive by the pointer; null while there is none.
  std::shared_ptr<natsConnection> Current() const;
  EgressLoop& loop() { return loop_; }

 private:
  NatsConnection(NatsOptions options, Clock& clock, uint64_t seed);
  // Options for the next connection, with what its files hold now.
  absl::Status MakeOptions();

  // --- nats.c's callbacks, on its threads ---
  static void OnDisconnected(natsConnection* nc, void* self);
  static void OnReconnected(natsConnection* nc, void* self);
  static void OnClosed(natsConnection* nc, void* self);
  static void OnError(natsConnection* nc, natsSubscription* sub, natsStatus status, void* self);
  static int64_t ReconnectDelay(natsConnection* nc, int attempt, void* self);

  // --- the keeper thread ---
  void Keep();
  bool OnKeeper() const { return std::this_thread::get_id() == keeper_id_; }
  bool GivenUp();
  void LearnLimits(const std::string& error);
  bool Connect();
  bool MustStartAfresh();
  void CannotConnect(std::string_view why);
  void NoteConnected();
  void SubscribePending();
  void Discard(Subscription& subscription);
  size_t RoomForRefused();
  std::vector<std::shared_ptr<Subscription>> RefusedThatMayFit();
  // A PING answered: the server knows of what was subscribed before.
  bool RoundTrip();
  void Retire();
  uint64_t Reconnects();
  void WaitForWork(std::chrono::milliseconds at_most);
  std::chrono::milliseconds Backoff(int attempt);

  // --- any thread ---
  void CheckInvariants() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void NoteClosed();
  void SubscribeNow(natsConnection* nc, Subscription& subscription);
  void Refuse(Subscription& subscription, absl::Status why);
  void LogRefusal(const Subscription& subscription, const absl::Status& why);
  std::string ErrorText(natsConnection* nc);

  Clock& clock_;
  const NatsOptions settings_;
  NatsOptionsPtr options_;     // of the present connection, or the next one
  uint64_t files_digest_ = 0;  // of the files they were made of
  EgressLoop loop_;
  ConnectionCounts counts_;
  std::atomic<bool> connected_{false};
  std::atomic<int64_t> max_payload_{0};
  std::atomic<size_t> line_limit_{limits::kNatsControlLineBytes};
  std::atomic<size_t> longest_line_{0};       // sent on the present connection
  std::atomic<size_t> open_{0};               // subscriptions of the present connection
  std::atomic<size_t> open_limit_{SIZE_MAX};  // cap_'s, for all threads
  std::atomic<uint64_t> jitter_;

  mutable absl::Mutex mutex_;
  CondVar work_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;  // nats.c gave the connection up
  bool wake_ ABSL_GUARDED_BY(mutex_) = false;
  int unannounced_ ABSL_GUARDED_BY(mutex_) = 0;  // connections whose OnClosed is to come
  std::shared_ptr<natsConnection> current_ ABSL_GUARDED_BY(mutex_);
  std::string server_url_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<Subscription>> subscriptions_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<const Subscription*, size_t> positions_
      ABSL_GUARDED_BY(mutex_);  // in `subscriptions_`
  // What the keeper is to subscribe and to unsubscribe.
  std::vector<std::shared_ptr<Subscription>> added_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<Subscription>> removed_ ABSL_GUARDED_BY(mutex_);
  const std::shared_ptr<CallbackGate> gate_;

  // Keeper only.
  std::thread::id keeper_id_;
  std::shared_ptr<std::atomic<bool>> released_;  // nobody holds `current_`'s connection any more
  SubscriptionCap cap_;
  uint64_t known_reconnects_ = 0;
  bool was_connected_ = false;
  std::thread keeper_;
};

}  // namespace bascule::nats
