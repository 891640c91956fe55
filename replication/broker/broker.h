// A whole broker but for what is real about it (seams.h): the one place that puts store, group,
// requests, cluster and partitions together, for basculed and for the simulator.
//
//   BrokerSeams ──► Broker ─┬─ MetadataNode   metadata of the cluster: store, group, requests, joining
//                           ├─ PartitionSet   the partitions that stand here
//                           └─ StreamCatalog  what clients are shown
//   bus: SubjectFeeds ─► partitions ─► AckSink        API: streams(), cluster(), catalog()
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "core/env/lifetime.h"
#include "core/env/timer.h"
#include "core/log/recovery_points.h"
#include "core/log/sync_scheduler.h"
#include "core/ports/cluster_admin.h"
#include "core/ports/stream_catalog.h"
#include "replication/broker/data_directory.h"
#include "replication/broker/metadata_node.h"
#include "replication/broker/seams.h"
#include "replication/broker/stop_note.h"
#include "replication/partition/partition_set.h"

namespace bascule::broker {

class Broker {
 public:
  using Done = absl::AnyInvocable<void(absl::Status)>;
  Broker(BrokerSeams seams, BrokerOptions options, DataDirectory directory);
  // After Stop and Disconnect, or nothing of it runs any more: its executors were stopped.
  ~Broker();

  // Any thread, once. `done` on the metadata thread: this broker is a member of its cluster, what it
  // leads is open and what is declared in the configuration is there; or the error, which says what to
  // change. A joiner waits as long as that takes.
  void Start(Done done);
  // Any thread, once, whatever became of Start. What others can lead is handed over, everything heard
  // is stored and acked, logs are closed clean, a metadata leader hands over. `done` on the metadata thread.
  void Stop(absl::AnyInvocable<void()> done);
  // Ends the connections to other brokers. After Stop; on none of the executors.
  void Disconnect() { metadata_.Disconnect(); }

  // --- once Start is done; each says on which threads ---
  StreamAdmin& streams() { return metadata_.frontend(); }
  ClusterAdmin& cluster() { return metadata_.admin(); }
  // The address that clients are told. Any thread.
  void Advertise(const std::string& host, int port) { metadata_.registrar().Advertise(host, port); }
  const partition::PartitionSet& partitions() const { return *partitions_; }
  // What is not as it should be, a sentence each. Any thread.
  std::vector<std::string> Degraded() const;
  const MetadataNode& metadata() const { return metadata_; }
  MetadataNode& metadata() { return metadata_; }

  // Any thread, at any time.
  StreamCatalog& catalog() { return catalog_; }
  const DataDirectory& directory() const { return directory_; }

 private:
  absl::StatusOr<log::RecoveryPointSet> LoadPoints();
  absl::Status OlderPoints() const;
  metadata::DirectoryPositions Positions() const;
  void NotePointsMissing();
  void NotePointsLost(absl::string_view what);
  absl::Status MakePartitions();
  void OnMember(const absl::Status& status);
  void RecoverReplicas();
  absl::Status TellRecovered(const std::vector<partition::RecoveredReplica>& found);
  void Register();
  void Registered(const absl::Status& status);
  bool MayHandOver() const;
  void StopPartitions(absl::AnyInvocable<void()> done);
  void StopMetadata(absl::AnyInvocable<void()> done);
  void Declare();
  void Create(std::vector<StreamSpec> specs, Done done);
  absl::Status OnDeclared(const StreamSpec& spec, const absl::Status& created);
  int LiveBrokers() const;
  int BrokersFor(const StreamSpec& spec) const;
  void DeclareLate();
  void End(const absl::Status& status);

  const BrokerSeams seams_;
  const BrokerOptions options_;
  const DataDirectory directory_;
  StreamCatalog catalog_;
  log::SyncScheduler sync_;
  partition::ReplicaSwitch replicas_;  // before and after what carries it
  MetadataNode metadata_;
  std::unique_ptr<partition::PartitionSet> partitions_;
  LastStop last_stop_ = LastStop::kDoubtful;
  bool told_ = false;            // what recovery found is registered
  bool points_missing_ = false;  // and no stream has a directory
  std::string points_lost_;  // not empty: what recovery.points cannot say, till the process ends
  Done started_;
  std::vector<StreamSpec> late_;  // declared, for more brokers than are here yet
  MonotonicTime late_since_;
  Timer late_timer_;
  Lifetime lifetime_;
};

}  // namespace bascule::broker
