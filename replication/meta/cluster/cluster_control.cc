#include "replication/meta/cluster/cluster_control.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/base/logging.h"
#include "replication/meta/cluster/partition_health.h"
#include "replication/meta/requests/requests.pb.h"
#include "replication/meta/table/command_remove_broker.h"

namespace bascule::metadata {
namespace {

// A member whose disk holds so much less of the metadata log than the leader's is said to be behind.
constexpr int64_t kBehindEntries = 1024;

// Of a status request's time, so that without a leader there is still some left to say so.
Duration MostOf(Duration timeout) { return timeout / 4 * 3; }

std::string LeaderName(const GroupStatus& status) {
  for (const GroupMemberStatus& member : status.members) {
    if (status.role.leader != PeerId() && member.member.id == status.role.leader)
      return member.member.server_id;
  }
  return "";
}

ClusterMember Describe(const GroupMemberStatus& member, const GroupStatus& status,
                       const MetaTable& table) {
  ClusterMember out;
  out.server_id = member.member.server_id;
  out.node = member.member.id.value();
  out.peer_address = member.member.address;
  out.voter = member.member.voter;
  out.leader = member.member.id == status.role.leader;
  if (status.role.leading || member.member.id == status.self) {
    const bool self = member.member.id == status.self;
    out.match = static_cast<int64_t>((self ? status.last : member.match).value());
  }
  const BrokerLoad load = table.LoadOf(out.server_id);
  out.partitions = load.partitions;
  out.leading = load.leading;
  const RegisteredBroker* broker = table.FindBroker(out.server_id);
  // The same server id on an older disk is another broker's record.
  if (broker == nullptr || (broker->node != PeerId() && broker->node != member.member.id))
    return out;
  out.host = broker->host;
  out.port = broker->port;
  out.rack = broker->rack;
  out.live = !broker->fenced;
  out.incarnation = broker->incarnation;
  out.feature_level = broker->feature_level;
  return out;
}

// A group of one has no peer address.
std::string NameOf(const ClusterMember& member) {
  return Concat("broker ", member.server_id, member.peer_address.empty() ? "" : " at ",
                member.peer_address);
}

void AppendDegraded(const MetaTable& table, ClusterStatus& status) {
  if (status.leader.empty()) {
    status.degraded.push_back(
        "there is no metadata leader: a majority of the voting brokers must be reachable");
  }
  for (const ClusterMember& member : status.members) {
    if (member.live && !member.trouble.empty())
      status.degraded.push_back(
          Concat(NameOf(member), " gets no new partitions: ", member.trouble));
    if (member.live) continue;
    status.degraded.push_back(Concat(
        NameOf(member), member.incarnation == 0 ? " has not registered" : " is not reachable"));
  }
  for (const auto& entry : table.brokers()) {
    const std::string& id = entry.first;
    const bool member = std::any_of(status.members.begin(), status.members.end(),
                                    [&](const ClusterMember& m) { return m.server_id == id; });
    if (!member && !status.members.empty())
      status.degraded.push_back(Concat("broker ", id, " is registered, but no member: remove it"));
  }
  for (std::string& trouble : PartitionTroubles(table))
    status.degraded.push_back(std::move(trouble));
}

}  // namespace

ClusterControl::ClusterControl(Executor& home, Clock& clock, PeerTransport* peers, MetadataLog& log,
                               MetadataGroup& group, MetaFrontend& frontend,
                               LeaderWork& leader_work, BrokerSelf self,
                               std::string cluster_namespace)
    : home_(home),
      clock_(clock),
      peers_(peers),
      log_(log),
      group_(group),
      frontend_(frontend),
      leader_work_(leader_work),
      self_(std::move(self)),
      cluster_namespace_(std::move(cluster_namespace)) {}

ClusterStatus ClusterControl::Describe() const {
  BASCULE_CHECK(home_.OnThisThread());
  const GroupStatus group = group_.Status();
  ClusterStatus status;
  status.cluster_id = group.cluster_id;
  status.cluster_namespace = cluster_namespace_;
  status.answered_by = self_.id;
  status.leader = LeaderName(group);
  status.term = group.role.term;
  status.commit = static_cast<int64_t>(group.commit.value());
  status.applied = static_cast<int64_t>(group.applied.value());
  status.first = static_cast<int64_t>(group.first.value());
  status.last = static_cast<int64_t>(group.last.value());
  status.log_bytes = group.log_bytes;
  status.feature_level = frontend_.table().feature_level();
  status.partitions = CountPartitions(frontend_.table());
  for (const GroupMemberStatus& member : group.members) {
    ClusterMember& out =
        status.members.emplace_back(metadata::Describe(member, group, frontend_.table()));
    if (group.role.leading && out.live) out.trouble = TroubleOf(out, group);
  }
  std::sort(
      status.members.begin(), status.members.end(),
      [](const ClusterMember& a, const ClusterMember& b) { return a.server_id < b.server_id; });
  if (std::string degraded = log_.degraded(); !degraded.empty())
    status.degraded.push_back(std::move(degraded));
  AppendDegraded(frontend_.table(), status);
  return status;
}

// Of a live one, as its leader sees it.
std::string ClusterControl::TroubleOf(const ClusterMember& member, const GroupStatus& group) const {
  if (std::string said = leader_work_.TroubleOf(member.server_id); !said.empty()) return said;
  const auto last = static_cast<int64_t>(group.last.value());
  if (member.match < 0 || last - member.match <= kBehindEntries) return "";
  return Concat("it is ", last - member.match, " changes of metadata behind");
}

// --- ClusterAdmin ---

void ClusterControl::Status(Duration timeout,
                            absl::AnyInvocable<void(absl::StatusOr<ClusterStatus>)> done) {
  home_.Post(lifetime_.Guard([this, timeout, done = std::move(done)]() mutable {
    if (log_.role().leader == PeerId()) return done(Describe());
    meta::Request request;
    request.mutable_cluster_status();
    frontend_.Ask(
        request, MostOf(timeout),
        lifetime_.Guard([this, done = std::move(done)](const RequestOutcome& outcome) mutable {
          if (outcome.status.ok()) return done(DecodeClusterStatus(outcome.body));
          ClusterStatus own = Describe();
          own.leader.clear();
          own.degraded.push_back(
              Concat("the metadata leader does not answer: ", FromAbsl(outcome.status.message())));
          done(std::move(own));
        }));
  }));
}

void ClusterControl::AddMember(std::string peer_address, Duration timeout, Done done) {
  meta::Request request;
  request.mutable_add_member()->set_address(std::move(peer_address));
  Change(request, timeout, std::move(done));
}

void ClusterControl::RemoveMember(std::string server_id, bool force, Duration timeout, Done done) {
  meta::Request request;
  request.mutable_remove_member()->set_server_id(std::move(server_id));
  request.mutable_remove_member()->set_force(force);
  Change(request, timeout, std::move(done));
}

void ClusterControl::TransferLeadership(std::string server_id, Duration timeout, Done done) {
  meta::Request request;
  request.mutable_transfer()->set_server_id(std::move(server_id));
  Change(request, timeout, std::move(done));
}

void ClusterControl::Change(const meta::Request& request, Duration timeout, Done done) {
  home_.Post(lifetime_.Guard([this, request, timeout, done = std::move(done)]() mutable {
    frontend_.Ask(
        request, timeout,
        [done = std::move(done)](const RequestOutcome& outcome) mutable { done(outcome.status); });
  }));
}

// --- the leader's part ---

RequestOutcome ClusterControl::Outcome(absl::Status status) const {
  return {std::move(status), frontend_.table().applied(), {}};
}

void ClusterControl::Execute(const meta::Request& request, Duration timeout, RequestDone done) {
  BASCULE_CHECK(home_.OnThisThread());
  if (!log_.role().leading)
    return done(Outcome(absl::UnavailableError("this broker is not the metadata leader")));
  switch (request.request_case()) {
    case meta::Request::kClusterStatus: {
      RequestOutcome outcome = Outcome(absl::OkStatus());
      outcome.body = EncodeClusterStatus(Describe());
      return done(std::move(outcome));
    }
    case meta::Request::kAddMember:
      return Invite(request.add_member().address(), timeout, std::move(done));
    case meta::Request::kRemoveMember:
      if (absl::Status refused = CheckLeaving(request); !refused.ok())
        return done(Outcome(refused));
      return Remove(request.remove_member().server_id(), request.remove_member().force(),
                    std::move(done));
    case meta::Request::kTransfer:
      return Transfer(request.transfer().server_id(), std::move(done));
    case meta::Request::kJoin: {
      const auto parsed = DecodeIntroRequest(request.join().request());
      if (!parsed.ok()) return done(Outcome(parsed.status()));
      const auto* join = std::get_if<JoinRequest>(&*parsed);
      if (join == nullptr) return done(Outcome(absl::InvalidArgumentError("not a join")));
      return Join(request.join().certified_id(), *join, timeout, std::move(done));
    }
    default:
      return done(Outcome(absl::UnimplementedError(
          "this broker does not know the request; install a newer version")));
  }
}

void ClusterControl::Invite(const std::string& address, Duration timeout, RequestDone done) {
  if (peers_ == nullptr) {
    return done(Outcome(absl::FailedPreconditionError(
        "this broker has no peer port; set cluster.listen and restart it")));
  }
  const GroupStatus status = group_.Status();
  InviteRequest invite{cluster_namespace_, status.cluster_id, {self_.peer_address}};
  for (const GroupMemberStatus& member : status.members) {
    if (member.member.id != status.self) invite.addresses.push_back(member.member.address);
  }
  const MonotonicTime deadline = Add(clock_.Monotonic(), timeout);
  auto answered = lifetime_.Bind([this, address, deadline, done = std::move(done)](
                                     const absl::StatusOr<std::string>& bytes) mutable {
    const absl::StatusCode code = bytes.status().code();
    if (code == absl::StatusCode::kUnavailable || code == absl::StatusCode::kUnknown ||
        code == absl::StatusCode::kDeadlineExceeded) {
      return done(Outcome(absl::FailedPreconditionError(
          Concat("no broker answers at ", address, ": ", FromAbsl(bytes.status().message())))));
    }
    if (!bytes.ok()) return done(Outcome(bytes.status()));
    const auto answer = DecodeIntroAnswer(*bytes);
    if (!answer.ok()) return done(Outcome(answer.status()));
    AwaitMember(answer->node, answer->server_id, deadline, std::move(done));
  });
  peers_->Introduce(address, EncodeIntroRequest(invite), timeout, std::move(answered));
}

void ClusterControl::AwaitMember(PeerId node, std::string server_id, MonotonicTime deadline,
                                 RequestDone done) {
  constexpr std::chrono::milliseconds kPeriod{50};
  const GroupStatus status = group_.Status();
  const bool member =
      std::any_of(status.members.begin(), status.members.end(),
                  [node](const GroupMemberStatus& m) { return m.member.id == node; });
  if (member) return done(Outcome(absl::OkStatus()));
  if (!log_.role().leading)
    return done(Outcome(absl::UnavailableError("this broker is not the metadata leader any more")));
  if (Add(clock_.Monotonic(), kPeriod * 2) >= deadline) {
    return done(Outcome(absl::FailedPreconditionError(
        Concat("broker ", server_id, " was invited, but has not joined yet; see its log"))));
  }
  home_.After(kPeriod, lifetime_.Guard([this, node, server_id = std::move(server_id), deadline,
                                        done = std::move(done)]() mutable {
    AwaitMember(node, std::move(server_id), deadline, std::move(done));
  }));
}

// A process asks for its own broker's end. An older copy does, beside which the original may live.
absl::Status ClusterControl::CheckLeaving(const meta::Request& request) const {
  const std::string& server_id = request.remove_member().server_id();
  if (server_id != request.broker()) return absl::OkStatus();
  const RegisteredBroker* registered = frontend_.table().FindBroker(server_id);
  if (registered == nullptr || registered->fenced ||
      registered->incarnation == request.incarnation())
    return absl::OkStatus();
  return absl::FailedPreconditionError(
      Concat("another process of broker ", server_id, " is registered and counts as alive"));
}

absl::Status ClusterControl::CheckRemoval(const std::string& server_id, bool force) const {
  const GroupStatus status = group_.Status();
  const MetaTable& table = frontend_.table();
  const auto member =
      std::find_if(status.members.begin(), status.members.end(),
                   [&](const GroupMemberStatus& m) { return m.member.server_id == server_id; });
  if (member == status.members.end() && table.FindBroker(server_id) == nullptr)
    return absl::NotFoundError(Concat("there is no broker ", server_id, " in the cluster"));
  if (!force && leader_work_.IsAlive(server_id)) {
    const std::string where =
        member == status.members.end() ? "" : Concat(" at ", member->member.address);
    return absl::FailedPreconditionError(
        Concat("broker ", server_id, where, " is alive and leads ", table.LoadOf(server_id).leading,
               " partitions; stop it first, or force its removal"));
  }
  if (const int32_t only = table.OnlyReplicas(server_id); !force && only > 0) {
    return absl::FailedPreconditionError(
        Concat("broker ", server_id, " holds the only replica of ", only,
               " partitions; delete their streams first, or force its removal"));
  }
  const bool voter = member != status.members.end() && member->member.voter;
  if (!voter || QuorumWithout(status, member->member.id)) return absl::OkStatus();
  return absl::FailedPreconditionError(
      Concat("without broker ", server_id,
             " the voting brokers that live would be no majority; bring others back first"));
}

// Out of the group first: from then on it cannot register again.
void ClusterControl::Remove(const std::string& server_id, bool force, RequestDone done) {
  if (absl::Status refused = CheckRemoval(server_id, force); !refused.ok())
    return done(Outcome(refused));
  const std::optional<PeerId> member = MemberOf(server_id);
  auto then = lifetime_.Guard(
      [this, server_id, done = std::move(done)](const absl::Status& removed) mutable {
        const bool registered = frontend_.table().FindBroker(server_id) != nullptr;
        if (!removed.ok() || !registered) return done(Outcome(removed));
        log_.Propose(
            EncodeRemoveBroker(server_id, /*force=*/true),
            lifetime_.Guard([this, server_id, done = std::move(done)](absl::Status status) mutable {
              if (status.ok()) LogInfo("broker ", server_id, " was removed from the cluster");
              // Somebody else's removal came first.
              if (absl::IsNotFound(status)) status = absl::OkStatus();
              done(Outcome(status));
            }));
      });
  if (!member) return then(absl::OkStatus());
  group_.RemoveMember(*member, std::move(then));
}

void ClusterControl::Transfer(const std::string& server_id, RequestDone done) {
  const GroupStatus status = group_.Status();
  const GroupMemberStatus* to = nullptr;
  for (const GroupMemberStatus& member : status.members) {
    if (!server_id.empty()) {
      if (member.member.server_id == server_id) to = &member;
    } else if (member.member.id != status.self && member.member.voter && member.active) {
      if (to == nullptr || member.match > to->match) to = &member;
    }
  }
  if (to == nullptr) {
    return done(Outcome(
        server_id.empty()
            ? absl::FailedPreconditionError("no other voting broker is reachable")
            : absl::NotFoundError(Concat("there is no broker ", server_id, " in the cluster"))));
  }
  if (to->member.id == status.self) return done(Outcome(absl::OkStatus()));
  if (!to->member.voter || !to->active) {
    return done(Outcome(absl::FailedPreconditionError(Concat(
        "broker ", to->member.server_id, !to->member.voter ? " does not vote" : " is not reachable",
        " and cannot lead the metadata group"))));
  }
  group_.TransferLeadership(
      to->member.id,
      lifetime_.Guard([this, done = std::move(done)](const absl::Status& moved) mutable {
        done(Outcome(moved));
      }));
}

std::optional<PeerId> ClusterControl::MemberOf(const std::string& server_id) const {
  for (const GroupMemberStatus& member : group_.Status().members) {
    if (member.member.server_id == server_id) return member.member.id;
  }
  return std::nullopt;
}

}  // namespace bascule::metadata
