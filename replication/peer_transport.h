// From broker to broker, as everybody above sees it: a member of the cluster is a node id, a
// message is bytes of one service. Implemented by replication/peer over gRPC, and by tests/sim. The
// network may lose, delay, duplicate and reorder; what arrives is what was sent, from the one who
// is named.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "core/base/status.h"
#include "core/base/types.h"

namespace bascule {

// A broker's data directory as a member of the metadata group: random, never reused, 0 = none.
// (raft::NodeId is the same number.)
using PeerId = Number<struct PeerIdTag, uint64_t>;

// Who a peer says it is; checked against its certificate (server_id) and the cluster's own names
// before anything else of it is read.
struct PeerIdentity {
  PeerId id;
  std::string server_id;
  std::string address;  // host:port of its peer port, as others reach it
  uint64_t incarnation = 0;
  uint32_t feature_level = 0;
  bool operator==(const PeerIdentity&) const = default;
};

// Whose messages they are. Numbers are on the wire.
enum class PeerService : uint8_t {
  kRaft = 1,      // the metadata group's messages
  kSession = 2,   // heartbeats of broker sessions
  kMetadata = 3,  // requests to the metadata leader
};

// Called on foreign threads; must not block: translate, post, return.
class PeerHandler {
 public:
  using Respond = absl::AnyInvocable<void(absl::StatusOr<std::string>)>;
  virtual ~PeerHandler() = default;
  virtual void OnPeerMessage(const PeerIdentity& from, std::string message) = 0;
  // `respond` once, from any thread, also late; dropped without a call: the caller sees Unknown.
  // `timeout` is what is left of the caller's time.
  virtual void OnPeerCall(const PeerIdentity& from, std::string request, Duration timeout,
                          Respond respond) = 0;
  // A body that travelled in frames on the bulk channel, whole and checked. `respond` tells the
  // sender what became of it.
  virtual void OnPeerBulk(const PeerIdentity& from, std::string header, std::string body,
                          Respond respond) = 0;
};

// The answer to a request that waits for its turn. Let go of before Begin, the request surely was not
// carried out, and its asker is told so: Unavailable.
class WaitingRequest {
 public:
  explicit WaitingRequest(PeerHandler::Respond respond) : respond_(std::move(respond)) {}
  WaitingRequest(WaitingRequest&& other) noexcept
      : respond_(std::exchange(other.respond_, nullptr)) {}
  WaitingRequest& operator=(WaitingRequest&&) = delete;
  ~WaitingRequest() {
    if (respond_) respond_(absl::UnavailableError("the broker is too busy, or stops: ask again"));
  }
  // From now on whoever has it answers.
  PeerHandler::Respond Begin() { return std::exchange(respond_, nullptr); }

 private:
  PeerHandler::Respond respond_;
};

// Called on foreign threads; must not block.
class PeerEvents {
 public:
  virtual ~PeerEvents() = default;
  // The control connection that this broker dialled stands, both hellos on it are checked; again
  // after each reconnect. Ups and downs of one peer come in turn.
  virtual void OnPeerUp(const PeerIdentity& peer) = 0;
  // That connection broke, or the peer was removed. Nothing is said of attempts that fail.
  virtual void OnPeerDown(const PeerIdentity& peer) = 0;
  // A broker that is no member (or whom we are no member to) wants something: joining, being
  // invited, asking who is there. `server_id` is what its certificate says (what it claims, without
  // TLS).
  virtual void OnIntroduction(const std::string& server_id, std::string request, Duration timeout,
                              PeerHandler::Respond respond) = 0;
};

// Any thread.
class PeerTransport {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<std::string>)>;
  virtual ~PeerTransport() = default;

  // Before messages arrive; the handler outlives the transport.
  virtual void Handle(PeerService service, PeerHandler& handler) = 0;
  // Dials a peer and keeps dialling until it is removed; a changed address is dialled anew. Only
  // peers that were added are listened to.
  virtual void AddPeer(PeerId id, std::string server_id, std::string address) = 0;
  virtual void RemovePeer(PeerId id) = 0;
  // The peer is there now: dials it at `address` until AddPeer names one that it did not name
  // before. Nothing happens to who is no peer, or is dialled there already.
  virtual void Redirect(PeerId id, std::string address) = 0;

  // Control channel. Kept for a moment while the peer is away, then dropped, the oldest first
  // (limits::kPeerQueueBytes). No word about its fate.
  virtual void Send(PeerId to, PeerService service, std::string message) = 0;
  // Control channel. Unavailable: surely not delivered. Unknown: it may have been, and the
  // connection broke. DeadlineExceeded: the same, and time is up. Others: the answer's.
  virtual void Call(PeerId to, PeerService service, std::string request, Duration timeout,
                    Done done) = 0;
  // Bulk channel, in frames of at most limits::kPeerFrameBytes; the body at most
  // limits::kPeerBulkBytes. Errors as in Call.
  virtual void SendBulk(PeerId to, PeerService service, std::string header,
                        std::shared_ptr<const std::string> body, Duration timeout, Done done) = 0;
  // To whoever answers at `address`, before either is the other's peer.
  virtual void Introduce(std::string address, std::string request, Duration timeout, Done done) = 0;
  // The same, to the broker `server_id` only: whoever else answers there is asked nothing. Without
  // TLS nobody can tell, and whoever is there is asked.
  virtual void IntroduceTo(std::string server_id, std::string address, std::string request,
                           Duration timeout, Done done) = 0;
};

}  // namespace bascule
