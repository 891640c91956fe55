// Who may change the cluster through the gRPC port.
#include <doctest/doctest.h>

#include <fstream>

#include "bascule/v1/bascule.grpc.pb.h"
#include "core/api/administrators.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/api_test_certs.h"
#include "tests/unit/api_world.h"

namespace bascule::api {
namespace {

// Each call that changes the cluster, as "<code>" of its answers.
std::string ChangeAll(const std::shared_ptr<grpc::Channel>& channel, const char* proxy = nullptr) {
  const auto stub = v1::Bascule::NewStub(channel);
  std::string codes;
  const auto call = [&](auto method, auto request, auto response) {
    grpc::ClientContext context;
    LimitCall(context);
    if (proxy != nullptr) context.AddMetadata(proxy, "10.1.2.3");
    codes += std::to_string((stub.get()->*method)(&context, request, &response).error_code()) + " ";
  };
  v1::AddMemberRequest add;
  add.set_peer_address("h:1");
  v1::RemoveMemberRequest remove;
  remove.set_server_id("b2");
  remove.set_force(true);
  call(&v1::Bascule::Stub::AddMember, add, v1::AddMemberResponse());
  call(&v1::Bascule::Stub::RemoveMember, remove, v1::RemoveMemberResponse());
  call(&v1::Bascule::Stub::TransferLeadership, v1::TransferLeadershipRequest(),
       v1::TransferLeadershipResponse());
  return codes;
}

constexpr char kTaken[] = "0 0 0 ";
constexpr char kRefused[] = "7 7 7 ";

TEST_CASE("what counts as this machine, and what does not") {
  for (const char* peer :
       {"ipv4:127.0.0.1:33412", "ipv4:127.200.3.4:1", "ipv6:[::1]:33412", "ipv6:%5B::1%5D:33412",
        "ipv6:%5b::1%5d:1", "ipv6:[::ffff:127.0.0.1]:5", "unix:/run/bascule.sock", "unix:"}) {
    CAPTURE(peer);
    CHECK(IsLoopback(peer));
  }
  for (const char* peer :
       {"ipv4:10.0.0.1:33412", "ipv4:128.0.0.1:1", "ipv4:0.0.0.0:1", "ipv6:[2001:db8::1]:1",
        "ipv6:[::]:1", "ipv6:[::ffff:10.0.0.1]:5", "ipv6:[::127.0.0.1]:5", "ipv4:127.0.0.1",
        "ipv4:127.0.0.1.evil.example:1", "ipv4:", "ipv6:", "", "127.0.0.1:1", "vsock:2:1",
        "ipv4:localhost:80", "ipv6:%5", "ipv4:1:127.0.0.1"}) {
    CAPTURE(peer);
    CHECK_FALSE(IsLoopback(peer));
  }
}

TEST_CASE("a caller from elsewhere is refused, told why, and what to do") {
  AdminOptions options;
  options.identities = {"operator"};
  CHECK(CheckAdministrator({"ipv4:127.0.0.1:1", false, {}}, options).ok());
  CHECK(CheckAdministrator({"ipv4:10.0.0.1:1", false, {"x", "operator"}}, options).ok());
  const absl::Status refused = CheckAdministrator({"ipv4:10.0.0.1:77", false, {}}, options);
  CHECK(absl::IsPermissionDenied(refused));
  CHECK(refused.message() ==
        "the cluster is changed only from the machine of a broker (--server 127.0.0.1:PORT there) "
        "and "
        "with a client certificate whose name admin.identities lists; this call came from "
        "ipv4:10.0.0.1:77 without a client certificate. Run the command on a broker's machine, or "
        "list the certificate's name in admin.identities of this broker (with "
        "tls.client.auth.enabled) and restart it");
  CHECK_FALSE(CheckAdministrator({"ipv4:10.0.0.1:1", false, {"Operator", ""}}, options).ok());
  // A proxy here speaks for others, unless they show a certificate of their own.
  CHECK_FALSE(CheckAdministrator({"ipv4:127.0.0.1:1", true, {}}, options).ok());
  CHECK(CheckAdministrator({"ipv4:127.0.0.1:1", true, {"operator"}}, options).ok());
  options.loopback = false;
  const absl::Status local = CheckAdministrator({"ipv4:127.0.0.1:1", false, {"x"}}, options);
  CHECK(absl::IsPermissionDenied(local));
  CHECK(local.message().find("admin.loopback is off here") != absl::string_view::npos);
  CHECK(local.message().find("with the certificate of x") != absl::string_view::npos);
}

TEST_CASE("every call that changes the cluster asks who calls; the status is for all") {
  for (const bool loopback : {true, false}) {
    ApiOptions options;
    options.admin.loopback = loopback;
    ApiWorld world(options);
    world.cluster.last_request.clear();
    CHECK(ChangeAll(world.channel) == (loopback ? kTaken : kRefused));
    CHECK(world.cluster.last_request.empty() == !loopback);
    for (const char* header :
         {"forwarded", "via", "x-real-ip", "x-forwarded-for", "x-forwarded-client-cert",
          "x-forwarded-proto", "x-envoy-external-address", "x-envoy-peer-metadata-id"}) {
      CAPTURE(header);
      CHECK(ChangeAll(world.channel, header) == kRefused);
    }
    CHECK(ChangeAll(world.channel, "x-request-id") == (loopback ? kTaken : kRefused));
    grpc::ClientContext context;
    LimitCall(context);
    v1::GetClusterStatusResponse response;
    CHECK(v1::Bascule::NewStub(world.channel)
              ->GetClusterStatus(&context, v1::GetClusterStatusRequest(), &response)
              .ok());
  }
}

TEST_CASE("TLS: a listed client certificate may change the cluster, another one may not") {
  const TempDir dir;
  const auto write = [&dir](const char* name, const char* text) {
    std::ofstream(dir.Path(name)) << text;
    return dir.Path(name);
  };
  ApiOptions options;
  options.tls.key = write("key", kTestServerKey);
  options.tls.cert = write("cert", kTestServerCert);
  options.tls.client_ca = write("ca", kTestCa);
  options.tls.require_client_cert = true;
  options.admin.loopback = false;
  grpc::SslCredentialsOptions own;
  own.pem_root_certs = kTestCa;
  own.pem_cert_chain = kTestClientCert;
  own.pem_private_key = kTestClientKey;
  // The common name, an alternative name, and none of its names.
  for (const auto& [name, taken] : {std::pair("client", true), std::pair("localhost", true),
                                    std::pair("server", false), std::pair("", false)}) {
    CAPTURE(name);
    options.admin.identities = {name};
    ApiWorld world(options);
    CHECK(ChangeAll(world.Connect(grpc::SslCredentials(own))) == (taken ? kTaken : kRefused));
  }
}

}  // namespace
}  // namespace bascule::api
