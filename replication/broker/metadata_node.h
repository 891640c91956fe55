// This broker's part in the metadata of its cluster: the store, the group, the requests, the
// connections to other brokers, in the order in which they come up and go down. On the metadata
// thread, but for what says otherwise; blocks on the disk there. What a data directory leads to
// says cluster_start.h.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/env/lifetime.h"
#include "core/env/timer.h"
#include "core/ports/cluster_admin.h"
#include "replication/broker/data_directory.h"
#include "replication/broker/seams.h"
#include "replication/meta/cluster/broker_registrar.h"
#include "replication/meta/cluster/cluster_control.h"
#include "replication/meta/cluster/cluster_joiner.h"
#include "replication/meta/cluster/cluster_lookout.h"
#include "replication/meta/cluster/cluster_start.h"
#include "replication/meta/cluster/removal_watch.h"
#include "replication/meta/table/legacy_metadata.h"

namespace bascule::broker {

class MetadataNode final : private PeerEvents {
 public:
  using Done = absl::AnyInvocable<void(absl::Status)>;
  // `past`: why this broker cannot follow the cluster's metadata; empty when it does. What is passed
  // by reference outlives the node.
  MetadataNode(const MetadataSeams& seams, const BrokerOptions& options,
               const DataDirectory& directory, std::function<void(const std::string&)> past,
               ReplicaTraffic& replicas);

  // Once. `done` when this broker is a member of its cluster, so that the registrar can register it,
  // or with what to change; a joiner waits as long as that takes.
  void Start(Done done);
  // What this data directory owes the cluster (R6b).
  metadata::RegistrationRecord& record() { return *record_; }
  // Whether the disk is full for messages; before it nobody says.
  void SetDiskFull(std::function<bool()> full) { disk_full_ = std::move(full); }
  // How far its term and its log have come, durably; of none while a write is under way.
  metadata::DirectoryPositions Positions() const;
  metadata::MetaFrontend& frontend() { return *frontend_; }
  const metadata::MetaFrontend& frontend() const { return *frontend_; }
  metadata::BrokerRegistrar& registrar() { return *registrar_; }
  ClusterAdmin& admin() { return *control_; }
  raft_group::RaftGroup& group() { return *group_; }
  const raft_group::RaftGroup& group() const { return *group_; }
  PeerId node() const { return self_.node; }
  uint64_t incarnation() const { return self_.incarnation; }
  // Carries replicas to other brokers; null: alone. Until Disconnect.
  ReplicaChannel* replica_channel() { return peers_.get(); }
  const std::string& cluster_id() const { return cluster_id_; }
  // Whether it was one already when this process started.
  bool was_member() const { return plan_.way == metadata::StartWay::kOpen; }
  // A leader hands over; then nothing is sent or asked any more, whatever became of Start.
  void Stop(absl::AnyInvocable<void()> done);
  // Ends the connections to other brokers: then nothing is called any more. After Stop, before the
  // metadata thread stops, on none of the executors.
  void Disconnect();
  // Any thread, once Start is done.
  std::map<std::string, uint64_t> ReadCounters() const;
  // Any thread. What is not as it should be, a sentence each.
  std::vector<std::string> Degraded() const;

 private:
  absl::Status Prepare();
  absl::StatusOr<metadata::FoundDirectory> Look();
  absl::Status OpenStore();
  absl::Status CheckMetadata(const std::vector<DirectoryEntry>& streams) const;
  absl::Status CheckOwner() const;
  absl::Status LeaveOldPart();
  absl::Status StartPeers();
  void StartLookout();
  absl::Status Upgrade();
  absl::Status Found(MetadataIndex applied, const std::string& state);
  void FindCluster();
  metadata::ClusterJoinerOptions JoinerOptions();
  absl::Status OnFoundCluster(const metadata::JoinOutcome& outcome);
  absl::Status BindDirectory();
  void Enter();
  void LookBefore();
  absl::Status StartGroup();
  void StartLeaderWork();
  void End(const absl::Status& status);
  void NoteOlder(const absl::Status& why);
  void AnswerEarly();
  void TellAddress();
  std::string Trouble() const;
  void Refresh();
  void KeepFresh();
  void AskWhoIsThere();
  void OnWhoIsThere(const metadata::IntroAnswer& answer);

  // --- PeerEvents: foreign threads ---
  void OnPeerUp(const PeerIdentity& peer) override;
  void OnPeerDown(const PeerIdentity& peer) override;
  void OnIntroduction(const std::string& server_id, std::string request, Duration timeout,
                      PeerHandler::Respond respond) override;

  const MetadataSeams& seams_;
  const BrokerOptions& options_;
  const DataDirectory& directory_;
  const std::function<void(const std::string&)> say_past_;
  ReplicaTraffic& replicas_;
  const std::string meta_;  // data/meta
  metadata::BrokerSelf self_;
  std::unique_ptr<raft_store::RaftStore> store_;
  raft_store::StoredRaft stored_;
  metadata::FoundDirectory found_;
  metadata::LegacyMetadata legacy_;
  metadata::StartPlan plan_;
  Done started_;
  std::unique_ptr<PeerPort> peers_;  // null: alone
  std::unique_ptr<metadata::ClusterJoiner> join_;
  std::unique_ptr<metadata::ClusterLookout> lookout_;
  std::unique_ptr<metadata::MetaFrontend> frontend_;
  std::unique_ptr<raft_group::RaftGroup> group_;
  std::unique_ptr<metadata::BrokerRegistrar> registrar_;
  std::unique_ptr<metadata::LeaderWork> leader_work_;
  std::unique_ptr<metadata::ClusterControl> control_;
  std::unique_ptr<DiscoveryQuery> query_;
  std::string cluster_id_;
  std::optional<metadata::RemovalWatch> removal_;
  std::unique_ptr<metadata::RegistrationRecord> record_;
  // What is shown: immutable, exchanged whole.
  std::atomic<std::shared_ptr<const std::vector<std::string>>> degraded_;
  std::vector<Task> early_;  // introductions that came before anybody could answer
  std::map<PeerId, PeerIdentity> early_peers_;  // connected before there was leader_work_
  std::function<bool()> disk_full_;
  std::string past_;           // as it was told
  bool told_address_ = false;  // likewise
  Timer fresh_{seams_.home};
  Lifetime lifetime_{seams_.home};
};

}  // namespace bascule::broker
