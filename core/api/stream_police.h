// Ends connections that keep more streams open than they may, or open and drop them faster than
// anybody who wants an answer. gRPC 1.51 holds a client to its stream limit only once that client
// has acknowledged it, and to no rate at all; but it counts streams by connection (channelz), and
// the listener can end what it handed on.
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

struct grpc_server;

namespace bascule {

struct StreamCounts {
  uint64_t started = 0;
  uint64_t ended = 0;   // in any way
  uint64_t failed = 0;  // of them: reset, or broken off
};

class StreamPolice {
 public:
  // The counts of a connection, by "address:port" as the listener names it; none: not known (yet).
  using Counts = std::function<std::optional<StreamCounts>(const std::string& peer)>;

  StreamPolice(size_t max_open, size_t max_failed, Counts counts)
      : max_open_(max_open), max_failed_(max_failed), counts_(std::move(counts)) {}

  // Of connections that were busy since the last call, those to end. At most max_failed streams
  // that failed between two calls are put up with.
  std::vector<std::string> Judge(const std::vector<std::string>& busy);

 private:
  const size_t max_open_;
  const size_t max_failed_;
  Counts counts_;
  std::map<std::string, uint64_t> failed_before_;  // of those that were busy the last time
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

}  // namespace bascule
