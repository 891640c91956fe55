// Who this broker's peers are, and the connections with each. Lines and streams are ended without
// the lock.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "replication/peer/accepted_stream.h"
#include "replication/peer/bulk_line.h"
#include "replication/peer/control_line.h"

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

  std::optional<Refused> Admit(const Hello& hello, const std::optional<std::string>& certificate,
                               ChannelKind kind,
                               const std::shared_ptr<AcceptedStream>& stream) override;

 private:
  struct Peer {
    std::string server_id;
    std::string told;     // address that Add named
    std::string address;  // that is dialled
    std::shared_ptr<ControlLine> control;
    std::shared_ptr<BulkLine> bulk;
    std::weak_ptr<AcceptedStream> accepted_control, accepted_bulk;
  };
  std::shared_ptr<UpState> UpStateOf(PeerId id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // New lines to `address`; what was dialled before goes to `old`.
  std::shared_ptr<ControlLine> DialAt(PeerId id, Peer& peer, std::string address, Peer& old)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static void EndLines(const Peer& peer, const absl::Status& why);
  static void EndStreams(const Peer& peer, const Refused& why);

  const std::shared_ptr<PeerCore> core_;
  mutable absl::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<PeerId, Peer> peers_ ABSL_GUARDED_BY(mutex_);
  std::map<PeerId, std::weak_ptr<UpState>> up_
      ABSL_GUARDED_BY(mutex_);  // of removed ones for a while
};

}  // namespace bascule::peer
