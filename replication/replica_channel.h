// The replication channel between brokers, beside control and bulk: to each peer two one-way lines of
// frames. Each keeps its frames in order for as long as it stands, and loses what was under way when
// it breaks; the tail line never waits behind a follower that catches up.
//
//   this broker                                                    peer
//   Wake(peer, lane) ─► ReplicaTraffic::NextFrame ── line ──────►  ReplicaTraffic::OnReplicaFrame
//                       (when the one before is written)           (credit: what is not dealt with yet)
//   OnReplicaLineUp / Down                                         OnReplicaStreamBegan
//
// Answers and acknowledgements take the line of whoever has them to say. What frames hold is for
// partition/replica_frames.h to know. Implemented by replication/peer over gRPC, and by tests/sim.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/base/bytes.h"
#include "replication/peer_transport.h"

namespace bascule {

// Numbers are on the wire.
enum class ReplicaLane : uint8_t {
  kTail = 0,     // what is appended now, and everything that is said about positions
  kCatchUp = 1,  // what a follower lacks of older segments; hangs up while there is nothing to send
};
inline constexpr int kReplicaLanes = 2;

// Called on foreign threads, and NextFrame within WakeReplicas too; must not block.
class ReplicaTraffic {
 public:
  virtual ~ReplicaTraffic() = default;
  // The next frame to `to` in pieces, which are written one after another and not copied; at most
  // limits::kReplicaFrameBytes in all. Empty: nothing until the next Wake. While the line stands, one
  // caller at a time for each line.
  virtual std::vector<Bytes> NextFrame(PeerId to, ReplicaLane lane) = 0;
  // Our line to `to` stands: both hellos are checked, NextFrame follows. It broke: what NextFrame gave
  // may never arrive. Ups and downs of one line come in turn; NextFrame only between them. No down is
  // said of what ends by the end of the port.
  virtual void OnReplicaLineUp(PeerId to, ReplicaLane lane) = 0;
  virtual void OnReplicaLineDown(PeerId to, ReplicaLane lane) = 0;
  // The peer's line to us is a new one: what was under way on the one before is gone, and nothing of
  // that one comes any more. Before its first frame; one after another for each line.
  virtual void OnReplicaStreamBegan(const PeerIdentity& from, ReplicaLane lane) = 0;
  // Its next frame. The line is read on while less than limits::kReplicaCreditBytes of its frames have
  // a `credit` that somebody holds.
  virtual void OnReplicaFrame(const PeerIdentity& from, ReplicaLane lane, Bytes frame,
                              std::shared_ptr<const void> credit) = 0;
};

// Any thread.
class ReplicaChannel {
 public:
  virtual ~ReplicaChannel() = default;
  // Once, before AddPeer; `traffic` outlives the transport. Without it peers' lines are refused.
  virtual void CarryReplicas(ReplicaTraffic& traffic) = 0;
  // NextFrame has something. Dials the line if it does not stand, and keeps dialling it: the tail line
  // until the peer is removed, the catch-up line until it was idle for limits::kPeerBulkIdle. NextFrame
  // may be called within, nothing else is. Nothing happens to who is no peer.
  virtual void WakeReplicas(PeerId to, ReplicaLane lane) = 0;
};

}  // namespace bascule
