#include "core/api/cluster_calls.h"

#include <string>

#include "absl/strings/str_format.h"
#include "bascule/v1/bascule.pb.h"
#include "core/api/administrators.h"
#include "core/api/call_deadline.h"
#include "core/api/grpc_status.h"
#include "core/base/logging.h"
#include "core/base/text.h"

namespace bascule::api {
namespace {

// "host:port", IPv6 hosts in brackets.
std::string ClientAddress(const ClusterMember& member) {
  if (member.host.empty()) return "";
  const bool v6 = member.host.find(':') != std::string::npos;
  return Concat(v6 ? "[" : "", member.host, v6 ? "]:" : ":", member.port);
}

void FillMember(const ClusterMember& member, v1::ClusterMember& out) {
  out.set_server_id(member.server_id);
  out.set_node(member.node);
  out.set_peer_address(member.peer_address);
  out.set_client_address(ClientAddress(member));
  out.set_rack(member.rack);
  out.set_voter(member.voter);
  out.set_leader(member.leader);
  out.set_live(member.live);
  out.set_incarnation(absl::StrFormat("%016x", member.incarnation));
  out.set_feature_level(member.feature_level);
  out.set_match(member.match);
  out.set_partitions(member.partitions);
  out.set_leading(member.leading);
  out.set_trouble(member.trouble);
}

void FillStatus(const ClusterStatus& status, v1::GetClusterStatusResponse& out) {
  out.set_cluster_id(status.cluster_id);
  out.set_namespace_(status.cluster_namespace);
  out.set_answered_by(status.answered_by);
  out.set_leader(status.leader);
  out.set_term(status.term);
  out.set_commit(status.commit);
  out.set_applied(status.applied);
  out.set_first(status.first);
  out.set_last(status.last);
  out.set_log_bytes(status.log_bytes);
  out.set_feature_level(status.feature_level);
  out.set_partitions(status.partitions.all);
  out.set_leaderless(status.partitions.leaderless);
  out.set_below_min_isr(status.partitions.below_min_isr);
  out.set_under_replicated(status.partitions.under_replicated);
  for (const ClusterMember& member : status.members) FillMember(member, *out.add_members());
  for (const std::string& sentence : status.degraded) out.add_degraded(sentence);
}

// What a client wrote, for one line of the log.
std::string Quoted(const std::string& text) {
  constexpr size_t kMost = 200;
  std::string out;
  for (const char c : text.substr(0, kMost)) out += c >= ' ' && c < 0x7f ? c : '?';
  return Concat("\"", out, "\"");
}

// Every call that changes the cluster begins here. What a broker passes on to the leader it has
// checked: peers take such requests from members only, by their certificates.
absl::Status Admit(const ApiState& state, const grpc::CallbackServerContext& context,
                   const std::string& what) {
  const Caller caller = CallerOf(context);
  const absl::Status admitted = CheckAdministrator(caller, state.options.admin);
  if (admitted.ok()) {
    LogInfo(what, ": asked from ", caller.peer,
            caller.names.empty() ? "" : Concat(" with the certificate of ", caller.names.front()));
  } else {
    LogWarning(what, ": refused: ", FromAbsl(admitted.message()));
  }
  return admitted;
}

ClusterAdmin::Done Ending(grpc::ServerUnaryReactor* reactor) {
  return [reactor](const absl::Status& status) { reactor->Finish(ToGrpc(status)); };
}

}  // namespace

grpc::ServerUnaryReactor* BeginGetClusterStatus(ApiState& state,
                                                grpc::CallbackServerContext& context,
                                                v1::GetClusterStatusResponse& response) {
  grpc::ServerUnaryReactor* reactor = context.DefaultReactor();
  state.ports.cluster.Status(MetadataTimeout(context, state.ports.clock),
                             [&response, reactor](const absl::StatusOr<ClusterStatus>& status) {
                               if (status.ok()) FillStatus(*status, response);
                               reactor->Finish(ToGrpc(status.status()));
                             });
  return reactor;
}

grpc::ServerUnaryReactor* BeginAddMember(ApiState& state, grpc::CallbackServerContext& context,
                                         const v1::AddMemberRequest& request) {
  grpc::ServerUnaryReactor* reactor = context.DefaultReactor();
  const absl::Status admitted =
      Admit(state, context, Concat("cluster add ", Quoted(request.peer_address())));
  if (!admitted.ok()) {
    reactor->Finish(ToGrpc(admitted));
    return reactor;
  }
  if (request.peer_address().empty()) {
    reactor->Finish(ToGrpc(absl::InvalidArgumentError(
        "peer_address is empty: give the host:port where the new broker listens for others")));
    return reactor;
  }
  state.ports.cluster.AddMember(request.peer_address(), MetadataTimeout(context, state.ports.clock),
                                Ending(reactor));
  return reactor;
}

grpc::ServerUnaryReactor* BeginRemoveMember(ApiState& state, grpc::CallbackServerContext& context,
                                            const v1::RemoveMemberRequest& request) {
  grpc::ServerUnaryReactor* reactor = context.DefaultReactor();
  const absl::Status admitted = Admit(
      state, context,
      Concat("cluster remove ", Quoted(request.server_id()), request.force() ? " (forced)" : ""));
  if (!admitted.ok()) {
    reactor->Finish(ToGrpc(admitted));
    return reactor;
  }
  if (request.server_id().empty()) {
    reactor->Finish(ToGrpc(absl::InvalidArgumentError(
        "server_id is empty: name the member, as the cluster's status lists it")));
    return reactor;
  }
  state.ports.cluster.RemoveMember(request.server_id(), request.force(),
                                   MetadataTimeout(context, state.ports.clock), Ending(reactor));
  return reactor;
}

grpc::ServerUnaryReactor* BeginTransferLeadership(ApiState& state,
                                                  grpc::CallbackServerContext& context,
                                                  const v1::TransferLeadershipRequest& request) {
  grpc::ServerUnaryReactor* reactor = context.DefaultReactor();
  const absl::Status admitted =
      Admit(state, context, Concat("cluster transfer ", Quoted(request.server_id())));
  if (!admitted.ok()) {
    reactor->Finish(ToGrpc(admitted));
    return reactor;
  }
  state.ports.cluster.TransferLeadership(
      request.server_id(), MetadataTimeout(context, state.ports.clock), Ending(reactor));
  return reactor;
}

}  // namespace bascule::api
