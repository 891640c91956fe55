#include "core/api/api_server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <climits>
#include <mutex>
#include <utility>

#include "core/api/api_state.h"
#include "core/api/bascule_service.h"
#include "core/api/liftbridge_service.h"
#include "core/api/tls_credentials.h"
#include "core/base/check.h"
#include "core/base/text.h"

namespace bascule {
namespace {

// Hinted writes gather up to this much before they go to the socket.
constexpr int kWriteBufferBytes = 256 * 1024;
constexpr const char* kHealthServices[] = {"proto.API", "bascule.v1.Bascule"};

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
  // Two brokers on one port would share its connections between them.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_WRITE_BUFFER_SIZE, kWriteBufferBytes);
  builder.SetMaxReceiveMessageSize(static_cast<int>(options.max_request_bytes));
  // Only health and reflection are synchronous.
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 1);
}

}  // namespace

struct ApiServer::Impl {
  Impl(ApiOptions options, ApiPorts ports)
      : state(std::move(options), ports), liftbridge(state), bascule(state) {}

  ApiState state;
  LiftbridgeService liftbridge;
  BasculeService bascule;
  std::unique_ptr<grpc::Server> server;
};

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
  ASSIGN_OR_RETURN(std::shared_ptr<grpc::ServerCredentials> credentials,
                   MakeCredentials(options.tls, impl_->state.ports.files));
  EnablePlugins();
  grpc::ServerBuilder builder;
  Configure(builder, options);
  int port = 0;
  builder.AddListeningPort(options.listen, std::move(credentials), &port);
  builder.RegisterService(&impl_->liftbridge);
  builder.RegisterService(&impl_->bascule);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || port <= 0) {
    std::string text = Concat("cannot listen on ", options.listen,
                              ": the port is taken, or the address is not one of this machine");
    if (!options.tls.key.empty()) {
      text += Concat(", or ", options.tls.key, " and ", options.tls.cert,
                     " are not a key and its certificate");
    }
    return absl::UnavailableError(text);
  }
  impl_->state.bound_port = port;
  impl_->server = std::move(server);
  grpc::HealthCheckServiceInterface* health = impl_->server->GetHealthCheckService();
  BASCULE_CHECK(health != nullptr);
  for (const char* service : kHealthServices) health->SetServingStatus(service, true);
  return absl::OkStatus();
}

int ApiServer::BoundPort() const { return impl_->state.bound_port; }

void ApiServer::Shutdown() {
  if (impl_->server == nullptr || impl_->state.stopping.exchange(true)) return;
  impl_->server->GetHealthCheckService()->Shutdown();
  // A deadline that has passed: running calls are not waited for, their connections are closed
  // under them.
  impl_->server->Shutdown(gpr_inf_past(GPR_CLOCK_REALTIME));
  impl_->server->Wait();
}

}  // namespace bascule
