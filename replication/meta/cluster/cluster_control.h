// The cluster as operators change it, and as brokers enter it. Any broker takes a call and has the
// metadata leader carry it out; the leader's part is here too. On the metadata thread, but for the
// public calls of ClusterAdmin and OnIntroduction.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "core/env/clock.h"
#include "core/env/executor.h"
#include "core/env/lifetime.h"
#include "core/ports/cluster_admin.h"
#include "replication/meta/cluster/cluster_messages.h"
#include "replication/meta/cluster/leader_work.h"
#include "replication/meta/requests/meta_frontend.h"

namespace bascule::metadata {

class ClusterControl final : public ClusterAdmin, public RequestTarget {
 public:
  // `peers`: null in a group of one.
  ClusterControl(Executor& home, Clock& clock, PeerTransport* peers, MetadataLog& log,
                 MetadataGroup& group, MetaFrontend& frontend, LeaderWork& leader_work,
                 BrokerSelf self, std::string cluster_namespace);

  // --- ClusterAdmin: any thread ---
  void Status(Duration timeout,
              absl::AnyInvocable<void(absl::StatusOr<ClusterStatus>)> done) override;
  void AddMember(std::string peer_address, Duration timeout, Done done) override;
  void RemoveMember(std::string server_id, bool force, Duration timeout, Done done) override;
  void TransferLeadership(std::string server_id, Duration timeout, Done done) override;

  // PeerEvents::OnIntroduction of a member leads here. Any thread. Answers who is there, takes
  // joins (or hands them to the leader), refuses invitations.
  void OnIntroduction(const std::string& server_id, std::string request, Duration timeout,
                      PeerHandler::Respond respond);
  // What this broker says of its cluster. On the metadata thread.
  IntroAnswer Answer() const;

  // --- RequestTarget: on the leader ---
  void Execute(const meta::Request& request, Duration timeout, RequestDone done) override;

 private:
  struct Joining;

  void Change(const meta::Request& request, Duration timeout, Done done);
  ClusterStatus Describe() const;
  std::string TroubleOf(const ClusterMember& member, const GroupStatus& group) const;
  void Introduced(const std::string& certified_id, const IntroRequest& request, std::string bytes,
                  Duration timeout, PeerHandler::Respond respond);
  // The leader's part.
  void Join(const std::string& certified_id, const JoinRequest& join, Duration timeout,
            RequestDone done);
  absl::Status CheckJoin(const std::string& certified_id, const JoinRequest& join) const;
  absl::Status CheckSuccessor(const JoinRequest& join);
  void JoinStep(std::shared_ptr<Joining> joining);
  void Invite(const std::string& address, Duration timeout, RequestDone done);
  void AwaitMember(PeerId node, std::string server_id, MonotonicTime deadline, RequestDone done);
  void Remove(const std::string& server_id, bool force, RequestDone done);
  absl::Status CheckLeaving(const meta::Request& request) const;
  absl::Status CheckRemoval(const std::string& server_id, bool force) const;
  void Transfer(const std::string& server_id, RequestDone done);
  std::optional<PeerId> MemberOf(const std::string& server_id) const;
  RequestOutcome Outcome(absl::Status status) const;

  Executor& home_;
  Clock& clock_;
  PeerTransport* const peers_;
  MetadataLog& log_;
  MetadataGroup& group_;
  MetaFrontend& frontend_;
  LeaderWork& leader_work_;
  const BrokerSelf self_;
  const std::string cluster_namespace_;
  // Members that have not registered since they joined: when another directory first asked for their place.
  std::map<PeerId, MonotonicTime> contested_;
  Lifetime lifetime_{home_};
};

}  // namespace bascule::metadata
