#include "cmd/basculed/daemon.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <future>
#include <optional>

#include <thread>
#include <utility>
#include <vector>

#include "cmd/basculed/facts.h"
#include "core/api/api_server.h"
#include "core/base/logging.h"
#include "core/env/descriptor_budget.h"
#include "core/env/thread_executor.h"
#include "nats_bridge/embedded_nats.h"
#include "nats_bridge/nats_bus.h"
#include "replication/broker/broker.h"
#include "replication/peer/certificates.h"
#include "replication/peer/grpc_peer_transport.h"

namespace bascule::daemon {
namespace {

constexpr int kSyncThreads = 16;
constexpr std::chrono::seconds kCertificateLook{5};  // how often the files of tls.* are read again

nats::NatsOptions ToNatsOptions(const config::Config& config, const std::string& server_id) {
  nats::NatsOptions options;
  options.urls = config.nats.servers;
  options.user = config.nats.user;
  options.password = config.nats.password;
  options.token = config.nats.token;
  options.creds_file = config.nats.creds;
  options.nkey_seed_file = config.nats.nkey_seed;
  options.tls = {config.nats.tls.enabled(), config.nats.tls.ca, config.nats.tls.cert,
                 config.nats.tls.key};
  options.cluster_namespace = config.cluster_namespace;
  options.server_id = server_id;
  options.max_message_bytes = static_cast<size_t>(config.max_message_bytes);
  return options;
}

absl::StatusOr<std::unique_ptr<nats::EmbeddedNats>> StartEmbedded(const config::Config& config,
                                                                  const std::string& data) {
  nats::EmbeddedNatsOptions options;
  options.binary = config.nats.embedded.binary;
  options.directory = JoinPath(data, "nats");
  options.config_file = config.nats.embedded.config;
  options.port = config.nats.embedded.port.value_or(4222);
  options.max_payload = static_cast<size_t>(config.max_message_bytes);
  return nats::EmbeddedNats::Start(options, RealClock());
}

api::ApiBounds ToBounds(const config::ApiSettings& settings, size_t connections) {
  api::ApiBounds bounds;
  bounds.connections = connections;
  bounds.connections_per_address = settings.connections_per_address > 0
                                       ? static_cast<size_t>(settings.connections_per_address)
                                       : std::max<size_t>(connections / 2, 1);
  bounds.connection_idle = settings.connection_idle;
  bounds.streams_per_connection = static_cast<size_t>(settings.streams_per_connection);
  bounds.subscriptions_per_address = static_cast<size_t>(settings.subscriptions_per_address);
  bounds.streams_per_address =
      settings.streams_per_address > 0
          ? static_cast<size_t>(settings.streams_per_address)
          : std::max({limits::kDefaultStreamsPerAddress, bounds.streams_per_connection,
                      2 * bounds.subscriptions_per_address});
  bounds.memory_bytes = static_cast<size_t>(settings.max_memory);
  return bounds;
}

// Runs `call(done)` and waits until done was called.
template <typename Call>
absl::Status Await(Call call) {
  std::promise<absl::Status> promise;
  std::future<absl::Status> result = promise.get_future();
  call([&promise](absl::Status status) { promise.set_value(std::move(status)); });
  return result.get();
}

std::string ThisProcess() {
  char host[256] = {};
  const bool named = gethostname(host, sizeof(host) - 1) == 0;
  return Concat("process ", getpid(), " on ", named ? host : "a machine without a name");
}

// Another one after each start of the machine; where there is none every unclean stop is in doubt.
std::string BootId() {
  std::string id;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> id;
  return id;
}

peer::PeerOptions ToPeerOptions(const config::Config& config, const PeerIdentity& self,
                                const std::string& cluster_id, size_t connections) {
  const config::ClusterSettings& cluster = config.cluster;
  peer::PeerOptions options;
  options.self = self;
  if (cluster.advertised.port != 0) options.self.address = ToText(cluster.advertised);
  options.cluster_id = cluster_id;
  options.cluster_namespace = config.cluster_namespace;
  options.listen = ToText(cluster.listen);
  options.tls = {cluster.tls.ca, cluster.tls.cert, cluster.tls.key,
                 JoinPath(config.data_dir, "peer.pem")};
  options.insecure = cluster.insecure;
  options.max_connections = connections;
  return options;
}

}  // namespace

struct Daemon::Parts {
  Parts(const config::Config& given, std::function<void()> fatal_callback)
      : config(given), fatal(std::move(fatal_callback)), fs(RealFileSystem()), clock(RealClock()) {}

  absl::Status OpenData();
  absl::Status ConnectBus();
  absl::Status PlanDescriptors();
  absl::StatusOr<OpenedPeerPort> OpenPeers(const PeerIdentity& self, const std::string& cluster_id,
                                           PeerEvents& events);
  absl::Status StartBroker();
  absl::Status Serve();
  void Stop();

  void WatchCertificate();

  config::Config config;
  std::function<void()> fatal;
  FileSystem& fs;
  Clock& clock;
  DescriptorBudget descriptors;
  std::optional<broker::DataDirectory> directory;  // until the broker has it
  std::vector<std::unique_ptr<ThreadExecutor>> shards;
  std::unique_ptr<ThreadExecutor> home;
  std::unique_ptr<ThreadExecutor> disk_pool;
  std::unique_ptr<ThreadExecutor> sync_pool;
  std::unique_ptr<nats::EmbeddedNats> embedded;
  std::unique_ptr<nats::NatsBus> bus;
  std::unique_ptr<broker::Broker> broker;
  std::unique_ptr<BrokerFacts> facts;
  std::unique_ptr<api::ApiServer> api;
};

// What could not be opened later is refused now, with the reason.
absl::Status Daemon::Parts::PlanDescriptors() {
  DescriptorNeeds needs;
  needs.limit = RaiseDescriptorLimit();
  needs.cluster = config.cluster.enabled;
  needs.clients = static_cast<size_t>(config.api.max_connections);
  ASSIGN_OR_RETURN(descriptors, DescriptorBudget::Plan(needs));
  ASSIGN_OR_RETURN(const size_t stored, directory->CountPartitions(fs));
  RETURN_IF_ERROR(descriptors.CheckPartitions(stored));
  LogInfo(descriptors.Describe());
  return absl::OkStatus();
}

absl::Status Daemon::Parts::OpenData() {
  ASSIGN_OR_RETURN(directory,
                   broker::DataDirectory::Open(fs, RealRng(), config.data_dir, config.server_id));
  if (config.data_dir.starts_with("/tmp/")) {
    LogWarning(config.data_dir,
               " is below /tmp, which many systems empty at a restart: choose another data.dir");
  }
  const unsigned cores = std::max(1u, std::thread::hardware_concurrency());
  for (unsigned i = 0; i < cores; ++i)
    shards.push_back(std::make_unique<ThreadExecutor>(Concat("shard-", i), 1));
  home = std::make_unique<ThreadExecutor>("metadata", 1);
  disk_pool = std::make_unique<ThreadExecutor>("disk", limits::kDiskPoolThreads);
  sync_pool = std::make_unique<ThreadExecutor>("sync", kSyncThreads);
  return absl::OkStatus();
}

absl::Status Daemon::Parts::ConnectBus() {
  nats::NatsOptions options = ToNatsOptions(config, directory->server_id());
  if (config.nats.embedded.enabled) {
    ASSIGN_OR_RETURN(embedded, StartEmbedded(config, config.data_dir));
    options.urls = {embedded->url()};
    LogInfo("embedded nats-server listens on ", embedded->url());
  }
  ASSIGN_OR_RETURN(bus, nats::NatsBus::Start(options, clock, RealRng()));
  return absl::OkStatus();
}

absl::StatusOr<OpenedPeerPort> Daemon::Parts::OpenPeers(const PeerIdentity& self,
                                                        const std::string& cluster_id,
                                                        PeerEvents& events) {
  auto port = std::make_unique<peer::GrpcPeerTransport>(
      ToPeerOptions(config, self, cluster_id, descriptors.peers() / 2), clock, fs, *home, events);
  RETURN_IF_ERROR(port->Start());
  const config::Address& advertised = config.cluster.advertised;
  std::string address = advertised.port != 0
                            ? ToText(advertised)
                            : ToText(config::Address{advertised.host, port->BoundPort()});
  return OpenedPeerPort{std::move(port), std::move(address)};
}

absl::Status Daemon::Parts::StartBroker() {
  OpenPeerPort open_peers;
  if (config.cluster.enabled) {
    open_peers = [this](const PeerIdentity& self, const std::string& cluster_id,
                        PeerEvents& events) { return OpenPeers(self, cluster_id, events); };
  }
  std::vector<Executor*> shard_list;
  for (const auto& shard : shards) shard_list.push_back(shard.get());
  broker::BrokerSeams seams{
      {fs, clock, RealRng(), *home, bus->discovery(), std::move(open_peers),
       [this](size_t count) { return descriptors.CheckPartitions(count); }, fatal},
      std::move(shard_list),
      *disk_pool,
      *sync_pool,
      *bus,
      *bus};
  broker = std::make_unique<broker::Broker>(std::move(seams),
                                            broker::BrokerOptions{config, ThisProcess(), BootId()},
                                            *std::exchange(directory, std::nullopt));
  return Await([this](auto done) { broker->Start(std::move(done)); });
}

absl::Status Daemon::Parts::Serve() {
  facts = std::make_unique<BrokerFacts>(config, fs, clock, *bus, *broker);
  api::ApiOptions options;
  options.listen = ToText(config.listen);
  options.tls = {config.tls.key, config.tls.cert, config.tls.client_auth, config.tls.client_ca,
                 [this](const std::string& cert) {
                   return peer::CheckDate(ApiCertificateName(config), cert, clock.Wall(),
                                          kRenewApiCertificate);
                 }};
  options.max_request_bytes = config.MaxRequestBytes();
  options.bounds = ToBounds(config.api, descriptors.clients());
  options.advertised_host = config.advertised.host;
  options.advertised_port = config.advertised.port;
  options.server_id = broker->directory().server_id();
  options.cluster_namespace = config.cluster_namespace;
  options.admin = {config.admin.loopback, config.admin.identities};
  api = std::make_unique<api::ApiServer>(
      options, api::ApiPorts{broker->catalog(), broker->streams(), broker->cluster(), *bus, *facts,
                             clock, fs, RealRng()});
  facts->SetApi(*api);
  RETURN_IF_ERROR(api->Start());
  if (!config.tls.cert.empty()) WatchCertificate();
  const int port = config.advertised.port != 0 ? config.advertised.port : api->BoundPort();
  const std::string listen = ToText(config::Address{config.listen.host, api->BoundPort()});
  const std::string advertised = ToText(config::Address{config.advertised.host, port});
  broker->Advertise(config.advertised.host, port);
  facts->SetAddresses(listen, advertised);
  LogInfo("broker ", options.server_id, " serves on ", listen, " (advertised as ", advertised,
          "), ", broker->catalog().size(), " streams, data in ", config.data_dir);
  return absl::OkStatus();
}

// The pool ends before the API's server.
void Daemon::Parts::WatchCertificate() {
  disk_pool->After(kCertificateLook, [this] {
    api->ReloadTls();
    WatchCertificate();
  });
}

// New requests end first, then what was heard is stored and acked, then the roads to the outside
// close.
void Daemon::Parts::Stop() {
  if (api) api->Shutdown();
  if (broker) {
    (void)Await([this](auto done) {
      broker->Stop([done = std::move(done)]() mutable { done(absl::OkStatus()); });
    });
    broker->Disconnect();
  }
  if (bus) bus->Stop();
  for (const auto& shard : shards) shard->Stop();
  for (ThreadExecutor* executor : {sync_pool.get(), disk_pool.get(), home.get()}) {
    if (executor != nullptr) executor->Stop();
  }
  if (embedded) embedded->Stop();
}

Daemon::Daemon(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Daemon::~Daemon() { parts_->Stop(); }

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Start(const config::Config& config,
                                                      std::function<void()> fatal) {
  std::unique_ptr<Daemon> daemon(new Daemon(std::make_unique<Parts>(config, std::move(fatal))));
  Parts& parts = *daemon->parts_;
  RETURN_IF_ERROR(parts.OpenData());
  RETURN_IF_ERROR(parts.PlanDescriptors());
  RETURN_IF_ERROR(parts.ConnectBus());
  RETURN_IF_ERROR(parts.StartBroker());
  RETURN_IF_ERROR(parts.Serve());
  return daemon;
}

}  // namespace bascule::daemon
