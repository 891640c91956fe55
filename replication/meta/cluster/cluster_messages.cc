#include "replication/meta/cluster/cluster_messages.h"

#include "core/base/limits.h"
#include "core/base/text.h"
#include "replication/meta/cluster/cluster.pb.h"

namespace bascule::metadata {
namespace {

template <typename Message>
bool Parse(std::string_view bytes, size_t most, Message& message) {
  return bytes.size() <= most &&
         message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

void ToProto(const GroupMember& in, meta::Member& out) {
  out.set_node(in.id.value());
  out.set_server_id(in.server_id);
  out.set_address(in.address);
  out.set_voter(in.voter);
}

GroupMember FromProto(const meta::Member& in) {
  return {PeerId(in.node()), in.server_id(), in.address(), in.voter()};
}

void ToProto(const ClusterMember& in, meta::ClusterMemberStatus& out) {
  ToProto(GroupMember{PeerId(in.node), in.server_id, in.peer_address, in.voter},
          *out.mutable_member());
  out.set_host(in.host);
  out.set_port(in.port);
  out.set_rack(in.rack);
  out.set_leader(in.leader);
  out.set_live(in.live);
  out.set_incarnation(in.incarnation);
  out.set_feature_level(in.feature_level);
  out.set_match(in.match);
  out.set_partitions(in.partitions);
  out.set_leading(in.leading);
  out.set_trouble(in.trouble);
}

ClusterMember FromProto(const meta::ClusterMemberStatus& in) {
  ClusterMember out;
  out.server_id = in.member().server_id();
  out.node = in.member().node();
  out.peer_address = in.member().address();
  out.host = in.host();
  out.port = in.port();
  out.rack = in.rack();
  out.voter = in.member().voter();
  out.leader = in.leader();
  out.live = in.live();
  out.incarnation = in.incarnation();
  out.feature_level = in.feature_level();
  out.match = in.match();
  out.partitions = in.partitions();
  out.leading = in.leading();
  out.trouble = in.trouble();
  return out;
}

}  // namespace

std::string EncodeIntroRequest(const IntroRequest& request) {
  meta::IntroRequest out;
  if (const auto* who = std::get_if<WhoRequest>(&request)) {
    out.mutable_who()->set_cluster_namespace(who->cluster_namespace);
  } else if (const auto* join = std::get_if<JoinRequest>(&request)) {
    meta::JoinRequest& to = *out.mutable_join();
    to.set_cluster_namespace(join->cluster_namespace);
    to.set_cluster_id(join->cluster_id);
    to.set_server_id(join->server_id);
    to.set_node(join->node.value());
    to.set_address(join->address);
    to.set_feature_level(join->feature_level);
  } else {
    const auto& invite = std::get<InviteRequest>(request);
    meta::InviteRequest& to = *out.mutable_invite();
    to.set_cluster_namespace(invite.cluster_namespace);
    to.set_cluster_id(invite.cluster_id);
    for (const std::string& address : invite.addresses) to.add_addresses(address);
  }
  return out.SerializeAsString();
}

absl::StatusOr<IntroRequest> DecodeIntroRequest(std::string_view bytes) {
  meta::IntroRequest in;
  if (!Parse(bytes, limits::kPeerIntroductionBytes, in))
    return absl::InvalidArgumentError("an introduction does not parse");
  switch (in.request_case()) {
    case meta::IntroRequest::kWho:
      return WhoRequest{in.who().cluster_namespace()};
    case meta::IntroRequest::kJoin: {
      const meta::JoinRequest& join = in.join();
      return JoinRequest{join.cluster_namespace(), join.cluster_id(), join.server_id(),
                         PeerId(join.node()),      join.address(),    join.feature_level()};
    }
    case meta::IntroRequest::kInvite:
      return InviteRequest{in.invite().cluster_namespace(),
                           in.invite().cluster_id(),
                           {in.invite().addresses().begin(), in.invite().addresses().end()}};
    case meta::IntroRequest::REQUEST_NOT_SET:
      break;
  }
  return absl::UnimplementedError(
      "this broker does not know the introduction; install a newer version");
}

std::string EncodeIntroAnswer(const IntroAnswer& answer) {
  meta::IntroAnswer out;
  out.set_cluster_namespace(answer.cluster_namespace);
  out.set_cluster_id(answer.cluster_id);
  out.set_server_id(answer.server_id);
  out.set_node(answer.node.value());
  out.set_leader(answer.leader.value());
  out.set_leader_address(answer.leader_address);
  for (const GroupMember& member : answer.members) ToProto(member, *out.add_members());
  out.set_feature_level(answer.feature_level);
  out.set_address(answer.address);
  out.set_incarnation(answer.incarnation);
  out.set_uptime(answer.uptime.count());
  out.set_place(answer.place);
  out.set_known_cluster_id(answer.known_cluster_id);
  return out.SerializeAsString();
}

absl::StatusOr<IntroAnswer> DecodeIntroAnswer(std::string_view bytes) {
  meta::IntroAnswer in;
  if (!Parse(bytes, limits::kPeerFrameBytes, in))
    return absl::InvalidArgumentError("the answer to an introduction does not parse");
  IntroAnswer answer;
  answer.cluster_namespace = in.cluster_namespace();
  answer.cluster_id = in.cluster_id();
  answer.server_id = in.server_id();
  answer.node = PeerId(in.node());
  answer.leader = PeerId(in.leader());
  answer.leader_address = in.leader_address();
  for (const meta::Member& member : in.members()) {
    answer.members.push_back(FromProto(member));
    if (answer.members.back().id == PeerId())
      return absl::InvalidArgumentError("the answer to an introduction names a member without id");
  }
  answer.feature_level = in.feature_level();
  answer.address = in.address();
  answer.incarnation = in.incarnation();
  answer.uptime = Duration(in.uptime());
  answer.place = in.place();
  answer.known_cluster_id = in.known_cluster_id();
  return answer;
}

std::string EncodeClusterStatus(const ClusterStatus& status) {
  meta::ClusterStatus out;
  out.set_cluster_id(status.cluster_id);
  out.set_cluster_namespace(status.cluster_namespace);
  out.set_answered_by(status.answered_by);
  out.set_leader(status.leader);
  out.set_term(status.term);
  out.set_commit(status.commit);
  out.set_applied(status.applied);
  out.set_first(status.first);
  out.set_last(status.last);
  out.set_log_bytes(status.log_bytes);
  out.set_feature_level(status.feature_level);
  for (const ClusterMember& member : status.members) ToProto(member, *out.add_members());
  for (const std::string& sentence : status.degraded) out.add_degraded(sentence);
  out.set_partitions(status.partitions.all);
  out.set_leaderless(status.partitions.leaderless);
  out.set_below_min_isr(status.partitions.below_min_isr);
  out.set_under_replicated(status.partitions.under_replicated);
  return out.SerializeAsString();
}

absl::StatusOr<ClusterStatus> DecodeClusterStatus(std::string_view bytes) {
  meta::ClusterStatus in;
  if (!Parse(bytes, limits::kPeerFrameBytes, in))
    return absl::InvalidArgumentError("the cluster's status does not parse");
  ClusterStatus status;
  status.cluster_id = in.cluster_id();
  status.cluster_namespace = in.cluster_namespace();
  status.answered_by = in.answered_by();
  status.leader = in.leader();
  status.term = in.term();
  status.commit = in.commit();
  status.applied = in.applied();
  status.first = in.first();
  status.last = in.last();
  status.log_bytes = in.log_bytes();
  status.feature_level = in.feature_level();
  for (const meta::ClusterMemberStatus& member : in.members())
    status.members.push_back(FromProto(member));
  status.degraded.assign(in.degraded().begin(), in.degraded().end());
  status.partitions = {in.partitions(), in.leaderless(), in.below_min_isr(), in.under_replicated()};
  return status;
}

}  // namespace bascule::metadata
