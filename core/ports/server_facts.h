// What the process knows of itself as a whole. Assembled by cmd/basculed, shown by core/api.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/base/types.h"

namespace bascule {

using Counters = std::map<std::string, uint64_t>;

struct ServerFacts {
  std::string version;
  std::string server_id;
  std::string cluster_namespace;
  std::string incarnation;
  Timestamp started;
  std::string data_dir;
  std::string listen;
  std::string advertised;
  bool nats_connected = false;
  std::string nats_server;
  int64_t nats_max_payload = 0;
  int64_t max_message_bytes = 0;
  uint64_t disk_available = 0;
  uint64_t disk_total = 0;
  uint64_t disk_reserve = 0;
  Counters counters;
  std::vector<std::string> degraded;  // what is not as it should be, a sentence each
};

class ServerFactsSource {
 public:
  virtual ~ServerFactsSource() = default;
  // Any thread; may take a system call, never blocks on another thread's work.
  virtual ServerFacts Facts() = 0;
};

}  // namespace bascule
