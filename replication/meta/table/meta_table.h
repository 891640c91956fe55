// The metadata of the cluster: deterministic state that only numbered commands change. Apply is
// total and reads no clock, no random number, no unordered container, no local setting and no limit
// that another version may have raised, so every broker that applies the same commands has the same
// table. A command costs what it changes (and a logarithm), never all streams. On the metadata
// thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/btree_set.h"
#include "core/base/status.h"
#include "core/stream/description.h"
#include "replication/meta/table/meta_commands.h"
#include "replication/meta/table/partition_rules.h"
#include "replication/metadata_log.h"
#include "replication/ports.h"

namespace bascule {

namespace meta {
class Command;
class CreateStream;
class FenceBrokers;
class NoteGenerations;
class RaiseEpoch;
class RemoveBroker;
class Snapshot;
class UpdateStream;
}  // namespace meta

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

class MetaTable {
 public:
  struct Applied {
    absl::Status result;  // the proposer's; Unimplemented: a command of a newer version, the broker
                          // must stop
    std::vector<MetaDelta> deltas;
  };
  using Streams = std::map<std::string, StreamDescription, std::less<>>;
  using Brokers = std::map<std::string, RegisteredBroker, std::less<>>;

  // A command whose origin and sequence are kept gives the kept result and changes nothing. That of
  // a process that is not registered (any more): FailedPrecondition; of a sequence that is
  // answered: Aborted.
  Applied Apply(MetadataIndex index, std::string_view command);
  // Whether the command makes the table larger; the others must get through on a full disk.
  static bool Grows(std::string_view command);
  void ApplyMembers(MetadataIndex index, const std::vector<GroupMember>& members);
  std::string Snapshot() const;
  // `index`: of the last command that is in it. DataLoss: it is none. Unimplemented: a newer
  // version's. Nothing is changed then.
  absl::Status Restore(MetadataIndex index, std::string_view snapshot);

  const StreamDescription* Find(std::string_view name) const;
  const StreamDescription* Find(StreamId id) const;
  const Streams& streams() const { return streams_; }  // by name
  const Brokers& brokers() const { return brokers_; }  // by id
  const RegisteredBroker* FindBroker(std::string_view id) const;
  bool IsLive(const std::string& broker) const;
  BrokerLoad LoadOf(const std::string& broker) const;
  // Partitions of which `broker` holds the only replica.
  int32_t OnlyReplicas(const std::string& broker) const;
  // What the streams may come to in a snapshot, whatever becomes of their partitions (StreamBytes).
  size_t stream_bytes() const { return stream_bytes_; }
  const std::vector<GroupMember>& members() const { return members_; }
  // What became of a command that this origin sent before; nullopt: nothing is known of it.
  std::optional<absl::Status> Kept(const CommandOrigin& origin) const;
  const std::string& cluster_id() const { return cluster_id_; }  // empty: not initialised
  uint32_t feature_level() const { return feature_level_; }      // in force
  MetadataIndex applied() const { return applied_; }
  // Indices of commands that were lost with a quorum, as far as there were any: an id in them may
  // be that of a stream whose records somebody still holds.
  const IndexRanges& doubtful() const { return doubtful_; }
  // Offline only: the table goes on behind `through`.
  void SkipTo(MetadataIndex through);

 private:
  // The exactly-once state of a broker's process.
  struct Client {
    uint64_t answered = 0;
    std::map<uint64_t, absl::Status> results;  // by sequence
    std::vector<uint64_t> retired;             // incarnations that were replaced, the newest last
  };
  struct Hosting {
    absl::btree_set<PartitionKey> replicas;
    int32_t leading = 0;
  };

  Applied Dispatch(MetadataIndex index, const meta::Command& command);
  std::optional<absl::Status> Admit(const meta::Command& command);
  Applied CreateStream(MetadataIndex index, const meta::Command& command);
  Applied DeleteStream(const std::string& name);
  Applied UpdateStream(MetadataIndex index, const meta::UpdateStream& command);
  Applied RaiseEpoch(MetadataIndex index, const meta::RaiseEpoch& command);
  Applied RegisterBroker(MetadataIndex index, const BrokerRegistration& registration);
  absl::Status CheckRegistration(const BrokerRegistration& registration) const;
  absl::Status CheckGeneration(const RegisteredBroker& known,
                               const BrokerRegistration& registration) const;
  Applied NoteGenerations(const meta::NoteGenerations& command);
  Applied FenceBrokers(MetadataIndex index, const meta::FenceBrokers& command);
  Applied RemoveBroker(MetadataIndex index, const meta::RemoveBroker& command);
  Applied InitCluster(const std::string& id);
  Applied RaiseFeatureLevel(uint32_t level);
  // Applies the partition rules to one partition and notes what changed.
  void Change(const BrokerChange& change, MetadataIndex index, PartitionKey key,
              std::vector<MetaDelta>& deltas);
  StreamDescription* Mutable(StreamId id);
  absl::btree_set<PartitionKey> ReplicasOf(const std::string& broker) const;
  // Counts a stream in, and out.
  void Host(const StreamDescription& stream);
  void Unhost(const StreamDescription& stream);
  void SaveBrokers(meta::Snapshot& snapshot) const;
  absl::Status RestoreStreams(const meta::Snapshot& snapshot);
  void RestoreBrokers(const meta::Snapshot& snapshot);

  IndexRanges doubtful_;
  Streams streams_;
  std::map<StreamId, std::string> names_;
  Brokers brokers_;
  std::map<std::string, Client, std::less<>> clients_;  // by broker, as brokers_
  std::map<std::string, Hosting, std::less<>> hosting_;
  size_t stream_bytes_ = 0;
  std::vector<GroupMember> members_;  // empty: the group has told nothing yet
  std::string cluster_id_;
  uint32_t feature_level_ = 0;
  MetadataIndex applied_;
};

// The most that a stream's encoding in a snapshot can come to with these replicas: any of them leads, all
// are in ISR and ELR, every setting is set.
size_t StreamBytes(const StreamDescription& stream);

// What leads from one table to another, in an order that can be applied: deletions first.
std::vector<MetaDelta> Differences(const MetaTable& before, const MetaTable& after);

}  // namespace bascule
