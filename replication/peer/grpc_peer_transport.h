// PeerPort over gRPC: a port of its own, mutual TLS, one control connection each way between two
// brokers, a bulk connection while there is something to send on it, and one for each line of replicas.
//
//   broker A                                                              broker B
//   ControlLine ── DialedStream ── Control: messages, calls ─────────►  AcceptedStream ─► handlers
//               ◄───────────────── answers ────────────────────────────
//   BulkLine ───── DialedStream ── Bulk: begin, data... ─────────────►  AcceptedStream ─► handlers
//               ◄───────────────── answers ────────────────────────────
//   ReplicaLine ── DialedStream ── ReplicaTail: frames ──────────────►  AcceptedStream ─► ReplicaTraffic
//   ReplicaLine ── DialedStream ── ReplicaCatchUp: frames ───────────►  AcceptedStream ─► ReplicaTraffic
//   Introductions ──────────────── Introduce ────────────────────────►  PeerEvents
//
// Who dials is who asks: B's messages to A take B's own connection. What is refused is told to the
// other side, counted, and logged here with the address it came from. A broker without a
// certificate of the cluster's authority does not get past TLS: it is told nothing.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/base/limits.h"
#include "core/base/status.h"
#include "core/env/clock.h"
#include "core/env/executor.h"
#include "core/env/file_system.h"
#include "replication/peer_port.h"

namespace bascule::peer {

// Paths of PEM files (bascule cluster certs makes them). The certificate speaks for the server id
// in its URI bascule://<server id>, or without one in its common name.
struct PeerTlsOptions {
  std::string ca;
  std::string cert;
  std::string key;
  // A file that the transport writes: certificate and key as they were read last, when they could be
  // used. gRPC shows what is in it. For this transport only; its directory exists.
  std::string combined;
};

struct PeerOptions {
  PeerIdentity self;       // address may be empty: the bound one
  std::string cluster_id;  // empty = none yet: nobody is a peer till SetCluster
  std::string cluster_namespace;
  std::string listen = "0.0.0.0:9293";  // port 0: a free one, see BoundPort
  PeerTlsOptions tls;
  bool insecure = false;                                  // no TLS at all; then `tls` is empty
  size_t max_connections = limits::kPeerConnections / 2;  // accepted ones; more are closed at once
  std::chrono::seconds tls_refresh{10};  // how often the files of `tls` are read again
};

// Any thread, except Start and Stop. Callbacks come on gRPC's threads, the executor's and one of its
// own that asks for frames of replicas, never within the call that they belong to.
class GrpcPeerTransport final : public PeerPort {
 public:
  // `executor` runs timers. All references outlive the transport; events and handlers are not
  // called before Start, nor after Stop.
  GrpcPeerTransport(PeerOptions options, Clock& clock, FileSystem& files, Executor& executor,
                    PeerEvents& events);
  ~GrpcPeerTransport() override;  // Stop()

  // Once, before AddPeer. InvalidArgument for options that contradict each other and files that
  // cannot be used, FailedPrecondition when tls.combined cannot be written, Unavailable when the
  // address cannot be listened on.
  absl::Status Start();
  // Ends all connections. Pending calls are answered (Unknown or Unavailable) before it returns;
  // later ones never. No OnPeerDown for what ends by it. Idempotent; not from a callback.
  void Stop() override;
  int BoundPort() const;        // 0 before Start
  std::string address() const;  // as hellos name it
  void SetCluster(std::string cluster_id) override;
  std::vector<std::string> Degraded()
      const override;  // of this broker's certificates and its peers'
  std::map<std::string, uint64_t> ReadCounters() const override;

  void Handle(PeerService service, PeerHandler& handler) override;
  void AddPeer(PeerId id, std::string server_id, std::string address) override;
  void RemovePeer(PeerId id) override;
  void Redirect(PeerId id, std::string address) override;
  void Send(PeerId to, PeerService service, std::string message) override;
  void Call(PeerId to, PeerService service, std::string request, Duration timeout,
            Done done) override;
  void SendBulk(PeerId to, PeerService service, std::string header,
                std::shared_ptr<const std::string> body, Duration timeout, Done done) override;
  void Introduce(std::string address, std::string request, Duration timeout, Done done) override;
  void IntroduceTo(std::string server_id, std::string address, std::string request,
                   Duration timeout, Done done) override;
  void CarryReplicas(ReplicaTraffic& traffic) override;
  void WakeReplicas(PeerId to, ReplicaLane lane) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace bascule::peer
