#include "core/config/settings.h"

#include <string>
#include <utility>
#include <vector>

#include "core/base/limits.h"
#include "core/config/kind.h"

namespace bascule::config {
namespace {

using Rows = std::vector<Setting<Config>>;

constexpr int32_t kMaxPort = 65535;
constexpr int64_t kLeastMessageLimit = 1024;

// Shorthand for where a setting is kept; `c` is the configuration.
#define BASCULE_FIELD(path) \
  [](auto& c) -> auto& { return c.path; }

void AddBroker(Rows& rows) {
  rows.push_back(Works<Config>("listen", AddressKind(), BASCULE_FIELD(listen),
                               "Address to serve gRPC on; port 0 = any free port."));
  rows.push_back(
      Works<Config>("host", TextKind(CheckHost), BASCULE_FIELD(advertised.host),
                    "Host that clients are told to dial; also the one to listen on when "
                    "\"listen\" is not set. Without it: that of \"listen\", or localhost "
                    "when that is every interface."));
  rows.push_back(Works<Config>("port", CountKind(0, kMaxPort), BASCULE_FIELD(advertised.port),
                               "Port that clients are told to dial; also the one to listen on when "
                               "\"listen\" is not set."));
  rows.push_back(Works<Config>("data.dir", PathKind(CheckNotEmpty), BASCULE_FIELD(data_dir),
                               "Directory of everything stored; one broker per directory."));
  rows.push_back(Works<Config>("disk.reserve", ReserveKind(), BASCULE_FIELD(disk_reserve),
                               "Free disk space at which publishes are refused until there is more "
                               "again: a size, or a share of the disk such as 5%."));
  rows.push_back(Works<Config>("logging.level", LogLevelKind(), BASCULE_FIELD(log_level),
                               "Least severe log lines that are written."));
}

void AddServerTls(Rows& rows) {
  rows.push_back(
      Works<Config>("tls.cert", PathKind(), BASCULE_FIELD(tls.cert),
                    "Certificate of the gRPC server, PEM; with tls.key it turns TLS on."));
  rows.push_back(Works<Config>("tls.key", PathKind(), BASCULE_FIELD(tls.key),
                               "Private key of the gRPC server, PEM."));
  rows.push_back(Works<Config>("tls.client.auth.enabled", SwitchKind(),
                               BASCULE_FIELD(tls.client_auth),
                               "Serve only clients that show a certificate."));
  rows.push_back(Works<Config>("tls.client.auth.ca", PathKind(), BASCULE_FIELD(tls.client_ca),
                               "Authority that signed the clients' certificates, PEM. Without it: "
                               "the system's authorities."));
}

void AddApi(Rows& rows) {
  constexpr int32_t kMany = 1'000'000;
  constexpr int64_t kLeastMemory = 64 * static_cast<int64_t>(limits::kMiB);
  constexpr int64_t kMostMemory = 1024 * static_cast<int64_t>(limits::kGiB);
  rows.push_back(
      Works<Config>("api.connections.max", CountKind(0, kMany), BASCULE_FIELD(api.max_connections),
                    "Connections of clients; more are closed at once. 0 = as many as the "
                    "limit of open files leaves room for, at most 10000."));
  rows.push_back(Works<Config>("api.connections.per.address", CountKind(0, kMany),
                               BASCULE_FIELD(api.connections_per_address),
                               "Connections from one IPv4 address or IPv6 /64; more are closed at "
                               "once. 0 = half of api.connections.max."));
  rows.push_back(Works<Config>("api.connections.idle.time", PeriodKind(),
                               BASCULE_FIELD(api.connection_idle),
                               "A connection without a call is closed after this; clients open "
                               "another when they need one."));
  rows.push_back(Works<Config>(
      "api.streams.per.connection", CountKind(1, kMany), BASCULE_FIELD(api.streams_per_connection),
      "Calls, subscriptions among them, that one connection may have open; "
      "clients keep further ones waiting until one ends."));
  rows.push_back(Works<Config>(
      "api.streams.per.address", CountKind(0, kMany), BASCULE_FIELD(api.streams_per_address),
      "The same for all connections from one IPv4 address or IPv6 /64; past it the connection "
      "with most of them is closed. 0 = 8000, or as many as api.streams.per.connection and twice "
      "api.subscriptions.per.address ask for."));
  rows.push_back(
      Works<Config>("api.subscriptions.per.address", CountKind(1, kMany),
                    BASCULE_FIELD(api.subscriptions_per_address),
                    "Subscriptions from one IPv4 address or IPv6 /64; more are refused."));
  rows.push_back(Works<Config>(
      "api.memory.max", SizeKind(kLeastMemory, kMostMemory), BASCULE_FIELD(api.max_memory),
      "Memory that gRPC may hold for clients; past it gRPC reads less from "
      "them, then ends calls. Also what stored messages may wait for subscribers that do not take "
      "them."));
}

void AddAdmin(Rows& rows) {
  rows.push_back(Works<Config>(
      "admin.identities", ListKind(), BASCULE_FIELD(admin.identities),
      "Names in client certificates (common name, or subject alternative name) whose owners may "
      "change the cluster: add and remove brokers, move its leadership."));
  rows.push_back(Works<Config>(
      "admin.loopback", SwitchKind(), BASCULE_FIELD(admin.loopback),
      "Whether callers on this machine may do so too. Turn it off where a proxy on this machine "
      "passes the calls of others on."));
}

void AddNats(Rows& rows) {
  rows.push_back(Works<Config>("nats.servers", NatsServersKind(), BASCULE_FIELD(nats.servers),
                               "NATS servers to connect to; those of one cluster."));
  rows.push_back(
      Works<Config>("nats.user", TextKind(), BASCULE_FIELD(nats.user), "User name for NATS."));
  rows.push_back(Works<Config>("nats.password", TextKind(), BASCULE_FIELD(nats.password),
                               "Password for NATS; better given as BASCULE_NATS_PASSWORD.")
                     .Secret());
  rows.push_back(Works<Config>("nats.token", TextKind(), BASCULE_FIELD(nats.token),
                               "Token for NATS; better given as BASCULE_NATS_TOKEN.")
                     .Secret());
  rows.push_back(Works<Config>("nats.creds", PathKind(), BASCULE_FIELD(nats.creds),
                               "Credentials file for NATS (user JWT and NKey seed)."));
  rows.push_back(Works<Config>("nats.nkey.seed", PathKind(), BASCULE_FIELD(nats.nkey_seed),
                               "File with the NKey seed for NATS."));
  rows.push_back(Works<Config>("nats.tls.ca", PathKind(), BASCULE_FIELD(nats.tls.ca),
                               "Authority that signed the NATS servers' certificates, PEM. "
                               "Like tls:// in nats.servers it makes TLS a condition: a server "
                               "without it is told nothing."));
  rows.push_back(Works<Config>("nats.tls.cert", PathKind(), BASCULE_FIELD(nats.tls.cert),
                               "Certificate to show to NATS, PEM."));
  rows.push_back(Works<Config>("nats.tls.key", PathKind(), BASCULE_FIELD(nats.tls.key),
                               "Private key of that certificate, PEM."));
  rows.push_back(Works<Config>("nats.embedded", SwitchKind(), BASCULE_FIELD(nats.embedded.enabled),
                               "Run a nats-server of our own, which ends with the broker."));
  rows.push_back(Works<Config>("nats.embedded.config", PathKind(),
                               BASCULE_FIELD(nats.embedded.config),
                               "Configuration file of that nats-server; implies nats.embedded "
                               "unless that is set to false."));
  rows.push_back(Works<Config>("nats.embedded.port", CountKind(0, kMaxPort),
                               BASCULE_FIELD(nats.embedded.port),
                               "Port of that nats-server; 0 = any free port. Without it: its "
                               "configuration file's, or 4222."));
  rows.push_back(Works<Config>("nats.embedded.binary", PathKind(CheckNotEmpty),
                               BASCULE_FIELD(nats.embedded.binary),
                               "The nats-server program: a path, or a name to find in PATH."));
}

Setting<Config> ReplicationRow() {
  return Works<Config>(
      "streams.replication.factor", CountKind(-1, static_cast<int32_t>(limits::kClusterMembers)),
      BASCULE_FIELD(replication_factor),
      "Copies of each partition of streams that are created without a number of their own, as the "
      "metadata leader has it. 0 = automatic: 3 where three or more brokers live at that time, "
      "else 1 (two copies of which both must be there stop with either); a Liftbridge client that "
      "names none gets 1, as there. -1 = one on every broker that lives.");
}

Setting<Config> DeclareRow() {
  Setting<Config> row;
  row.key = "streams.declare";
  row.type = "list";
  row.structured = true;
  row.doc =
      "Streams to create at start when they do not exist: items of name, subject, group, "
      "partitions, replication.factor, min.insync.replicas and any of the stream settings above "
      "without \"streams.\".";
  row.apply = ApplyDeclaredStreams;
  row.show = [](const Config& config) {
    std::string names;
    for (const StreamSpec& spec : config.declared_streams)
      absl::StrAppend(&names, names.empty() ? "" : ", ", spec.name);
    return absl::StrCat("[", names, "]");
  };
  return row;
}

void AddClustering(Rows& rows) {
  rows.push_back(Works<Config>("clustering.server.id", TextKind(CheckServerId),
                               BASCULE_FIELD(server_id),
                               "Name of this broker, distinct in its cluster. Without it: the one "
                               "in the data directory, generated at first start."));
  rows.push_back(Works<Config>(
      "clustering.namespace", TextKind(CheckNamespace), BASCULE_FIELD(cluster_namespace),
      "Name of the cluster; begins its internal NATS subjects, so distinct "
      "among clusters on one NATS."));
  rows.push_back(Works<Config>(
      "clustering.replication.max.bytes",
      SizeKind(kLeastMessageLimit, static_cast<int64_t>(limits::kMaxMessageBytes)),
      BASCULE_FIELD(max_message_bytes),
      "Largest message that is stored; NATS has its own limit, max_payload, beside it."));
  rows.push_back(Met<Config>("metadata.cache.max.age", PeriodKind("no caching"), "0s",
                             "Age of cached cluster metadata; nothing is cached, so every limit is "
                             "kept."));
}

void AddFutureClustering(Rows& rows) {
  const std::string replicas = "replication between brokers";
  const auto period = PeriodKind("none");
  rows.push_back(
      Works<Config>("clustering.replica.max.lag.time",
                    PeriodBetweenKind(std::chrono::milliseconds(100), std::chrono::hours(1)),
                    BASCULE_FIELD(replica_max_lag),
                    "How long a replica may lag behind its leader before it leaves the in-sync "
                    "replicas; it comes "
                    "back when it has caught up."));
  rows.push_back(
      NotBuilt<Config>("clustering.replica.max.leader.timeout", period, {"15s"}, replicas));
  rows.push_back(NotBuilt<Config>("clustering.replica.max.idle.wait", period, {"10s"}, replicas));
  rows.push_back(NotBuilt<Config>("clustering.replica.fetch.timeout", period, {"3s"}, replicas));
}

void AddFuture(Rows& rows) {
  const auto period = PeriodKind("none");
  const auto add = [&rows](const std::string& key, const auto& kind, std::vector<std::string> off,
                           const std::string& feature) {
    rows.push_back(NotBuilt<Config>(key, kind, std::move(off), feature));
  };
  for (const char* part : {"recovery", "raft", "nats"})
    add(absl::StrCat("logging.", part), SwitchKind(), {"false"}, "logging by part");
  add("batch.max.messages", WholeKind(0), {"1024"}, "batch tuning (batches size themselves)");
  add("batch.max.time", period, {"0"}, "batch tuning (batches size themselves)");
  const std::string authz = "authorization of clients";
  add("tls.client.authz.enabled", SwitchKind(), {"false"}, authz);
  add("tls.client.authz.model", PathKind(), {""}, authz);
  add("tls.client.authz.policy", PathKind(), {""}, authz);
  const std::string activity = "the activity stream";
  add("activity.stream.enabled", SwitchKind(), {"false"}, activity);
  add("activity.stream.publish.timeout", period, {"5s"}, activity);
  add("activity.stream.publish.ack.policy", TextKind(), {"all"}, activity);
  const std::string cursors = "cursors kept by the broker";
  add("cursors.stream.partitions", WholeKind(0), {"0"}, cursors);
  add("cursors.stream.replication.factor", WholeKind(-1), {"-1"}, cursors);
  add("cursors.stream.auto.pause.time", period, {"1m"}, cursors);
  add("groups.consumer.timeout", period, {"15s"}, "consumer groups");
  add("groups.coordinator.timeout", period, {"15s"}, "consumer groups");
  add("telemetry.enabled", SwitchKind(), {"false"}, "telemetry (it reports to nobody)");
  add("telemetry.interval.seconds", WholeKind(0), {"86400"}, "telemetry (it reports to nobody)");
}

#undef BASCULE_FIELD

Rows MakeBrokerRows() {
  Rows rows;
  AddBroker(rows);
  AddServerTls(rows);
  AddApi(rows);
  AddAdmin(rows);
  AddNats(rows);
  rows.push_back(ReplicationRow());
  for (Setting<Config>& row : MakeStreamRows().broker) rows.push_back(std::move(row));
  rows.push_back(DeclareRow());
  AddClustering(rows);
  for (Setting<Config>& row : MakeClusterRows()) rows.push_back(std::move(row));
  AddFutureClustering(rows);
  AddFuture(rows);
  return rows;
}

}  // namespace

const SettingTable<Config>& BrokerSettings() {
  static const SettingTable<Config> table(MakeBrokerRows());
  return table;
}

}  // namespace bascule::config
