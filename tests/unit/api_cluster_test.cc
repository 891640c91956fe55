// The calls about the cluster, over a real connection.
#include <doctest/doctest.h>

#include "bascule/v1/bascule.grpc.pb.h"
#include "tests/unit/api_world.h"

namespace bascule::api {
namespace {

struct ClusterWorld : ApiWorld {
  ClusterWorld() : own(v1::Bascule::NewStub(channel)) {}

  template <typename Request, typename Response>
  std::string Call(grpc::Status (v1::Bascule::Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                   const Request& request, Response& response) {
    grpc::ClientContext context;
    LimitCall(context);
    return Shown((own.get()->*method)(&context, request, &response));
  }
  std::string Add(const std::string& address) {
    v1::AddMemberRequest request;
    request.set_peer_address(address);
    v1::AddMemberResponse response;
    return Call(&v1::Bascule::Stub::AddMember, request, response);
  }
  std::string Remove(const std::string& id, bool force) {
    v1::RemoveMemberRequest request;
    request.set_server_id(id);
    request.set_force(force);
    v1::RemoveMemberResponse response;
    return Call(&v1::Bascule::Stub::RemoveMember, request, response);
  }
  std::string Transfer(const std::string& id) {
    v1::TransferLeadershipRequest request;
    request.set_server_id(id);
    v1::TransferLeadershipResponse response;
    return Call(&v1::Bascule::Stub::TransferLeadership, request, response);
  }

  std::unique_ptr<v1::Bascule::Stub> own;
};

ClusterStatus SomeStatus() {
  ClusterStatus status;
  status.cluster_id = "c";
  status.cluster_namespace = "ns";
  status.answered_by = "b1";
  status.leader = "b2";
  status.term = 3;
  status.commit = 10;
  status.applied = 9;
  status.first = 4;
  status.last = 11;
  status.log_bytes = 1234;
  status.feature_level = 2;
  ClusterMember member;
  member.server_id = "b1";
  member.node = 77;
  member.peer_address = "h:9293";
  member.host = "::1";
  member.port = 9292;
  member.rack = "r";
  member.voter = member.live = true;
  member.incarnation = 255;
  member.feature_level = 2;
  member.match = 8;
  member.partitions = 5;
  member.leading = 1;
  status.members.push_back(member);
  status.members.emplace_back();
  status.members.back().server_id = "b2";
  status.members.back().leader = true;
  status.degraded = {"b2 is silent"};
  return status;
}

TEST_CASE("cluster status: clients are shown addresses that can be dialled, whatever the host is") {
  for (const auto& [host, shown] : std::vector<std::pair<std::string, std::string>>{
           {"b1.example.com", "b1.example.com:9292"},
           {"10.0.0.1", "10.0.0.1:9292"},
           {"::1", "[::1]:9292"},
           {"fd00:1:2:3:4:5:6:7", "[fd00:1:2:3:4:5:6:7]:9292"},
           {"", ""}}) {
    ClusterWorld world;
    world.cluster.status = SomeStatus();
    world.cluster.status.members[0].host = host;
    v1::GetClusterStatusResponse response;
    CHECK(world.Call(&v1::Bascule::Stub::GetClusterStatus, v1::GetClusterStatusRequest(),
                     response) == "0 ");
    CHECK(response.members(0).client_address() == shown);
  }
}

TEST_CASE("cluster status: every field arrives") {
  ClusterWorld world;
  world.cluster.status = SomeStatus();
  v1::GetClusterStatusResponse response;
  CHECK(world.Call(&v1::Bascule::Stub::GetClusterStatus, v1::GetClusterStatusRequest(), response) ==
        "0 ");
  CHECK(world.cluster.last_timeout > std::chrono::seconds(20));  // the caller's deadline
  CHECK(response.cluster_id() == "c");
  CHECK(response.namespace_() == "ns");
  CHECK(response.answered_by() == "b1");
  CHECK(response.leader() == "b2");
  CHECK(response.term() == 3);
  CHECK(response.commit() == 10);
  CHECK(response.applied() == 9);
  CHECK(response.first() == 4);
  CHECK(response.last() == 11);
  CHECK(response.log_bytes() == 1234);
  CHECK(response.feature_level() == 2);
  CHECK(response.degraded(0) == "b2 is silent");
  REQUIRE(response.members_size() == 2);
  const v1::ClusterMember& first = response.members(0);
  CHECK(first.server_id() == "b1");
  CHECK(first.node() == 77);
  CHECK(first.peer_address() == "h:9293");
  CHECK(first.client_address() == "[::1]:9292");
  CHECK(first.rack() == "r");
  CHECK(first.voter());
  CHECK(first.live());
  CHECK_FALSE(first.leader());
  CHECK(first.incarnation() == "00000000000000ff");
  CHECK(first.feature_level() == 2);
  CHECK(first.match() == 8);
  CHECK(first.partitions() == 5);
  CHECK(first.leading() == 1);
  CHECK(response.members(1).leader());
  CHECK(response.members(1).client_address() == "");
  CHECK(response.members(1).match() == -1);

  world.cluster.answer = absl::DeadlineExceededError("no answer in time");
  CHECK(world.Call(&v1::Bascule::Stub::GetClusterStatus, v1::GetClusterStatusRequest(), response) ==
        "4 no answer in time");
}

TEST_CASE("cluster members: requests and their answers pass unchanged") {
  ClusterWorld world;
  CHECK(world.Add("h:9293") == "0 ");
  CHECK(world.cluster.last_request == "add h:9293");
  CHECK(world.cluster.last_timeout > std::chrono::seconds(20));
  CHECK(world.Remove("b3", false) == "0 ");
  CHECK(world.cluster.last_request == "remove b3");
  CHECK(world.Remove("b3", true) == "0 ");
  CHECK(world.cluster.last_request == "remove b3 by force");
  CHECK(world.Transfer("b2") == "0 ");
  CHECK(world.cluster.last_request == "transfer to b2");
  CHECK(world.Transfer("") == "0 ");
  CHECK(world.cluster.last_request == "transfer to ");
  world.cluster.answer = absl::UnavailableError("no metadata leader");
  CHECK(world.Add("h:1") == "14 no metadata leader");
  CHECK(world.Remove("b3", false) == "14 no metadata leader");
  CHECK(world.Transfer("b2") == "14 no metadata leader");
  world.cluster.last_request.clear();
  CHECK(world.Add("").substr(0, 25) == "3 peer_address is empty: ");
  CHECK(world.Remove("", true).substr(0, 22) == "3 server_id is empty: ");
  CHECK(world.cluster.last_request.empty());
}

TEST_CASE("what is asked ends before the caller's deadline, so that the caller is told why") {
  ClusterWorld world;
  for (const std::chrono::seconds limit :
       {std::chrono::seconds(1), std::chrono::seconds(30), std::chrono::seconds(300)}) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + limit);
    v1::GetClusterStatusResponse response;
    CHECK(Shown(world.own->GetClusterStatus(&context, v1::GetClusterStatusRequest(), &response)) ==
          "0 ");
    CHECK(world.cluster.last_timeout <= Duration(limit) - Duration(limit) / 100);
    CHECK(world.cluster.last_timeout > Duration(limit) / 2);
  }
}

TEST_CASE("cluster calls without a deadline get the default one") {
  ClusterWorld world;
  grpc::ClientContext context;
  v1::GetClusterStatusResponse response;
  CHECK(Shown(world.own->GetClusterStatus(&context, v1::GetClusterStatusRequest(), &response)) ==
        "0 ");
  CHECK(world.cluster.last_timeout == Duration(limits::kDefaultMetadataTimeout));
}

}  // namespace
}  // namespace bascule::api
