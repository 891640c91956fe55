// Large bodies to one peer, one after another in frames, over a connection that is made when there
// is one to send and ends when there was none for limits::kPeerBulkIdle.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "replication/peer/peer_line.h"

namespace bascule::peer {

// Any thread.
class BulkLine final : public PeerLine {
 public:
  BulkLine(std::shared_ptr<PeerCore> core, Destination destination)
      : PeerLine(std::move(core), ChannelKind::kBulk, std::move(destination)) {}

  struct Body {
    PeerService service{};
    std::string header;
    std::shared_ptr<const std::string> bytes;
  };
  // `done` never before this returns.
  void Send(Body body, Duration timeout, PeerTransport::Done done);

  absl::Status OnFrame(Frame frame) override;
  std::optional<grpc::ByteBuffer> NextFrame() override;

 private:
  struct Pending {
    PendingCall call;
    Body body;
  };
  void WhenOpen(const PeerIdentity& peer) override;
  std::vector<PendingCall> TakePending(bool for_good) override;
  bool Wanted() override;
  void Expire(uint64_t id);
  Frame Begin(uint64_t id, Pending& pending) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void HangUpWhenIdle();

  absl::Mutex mutex_;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t next_ ABSL_GUARDED_BY(mutex_) = 1;
  std::map<uint64_t, Pending> pending_ ABSL_GUARDED_BY(mutex_);
  std::deque<uint64_t> waiting_
      ABSL_GUARDED_BY(mutex_);                   // not begun; an id that is not pending has expired
  uint64_t begun_ ABSL_GUARDED_BY(mutex_) = 0;   // whose bytes are being sent; 0 = none
  size_t position_ ABSL_GUARDED_BY(mutex_) = 0;  // in them
  TimerId idle_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace bascule::peer
