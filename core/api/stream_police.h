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
  // The counts of a connection, by "address:port" as the listener names it; none: not known (yet).
  using Counts = std::function<std::optional<StreamCounts>(const std::string& peer)>;

  StreamPolice(StreamBounds bounds, Counts counts) : bounds_(bounds), counts_(std::move(counts)) {}

  // Of connections that were busy since the last call, or a while before, those to end. To be called
  // again and again, though nobody was.
  std::vector<std::string> Judge(const std::vector<BusyConnection>& busy);

 private:
  struct Seen {
    uint64_t received = 0;
    int looks_left = 0;
    uint64_t failed = 0;
    uint64_t failures_left = 0;   // a bucket: full with bounds.open
    uint64_t progress = 0;        // messages and streams
    uint64_t progress_bytes = 0;  // received when `progress` was last seen to grow
  };
  bool Allows(const StreamCounts& counts, Seen& seen) const;
  void NoteOpen(const std::string& peer, size_t open);
  // Looks again at the connections of `address`, which may have fewer streams by now.
  void CountAnew(const std::string& address);
  size_t OpenBy(const std::string& address) const;
  // Ends connections, those with most streams first, until the bounds of addresses and of all are
  // met. Nobody pays for what was open before: who may have to is counted anew.
  void EndExcess(std::vector<std::string>& condemned);
  void EndGreatest(const std::string& address, std::vector<std::string>& condemned);

  const StreamBounds bounds_;
  Counts counts_;
  std::map<std::string, Seen> seen_;  // those that were busy not long ago
  // Streams open when last looked at, by address and connection: without a word from it there are
  // no more some looks later.
  std::map<std::string, std::map<std::string, size_t>> open_;
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

  int64_t server_ = 0;
  int64_t next_socket_ = 0;
  std::map<std::string, int64_t> sockets_;  // by peer
};

}  // namespace bascule::api
