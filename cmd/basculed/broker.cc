#include "cmd/basculed/broker.h"

#include <algorithm>
#include <chrono>
#include <future>
#include <thread>
#include <vector>

#include "cmd/basculed/data_directory.h"
#include "cmd/basculed/facts.h"
#include "cmd/basculed/metadata_node.h"
#include "core/api/api_server.h"
#include "core/base/logging.h"
#include "core/env/descriptor_budget.h"
#include "core/env/thread_executor.h"
#include "core/log/recovery_points.h"
#include "core/ports/stream_catalog.h"
#include "core/stream/difference.h"
#include "nats_bridge/embedded_nats.h"
#include "nats_bridge/nats_bus.h"
#include "replication/partition/partition_set.h"

namespace bascule {
namespace {

constexpr int kSyncThreads = 16;
constexpr std::chrono::seconds kCertificateLook{5};  // how often the files of tls.* are read again

NatsOptions ToNatsOptions(const Config& config, const std::string& server_id) {
  NatsOptions options;
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

absl::StatusOr<std::unique_ptr<EmbeddedNats>> StartEmbedded(const Config& config,
                                                            const std::string& data) {
  EmbeddedNatsOptions options;
  options.binary = config.nats.embedded.binary;
  options.directory = JoinPath(data, "nats");
  options.config_file = config.nats.embedded.config;
  options.port = config.nats.embedded.port.value_or(4222);
  options.max_payload = static_cast<size_t>(config.max_message_bytes);
  return EmbeddedNats::Start(options, RealClock());
}

ApiBounds ToBounds(const ApiSettings& settings, size_t connections) {
  ApiBounds bounds;
  bounds.connections = connections;
  bounds.connections_per_address = settings.connections_per_address > 0
                                       ? static_cast<size_t>(settings.connections_per_address)
                                       : std::max<size_t>(connections / 2, 1);
  bounds.connection_idle = settings.connection_idle;
  bounds.streams_per_connection = static_cast<size_t>(settings.streams_per_connection);
  bounds.subscriptions_per_address = static_cast<size_t>(settings.subscriptions_per_address);
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

RecoveryPointSet LoadPoints(FileSystem& fs, const std::string& data) {
  absl::StatusOr<RecoveryPointSet> points = LoadRecoveryPoints(fs, data);
  if (points.ok()) return *std::move(points);
  if (!absl::IsNotFound(points.status())) {
    LogWarning(FromAbsl(points.status().message()),
               "; every log is scanned, and a lost directory cannot be told from a "
               "new one this time");
  }
  return {};
}

}  // namespace

struct Broker::Parts {
  Parts(const Config& given, std::function<void()> fatal_callback)
      : config(given), fatal(std::move(fatal_callback)), fs(RealFileSystem()), clock(RealClock()) {}

  absl::Status OpenData();
  absl::Status ConnectBus();
  absl::Status OpenStreams();
  absl::Status DeclareStreams();
  absl::Status Serve();
  void Stop();

  absl::Status PlanDescriptors();
  void WatchCertificate();

  Config config;
  std::function<void()> fatal;
  FileSystem& fs;
  Clock& clock;
  DescriptorBudget descriptors;
  std::unique_ptr<DataDirectory> directory;
  std::vector<std::unique_ptr<ThreadExecutor>> shards;
  std::unique_ptr<ThreadExecutor> home;
  std::unique_ptr<ThreadExecutor> disk_pool;
  std::unique_ptr<ThreadExecutor> sync_pool;
  std::unique_ptr<SyncScheduler> sync;
  std::unique_ptr<EmbeddedNats> embedded;
  std::unique_ptr<NatsBus> bus;
  StreamCatalog catalog;
  std::unique_ptr<MetadataNode> metadata;
  std::unique_ptr<PartitionSet> partitions;
  std::unique_ptr<BrokerFacts> facts;
  std::unique_ptr<ApiServer> api;
};

// What could not be opened later is refused now, with the reason.
absl::Status Broker::Parts::PlanDescriptors() {
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

absl::Status Broker::Parts::OpenData() {
  ASSIGN_OR_RETURN(DataDirectory opened,
                   DataDirectory::Open(fs, RealRng(), config.data_dir, config.server_id));
  directory = std::make_unique<DataDirectory>(std::move(opened));
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
  sync = std::make_unique<SyncScheduler>(fs, *sync_pool);
  return absl::OkStatus();
}

absl::Status Broker::Parts::ConnectBus() {
  NatsOptions options = ToNatsOptions(config, directory->server_id());
  if (config.nats.embedded.enabled) {
    ASSIGN_OR_RETURN(embedded, StartEmbedded(config, config.data_dir));
    options.urls = {embedded->url()};
    LogInfo("embedded nats-server listens on ", embedded->url());
  }
  ASSIGN_OR_RETURN(bus, NatsBus::Start(options, clock, RealRng()));
  return absl::OkStatus();
}

absl::Status Broker::Parts::OpenStreams() {
  metadata = std::make_unique<MetadataNode>(MetadataNodeEnvironment{
      config, fs, clock, RealRng(), *home, bus->discovery(), *directory, descriptors,
      [this](const std::string& why) { catalog.SetPast(why); }, fatal});
  RETURN_IF_ERROR(metadata->Start());
  std::vector<Executor*> shard_list;
  for (const auto& shard : shards) shard_list.push_back(shard.get());
  PartitionSetOptions options;
  options.data_directory = config.data_dir;
  options.broker = directory->server_id();
  options.defaults = config.stream_defaults;
  options.max_message_bytes = static_cast<size_t>(config.max_message_bytes);
  ASSIGN_OR_RETURN(const DiskSpace space, fs.Space(config.data_dir));
  options.disk_reserve_bytes = config.disk_reserve.Of(space.total_bytes);
  partitions = std::make_unique<PartitionSet>(
      PartitionSetEnvironment{fs, clock, *home, shard_list, *disk_pool, *sync, *bus, *bus, catalog,
                              metadata->frontend()},
      options, LoadPoints(fs, config.data_dir));
  return Await([this](auto done) {
    home->Post([this, done = std::move(done)]() mutable {
      metadata->SetDiskFull([this] { return partitions->disk_full(); });
      metadata->frontend().Register(*partitions, metadata->record(),
                                    [this, done = std::move(done)](absl::Status s) mutable {
                                      partitions->Start();
                                      done(std::move(s));
                                    });
    });
  });
}

absl::Status Broker::Parts::DeclareStreams() {
  // All at once: without NATS each takes a while until it is clear that nobody listens yet.
  std::vector<std::future<absl::Status>> results;
  for (const StreamSpec& spec : config.declared_streams) {
    auto promise = std::make_shared<std::promise<absl::Status>>();
    results.push_back(promise->get_future());
    metadata->frontend().CreateStream(
        spec, limits::kDefaultMetadataTimeout,
        [promise](absl::Status status) { promise->set_value(std::move(status)); });
  }
  for (size_t i = 0; i < results.size(); ++i) {
    const StreamSpec& spec = config.declared_streams[i];
    const absl::Status created = results[i].get();
    if (created.ok()) {
      LogInfo("created declared stream ", spec.name, " on ", spec.subject);
      continue;
    }
    if (!absl::IsAlreadyExists(created)) {
      return absl::Status(created.code(), Concat("streams.declare: ", spec.name, ": ",
                                                 FromAbsl(created.message())));
    }
    const auto entry = catalog.Find(spec.name);
    if (!entry) continue;
    for (const std::string& difference : Differences(entry->stream, entry->settings, spec, 1)) {
      LogWarning("streams.declare: ", spec.name, " exists and differs: ", difference);
    }
  }
  return absl::OkStatus();
}

absl::Status Broker::Parts::Serve() {
  facts =
      std::make_unique<BrokerFacts>(config, *directory, fs, clock, *bus, *partitions, *metadata);
  ApiOptions options;
  options.listen = ToText(config.listen);
  options.tls = {config.tls.key, config.tls.cert, config.tls.client_auth, config.tls.client_ca};
  options.max_request_bytes = config.MaxRequestBytes();
  options.bounds = ToBounds(config.api, descriptors.clients());
  options.advertised_host = config.advertised.host;
  options.advertised_port = config.advertised.port;
  options.server_id = directory->server_id();
  options.cluster_namespace = config.cluster_namespace;
  options.admin = {config.admin.loopback, config.admin.identities};
  api = std::make_unique<ApiServer>(
      options, ApiPorts{catalog, metadata->frontend(), metadata->admin(), *bus, *facts, clock, fs,
                        RealRng()});
  facts->SetApi(*api);
  RETURN_IF_ERROR(api->Start());
  if (!config.tls.cert.empty()) WatchCertificate();
  const int port = config.advertised.port != 0 ? config.advertised.port : api->BoundPort();
  const std::string listen = ToText(Address{config.listen.host, api->BoundPort()});
  const std::string advertised = ToText(Address{config.advertised.host, port});
  metadata->frontend().Advertise(config.advertised.host, port);
  facts->SetAddresses(listen, advertised);
  LogInfo("broker ", directory->server_id(), " serves on ", listen, " (advertised as ", advertised,
          "), ", catalog.size(), " streams, data in ", config.data_dir);
  return absl::OkStatus();
}

// The pool ends before the API's server.
void Broker::Parts::WatchCertificate() {
  disk_pool->After(kCertificateLook, [this] {
    api->ReloadTls();
    WatchCertificate();
  });
}

// New requests end first, then what was heard is stored and acked, then the roads to the outside
// close.
void Broker::Parts::Stop() {
  if (api) api->Shutdown();
  if (partitions) {
    (void)Await([this](auto done) {
      home->Post([this, done = std::move(done)]() mutable {
        partitions->Stop([done = std::move(done)]() mutable { done(absl::OkStatus()); });
      });
    });
  }
  if (metadata) metadata->Stop();
  if (bus) bus->Stop();
  for (const auto& shard : shards) shard->Stop();
  for (ThreadExecutor* executor : {sync_pool.get(), disk_pool.get(), home.get()}) {
    if (executor != nullptr) executor->Stop();
  }
  if (embedded) embedded->Stop();
}

Broker::Broker(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Broker::~Broker() { parts_->Stop(); }

absl::StatusOr<std::unique_ptr<Broker>> Broker::Start(const Config& config,
                                                      std::function<void()> fatal) {
  std::unique_ptr<Broker> broker(new Broker(std::make_unique<Parts>(config, std::move(fatal))));
  Parts& parts = *broker->parts_;
  RETURN_IF_ERROR(parts.OpenData());
  RETURN_IF_ERROR(parts.PlanDescriptors());
  RETURN_IF_ERROR(parts.ConnectBus());
  RETURN_IF_ERROR(parts.OpenStreams());
  RETURN_IF_ERROR(parts.DeclareStreams());
  RETURN_IF_ERROR(parts.Serve());
  return broker;
}

}  // namespace bascule
