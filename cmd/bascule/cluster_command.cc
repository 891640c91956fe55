// `bascule cluster status | add | remove | transfer`, and the door to `bascule cluster certs`.
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cmd/bascule/client.h"
#include "cmd/bascule/cluster_certs.h"
#include "cmd/bascule/cluster_view.h"
#include "cmd/bascule/commands.h"
#include "cmd/bascule/json_output.h"
#include "cmd/bascule/text.h"
#include "core/env/file_system.h"

namespace bascule::cli {
namespace {

ExitCode Judge(const v1::GetClusterStatusResponse& status) {
  if (status.leader().empty()) return ExitCode::kNoLeader;
  return Troubles(status).empty() ? ExitCode::kOk : ExitCode::kDegraded;
}

// What became of a change of the members.
Failure ExplainChange(Client& client, const grpc::Status& status, const std::string& doing,
                      const std::string& way_out) {
  Failure failure = client.Explain(status, doing);
  switch (status.error_code()) {
    case grpc::StatusCode::UNKNOWN:
      failure.hint = "it may have been done; bascule cluster status shows";
      break;
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      failure.hint = "it may still be done; bascule cluster status shows, --timeout waits longer";
      break;
    case grpc::StatusCode::FAILED_PRECONDITION:
      // Some of what stands in the way yields to force; the server says which.
      if (absl::StrContains(status.error_message(), "force")) failure.hint = way_out;
      break;
    case grpc::StatusCode::NOT_FOUND:
    case grpc::StatusCode::ALREADY_EXISTS:
      failure.hint = "bascule cluster status lists the members";
      break;
    default:
      break;
  }
  return failure;
}

struct Change {
  const char* action;  // for JSON: "added"
  std::string member;
  std::string doing;      // "add the broker at h:9293"
  std::string done;       // the sentence that says so
  std::string way_out{};  // out of a FailedPrecondition
};

// `call(stub, context)` makes the change on the connected broker.
template <typename Call>
ExitCode Make(Session& session, const Change& change, Call call) {
  Console& console = session.console;
  Outcome<BrokerPtr> broker = session.client.Connect();
  if (!broker.ok()) return Report(console, broker.failure());
  auto context = session.client.NewContext();
  const grpc::Status status = call(*(*broker)->own, context.get());
  if (!status.ok()) {
    return Report(console, ExplainChange(session.client, status, change.doing, change.way_out));
  }
  if (session.json) {
    console.out << MemberJson(change.action, change.member) << '\n';
  } else {
    console.out << EscapeText(change.done) << '\n';
  }
  return ExitCode::kOk;
}

}  // namespace

ExitCode Run(Session& session, const ClusterStatusOptions&) {
  Console& console = session.console;
  v1::GetClusterStatusResponse status;
  const auto failure =
      session.client.Ask("ask for the cluster's status", "", [&](Broker& broker, auto* context) {
        return broker.own->GetClusterStatus(context, v1::GetClusterStatusRequest(), &status);
      });
  if (failure) return Report(console, *failure);
  if (session.json) {
    console.out << ClusterJson(status) << '\n';
  } else {
    PrintCluster(console.out, status);
  }
  return Judge(status);
}

ExitCode Run(Session& session, const ClusterAddOptions& options) {
  const Change change{"added", options.address, "add the broker at " + options.address,
                      "The broker at " + options.address + " is a member now."};
  return Make(session, change, [&](v1::Bascule::Stub& stub, grpc::ClientContext* context) {
    v1::AddMemberRequest request;
    request.set_peer_address(options.address);
    v1::AddMemberResponse response;
    return stub.AddMember(context, request, &response);
  });
}

ExitCode Run(Session& session, const ClusterRemoveOptions& options) {
  const Change change{
      "removed", options.server_id, "remove broker " + options.server_id,
      "Removed " + options.server_id + ": its data directory must not be used any more.",
      options.force ? "" : "--force does that"};
  return Make(session, change, [&](v1::Bascule::Stub& stub, grpc::ClientContext* context) {
    v1::RemoveMemberRequest request;
    request.set_server_id(options.server_id);
    request.set_force(options.force);
    v1::RemoveMemberResponse response;
    return stub.RemoveMember(context, request, &response);
  });
}

ExitCode Run(Session& session, const ClusterTransferOptions& options) {
  const std::string whom = options.server_id.empty() ? "another broker" : options.server_id;
  const Change change{"leading", options.server_id, "hand the metadata to " + whom,
                      "The metadata is led by " + whom + " now."};
  return Make(session, change, [&](v1::Bascule::Stub& stub, grpc::ClientContext* context) {
    v1::TransferLeadershipRequest request;
    request.set_server_id(options.server_id);
    v1::TransferLeadershipResponse response;
    return stub.TransferLeadership(context, request, &response);
  });
}

ExitCode Run(Session& session, const ClusterCertsOptions& options) {
  return MakeClusterCerts(session.console, RealFileSystem(), session.client.clock(), options);
}

}  // namespace bascule::cli
