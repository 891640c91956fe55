// ClusterControl's part that speaks with brokers that are no members (yet).
#include <algorithm>
#include <utility>

#include "core/base/limits.h"
#include "core/base/logging.h"
#include "replication/meta/cluster/cluster_control.h"
#include "replication/meta/cluster/cluster_limits.h"
#include "replication/meta/requests/broker_texts.h"
#include "replication/meta/requests/requests.pb.h"

namespace bascule::metadata {
namespace {

constexpr std::chrono::milliseconds kRetryPeriod{100};

}  // namespace

struct ClusterControl::Joining {
  JoinRequest join;
  MonotonicTime deadline;
  RequestDone done;
};

IntroAnswer ClusterControl::Answer() const {
  const GroupStatus status = group_.Status();
  IntroAnswer answer;
  answer.cluster_namespace = cluster_namespace_;
  answer.cluster_id = status.cluster_id;
  answer.server_id = self_.id;
  answer.node = self_.node;
  answer.leader = status.role.leader;
  answer.feature_level = frontend_.table().feature_level();
  answer.address = self_.peer_address;
  answer.incarnation = self_.incarnation;
  answer.uptime = Between(self_.began, clock_.Monotonic());
  for (const GroupMemberStatus& member : status.members) {
    answer.members.push_back(member.member);
    if (member.member.id == status.role.leader) answer.leader_address = member.member.address;
  }
  return answer;
}

void ClusterControl::OnIntroduction(const std::string& server_id, std::string request,
                                    Duration timeout, PeerHandler::Respond respond) {
  absl::StatusOr<IntroRequest> parsed = DecodeIntroRequest(request);
  if (!parsed.ok()) return respond(parsed.status());
  (void)home_.TryPost(
      lifetime_.Guard([this, server_id, parsed = *std::move(parsed), bytes = std::move(request),
                       timeout, waiting = WaitingRequest(std::move(respond))]() mutable {
        Introduced(server_id, parsed, std::move(bytes), timeout, waiting.Begin());
      }));
}

void ClusterControl::Introduced(const std::string& certified_id, const IntroRequest& request,
                                std::string bytes, Duration timeout, PeerHandler::Respond respond) {
  if (const auto* who = std::get_if<WhoRequest>(&request)) {
    if (who->cluster_namespace == cluster_namespace_) return respond(EncodeIntroAnswer(Answer()));
    return respond(
        absl::NotFoundError(Concat("the cluster here has the namespace ", cluster_namespace_,
                                   ", not ", who->cluster_namespace)));
  }
  if (const auto* invite = std::get_if<InviteRequest>(&request)) {
    IntroAnswer own = Answer();
    if (invite->cluster_id == own.cluster_id) return respond(EncodeIntroAnswer(own));
    return respond(absl::AlreadyExistsError(
        Concat("broker ", self_.id, " is a member of the cluster ", own.cluster_id, " already")));
  }
  // A join: the leader decides, and its refusals are the answer.
  meta::Request forwarded;
  forwarded.mutable_join()->set_certified_id(certified_id);
  forwarded.mutable_join()->set_request(std::move(bytes));
  frontend_.Ask(forwarded, timeout, [respond = std::move(respond)](RequestOutcome outcome) mutable {
    if (!outcome.status.ok()) return respond(outcome.status);
    respond(std::move(outcome.body));
  });
}

absl::Status ClusterControl::CheckJoin(const std::string& certified_id,
                                       const JoinRequest& join) const {
  const GroupStatus status = group_.Status();
  if (join.server_id.empty() || join.address.empty() || join.node == PeerId())
    return absl::InvalidArgumentError("a join names a server id, a node id and an address");
  RETURN_IF_ERROR(CheckBrokerId(join.server_id));
  RETURN_IF_ERROR(CheckPeerAddress(join.address));
  if (certified_id != join.server_id) {
    return absl::PermissionDeniedError(Concat("the certificate is that of ", certified_id,
                                              ", the broker says that it is ", join.server_id));
  }
  if (join.cluster_namespace != cluster_namespace_) {
    return absl::FailedPreconditionError(
        Concat("the cluster has the namespace ", cluster_namespace_, ", broker ", join.server_id,
               " has ", join.cluster_namespace, ": set clustering.namespace alike"));
  }
  if (!join.cluster_id.empty() && join.cluster_id != status.cluster_id) {
    return absl::FailedPreconditionError(
        Concat("broker ", join.server_id, " belongs to the cluster ", join.cluster_id, ", this is ",
               status.cluster_id, ": give it an empty data directory to join"));
  }
  if (join.feature_level < frontend_.table().feature_level()) {
    return absl::FailedPreconditionError(Concat("broker ", join.server_id, " has feature level ",
                                                join.feature_level, ", the cluster needs ",
                                                frontend_.table().feature_level(),
                                                "; install a newer version of the program on it"));
  }
  for (const GroupMemberStatus& known : status.members) {
    const GroupMember& member = known.member;
    if (member.id == join.node && member.server_id != join.server_id) {
      return absl::AlreadyExistsError(Concat("the data directory of broker ", join.server_id,
                                             " is a copy of that of broker ", member.server_id,
                                             ": start it with an empty one"));
    }
    if (member.server_id != join.server_id || member.id == join.node) continue;
    if (!leader_work_.IsAlive(join.server_id)) continue;
    return absl::AlreadyExistsError(
        Concat("server id ", join.server_id, " is in use by the broker at ", member.address,
               "; stop that one, or give this one an id of its own (clustering.server.id, and an "
               "empty data directory: a directory keeps its id)"));
  }
  // One that left the group without its session's end (a recovered quorum): its successor could
  // not register yet.
  const RegisteredBroker* known = frontend_.table().FindBroker(join.server_id);
  if (known != nullptr && known->node != PeerId() && known->node != join.node && !known->fenced) {
    return absl::AlreadyExistsError(Concat("server id ", join.server_id,
                                           " was in use by the broker at ", known->peer_address,
                                           " a moment ago; once it is silent for the session "
                                           "timeout this one may join"));
  }
  return absl::OkStatus();
}

// The request may be that of an earlier life, come late: its successor has joined from another directory and has no
// session yet that would show that it lives.
absl::Status ClusterControl::CheckSuccessor(const JoinRequest& join) {
  const std::vector<GroupMemberStatus> members = group_.Status().members;
  std::erase_if(contested_, [&members](const auto& known) {
    return std::none_of(members.begin(), members.end(), [&known](const GroupMemberStatus& member) {
      return member.member.id == known.first;
    });
  });
  const RegisteredBroker* registered = frontend_.table().FindBroker(join.server_id);
  for (const GroupMemberStatus& known : members) {
    const GroupMember& member = known.member;
    if (member.server_id != join.server_id || member.id == join.node) continue;
    if (registered != nullptr && registered->node == member.id) continue;
    const MonotonicTime now = clock_.Monotonic();
    const MonotonicTime first = contested_.emplace(member.id, now).first->second;
    if (Between(first, now) >= limits::kJoinedRegisters) continue;
    return absl::FailedPreconditionError(  // not final: it asks again
        Concat("server id ", join.server_id, " has joined from another data directory, at ",
               member.address, ", and is not registered yet; if it is not within ",
               limits::kJoinedRegisters.count(), " s, this one may join"));
  }
  return absl::OkStatus();
}

void ClusterControl::Join(const std::string& certified_id, const JoinRequest& join,
                          Duration timeout, RequestDone done) {
  if (absl::Status refused = CheckJoin(certified_id, join); !refused.ok()) {
    LogWarning("broker ", join.server_id, " at ", join.address,
               " may not join: ", FromAbsl(refused.message()));
    return done(Outcome(refused));
  }
  auto joining = std::make_shared<Joining>();
  joining->join = join;
  joining->deadline = Add(clock_.Monotonic(), timeout);
  joining->done = std::move(done);
  JoinStep(std::move(joining));
}

// One change of the group at a time, until the broker is a member and nobody else has its id.
void ClusterControl::JoinStep(std::shared_ptr<Joining> joining) {
  const GroupStatus status = group_.Status();
  const JoinRequest& join = joining->join;
  const GroupMember* predecessor = nullptr;  // the same broker on a disk that is gone
  const GroupMember* self = nullptr;
  for (const GroupMemberStatus& known : status.members) {
    if (known.member.id == join.node) {
      self = &known.member;
    } else if (known.member.server_id == join.server_id) {
      predecessor = &known.member;
    }
  }
  if (self != nullptr && predecessor == nullptr && self->address == join.address) {
    RequestOutcome outcome = Outcome(absl::OkStatus());
    outcome.body = EncodeIntroAnswer(Answer());
    return joining->done(std::move(outcome));
  }
  auto next = lifetime_.Guard([this, joining](const absl::Status& changed) {
    if (changed.ok()) return JoinStep(joining);
    // Another change is under way.
    const bool later = absl::IsFailedPrecondition(changed) &&
                       Add(clock_.Monotonic(), kRetryPeriod) < joining->deadline;
    if (!later) return joining->done(Outcome(changed));
    home_.After(kRetryPeriod, lifetime_.Guard([this, joining] { JoinStep(joining); }));
  });
  if (predecessor != nullptr) {
    // With each step: another one may have joined, and registered, since the last.
    absl::Status refused = CheckJoin(join.server_id, join);
    if (refused.ok()) refused = CheckSuccessor(join);
    if (!refused.ok()) {
      LogWarning("broker ", join.server_id, " at ", join.address,
                 " may not join: ", FromAbsl(refused.message()));
      return joining->done(Outcome(refused));
    }
    LogInfo("broker ", join.server_id, " comes back with another data directory: its old one (",
            predecessor->id, ") leaves the cluster");
    return group_.RemoveMember(predecessor->id, std::move(next));
  }
  if (self == nullptr && status.members.size() >= limits::kClusterMembers) {
    return joining->done(Outcome(absl::ResourceExhaustedError(
        Concat("the cluster has its limit of ", limits::kClusterMembers, " brokers"))));
  }
  LogInfo("broker ", join.server_id, " at ", join.address, " joins the cluster");
  const bool voter = self != nullptr && self->voter;
  group_.AddMember({join.node, join.server_id, join.address, voter}, std::move(next));
}

}  // namespace bascule::metadata
