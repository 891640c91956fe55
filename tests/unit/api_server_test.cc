// The server itself: addresses, TLS, health, reflection, stopping.
#include <doctest/doctest.h>

#include <grpcpp/generic/generic_stub.h>

#include <cstdio>
#include <fstream>

#include "core/wire/coding.h"
#include "tests/support/eventually.h"
#include "tests/support/side_thread.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/api_test_certs.h"
#include "tests/unit/api_world.h"

namespace bascule::api {
namespace {

// One exchange with a service that has no stub here; protobuf by hand. Empty on an error status.
std::string Exchange(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                     const std::string& sent, grpc::Status* status = nullptr) {
  grpc::GenericStub stub(channel);
  grpc::CompletionQueue queue;
  grpc::ClientContext context;
  LimitCall(context);
  auto call = stub.PrepareCall(&context, method, &queue);
  void* tag = nullptr;
  bool ok = false;
  call->StartCall(nullptr);
  queue.Next(&tag, &ok);
  const grpc::Slice slice(sent);
  call->WriteLast(grpc::ByteBuffer(&slice, 1), grpc::WriteOptions(), nullptr);
  queue.Next(&tag, &ok);
  grpc::ByteBuffer received;
  call->Read(&received, nullptr);
  queue.Next(&tag, &ok);
  grpc::Slice flat;
  if (ok) CHECK(received.DumpToSingleSlice(&flat).ok());
  grpc::Status end;
  call->Finish(&end, nullptr);
  bool finished = false;
  queue.Next(&tag, &finished);
  queue.Shutdown();
  while (queue.Next(&tag, &finished)) {
  }
  if (status != nullptr) *status = end;
  return std::string(reinterpret_cast<const char*>(flat.begin()), flat.size());
}

std::string Text(uint32_t field, const std::string& value) {
  std::string out;
  wire::AppendBytesField(out, field, value);
  return out;
}

// 1 = SERVING, 2 = NOT_SERVING; nothing when the service is unknown.
std::string Health(ApiWorld& world, const std::string& service) {
  const std::string answer =
      Exchange(world.channel, "/grpc.health.v1.Health/Check", Text(1, service));
  return answer.size() == 2 ? std::to_string(answer[1]) : "";
}

std::string StartText(ApiOptions options) {
  StreamCatalog catalog;
  FakeAdmin admin;
  FakeCluster cluster;
  FakeBus bus;
  FakeFacts facts;
  ApiServer server(std::move(options), ApiPorts{catalog, admin, cluster, bus, facts, RealClock(),
                                                RealFileSystem(), RealRng()});
  return std::string(server.Start().ToString());
}

TEST_CASE("health and reflection know our services") {
  ApiWorld world;
  CHECK(Health(world, "") == "1");
  CHECK(Health(world, "proto.API") == "1");
  CHECK(Health(world, "bascule.v1.Bascule") == "1");
  CHECK(Health(world, "unknown").empty());
  const std::string services =
      Exchange(world.channel, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
               Text(7, "*"));
  CHECK(services.find("proto.API") != std::string::npos);
  CHECK(services.find("bascule.v1.Bascule") != std::string::npos);
  CHECK(services.find("grpc.health.v1.Health") != std::string::npos);
}

TEST_CASE(
    "requests that are not protobuf, and methods that are not there, are errors and no more") {
  ApiWorld world;
  auto partition = world.AddStream("s", "foo")[0];
  const std::string rubbish = "\xff\xff\xff\xff rubbish";
  for (const char* method : {"Publish", "CreateStream", "Subscribe", "FetchMetadata", "Nothing"}) {
    grpc::Status status;
    Exchange(world.channel, std::string("/proto.API/") + method, rubbish, &status);
    CHECK_FALSE(status.ok());
  }
  CHECK(Health(world, "proto.API") == "1");
}

TEST_CASE("an address that cannot be listened on is an error that names it") {
  ApiWorld world;
  ApiOptions options;
  options.listen = world.address();  // taken
  CHECK(StartText(options).find("cannot listen on " + world.address()) != std::string::npos);
  options.listen = "not an address";
  CHECK(StartText(options).find("cannot listen on not an address") != std::string::npos);
  options.listen = "127.0.0.1:0";
  options.max_request_bytes = 0;
  CHECK(StartText(options).find("INVALID_ARGUMENT") == 0);
}

struct Pki {
  Pki() {
    Write("ca", kTestCa);
    Write("cert", kTestServerCert);
    Write("key", kTestServerKey);
    Write("rubbish", "no PEM");
  }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(dir.Path(name)) << text;
  }
  TempDir dir;
};

TEST_CASE("TLS: half a pair and files that cannot be used are errors") {
  Pki pki;
  ApiOptions options;
  options.listen = "127.0.0.1:0";
  options.tls.key = pki.dir.Path("key");
  CHECK(StartText(options) ==
        "INVALID_ARGUMENT: tls.key is set without tls.cert: set both or none");
  options.tls.cert = pki.dir.Path("missing");
  CHECK(StartText(options).find("INVALID_ARGUMENT: tls.cert: cannot use " +
                                pki.dir.Path("missing")) == 0);
  options.tls.cert = pki.dir.Path("rubbish");
  CHECK(StartText(options).find("it is not a PEM file") != std::string::npos);
  options.tls.cert = pki.dir.Path("cert");
  options.tls.require_client_cert = true;
  options.tls.client_ca = pki.dir.Path("missing");
  CHECK(StartText(options).find("INVALID_ARGUMENT: tls.client.auth.ca: cannot use") == 0);
  options.tls.client_ca = pki.dir.Path("ca");
  CHECK(StartText(options) == "OK");
  options.tls.key.clear();
  CHECK(StartText(options) ==
        "INVALID_ARGUMENT: tls.cert is set without tls.key: set both or none");
  options.tls.cert.clear();
  CHECK(StartText(options).find("tls.client.auth.enabled needs TLS") != std::string::npos);
  options.tls.require_client_cert = false;
  CHECK(StartText(options) == "OK");
  options.tls.cert = pki.dir.Path("key");  // PEM, but not a certificate
  options.tls.key = pki.dir.Path("key");
  CHECK(StartText(options).find("are not a key and its certificate") != std::string::npos);
}

std::string FetchOver(ApiWorld& world, const grpc::SslCredentialsOptions& ssl) {
  auto stub = proto::API::NewStub(world.Connect(grpc::SslCredentials(ssl)));
  grpc::ClientContext context;
  LimitCall(context, std::chrono::seconds(5));
  proto::FetchMetadataResponse response;
  return Shown(stub->FetchMetadata(&context, proto::FetchMetadataRequest(), &response));
}

TEST_CASE("TLS: clients with the right certificate get in") {
  Pki pki;
  ApiOptions options;
  options.tls.key = pki.dir.Path("key");
  options.tls.cert = pki.dir.Path("cert");
  grpc::SslCredentialsOptions bare;
  bare.pem_root_certs = kTestCa;
  grpc::SslCredentialsOptions own = bare;
  own.pem_cert_chain = kTestClientCert;
  own.pem_private_key = kTestClientKey;
  {
    ApiWorld world(options);
    CHECK(FetchOver(world, bare) == "0 ");
    grpc::ClientContext context;  // plaintext
    LimitCall(context, std::chrono::seconds(5));
    proto::FetchMetadataResponse response;
    CHECK_FALSE(world.stub->FetchMetadata(&context, proto::FetchMetadataRequest(), &response).ok());
  }
  options.tls.require_client_cert = true;
  options.tls.client_ca = pki.dir.Path("ca");
  {
    ApiWorld world(options);
    CHECK(FetchOver(world, own) == "0 ");
    CHECK(FetchOver(world, bare).substr(0, 3) == "14 ");
  }
}

// The name in the certificate that a new connection is shown.
std::string ShownName(ApiWorld& world) {
  grpc::SslCredentialsOptions ssl;
  ssl.pem_root_certs = kTestCa;
  auto stub = proto::API::NewStub(world.Connect(grpc::SslCredentials(ssl)));
  grpc::ClientContext context;
  LimitCall(context, std::chrono::seconds(5));
  proto::FetchMetadataResponse response;
  const grpc::Status status =
      stub->FetchMetadata(&context, proto::FetchMetadataRequest(), &response);
  if (!status.ok()) return Shown(status);
  const auto names = context.auth_context()->FindPropertyValues("x509_common_name");
  return names.empty() ? "" : std::string(names[0].data(), names[0].size());
}

TEST_CASE("TLS: a replaced certificate is shown to new connections, a broken one never") {
  Pki pki;
  ApiOptions options;
  options.tls.key = pki.dir.Path("key");
  options.tls.cert = pki.dir.Path("cert");
  ApiWorld world(options);
  CHECK(ShownName(world) == "server");
  CHECK(world.server->certificate() == kTestServerCert);

  const auto stays = [&](const std::string& said) {
    world.server->ReloadTls();
    CHECK(world.server->tls_trouble().find(said) != std::string::npos);
    CHECK(world.server->certificate() == kTestServerCert);
    CHECK(ShownName(world) == "server");
  };
  pki.Write("cert", "");
  stays("it is not a PEM file");
  pki.Write("cert", kTestClientCert);  // of another key
  stays("are not a key and its certificate");
  REQUIRE(std::remove(pki.dir.Path("cert").c_str()) == 0);
  stays("tls.cert: cannot use");
  pki.Write("cert", kTestServerCert);
  stays("");
  CHECK(world.server->tls_trouble().empty());

  pki.Write("cert", kTestClientCert);
  pki.Write("key", kTestClientKey);
  CHECK(ShownName(world) == "server");  // nobody has looked yet
  world.server->ReloadTls();
  CHECK(world.server->tls_trouble().empty());
  CHECK(world.server->certificate() == kTestClientCert);
  CHECK(ShownName(world) == "client");
}

// Clients are to show a certificate that one of those in `authorities` signed.
ApiOptions AskingClients(const Pki& pki, const std::string& authorities) {
  ApiOptions options;
  options.tls.key = pki.dir.Path("key");
  options.tls.cert = pki.dir.Path("cert");
  options.tls.require_client_cert = true;
  options.tls.client_ca = pki.dir.Path(authorities);
  return options;
}

TEST_CASE("TLS: a rotated authority of clients counts for new connections, in both directions") {
  Pki pki;
  const ApiOptions options = AskingClients(pki, "clients");
  pki.Write("clients", kTestServerCert);  // which signed nobody's
  grpc::SslCredentialsOptions own;
  own.pem_root_certs = kTestCa;
  own.pem_cert_chain = kTestClientCert;
  own.pem_private_key = kTestClientKey;
  ApiWorld world(options);
  CHECK(FetchOver(world, own).substr(0, 3) == "14 ");
  pki.Write("clients", kTestCa);
  world.server->ReloadTls();
  CHECK(world.server->tls_trouble().empty());
  CHECK(FetchOver(world, own) == "0 ");
  pki.Write("clients", "-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n");
  world.server->ReloadTls();
  CHECK(world.server->tls_trouble().find("tls.client.auth.ca") != std::string::npos);
  CHECK(FetchOver(world, own) == "0 ");
  pki.Write("clients", kTestServerCert);
  world.server->ReloadTls();
  CHECK(world.server->tls_trouble().empty());
  CHECK(FetchOver(world, own).substr(0, 3) == "14 ");
}

TEST_CASE("stopping drops connections: everybody sees Unavailable, nothing ends politely") {
  ApiWorld world;
  auto partition = world.AddStream("s", "foo")[0];
  partition->Append({ValueBody("a")});

  grpc::ClientContext async_context, subscribe_context, publish_context;
  for (auto* context : {&async_context, &subscribe_context, &publish_context}) LimitCall(*context);
  auto session = world.stub->PublishAsync(&async_context);
  proto::PublishRequest request;
  request.set_stream("s");
  session->Write(request);
  proto::SubscribeRequest subscribe;
  subscribe.set_stream("s");
  subscribe.set_startposition(proto::EARLIEST);
  auto reader = world.stub->Subscribe(&subscribe_context, subscribe);
  proto::Message message;
  REQUIRE(reader->Read(&message));
  REQUIRE(reader->Read(&message));
  grpc::Status publish_status;
  SideThread publisher([&](const std::atomic<bool>&) {
    proto::PublishResponse response;
    publish_status = world.stub->Publish(&publish_context, request, &response);
  });
  REQUIRE(
      Eventually([&] { return world.bus.published().size() == 2 && partition->parked() == 1; }));

  world.server->Shutdown();
  publisher.Stop();
  proto::PublishResponse response;
  CHECK_FALSE(session->Read(&response));
  CHECK_FALSE(reader->Read(&message));
  CHECK(session->Finish().error_code() == grpc::StatusCode::UNAVAILABLE);
  CHECK(reader->Finish().error_code() == grpc::StatusCode::UNAVAILABLE);
  CHECK(publish_status.error_code() == grpc::StatusCode::UNAVAILABLE);
  CHECK(Eventually([&] { return partition->cancelled_reads() == 1; }));
  CHECK(world.bus.inboxes() == 0);
  world.server->Shutdown();  // again: nothing
}

TEST_CASE("stopping while sessions half-close and cancel never ends one with OK by itself") {
  for (int round = 0; round < 10; ++round) {
    ApiWorld world;
    world.AddStream("s", "foo");
    world.bus.AckAll();
    grpc::ClientContext context;
    LimitCall(context);
    auto session = world.stub->PublishAsync(&context);
    proto::PublishRequest request;
    request.set_stream("s");
    SideThread sender([&](const std::atomic<bool>&) {
      while (session->Write(request)) {
      }
    });
    REQUIRE(Eventually([&] { return world.bus.published().size() > 100; }));
    world.server->Shutdown();
    sender.Stop();
    proto::PublishResponse response;
    while (session->Read(&response)) {
    }
    CHECK(session->Finish().error_code() == grpc::StatusCode::UNAVAILABLE);
  }
}

TEST_CASE("TLS: a client certificate that another authority signed does not get in") {
  Pki pki;
  const ApiOptions options = AskingClients(pki, "cert");  // which signed nobody's
  grpc::SslCredentialsOptions own;
  own.pem_root_certs = kTestCa;
  own.pem_cert_chain = kTestClientCert;
  own.pem_private_key = kTestClientKey;
  ApiWorld world(options);
  CHECK(FetchOver(world, own).substr(0, 3) == "14 ");
}

}  // namespace
}  // namespace bascule::api
