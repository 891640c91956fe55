#include "replication/peer/grpc_peer_transport.h"

#include <grpcpp/resource_quota.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/base/logging.h"
#include "core/base/text.h"
#include "core/env/connection_listener.h"
#include "replication/peer/certificates.h"
#include "replication/peer/grpc_log.h"
#include "replication/peer/introductions.h"
#include "replication/peer/peer.grpc.pb.h"
#include "replication/peer/peer_registry.h"

namespace bascule::peer {
namespace {

absl::Status NoPeer(PeerId id) {
  return absl::UnavailableError(Concat("node ", id, " is no peer of this broker"));
}

using peer::ChannelKind;
using peer::PeerCore;

constexpr std::chrono::minutes kInsecureReminder{10};
constexpr std::chrono::hours kValidityCheck{24};
constexpr int kHandshakeMs =
    static_cast<int>(std::chrono::milliseconds(limits::kPeerHandshakeTimeout).count());
// A connection that has had no stream for so long is closed.
constexpr int kConnectionIdleMs = 10'000;
// A channel of ours has one.
constexpr int kStreamsPerConnection = 4;
constexpr int kServerKeepaliveMs = 2000;
constexpr int kMinPingIntervalMs = 100;
constexpr int kWindowBytes = 4 << 20;
// gRPC has one bound for all streams: that of a frame of replicas, and a little, so that its sender
// is told by us. What other streams bring is measured before it is parsed.
constexpr size_t kMaxMessageBytes = limits::kReplicaFrameBytes + limits::kPeerFrameOverheadBytes;
static_assert(kMaxMessageBytes >= peer::kMaxFrameBytes);

using WithIntroduce = peer::v1::Peer::WithRawCallbackMethod_Introduce<peer::v1::Peer::Service>;
using WithReplicas = peer::v1::Peer::WithRawCallbackMethod_ReplicaTail<
    peer::v1::Peer::WithRawCallbackMethod_ReplicaCatchUp<WithIntroduce>>;
using Base = peer::v1::Peer::WithRawCallbackMethod_Control<
    peer::v1::Peer::WithRawCallbackMethod_Bulk<WithReplicas>>;

// Bytes come in as they are, so that they are measured before they are parsed.
class Service final : public Base {
 public:
  Service(std::shared_ptr<PeerCore> core, peer::Admission& admission)
      : core_(std::move(core)), admission_(admission) {}

  using Context = grpc::CallbackServerContext;
  using Stream = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

  Stream* Control(Context* context) override {
    return peer::AcceptedStream::Accept(core_, admission_, *context, ChannelKind::kControl);
  }
  Stream* Bulk(Context* context) override {
    return peer::AcceptedStream::Accept(core_, admission_, *context, ChannelKind::kBulk);
  }
  Stream* ReplicaTail(Context* context) override {
    return peer::AcceptedStream::Accept(core_, admission_, *context, ChannelKind::kReplicaTail);
  }
  Stream* ReplicaCatchUp(Context* context) override {
    return peer::AcceptedStream::Accept(core_, admission_, *context, ChannelKind::kReplicaCatchUp);
  }
  grpc::ServerUnaryReactor* Introduce(Context* context, const grpc::ByteBuffer* request,
                                      grpc::ByteBuffer* response) override {
    return peer::AnswerIntroduction(core_, *context, *request, *response);
  }

 private:
  const std::shared_ptr<PeerCore> core_;
  peer::Admission& admission_;
};

void Configure(grpc::ServerBuilder& builder) {
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeMs);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, kConnectionIdleMs);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreamsPerConnection);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kServerKeepaliveMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kServerKeepaliveMs);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kMinPingIntervalMs);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kWindowBytes);
  builder.SetMaxReceiveMessageSize(static_cast<int>(kMaxMessageBytes));
  // No call is synchronous.
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 1);
}

}  // namespace

struct GrpcPeerTransport::Impl {
  Impl(PeerOptions options_in, Clock& clock, FileSystem& files_in, Executor& executor,
       PeerEvents& events)
      : options(std::move(options_in)),
        files(files_in),
        core(std::make_shared<PeerCore>(
            peer::LocalNames{options.self, options.cluster_id, options.cluster_namespace}, clock,
            executor, events)),
        registry(core),
        introductions(std::make_shared<peer::Introductions>(core)),
        service(core, registry) {}

  absl::Status Secure();
  absl::Status Listen();

  const PeerOptions options;
  FileSystem& files;
  const std::shared_ptr<PeerCore> core;
  peer::PeerRegistry registry;
  const std::shared_ptr<peer::Introductions> introductions;
  Service service;
  std::unique_ptr<ConnectionListener> listener;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor;
  std::unique_ptr<grpc::Server> server;
  int port = 0;
  bool stopped = false;
};

namespace {

// Those that repeat themselves end with the core's deadlines.
void RemindOfInsecurity(const std::shared_ptr<PeerCore>& core) {
  LogWarning(
      "peer: cluster.insecure is on: whoever reaches the peer port can act as a broker, and reads "
      "along; set cluster.tls.ca, cluster.tls.cert and cluster.tls.key (bascule cluster certs "
      "makes them)");
  core->deadlines->After(kInsecureReminder, [weak = std::weak_ptr(core)] {
    if (const auto again = weak.lock()) RemindOfInsecurity(again);
  });
}

void WarnOfDates(const std::shared_ptr<PeerCore>& core) {
  for (const std::string& text : core->credentials.state()->Warnings({})) LogError("peer: ", text);
  core->deadlines->After(kValidityCheck, [weak = std::weak_ptr(core)] {
    if (const auto again = weak.lock()) WarnOfDates(again);
  });
}

void KeepReading(const std::shared_ptr<PeerCore>& core, FileSystem& files,
                 std::chrono::seconds period) {
  core->deadlines->After(period, [weak = std::weak_ptr(core), &files, period] {
    const auto again = weak.lock();
    if (again == nullptr) return;
    peer::TlsState& state = *again->credentials.state();
    auto read = peer::LoadPem(state.paths(), again->names().self.server_id, files);
    if (read.ok()) {
      if (const absl::Status valid = state.CheckReplacement(*read); !valid.ok()) read = valid;
    }
    if (read.ok()) {
      // Both directions show the same: what the file cannot take is not used to dial either.
      const absl::Status written = peer::WriteCombined(files, state.combined(), read->combined);
      if (!written.ok()) read = written;
    }
    state.Reload(std::move(read));
    KeepReading(again, files, period);
  });
}

// What others are told to dial when nothing else is configured.
std::string DefaultAddress(const std::string& listen, int port) {
  const std::string host = listen.substr(0, listen.rfind(':'));
  const bool everywhere = host.empty() || host == "0.0.0.0" || host == "[::]";
  return Concat(everywhere ? "localhost" : host, ":", port);
}

}  // namespace

absl::Status GrpcPeerTransport::Impl::Secure() {
  const peer::PemFiles paths{options.tls.ca, options.tls.cert, options.tls.key};
  const bool named = !paths.ca.empty() || !paths.cert.empty() || !paths.key.empty();
  if (options.insecure) {
    if (named) {
      return absl::InvalidArgumentError(
          "cluster.insecure and cluster.tls.* are both set: take one of them out");
    }
    core->credentials = peer::Credentials::Insecure();
    RemindOfInsecurity(core);
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(peer::PemTexts pem, peer::LoadPem(paths, options.self.server_id, files));
  RETURN_IF_ERROR(peer::WriteCombined(files, options.tls.combined, pem.combined));
  core->credentials = peer::Credentials::Tls(std::make_shared<peer::TlsState>(
      paths, options.tls.combined, std::move(pem), core->clock,
      [weak = std::weak_ptr(core)](const std::string& why) {
        const auto noting = weak.lock();
        if (noting == nullptr) return;
        noting->refusals.Note({peer::Refusal::kStranger, absl::UnauthenticatedError(why)},
                              "a connection");
      }));
  WarnOfDates(core);
  KeepReading(core, files, options.tls_refresh);
  return absl::OkStatus();
}

absl::Status GrpcPeerTransport::Impl::Listen() {
  grpc::ServerBuilder builder;
  Configure(builder);
  ListenOptions listen;
  listen.address = options.listen;
  listen.name = "peer";
  listen.remedy =
      "strangers reach the peer port, or the limit of open files is too low for this cluster";
  listen.max_connections = options.max_connections;
  listen.max_per_address = options.max_connections;  // all brokers may be behind one address
  auto opened = ConnectionListener::Open(listen);
  if (!opened.ok()) {
    return absl::UnavailableError(Concat("cluster.listen: ", FromAbsl(opened.status().message())));
  }
  acceptor = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
      core->credentials.ForServer(static_cast<unsigned>(options.tls_refresh.count())));
  builder.RegisterService(&service);
  server = builder.BuildAndStart();
  if (server == nullptr)
    return absl::UnavailableError(
        Concat("cluster.listen: gRPC does not serve on ", options.listen));
  listener = *std::move(opened);
  port = listener->port();
  return absl::OkStatus();
}

GrpcPeerTransport::GrpcPeerTransport(PeerOptions options, Clock& clock, FileSystem& files,
                                     Executor& executor, PeerEvents& events)
    : impl_(std::make_unique<Impl>(std::move(options), clock, files, executor, events)) {}

GrpcPeerTransport::~GrpcPeerTransport() { Stop(); }

absl::Status GrpcPeerTransport::Start() {
  BASCULE_CHECK(impl_->server == nullptr && !impl_->stopped);
  peer::TakeGrpcLog();
  RETURN_IF_ERROR(impl_->Secure());
  // Before the port is open, so that the first hello has it.
  RETURN_IF_ERROR(impl_->Listen());
  if (impl_->options.self.address.empty())
    impl_->core->SetAddress(DefaultAddress(impl_->options.listen, impl_->port));
  impl_->listener->Start([&acceptor = *impl_->acceptor](int fd) {
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
    connection.fd = fd;
    acceptor.HandleNewConnection(&connection);
  });
  LogInfo("peer: brokers reach this one at ", address(),
          impl_->options.insecure ? " (without TLS)" : "");
  return absl::OkStatus();
}

void GrpcPeerTransport::Stop() {
  if (std::exchange(impl_->stopped, true)) return;
  PeerCore& core = *impl_->core;
  core.stopping = true;
  if (impl_->listener != nullptr) impl_->listener->Stop();
  impl_->registry.Stop();
  impl_->introductions->Stop();
  // Connections of ours end before the server: the last user of gRPC's callback threads joins them,
  // which must not happen on one of them, and our last users are there.
  core.WaitForCalls();
  if (impl_->server != nullptr) {
    // A deadline that has passed: what runs is cancelled.
    impl_->server->Shutdown(gpr_inf_past(GPR_CLOCK_REALTIME));
    impl_->server->Wait();
  }
  core.deadlines->Stop();
  core.RunLaterNow();
  core.gate.Close();
}

int GrpcPeerTransport::BoundPort() const { return impl_->port; }

std::string GrpcPeerTransport::address() const { return impl_->core->names().self.address; }

void GrpcPeerTransport::SetCluster(std::string cluster_id) {
  impl_->core->SetCluster(std::move(cluster_id));
}

void GrpcPeerTransport::Handle(PeerService service, PeerHandler& handler) {
  impl_->core->SetHandler(service, handler);
}

void GrpcPeerTransport::AddPeer(PeerId id, std::string server_id, std::string address) {
  BASCULE_CHECK_NE(id, PeerId());
  BASCULE_CHECK_NE(id, impl_->options.self.id);
  impl_->registry.Add(id, std::move(server_id), std::move(address));
}

void GrpcPeerTransport::RemovePeer(PeerId id) { impl_->registry.Remove(id); }

void GrpcPeerTransport::Redirect(PeerId id, std::string address) {
  impl_->registry.Redirect(id, address);
}

void GrpcPeerTransport::Send(PeerId to, PeerService service, std::string message) {
  const auto line = impl_->registry.Control(to);
  if (line == nullptr || message.size() > limits::kPeerFrameBytes) {
    if (line != nullptr) {
      LogError("peer: a message of ", message.size(), " bytes to node ", to,
               " is not sent: at most ", limits::kPeerFrameBytes, " can be");
    }
    return peer::Count(impl_->core->counts.messages_dropped);
  }
  line->Send(service, std::move(message));
}

void GrpcPeerTransport::Call(PeerId to, PeerService service, std::string request, Duration timeout,
                             Done done) {
  if (request.size() > limits::kPeerFrameBytes) {
    return impl_->core->AnswerLater(
        std::move(done), absl::InvalidArgumentError(
                             Concat("a request to node ", to, " has ", request.size(),
                                    " bytes, at most ", limits::kPeerFrameBytes, " can be sent")));
  }
  const auto line = impl_->registry.Control(to);
  if (line == nullptr) return impl_->core->AnswerLater(std::move(done), NoPeer(to));
  line->Call(service, std::move(request), timeout, std::move(done));
}

void GrpcPeerTransport::SendBulk(PeerId to, PeerService service, std::string header,
                                 std::shared_ptr<const std::string> body, Duration timeout,
                                 Done done) {
  BASCULE_CHECK(body != nullptr);
  if (header.size() > limits::kPeerBulkHeaderBytes || body->size() > limits::kPeerBulkBytes) {
    return impl_->core->AnswerLater(
        std::move(done),
        absl::InvalidArgumentError(Concat(
            "a body to node ", to, " has ", header.size(), " + ", body->size(), " bytes, at most ",
            limits::kPeerBulkHeaderBytes, " + ", limits::kPeerBulkBytes, " can be sent")));
  }
  const auto line = impl_->registry.Bulk(to);
  if (line == nullptr) return impl_->core->AnswerLater(std::move(done), NoPeer(to));
  line->Send({service, std::move(header), std::move(body)}, timeout, std::move(done));
}

void GrpcPeerTransport::Introduce(std::string address, std::string request, Duration timeout,
                                  Done done) {
  impl_->introductions->Ask(std::move(address), std::nullopt, std::move(request), timeout,
                            std::move(done));
}

void GrpcPeerTransport::IntroduceTo(std::string server_id, std::string address, std::string request,
                                    Duration timeout, Done done) {
  impl_->introductions->Ask(std::move(address), std::move(server_id), std::move(request), timeout,
                            std::move(done));
}

void GrpcPeerTransport::CarryReplicas(ReplicaTraffic& traffic) {
  BASCULE_CHECK(impl_->core->replicas == nullptr && !impl_->stopped);
  impl_->core->replicas = &traffic;
}

void GrpcPeerTransport::WakeReplicas(PeerId to, ReplicaLane lane) {
  impl_->registry.WakeReplicas(to, lane);
}

std::vector<std::string> GrpcPeerTransport::Degraded() const {
  const auto& state = impl_->core->credentials.state();
  return state == nullptr ? std::vector<std::string>() : state->Warnings(impl_->registry.Names());
}

std::map<std::string, uint64_t> GrpcPeerTransport::ReadCounters() const {
  const peer::PeerCounts& counts = impl_->core->counts;
  const auto read = [](const std::atomic<uint64_t>& counter) {
    return counter.load(std::memory_order_relaxed);
  };
  std::map<std::string, uint64_t> out = {
      {"peer_messages_sent", read(counts.messages_sent)},
      {"peer_messages_received", read(counts.messages_received)},
      {"peer_bytes_sent", read(counts.bytes_sent)},
      {"peer_bytes_received", read(counts.bytes_received)},
      {"peer_messages_dropped", read(counts.messages_dropped)},
      {"peer_messages_unclaimed", read(counts.messages_unclaimed)},
      {"peer_calls", read(counts.calls)},
      {"peer_calls_failed", read(counts.calls_failed)},
      {"peer_bulk_sent", read(counts.bulk_sent)},
      {"peer_bulk_received", read(counts.bulk_received)},
      {"peer_replica_frames_sent", read(counts.replica_frames_sent)},
      {"peer_replica_frames_received", read(counts.replica_frames_received)},
      {"peer_replica_bytes_sent", read(counts.replica_bytes_sent)},
      {"peer_replica_bytes_received", read(counts.replica_bytes_received)},
      {"peer_connects", read(counts.connects)},
      {"peer_disconnects", read(counts.disconnects)},
      {"peer_dial_failures", read(counts.dial_failures)},
      {"peer_introductions_sent", read(counts.introductions_sent)},
      {"peer_introductions_received", read(counts.introductions_received)},
      {"peer_handshakes_waiting", impl_->core->waiting_handshakes.load()},
  };
  if (impl_->listener != nullptr) {
    const ConnectionListener::Counts connections = impl_->listener->counts();
    out["peer_connections"] = connections.open;
    out["peer_connections_refused_full"] = connections.refused_full;
    out["peer_connections_failed"] = connections.failed;
  }
  for (int i = 0; i < peer::kRefusals; ++i) {
    const auto reason = static_cast<peer::Refusal>(i);
    out[Concat("peer_refused_", peer::NameOf(reason))] = impl_->core->refusals.count(reason);
  }
  return out;
}

}  // namespace bascule::peer
