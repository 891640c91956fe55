// Who this broker's peers are, and the connections with each. Lines and streams are ended without
// the lock.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "replication/peer/accepted_stream.h"
#include "replication/peer/bulk_line.h"
#include "replication/peer/control_line.h"
#include "replication/peer/replica_line.h"

namespace bascule::peer {

// Any thread.
class PeerRegistry final : public Admission {
 public:
  explicit PeerRegistry(std::shared_ptr<PeerCore> core) : core_(std::move(core)) {}

  // As PeerTransport has them.
  void Add(PeerId id, std::string server_id, std::string address);
  void Remove(PeerId id);
  void Redirect(PeerId id, const std::string& address);
  // All of them, for good.
  void Stop();

  std::shared_ptr<ControlLine> Control(PeerId id) const;  // null = no peer
  std::vector<std::string> Names() const;                 // server ids
  std::shared_ptr<BulkLine> Bulk(PeerId id) const;
  // As ReplicaChannel has it.
  void WakeReplicas(PeerId to, ReplicaLane lane);

  std::optional<Refused> Admit(const Hello& hello, const std::optional<std::string>& certificate,
                               ChannelKind kind,
                               const std::shared_ptr<AcceptedStream>& stream) override;

 private:
  // What outlives the lines and streams of one peer.
  struct Turns {
    UpState up;
    std::array<LineTurn, kReplicaLanes> lines;
    std::array<StreamTurn, kReplicaLanes> streams;
  };
  using Lines = std::vector<std::shared_ptr<PeerLine>>;
  struct Peer {
    std::string server_id;
    std::string told;     // address that Add named
    std::string address;  // that is dialled
    std::shared_ptr<ControlLine> control;
    std::shared_ptr<BulkLine> bulk;
    std::array<std::shared_ptr<ReplicaLine>, kReplicaLanes> replicas;
    std::array<std::weak_ptr<AcceptedStream>, kStreamKinds> accepted;
    std::shared_ptr<Turns> turns;
    Lines lines() const;
  };
  std::shared_ptr<Turns> TurnsOf(PeerId id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // New lines to `address`; what was dialled before goes to `old`. Those that are to be dialled now.
  Lines DialAt(PeerId id, Peer& peer, std::string address, Peer& old)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static void EndLines(const Peer& peer, const absl::Status& why);
  static void EndStreams(const Peer& peer, const Refused& why);

  const std::shared_ptr<PeerCore> core_;
  mutable absl::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<PeerId, Peer> peers_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_number_ ABSL_GUARDED_BY(mutex_) = 0;  // of a line or stream of replicas
  std::map<PeerId, std::weak_ptr<Turns>> turns_
      ABSL_GUARDED_BY(mutex_);  // of removed ones for a while
};

}  // namespace bascule::peer
