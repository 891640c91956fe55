#include "core/api/api_server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <climits>
#include <mutex>
#include <utility>
#include <vector>

#include "core/api/api_state.h"
#include "core/api/bascule_service.h"
#include "core/api/liftbridge_service.h"
#include "core/api/stream_police.h"
#include "core/api/tls_credentials.h"
#include "core/base/check.h"
#include "core/base/text.h"
#include "core/env/connection_listener.h"

namespace bascule::api {
namespace {

// Hinted writes gather up to this much before they go to the socket.
constexpr int kWriteBufferBytes = 256 * 1024;
constexpr const char* kHealthServices[] = {"proto.API", "bascule.v1.Bascule"};

// A connection that has said nothing HTTP/2 (or TLS) by then is closed.
constexpr int kHandshakeMs = 10'000;
// Clients that are gone without a word hold nothing longer than this and the timeout.
constexpr int kKeepaliveMs = 60'000;
constexpr int kKeepaliveTimeoutMs = 20'000;
// Pings of a client closer together than this are strikes, and the third ends its connection.
constexpr int kMinPingIntervalMs = 10'000;
constexpr int kPingStrikes = 2;

// Both are switches of the library for the whole process; they take effect on servers built
// afterwards.
void EnablePlugins() {
  static std::once_flag once;
  std::call_once(once, [] {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  });
}

void Configure(grpc::ServerBuilder& builder, const ApiOptions& options) {
  builder.AddChannelArgument(GRPC_ARG_HTTP2_WRITE_BUFFER_SIZE, kWriteBufferBytes);
  builder.SetMaxReceiveMessageSize(static_cast<int>(options.max_request_bytes));
  const ApiBounds& bounds = options.bounds;
  const auto idle = std::min<int64_t>(bounds.connection_idle.count(), INT_MAX);
  builder.AddChannelArgument(GRPC_ARG_ENABLE_CHANNELZ, 1);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS,
                             static_cast<int>(bounds.streams_per_connection));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, static_cast<int>(idle));
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE,
                             static_cast<int>(limits::kMaxHeaderListBytes));
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kMinPingIntervalMs);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, kPingStrikes);
  grpc::ResourceQuota quota("bascule api");
  quota.Resize(bounds.memory_bytes);
  builder.SetResourceQuota(quota);
  // Only health and reflection are synchronous.
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 1);
}

}  // namespace

struct ApiServer::Impl {
  Impl(ApiOptions options, ApiPorts ports)
      : state(std::move(options), ports),
        tls(state.options.tls, state.ports.files),
        liftbridge(state),
        bascule(state) {}

  ApiState state;
  ServerCertificate tls;
  LiftbridgeService liftbridge;
  BasculeService bascule;
  std::unique_ptr<ConnectionListener> listener;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor;
  std::unique_ptr<grpc::Server> server;
};

namespace {

ListenOptions ToListenOptions(const ApiOptions& options) {
  ListenOptions listen;
  listen.address = options.listen;
  listen.name = "api";
  listen.remedy = "see api.connections.max and api.connections.per.address";
  listen.max_connections = options.bounds.connections;
  listen.max_per_address = options.bounds.connections_per_address;
  return listen;
}

ConnectionWatch WatchStreams(const ApiOptions& options, const std::vector<int64_t>& other_servers) {
  ConnectionWatch watch;
  watch.period = limits::kStreamLook;
  watch.busy_bytes = limits::kStreamLookBytes;
  watch.barred = limits::kConnectionBarred;
  StreamBounds bounds;
  bounds.open = options.bounds.streams_per_connection;
  bounds.open_per_address = options.bounds.streams_per_address;
  bounds.open_in_all = options.bounds.memory_bytes / limits::kStreamBytes;
  bounds.message_bytes = options.max_request_bytes;
  watch.judge = [police = std::make_shared<StreamPolice>(bounds, ChannelzCounts(other_servers))](
                    const std::vector<BusyConnection>& busy) { return police->Judge(busy); };
  return watch;
}

Counters ConnectionCounters(const ConnectionListener& listener) {
  const ConnectionListener::Counts counts = listener.counts();
  return {{"api_connections", counts.open},
          {"api_connections_accepted", counts.accepted},
          {"api_connections_refused_full", counts.refused_full},
          {"api_connections_refused_address", counts.refused_address},
          {"api_connections_refused_barred", counts.refused_barred},
          {"api_connections_ended", counts.ended},
          {"api_connections_failed", counts.failed}};
}

}  // namespace

ApiServer::ApiServer(ApiOptions options, ApiPorts ports)
    : impl_(std::make_unique<Impl>(std::move(options), ports)) {}

ApiServer::~ApiServer() { Shutdown(); }

absl::Status ApiServer::Start() {
  BASCULE_CHECK(impl_->server == nullptr);
  const ApiOptions& options = impl_->state.options;
  if (options.max_request_bytes == 0 || options.max_request_bytes > static_cast<size_t>(INT_MAX)) {
    return absl::InvalidArgumentError(Concat("the largest request must be between 1 and ", INT_MAX,
                                             " bytes, not ", options.max_request_bytes));
  }
  EnablePlugins();
  if (absl::Status tls = impl_->tls.Load(); absl::IsUnavailable(tls)) {
    return absl::UnavailableError(
        Concat("cannot serve on ", options.listen, ": ", FromAbsl(tls.message())));
  } else if (!tls.ok()) {
    return tls;
  }
  auto listener = ConnectionListener::Open(ToListenOptions(options));
  if (!listener.ok()) return listener.status();
  grpc::ServerBuilder builder;
  Configure(builder, options);
  impl_->acceptor = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
      impl_->tls.Credentials());
  builder.RegisterService(&impl_->liftbridge);
  builder.RegisterService(&impl_->bascule);
  const std::vector<int64_t> others = ChannelzCounts::Servers();
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) {
    return absl::UnavailableError(
        Concat("cannot serve on ", options.listen, ": gRPC does not start; see its line above"));
  }
  impl_->state.bound_port = (*listener)->port();
  impl_->server = std::move(server);
  impl_->listener = *std::move(listener);
  impl_->state.connection_counters = [&from = *impl_->listener] {
    return ConnectionCounters(from);
  };
  grpc::HealthCheckServiceInterface* health = impl_->server->GetHealthCheckService();
  BASCULE_CHECK(health != nullptr);
  for (const char* service : kHealthServices) health->SetServingStatus(service, true);
  impl_->listener->Start(
      [&acceptor = *impl_->acceptor](int fd) {
        grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
        connection.fd = fd;
        acceptor.HandleNewConnection(&connection);
      },
      WatchStreams(options, others));
  return absl::OkStatus();
}

int ApiServer::BoundPort() const { return impl_->state.bound_port; }

void ApiServer::ReloadTls() { impl_->tls.Reload(); }

std::string ApiServer::certificate() const { return impl_->tls.certificate(); }

std::string ApiServer::tls_trouble() const { return impl_->tls.trouble(); }

void ApiServer::Shutdown() {
  if (impl_->server == nullptr || impl_->state.stopping.exchange(true)) return;
  impl_->server->GetHealthCheckService()->Shutdown();
  impl_->listener->Stop();
  // A deadline that has passed: running calls are not waited for, their connections are closed
  // under them.
  impl_->server->Shutdown(gpr_inf_past(GPR_CLOCK_REALTIME));
  impl_->server->Wait();
}

}  // namespace bascule::api
