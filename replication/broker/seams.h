// What is real about a broker: everything that it is built on from outside. cmd/basculed passes
// disks, clocks, threads, NATS and gRPC; tests/sim simulated ones.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "core/config/config.h"
#include "core/env/clock.h"
#include "core/env/executor.h"
#include "core/env/file_system.h"
#include "core/env/rng.h"
#include "core/ports/ack_sink.h"
#include "core/ports/discovery.h"
#include "core/ports/subject_feeds.h"
#include "replication/meta/group/raft_group.h"
#include "replication/meta/store/raft_store.h"
#include "replication/peer_port.h"

namespace bascule::broker {

// Everything referred to outlives the broker.
struct MetadataSeams {
  FileSystem& fs;
  Clock& clock;
  Rng& rng;
  Executor& home;  // the metadata thread
  Discovery& discovery;
  OpenPeerPort open_peer_port;  // null: a group of one
  // ResourceExhausted when so many partitions are too many for this process.
  std::function<absl::Status(size_t partitions)> capacity;
  // The process cannot go on; why was logged. On the metadata thread.
  std::function<void()> fatal;
};

struct BrokerSeams {
  MetadataSeams metadata;
  std::vector<Executor*> shards;
  Executor& disk_pool;
  Executor& sync_pool;
  AckSink& acks;
  SubjectFeeds& feeds;
};

struct BrokerOptions {
  config::Config config;
  std::string place;    // this machine and process, for people
  std::string boot_id;  // of this start of the machine; empty: not known
  raft_store::RaftStoreOptions metadata_store{};
  uint64_t trailing_entries = raft_group::RaftGroupOptions().trailing_entries;
};

}  // namespace bascule::broker
