// The connection that this broker keeps to one peer for one kind of stream: dials, and dials again.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "replication/peer/dialed_stream.h"

namespace bascule::peer {

// What was asked over a line and waits for its answer.
struct PendingCall {
  PeerTransport::Done done;
  MonotonicTime deadline;
  TimerId timer = 0;
  bool sent = false;  // to its last byte: before that the other side cannot have it
};

// Any thread. What a derived class is told comes without a lock.
class PeerLine : public StreamOwner, public std::enable_shared_from_this<PeerLine> {
 public:
  // Unless it is dialled already, or waits to dial again.
  void Dial();
  // The peer is there: dials at once if it waits to dial again.
  void DialNow();
  // For good: ends the stream and lets go of the connection.
  void Stop(absl::Status why);
  // Stop, and nothing is taken any more. What is pending is answered: Unknown what was sent, the rest
  // Unavailable; so it is when the connection breaks.
  void End(const absl::Status& why);

  void OnOpen(const PeerIdentity& peer) final;
  void OnClosed(const absl::Status& why) final;

 protected:
  PeerLine(std::shared_ptr<PeerCore> core, ChannelKind kind, Destination destination)
      : core_(std::move(core)), kind_(kind), destination_(std::move(destination)) {}

  virtual void WhenOpen(const PeerIdentity& peer) = 0;
  // What was pending has been answered.
  virtual void WhenClosed() {}
  // Everything that is pending, which is forgotten; `for_good`: and nothing is taken from now on.
  virtual std::vector<PendingCall> TakePending(bool for_good) = 0;
  // Whether to dial again, asked after WhenClosed.
  virtual bool Wanted() = 0;

  // There is something to write; without a stream nothing happens.
  void Wake();
  // Ends the stream and its connection; the next Dial makes a new one.
  void HangUp(absl::Status why);
  std::string name() const;
  void Finish(PendingCall pending, absl::StatusOr<std::string> result);

  const std::shared_ptr<PeerCore> core_;
  const ChannelKind kind_;
  const Destination destination_;

 private:
  void FailPending(std::vector<PendingCall> failed, const absl::Status& why);
  void DialAgain(bool at_once);
  void LogClosed(const absl::Status& why, bool was_open);

  absl::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<grpc::Channel> channel_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<DialedStream> stream_ ABSL_GUARDED_BY(mutex_);  // until OnClosed
  bool open_ ABSL_GUARDED_BY(mutex_) = false;
  MonotonicTime opened_ ABSL_GUARDED_BY(mutex_);
  int failures_ ABSL_GUARDED_BY(mutex_) = 0;    // in a row
  TimerId retry_ ABSL_GUARDED_BY(mutex_) = 0;   // until the next Dial
  bool waits_ ABSL_GUARDED_BY(mutex_) = false;  // the same, also while the timer is being set
  // The last failure in the log; a line of replicas may say it again at each end otherwise, so it
  // keeps it while it stands.
  std::string said_ ABSL_GUARDED_BY(mutex_);
  MonotonicTime said_at_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bascule::peer
