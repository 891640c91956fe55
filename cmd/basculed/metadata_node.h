// This broker's part in the metadata of its cluster: the store, the group, the requests, the
// connections to other brokers, in the order in which they come up and go down. Built and stopped
// on the main thread; what it holds runs on the metadata thread.
//
//   data/meta/identity there   open it
//   a log of before clusters   becomes the first snapshot of a group of one
//   nothing                    alone: a new group; in a cluster: ClusterJoiner finds or starts one
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "cmd/basculed/data_directory.h"
#include "core/config/config.h"
#include "core/env/clock.h"
#include "core/env/descriptor_budget.h"
#include "core/env/executor.h"
#include "core/env/rng.h"
#include "core/ports/cluster_admin.h"
#include "core/ports/discovery.h"
#include "replication/meta/cluster/broker_registrar.h"
#include "replication/meta/cluster/cluster_control.h"
#include "replication/meta/cluster/cluster_joiner.h"
#include "replication/meta/cluster/cluster_lookout.h"
#include "replication/meta/group/raft_group.h"
#include "replication/peer/grpc_peer_transport.h"

namespace bascule {

struct MetadataNodeEnvironment {
  const Config& config;
  FileSystem& fs;
  Clock& clock;
  Rng& rng;
  Executor& home;  // the metadata thread
  Discovery& discovery;
  const DataDirectory& directory;
  const DescriptorBudget& descriptors;
  // Why this broker cannot follow the cluster's metadata; empty when it does. On the metadata thread.
  std::function<void(const std::string&)> past;
  // The process cannot go on; why was logged. On the metadata thread.
  std::function<void()> fatal;
};

class MetadataNode final : private PeerEvents {
 public:
  explicit MetadataNode(MetadataNodeEnvironment environment);
  ~MetadataNode() override;

  // Returns when this broker is a member of its cluster; a joiner waits as long as that takes. Then
  // the registrar can register it.
  absl::Status Start();
  // What this data directory owes the cluster (R6b).
  RegistrationRecord& record() { return *record_; }
  // Whether the disk is full for messages. On the metadata thread; before it nobody says.
  void SetDiskFull(std::function<bool()> full) { disk_full_ = std::move(full); }
  MetaFrontend& frontend() { return *frontend_; }
  BrokerRegistrar& registrar() { return *registrar_; }
  ClusterAdmin& admin() { return *control_; }
  // A leader hands over; then nothing is sent or called any more. Before the metadata thread stops.
  void Stop();
  std::map<std::string, uint64_t> ReadCounters() const;
  // Any thread. What is not as it should be, a sentence each.
  std::vector<std::string> Degraded() const;

 private:
  absl::Status StartPeers();
  absl::Status OpenStore();
  absl::Status LeaveOldPart();
  void NoteOlder(const absl::Status& why);
  absl::Status FindCluster();
  absl::Status Found(MetadataIndex applied, const std::string& state);
  absl::Status Upgrade();
  absl::Status BindDirectory();
  absl::Status StartGroup();
  absl::Status LookBefore();
  void StartLookout();
  void AnswerEarly();
  void TellAddress();
  std::string Trouble() const;
  void Refresh();
  void KeepFresh();
  void AskWhetherRemoved();
  void OnWhetherRemoved(const IntroAnswer& answer);

  // --- PeerEvents: foreign threads ---
  void OnPeerUp(const PeerIdentity& peer) override;
  void OnPeerDown(const PeerIdentity& peer) override;
  void OnIntroduction(const std::string& server_id, std::string request, Duration timeout,
                      PeerHandler::Respond respond) override;

  MetadataNodeEnvironment env_;
  const std::string meta_;  // data/meta
  BrokerSelf self_;
  std::unique_ptr<RaftStore> store_;
  StoredRaft stored_;
  std::unique_ptr<GrpcPeerTransport> peers_;  // null: alone
  std::unique_ptr<ClusterJoiner> join_;
  std::unique_ptr<ClusterLookout> lookout_;
  std::unique_ptr<MetaFrontend> frontend_;
  std::unique_ptr<RaftGroup> group_;
  std::unique_ptr<BrokerRegistrar> registrar_;
  std::unique_ptr<LeaderWork> leader_work_;
  std::unique_ptr<ClusterControl> control_;
  std::unique_ptr<DiscoveryQuery> query_;
  std::string cluster_id_;
  bool rejoining_ = false;  // as a new member: the directory is an older copy, and not joined yet
  bool had_metadata_ = false;  // before this start
  std::unique_ptr<RegistrationRecord> record_;
  // What is shown: immutable, exchanged whole.
  std::atomic<std::shared_ptr<const std::vector<std::string>>> degraded_;
  // --- on the metadata thread ---
  std::vector<Task> early_;  // introductions that came before anybody could answer
  std::function<bool()> disk_full_;
  std::string past_;  // as it was told
  int leaderless_seconds_ = 0;
  int removed_answers_ = 0;
  bool told_address_ = false;  // likewise
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace bascule
