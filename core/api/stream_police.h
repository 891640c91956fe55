// Ends connections that keep more streams open than they, all of their address, or all clients
// together may, open and drop them faster than anybody who wants an answer, or send more than any
// message can be without completing one (floods of pings and settings). gRPC 1.51 holds a client to
// its stream limit only once that client has acknowledged it, and to no rate at all; but it counts
// streams by connection (channelz), and the listener can end what it handed on.
//
// Pure but for the counts, which come through `Counts`. One thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/base/limits.h"
#include "core/env/connection_listener.h"

struct grpc_server;

namespace bascule::api {

struct StreamCounts {
  uint64_t started = 0;
  uint64_t ended = 0;     // in any way
  uint64_t failed = 0;    // of them: reset, or broken off
  uint64_t messages = 0;  // received whole
};

struct StreamBounds {
  size_t open = limits::kDefaultStreamsPerConnection;
  size_t open_per_address = limits::kDefaultStreamsPerAddress;
  size_t open_in_all = limits::kDefaultApiMemoryBytes / limits::kStreamBytes;
  // That fail between two looks, time and again; as many at once as may be open.
  size_t failed = limits::kStreamsDroppedPerLook;
  size_t message_bytes = limits::kDefaultRequestBytes;  // the largest, for each open stream
  size_t idle_bytes = limits::kStreamIdleBytes;         // beside them, without a message or stream
};

class StreamPolice {
 public:
  // The counts of a connection, by its name as the listener has it; none: not known yet, or gone.
  using Counts = std::function<std::optional<StreamCounts>(const std::string& peer)>;

  StreamPolice(StreamBounds bounds, Counts counts) : bounds_(bounds), counts_(std::move(counts)) {}

  // Which to end. `busy`: those that sent something; to be called at each look, also without any.
  // What a connection has sent may wait for gRPC: it is looked at for a while behind its last bytes,
  // and then, as long as it has streams, now and then.
  std::vector<CondemnedConnection> Judge(const std::vector<BusyConnection>& busy);

 private:
  struct Connection {
    std::string address;
    uint64_t received = 0;
    int looks_left = 0;  // behind its last bytes
    bool known = false;  // gRPC has counted something
    uint64_t started = 0;
    uint64_t failed = 0;
    uint64_t failures_left = 0;   // a bucket: full with bounds.open
    uint64_t progress = 0;        // messages and streams
    uint64_t progress_bytes = 0;  // received when `progress` was last seen to grow
    size_t open = 0;              // streams
  };
  using Connections = std::map<std::string, Connection>;

  // Both may take the connection out; true: it is to be ended, for `reason`.
  bool LookAt(Connections::iterator it, std::string& reason);
  void Forget(Connections::iterator it);
  void SetOpen(Connection& connection, size_t open);
  bool Allows(const StreamCounts& counts, Connection& connection, std::string& reason) const;
  // The first of those with streams behind the one that was looked at last.
  void LookAtSilent(std::vector<CondemnedConnection>& condemned);
  // Ends connections, those with most streams first, until the bounds of addresses and of all are
  // met. Nobody pays for what was open before: who may have to is counted anew.
  void EndExcess(std::vector<CondemnedConnection>& condemned);
  // Of `address`, or of all when it is empty.
  void LookAgain(const std::string& address, std::vector<CondemnedConnection>& condemned);
  void EndGreatest(const std::string& address, std::string reason,
                   std::vector<CondemnedConnection>& condemned);
  size_t OpenBy(const std::string& address) const;

  const StreamBounds bounds_;
  Counts counts_;
  Connections connections_;  // that were busy not long ago, or have streams
  std::string last_silent_;
  std::map<std::string, size_t> open_by_address_;
  size_t open_in_all_ = 0;
};

// What gRPC counts of the connections of one server. Any thread, one at a time.
class ChannelzCounts {
 public:
  // `before`: the servers that were there before the one that is meant.
  explicit ChannelzCounts(const std::vector<int64_t>& before);
  static std::vector<int64_t> Servers();
  std::optional<StreamCounts> operator()(const std::string& peer);

 private:
  void Learn();
  // What channelz says of it; empty: nothing, as far as is known.
  std::string Socket(const std::string& peer);

  int64_t server_ = 0;
  int64_t next_socket_ = 0;
  std::map<std::string, int64_t> sockets_;  // by peer
};

}  // namespace bascule::api
