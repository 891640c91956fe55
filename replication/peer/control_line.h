// Messages and calls to one peer, and the answers to the calls.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "replication/peer/outbox.h"
#include "replication/peer/peer_line.h"

namespace bascule::peer {

// Which line of a peer is up, so that ups and downs come in turn although a line to a new address
// may be up before the one to the old is down. Shared by the lines of one peer.
struct UpState {
  absl::Mutex mutex;                                // held while events are called: it orders them
  const void* by ABSL_GUARDED_BY(mutex) = nullptr;  // the line; null = down
  PeerIdentity peer ABSL_GUARDED_BY(mutex);         // as OnPeerUp named it
};

// Any thread.
class ControlLine final : public PeerLine {
 public:
  ControlLine(std::shared_ptr<PeerCore> core, Destination destination, std::shared_ptr<UpState> up)
      : PeerLine(std::move(core), ChannelKind::kControl, std::move(destination)),
        up_(std::move(up)) {}

  void Send(PeerService service, std::string message);
  // `done` never before this returns.
  void Call(PeerService service, std::string request, Duration timeout, PeerTransport::Done done);

  absl::Status OnFrame(Frame frame) override;
  std::optional<grpc::ByteBuffer> NextFrame() override;

 private:
  void WhenOpen(const PeerIdentity& peer) override;
  void WhenClosed() override;
  std::vector<PendingCall> TakePending(bool for_good) override;
  bool Wanted() override { return true; }
  void Expire(uint64_t id);

  const std::shared_ptr<UpState> up_;
  absl::Mutex mutex_ ABSL_ACQUIRED_AFTER(up_->mutex);
  Outbox outbox_ ABSL_GUARDED_BY(mutex_);
  uint64_t told_dropped_ ABSL_GUARDED_BY(mutex_) = 0;  // of the outbox's, counted already
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t next_call_ ABSL_GUARDED_BY(mutex_) = 1;
  std::map<uint64_t, PendingCall> pending_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bascule::peer
