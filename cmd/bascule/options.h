// The command line as values. `ParseCommandLine` is the only thing that knows the flags; everything
// behind it works on these structs.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <ostream>
#include <string>
#include <variant>
#include <vector>

#include "cmd/bascule/cluster_certs.h"
#include "cmd/bascule/exit_codes.h"
#include "cmd/bascule/time_parse.h"
#include "core/base/types.h"
#include "core/stream/settings.h"

namespace bascule::cli {

inline constexpr int kDefaultPort = 9292;
inline constexpr int kDefaultPeerPort = 9293;

struct ConnectionOptions {
  std::vector<std::string> servers;  // "host:port", at least one
  bool tls = false;
  std::string tls_ca;  // files; empty = the system's authorities, no client certificate
  std::string tls_cert;
  std::string tls_key;
  Duration timeout{std::chrono::seconds(5)};
};

struct StreamCreateOptions {
  std::string name;
  std::string subject;
  std::string group;
  int32_t partitions = 1;
  int32_t replication_factor = 0;  // -1: all; 0: the cluster's default
  StreamOverrides overrides;
  bool if_absent = false;
};
struct StreamUpdateOptions {
  std::string name;
  StreamOverrides changes;  // at least one
};
struct StreamListOptions {};
struct StreamInfoOptions {
  std::string name;
};
struct StreamGapsOptions {
  std::string name;
  std::optional<int32_t> partition;  // absent: all
};
struct StreamDeleteOptions {
  std::string name;
  bool yes = false;
};

struct PublishOptions {
  std::string stream;                // or
  std::string subject;               // publish to a NATS subject instead of one stream
  std::optional<std::string> value;  // absent: every line of standard input
  int32_t partition = 0;
  std::string key;
  std::map<std::string, std::string> headers;
  AckPolicy ack = AckPolicy::kAll;
  int64_t window = 1000;  // messages without an ack yet
  std::string correlation_id;
  int64_t expected_offset = -1;  // -1 = any
  bool quiet = false;
};

enum class OutputFormat { kText, kJson, kRaw };

struct SubscribeOptions {
  std::string stream;
  std::optional<int32_t> partition;  // absent: 0
  Place from;
  std::optional<Place> until;  // absent: never (follow, reverse)
  bool follow = false;
  bool reverse = false;
  std::optional<uint64_t> count;
  OutputFormat format = OutputFormat::kText;
  bool newline = true;  // after each raw value
  std::string output;   // file; empty = standard output
  // How long a follower goes on trying when its broker goes away.
  Duration reconnect{std::chrono::seconds(60)};
};

struct ServerInfoOptions {};

struct ClusterStatusOptions {};
struct ClusterAddOptions {
  std::string address;  // host:port of the new broker's peer port
};
struct ClusterRemoveOptions {
  std::string server_id;
  bool force = false;
};
struct ClusterTransferOptions {
  std::string server_id;  // empty: the best follower
};

struct BenchPublishOptions {
  std::vector<std::string> streams;
  bool create = false;
  std::vector<int64_t> sizes{1024};  // bytes of each value; one run for each
  int64_t count = 100'000;           // messages for each stream and size
  int64_t window = 1000;             // for each stream
  AckPolicy ack = AckPolicy::kAll;
  int32_t partition = 0;
};
struct BenchReplayOptions {
  std::vector<std::string> streams;
  std::optional<uint64_t> count;  // from each stream
  int32_t partition = 0;
};

struct LogOptions {
  enum class Action { kInspect, kVerify };
  Action action = Action::kInspect;
  std::string directory;
};

using Command =
    std::variant<StreamCreateOptions, StreamUpdateOptions, StreamListOptions, StreamInfoOptions,
                 StreamGapsOptions, StreamDeleteOptions, PublishOptions, SubscribeOptions,
                 ServerInfoOptions, ClusterStatusOptions, ClusterAddOptions, ClusterRemoveOptions,
                 ClusterTransferOptions, ClusterCertsOptions, BenchPublishOptions,
                 BenchReplayOptions, LogOptions>;

struct Invocation {
  ConnectionOptions connection;
  bool json = false;
  Command command;
};

// What to run; nothing when help or the version was asked for (printed to `out`, kOk) or the
// command line is wrong (said on `err`, kUsage). Reads BASCULE_SERVER from the environment.
struct ParsedCommandLine {
  std::optional<Invocation> invocation;
  ExitCode code = ExitCode::kOk;
};
ParsedCommandLine ParseCommandLine(int argc, const char* const* argv, Timestamp now,
                                   std::ostream& out, std::ostream& err);

}  // namespace bascule::cli
