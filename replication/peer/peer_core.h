// What all parts of one transport share.
#pragma once

#include <grpcpp/channel.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "core/base/check.h"
#include "core/env/clock.h"
#include "core/env/cond_var.h"
#include "core/env/executor.h"
#include "replication/peer/callback_gate.h"
#include "replication/peer/credentials.h"
#include "replication/peer/deadlines.h"
#include "replication/peer/handshake.h"
#include "replication/peer/refusals.h"
#include "replication/peer_transport.h"
#include "replication/replica_channel.h"

namespace bascule::peer {

struct PeerCounts {
  std::atomic<uint64_t> messages_sent{0}, messages_received{0};  // frames of every kind
  std::atomic<uint64_t> bytes_sent{0}, bytes_received{0};
  std::atomic<uint64_t> messages_dropped{0};    // one way: the queue was full, or they were too old
  std::atomic<uint64_t> messages_unclaimed{0};  // of a service that nobody handles
  std::atomic<uint64_t> calls{0}, calls_failed{0};  // failed: not answered by the other side
  std::atomic<uint64_t> bulk_sent{0}, bulk_received{0};
  std::atomic<uint64_t> replica_frames_sent{0}, replica_frames_received{0};
  std::atomic<uint64_t> replica_bytes_sent{0}, replica_bytes_received{0};
  std::atomic<uint64_t> connects{0}, disconnects{0}, dial_failures{0};
  std::atomic<uint64_t> introductions_sent{0}, introductions_received{0};
};

inline void Count(std::atomic<uint64_t>& counter, uint64_t by = 1) {
  counter.fetch_add(by, std::memory_order_relaxed);
}

// Lives until every stream and call has ended. Any thread.
class PeerCore : public std::enable_shared_from_this<PeerCore> {
 public:
  PeerCore(LocalNames names, Clock& clock_in, Executor& executor, PeerEvents& events_in)
      : clock(clock_in),
        events(events_in),
        deadlines(std::make_shared<Deadlines>(clock_in, executor)),
        refusals(clock_in),
        names_(std::move(names)) {}

  LocalNames names() const {
    const absl::MutexLock lock(&mutex_);
    return names_;
  }
  void SetCluster(std::string cluster_id) {
    const absl::MutexLock lock(&mutex_);
    names_.cluster_id = std::move(cluster_id);
  }
  void SetAddress(std::string address) {
    const absl::MutexLock lock(&mutex_);
    names_.self.address = std::move(address);
  }
  void SetHandler(PeerService service, PeerHandler& handler) {
    const absl::MutexLock lock(&mutex_);
    handlers_[service] = &handler;
  }
  PeerHandler* HandlerOf(PeerService service) const {
    const absl::MutexLock lock(&mutex_);
    const auto found = handlers_.find(service);
    return found == handlers_.end() ? nullptr : found->second;
  }

  // Calls of ours that gRPC still knows: the transport ends when there are none.
  void CallBegins() {
    const absl::MutexLock lock(&mutex_);
    ++calls_;
  }
  void CallEnds() {
    const absl::MutexLock lock(&mutex_);
    BASCULE_CHECK_GT(calls_, 0U);
    if (--calls_ == 0) no_calls_.SignalAll();
  }
  void WaitForCalls() {
    const absl::MutexLock lock(&mutex_);
    while (calls_ > 0) no_calls_.Wait(mutex_);
  }

  // Runs `task` soon, on the executor; at the stop of the transport, if that comes before.
  void Later(Task task);
  void RunLaterNow();
  // Through Later and the gate.
  void AnswerLater(PeerTransport::Done done, absl::Status status);

  Credentials credentials;  // set before the first connection
  // Set before the first peer, or never; whoever found a peer may read them.
  ReplicaTraffic* replicas = nullptr;
  Clock& clock;
  PeerEvents& events;
  CallbackGate gate;  // around every call of a handler, an event, a completion or replica traffic
  const std::shared_ptr<Deadlines> deadlines;
  Refusals refusals;
  PeerCounts counts;
  std::atomic<bool> stopping{false};
  std::atomic<size_t> waiting_handshakes{0};
  std::atomic<size_t> introductions_in{0};

 private:
  mutable absl::Mutex mutex_;
  LocalNames names_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<PeerService, PeerHandler*> handlers_ ABSL_GUARDED_BY(mutex_);
  size_t calls_ ABSL_GUARDED_BY(mutex_) = 0;
  CondVar no_calls_;
  std::vector<Task> later_ ABSL_GUARDED_BY(mutex_);
};

// All but introductions are streams, of which one of each kind is accepted from a peer.
enum class ChannelKind { kControl, kBulk, kReplicaTail, kReplicaCatchUp, kIntroduction };
inline constexpr size_t kStreamKinds = static_cast<size_t>(ChannelKind::kIntroduction);

inline ChannelKind KindOf(ReplicaLane lane) {
  return lane == ReplicaLane::kTail ? ChannelKind::kReplicaTail : ChannelKind::kReplicaCatchUp;
}
// nullopt: no line of replicas.
inline std::optional<ReplicaLane> LaneOf(ChannelKind kind) {
  if (kind == ChannelKind::kReplicaTail) return ReplicaLane::kTail;
  if (kind == ChannelKind::kReplicaCatchUp) return ReplicaLane::kCatchUp;
  return std::nullopt;
}

// A connection of its own to `address` (host:port), made when it is first used. `server_id`: whose
// certificate is wanted there; nullopt = any broker's.
std::shared_ptr<grpc::Channel> MakeChannel(const PeerCore& core, const std::string& address,
                                           std::optional<std::string> server_id, ChannelKind kind);

// For the respond of a handler: the first answer counts, and letting go of it without one is
// Unknown.
PeerHandler::Respond RespondOnce(absl::AnyInvocable<void(absl::StatusOr<std::string>)> answer);

}  // namespace bascule::peer
