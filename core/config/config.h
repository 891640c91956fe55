// Everything a broker can be told, as one validated value. Defaults stand here and nowhere else;
// keys, types and meanings stand in settings.cc and its neighbours; `basculed --help-config` prints
// both.
//
//   LoadConfig({file_name, file_text, environment, flags})  ->  Config, or every mistake found, one
//   per line
//
// Precedence: flags, then environment, then file, then the defaults below. Plain values: any
// thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/base/limits.h"
#include "core/base/logging.h"
#include "core/base/status.h"
#include "core/stream/description.h"
#include "core/stream/settings.h"

namespace bascule::config {

struct Address {
  std::string host;  // name or IP address; an IPv6 address without brackets
  int port = 0;      // 0 = any free port, known once it is bound
  bool operator==(const Address&) const = default;
};

// "host:port", IPv6 hosts in brackets.
std::string ToText(const Address& address);

// gRPC server side. Paths are read when the server starts.
struct ServerTls {
  std::string cert;          // certificate chain, PEM file
  std::string key;           // private key, PEM file
  bool client_auth = false;  // clients must show a certificate
  std::string client_ca;     // PEM file that signs client certificates; empty = the system's
  bool enabled() const { return !cert.empty(); }
};

// TLS towards NATS. `cert` and `key` come as a pair or not at all.
struct NatsTls {
  std::string ca;  // PEM file; empty = the system's
  std::string cert;
  std::string key;
  bool enabled() const { return !ca.empty() || !cert.empty(); }
};

struct EmbeddedNatsSettings {
  bool enabled = false;
  std::string config;       // nats-server configuration file; empty = ours
  std::optional<int> port;  // 0 = any free port; absent = the file's, or 4222 without one
  std::string binary = "nats-server";  // a path, or a name looked up in PATH
};

// At most one way to log in: user (and password), token, creds or nkey_seed.
struct NatsSettings {
  std::vector<std::string> servers{"nats://127.0.0.1:4222"};  // not used when embedded.enabled
  std::string user;
  std::string password;
  std::string token;
  std::string creds;      // file with JWT and NKey seed
  std::string nkey_seed;  // file with an NKey seed
  NatsTls tls;
  EmbeddedNatsSettings embedded;
};

// Between the brokers of a cluster, both sides show a certificate. All three or none; paths of PEM
// files.
struct ClusterTls {
  std::string ca;    // signs every broker's certificate
  std::string cert;  // this broker's, which names its server id
  std::string key;
  bool enabled() const { return !ca.empty(); }
};

// The cluster that this broker is part of. Without `enabled` it is one of its own: it asks nobody,
// opens no peer port, and only the fields that say so count.
struct ClusterSettings {
  bool enabled = false;             // cluster.listen, cluster.join or bootstrap peers are given
  Address listen{"0.0.0.0", 9293};  // where other brokers connect
  Address advertised;           // what they dial; filled in when enabled; port 0 = the one bound
  std::vector<Address> join;    // members to ask, any of them is enough
  ClusterTls tls;               // enabled, or `insecure` is set, when the cluster is
  bool insecure = false;        // plain connections, by express wish
  std::string rack;             // counts alone too
  bool bootstrap_seed = false;  // starts the cluster when nobody answers; not with peers
  // Server ids, distinct, this broker's among them: the smallest starts the cluster.
  std::vector<std::string> bootstrap_peers;
  int32_t max_voters = 0;           // clustering.raft.max.quorum.size; 0 = every member
  int64_t snapshot_entries = 8192;  // of the metadata log between two snapshots; counts alone too
  std::chrono::milliseconds session_timeout{1200};  // silence after which a broker is fenced
  std::chrono::milliseconds heartbeat{100};         // of the metadata leader
  // Silence after which an election begins; drawn from [1, 2) of it. At least three heartbeats.
  std::chrono::milliseconds election_timeout{500};
};

// What clients may hold of the gRPC port. 0 where it says so: as the descriptors of the process
// allow (core/env/descriptor_budget.h).
struct ApiSettings {
  int32_t max_connections = 0;          // 0: up to limits::kDefaultApiConnections
  int32_t connections_per_address = 0;  // 0: half of the above
  std::chrono::milliseconds connection_idle = limits::kDefaultApiIdle;
  int32_t streams_per_connection = static_cast<int32_t>(limits::kDefaultStreamsPerConnection);
  int32_t streams_per_address = 0;  // 0: limits::kDefaultStreamsPerAddress, or more
  int32_t subscriptions_per_address = static_cast<int32_t>(limits::kDefaultSubscriptionsPerAddress);
  int64_t max_memory = static_cast<int64_t>(limits::kDefaultApiMemoryBytes);
};

// Free space that is left alone: the greater of the two.
struct DiskReserve {
  uint64_t bytes = limits::kGiB;
  double percent = 2;  // of the file system's size
  uint64_t Of(uint64_t total_bytes) const;
  bool operator==(const DiskReserve&) const = default;
};

// Who may change the cluster besides; what it means is said in core/api/administrators.h.
struct AdminSettings {
  bool loopback = true;
  std::vector<std::string> identities;
  bool operator==(const AdminSettings&) const = default;
};

struct Config {
  Address listen{"0.0.0.0", 9292};        // where gRPC is served
  Address advertised{"localhost", 9292};  // what clients are told to dial; port 0 = the one bound
  std::string data_dir = "/var/lib/bascule";
  LogLevel log_level = LogLevel::kInfo;
  ServerTls tls;
  ApiSettings api;
  AdminSettings admin;
  NatsSettings nats;
  int32_t replication_factor =
      0;  // of streams that leave it open; 0 = automatic, -1 = every broker
  StreamSettings stream_defaults;            // for what a stream's creator left open
  std::vector<StreamSpec> declared_streams;  // created at start when absent; names are distinct
  std::string server_id;                     // empty = the data directory's, or a generated one
  std::string cluster_namespace = "bascule-default";  // first tokens of the cluster's NATS subjects
  ClusterSettings cluster;
  std::chrono::milliseconds replica_max_lag{15000};
  int64_t max_message_bytes =
      limits::kDefaultMessageBytes;  // largest NATS payload that a stream stores
  DiskReserve disk_reserve;

  // Largest gRPC request: a publish of the largest message with its key, headers and framing.
  size_t MaxRequestBytes() const;
};

// A setting given on the command line, by key.
struct FlagValue {
  std::string flag;  // as written, for error texts: "--port"
  std::string value;
};

struct ConfigSources {
  std::string file_name;                 // for error texts
  std::optional<std::string> file_text;  // absent = no file
  std::map<std::string, std::string>
      environment;                         // all of it; other programs' variables are passed over
  std::map<std::string, FlagValue> flags;  // key -> value
};

// Pure. InvalidArgument holds every mistake (at most kMaxConfigFaults), one per line, each with its
// place
// ("bascule.yaml:12: ..."), the key and what to write instead. Secrets never appear in it.
absl::StatusOr<Config> LoadConfig(const ConfigSources& sources);

inline constexpr int kMaxConfigFaults = 100;

// Every setting with type, default and meaning, for --help-config.
std::string ConfigReference();

// The configuration in force, "key: value" per line in the order of the reference; secrets are
// masked.
std::string DescribeConfig(const Config& config);

}  // namespace bascule::config
