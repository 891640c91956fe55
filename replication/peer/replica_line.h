// Frames of replicas to one peer, on one lane: each is asked for when the one before is written, and
// written from where it lies.
#pragma once

#include <memory>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "replication/peer/peer_line.h"

namespace bascule::peer {

// Which line of a peer and lane stands, so that ups and downs come in turn although a line to a new
// address may be up before the one to the old is down. Outlives them.
struct LineTurn {
  absl::Mutex mutex;  // held while traffic is called: it orders the calls
  const void* by ABSL_GUARDED_BY(mutex) = nullptr;  // the line; null = down
  uint64_t newest ABSL_GUARDED_BY(mutex) = 0;       // number of the newest line that was up
};

// Any thread.
class ReplicaLine final : public PeerLine {
 public:
  // `number` is above those of the lines that it takes the place of.
  ReplicaLine(std::shared_ptr<PeerCore> core, ReplicaLane lane, Destination destination,
              std::shared_ptr<LineTurn> turn, uint64_t number)
      : PeerLine(std::move(core), KindOf(lane), std::move(destination)),
        lane_(lane),
        turn_(std::move(turn)),
        number_(number) {}

  // There is something to send. Does nothing yet: what takes the place of this line is to know too.
  void Want();
  // After Want: dials if need be; NextFrame is asked within, or soon.
  void WakeUp();
  bool Wanted() override;

  absl::Status OnFrame(Frame frame) override;
  std::optional<grpc::ByteBuffer> NextFrame() override;

 private:
  void WhenOpen(const PeerIdentity& peer) override;
  void WhenClosed() override;
  std::vector<PendingCall> TakePending(bool /*for_good*/) override { return {}; }
  void HangUpWhenIdle();
  void StayUp();

  const ReplicaLane lane_;
  const std::shared_ptr<LineTurn> turn_;
  const uint64_t number_;
  absl::Mutex mutex_ ABSL_ACQUIRED_AFTER(turn_->mutex);
  bool wanted_ ABSL_GUARDED_BY(mutex_) = false;
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;  // since traffic was asked last
  TimerId idle_ ABSL_GUARDED_BY(mutex_) = 0;    // catch-up only
};

}  // namespace bascule::peer
