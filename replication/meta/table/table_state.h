// What the metadata table holds, and the steps that its commands are made of (command.h). Commands and
// MetaTable change it, nobody else sees it; what holds for Apply (meta_table.h) holds for each step. On the
// metadata thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/btree_set.h"
#include "core/base/status.h"
#include "core/stream/description.h"
#include "core/stream/subject_index.h"
#include "replication/meta/table/partition_rules.h"
#include "replication/metadata_log.h"
#include "replication/ports.h"

namespace bascule::metadata {

struct RegisteredBroker {
  std::string id;
  PeerId node;  // 0: registered by a version before clusters
  uint64_t incarnation = 0;
  std::string host;  // where clients reach it; port 0: it does not serve yet
  int32_t port = 0;
  std::string peer_address;
  std::string rack;
  uint32_t feature_level = 0;
  bool fenced = false;
  uint64_t generation = 0;  // of its data directory, the newest that is known; 0: none is
  bool operator==(const RegisteredBroker&) const = default;
};

// What stands on a broker.
struct BrokerLoad {
  int32_t partitions = 0;
  int32_t leading = 0;
};

class TableState {
 public:
  using Streams = std::map<std::string, StreamDescription, std::less<>>;
  using Brokers = std::map<std::string, RegisteredBroker, std::less<>>;
  // The exactly-once state of a broker's process.
  struct Client {
    uint64_t answered = 0;
    std::map<uint64_t, absl::Status> results;  // by sequence
    std::vector<uint64_t> retired;             // incarnations that were replaced, the newest last
  };

  const StreamDescription* Find(std::string_view name) const;
  const StreamDescription* Find(StreamId id) const;
  // Null, too, when the stream has no such partition.
  const PartitionDescription* Find(PartitionKey key) const;
  // See partition_rules.h; of a partition that there is.
  std::string SuccessorOf(PartitionKey key) const;
  const Streams& streams() const { return streams_; }  // by name
  const Brokers& brokers() const { return brokers_; }  // by id
  const RegisteredBroker* FindBroker(std::string_view id) const;
  bool IsLive(const std::string& broker) const;
  BrokerLoad LoadOf(const std::string& broker) const;
  // Partitions of which `broker` holds the only replica.
  int32_t OnlyReplicas(const std::string& broker) const;
  absl::btree_set<PartitionKey> ReplicasOf(const std::string& broker) const;
  // What the streams may come to in a snapshot, whatever becomes of their partitions (StreamBytes).
  size_t stream_bytes() const { return stream_bytes_; }
  // The streams that answer plain messages (reply acks), or may: they do not say that they do not.
  const SubjectIndex& answering() const { return answering_; }
  const std::vector<GroupMember>& members() const { return members_; }
  const std::string& cluster_id() const { return cluster_id_; }  // empty: not initialised
  uint32_t feature_level() const { return feature_level_; }      // in force
  MetadataIndex applied() const { return applied_; }
  // Indices of commands that were lost with a quorum, as far as there were any: an id in them may
  // be that of a stream whose records somebody still holds.
  const IndexRanges& doubtful() const { return doubtful_; }

  // --- steps of commands ---
  // Neither its name nor its id is in use.
  void AddStream(StreamDescription stream);
  void RemoveStream(const StreamDescription& stream);
  // The stream of that id, which is there, with other settings.
  const StreamDescription& SetOverrides(StreamId id, StreamOverrides overrides);
  // Applies the partition rules to one partition, which is there, and notes what changed.
  void Change(const BrokerChange& change, MetadataIndex index, PartitionKey key,
              std::vector<MetaDelta>& deltas);
  // Likewise a change of its ISR. That the incarnations fit (R1c) is the command's to check.
  IsrVerdict Change(const IsrChange& change, PartitionKey key, std::vector<MetaDelta>& deltas);
  // Gives the partition, which is there and led by another or nobody, to `to`. False: it may not lead now.
  bool MoveLead(const std::string& to, MetadataIndex index, PartitionKey key,
                std::vector<MetaDelta>& deltas);
  RegisteredBroker* MutableBroker(std::string_view id);
  // The broker of that id, made if there is none, and the exactly-once state of its process.
  RegisteredBroker& EnsureBroker(const std::string& id) { return brokers_[id]; }
  Client& EnsureClient(const std::string& id) { return clients_[id]; }
  const Client* FindClient(std::string_view id) const;
  void RemoveBroker(const std::string& id);
  void SetClusterId(const std::string& id) { cluster_id_ = id; }
  void SetFeatureLevel(uint32_t level) { feature_level_ = level; }

 protected:
  struct Hosting {
    absl::btree_set<PartitionKey> replicas;
    int32_t leading = 0;
  };

  StreamDescription* Mutable(StreamId id);  // null: there is none
  void Changed(const std::string& leader_before, const StreamDescription& stream,
               const PartitionDescription& partition, std::vector<MetaDelta>& deltas);
  // Counts a stream in, and out.
  void Host(const StreamDescription& stream);
  void Unhost(const StreamDescription& stream);

  IndexRanges doubtful_;
  Streams streams_;
  std::map<StreamId, std::string> names_;
  Brokers brokers_;
  std::map<std::string, Client, std::less<>> clients_;  // by broker, as brokers_
  std::map<std::string, Hosting, std::less<>> hosting_;
  size_t stream_bytes_ = 0;
  SubjectIndex answering_;
  std::vector<GroupMember> members_;  // empty: the group has told nothing yet
  std::string cluster_id_;
  uint32_t feature_level_ = 0;
  MetadataIndex applied_;
};

// The most that a stream's encoding in a snapshot can come to with these replicas: any of them leads, all
// are in ISR and ELR, every setting is set.
size_t StreamBytes(const StreamDescription& stream);

}  // namespace bascule::metadata
