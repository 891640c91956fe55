// The metadata leader's own work: broker sessions and their end (R6), who votes, the feature level,
// the cluster's id. On every broker; it acts only while this one leads, and sends heartbeats
// always. On the metadata thread, but for what PeerHandler says.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "core/env/clock.h"
#include "core/env/executor.h"
#include "core/env/lifetime.h"
#include "core/env/timer.h"
#include "replication/meta/cluster/broken_lines.h"
#include "replication/meta/cluster/broker_sessions.h"
#include "replication/meta/cluster/membership.h"
#include "replication/meta/requests/meta_requests.h"
#include "replication/meta/table/meta_table.h"
#include "replication/metadata_log.h"
#include "replication/peer_transport.h"

namespace bascule::metadata {

struct LeaderWorkOptions {
  Duration session_timeout = std::chrono::milliseconds(1200);
  Duration heartbeat = std::chrono::milliseconds(200);
  int32_t max_voters = 0;                              // 0 = all members vote
  Duration voter_patience = std::chrono::seconds(10);  // then its place goes to a live learner
};

class LeaderWork final : public PeerHandler {
 public:
  // `table` is the frontend's; `peers`: null in a group of one.
  LeaderWork(Executor& home, Clock& clock, PeerTransport* peers, MetadataLog& log,
             MetadataGroup& group, const MetaTable& table, BrokerSelf self,
             LeaderWorkOptions options);

  // Begins the heartbeats and the leader's rounds; before it nothing is sent.
  void Start();
  // Nothing is sent, proposed or heard any more.
  void Stop();
  // What this broker says of itself with each heartbeat. Before Start.
  void SetReport(std::function<BrokerReport()> report) { report_ = std::move(report); }
  // MetaFrontend::AddRoleObserver leads here.
  void OnRoleChange(const MetadataRole& role);
  // PeerEvents and AppliedMetadata::AddObserver lead here: on the metadata thread.
  void OnPeerUp(const PeerIdentity& peer);
  void OnPeerDown(const PeerIdentity& peer);
  void OnTableChange();
  // Whether somebody with this server id lives: its session holds, or its member answers. On the
  // leader.
  bool IsAlive(const std::string& server_id) const;
  // Its session may still hold, but it missed several heartbeats: nothing new should go there. On
  // the leader.
  bool IsSilent(const std::string& server_id) const;

  // Nothing new should go there: it is silent, or in trouble. On the leader.
  bool IsUnfit(const std::string& server_id) const {
    return IsSilent(server_id) || !TroubleOf(server_id).empty();
  }
  // Empty, or why it should get nothing new, as it says itself (its disk is full, ...). On the leader.
  std::string TroubleOf(const std::string& server_id) const {
    return sessions_.TroubleOf(server_id);
  }

  // --- PeerHandler of PeerService::kSession: any thread ---
  void OnPeerMessage(const PeerIdentity& from, std::string message) override;
  void OnPeerCall(const PeerIdentity& from, std::string request, Duration timeout,
                  Respond respond) override;
  void OnPeerBulk(const PeerIdentity& from, std::string header, std::string body,
                  Respond respond) override;

 private:
  // A connection that broke is dialled at once; the leader's that cannot be made again by then is lost.
  static constexpr std::chrono::milliseconds kLeaderBroken{100};

  void Round();
  void SendHeartbeat();
  void Lead(MonotonicTime now);
  void InitCluster(const GroupStatus& status);
  void NoteGenerations(MonotonicTime now);
  BrokerReport Report() const { return report_ ? report_() : BrokerReport(); }
  void RaiseFeatureLevel();
  void ChangeMembers(const GroupStatus& status, MonotonicTime now);
  void ProposeOnce(std::string command, std::string what);

  // --- leader_work_fencing.cc ---
  void NotePause(MonotonicTime now);
  void LookAtLines();
  void TellLeaderLost(MonotonicTime now);
  std::optional<MonotonicTime> LeaderLostAt() const;
  bool ReachesMajority() const;
  void FenceGone(MonotonicTime now);

  Executor& home_;
  Clock& clock_;
  PeerTransport* const peers_;
  MetadataLog& log_;
  MetadataGroup& group_;
  const MetaTable& table_;
  const BrokerSelf self_;
  const LeaderWorkOptions options_;
  MetadataRole role_;
  BrokerSessions sessions_;
  MemberSilence silence_;
  PeerId predecessor_;              // the leader before the present one
  MonotonicTime predecessor_lost_;  // when it was last known to lead
  BrokenLines lines_;
  // Of the last leader that Raft was told is lost: who, and since when.
  std::optional<std::pair<PeerId, MonotonicTime>> told_lost_;
  MonotonicTime awake_;              // when this process last ran; 0: it has not begun
  MonotonicTime noted_generations_;  // proposed last
  std::function<BrokerReport()> report_;
  bool proposing_ = false;  // one of our own commands is under way
  bool changing_ = false;   // a member is being changed
  Timer rounds_{home_};
  Timer lines_timer_{home_};
  std::optional<MonotonicTime> lines_due_;  // when the timer is to run
  Lifetime lifetime_{home_};
};

}  // namespace bascule::metadata
