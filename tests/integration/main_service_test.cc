// What stands beside the API on the port: health, reflection, TLS with client certificates.
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/integration/main_world.h"

namespace bascule::main_job {
namespace {

using grpc::StatusCode;

// grpc.health.v1.HealthCheckRequest{service}
std::string HealthRequest(const std::string& service) {
  return std::string("\x0a") + static_cast<char>(service.size()) + service;
}

TEST_CASE("where it listens and where clients are told to dial are told apart") {
  auto nats = StartNats();
  MainBroker broker(nats->url(), {"--set", "host=broker.example"});
  broker.Start();
  const v1::GetServerInfoResponse info = broker.Info();
  CHECK(info.listen() == broker.address());
  const std::string port = broker.address().substr(broker.address().rfind(':'));
  CHECK(info.advertised() == "broker.example" + port);
}

TEST_CASE("the reserve in per cent is shown as so much of the whole disk") {
  auto nats = StartNats();
  MainBroker broker(nats->url(), {"--set", "disk.reserve=50%"});
  broker.Start();
  const v1::GetServerInfoResponse info = broker.Info();
  CHECK(info.disk_total() > 0);
  CHECK(info.disk_reserve() == info.disk_total() / 2);
}

TEST_CASE("health answers for the services, and reflection lists them") {
  auto nats = StartNats();
  MainBroker broker(nats->url());
  broker.Start();
  const std::string serving("\x08\x01", 2);
  for (const char* service : {"proto.API", "bascule.v1.Bascule", ""}) {
    CAPTURE(service);
    const RawAnswer answer =
        CallRaw(broker.channel(), "/grpc.health.v1.Health/Check", HealthRequest(service));
    BROKER_CHECK(broker, answer.status.ok());
    REQUIRE(answer.messages.size() == 1);
    CHECK(answer.messages[0] == serving);
  }
  CHECK(CallRaw(broker.channel(), "/grpc.health.v1.Health/Check", HealthRequest("nobody"))
            .status.error_code() == StatusCode::NOT_FOUND);
  const RawAnswer listed =
      CallRaw(broker.channel(), "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
              std::string("\x3a\x00", 2));  // list_services: ""
  BROKER_CHECK(broker, listed.status.ok());
  REQUIRE(listed.messages.size() == 1);
  for (const char* service : {"proto.API", "bascule.v1.Bascule", "grpc.health.v1.Health"})
    CHECK(Has(listed.messages[0], service));
  CHECK(CallRaw(broker.channel(), "/proto.API/NoSuchMethod", "").status.error_code() ==
        StatusCode::UNIMPLEMENTED);
}

TEST_CASE("RPCs of later versions say so") {
  auto nats = StartNats();
  MainBroker broker(nats->url());
  broker.Start();
  for (const char* method :
       {"PauseStream", "SetStreamReadonly", "SetCursor", "FetchCursor", "JoinConsumerGroup",
        "LeaveConsumerGroup", "FetchConsumerGroupAssignments", "ReportConsumerGroupCoordinator"}) {
    CAPTURE(method);
    const grpc::Status status =
        CallRaw(broker.channel(), absl::StrCat("/proto.API/", method), "").status;
    CHECK(status.error_code() == StatusCode::UNIMPLEMENTED);
    CHECK_FALSE(status.error_message().empty());
  }
}

// An authority, a server's and a client's certificate.
struct Certificates {
  Certificates() {
    Openssl({"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-subj", "/CN=authority", "-days", "2", "-keyout", ca_key, "-out", ca});
    Issue("server", "subjectAltName=IP:127.0.0.1,DNS:localhost");
    Issue("client", "extendedKeyUsage=clientAuth");
  }
  void Openssl(std::vector<std::string> args) {
    ChildOptions options;
    options.program = "openssl";
    options.args = std::move(args);
    const auto run = RunProgram(options);
    REQUIRE_MESSAGE(run.ok(), run.status().ToString());
    REQUIRE_MESSAGE(run->exit.ok(), run->errors);
  }
  void Issue(const std::string& name, const std::string& extension) {
    const std::string request = files.Path(name + ".csr"), extensions = files.Path(name + ".ext");
    std::ofstream(extensions) << extension << "\n";
    Openssl({"req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
             "/CN=" + name, "-keyout", Key(name), "-out", request});
    Openssl({"x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial",
             "-days", "2", "-extfile", extensions, "-out", Cert(name)});
  }
  std::string Cert(const std::string& name) const { return files.Path(name + ".pem"); }
  std::string Key(const std::string& name) const { return files.Path(name + ".key"); }

  TempDir files;
  std::string ca = files.Path("ca.pem"), ca_key = files.Path("ca.key");
};

TEST_CASE("TLS with client certificates, end to end with the command line") {
  const Certificates certificates;
  auto nats = StartNats();
  MainBroker broker(nats->url(),
                    {"--tls-cert", certificates.Cert("server"), "--tls-key",
                     certificates.Key("server"), "--set", "tls.client.auth.enabled=true", "--set",
                     absl::StrCat("tls.client.auth.ca=", certificates.ca)});
  broker.Start();
  const auto run = [&](std::vector<std::string> args, bool with_certificate) {
    args.insert(args.end(), {"--server", broker.address(), "--tls-ca", certificates.ca});
    if (with_certificate) {
      args.insert(args.end(), {"--tls-cert", certificates.Cert("client"), "--tls-key",
                               certificates.Key("client")});
    }
    return RunTool("bascule", std::move(args));
  };
  RunResult done = run({"stream", "create", "safe", "--subject", "tls.safe"}, true);
  REQUIRE_MESSAGE(done.exit.ok(), done.errors, broker.Tail());
  done = run({"publish", "safe", "over TLS"}, true);
  REQUIRE_MESSAGE(done.exit.ok(), done.errors, broker.Tail());
  done = run({"subscribe", "safe", "--from", "earliest", "--count", "1", "--format", "raw"}, true);
  CHECK_MESSAGE(done.exit.ok(), done.errors, broker.Tail());
  CHECK(Has(done.output, "over TLS"));
  done = run({"stream", "list"}, false);
  CHECK(done.exit.code == 4);
  CHECK(Has(done.errors, "--tls-cert"));
  done = RunTool("bascule", {"stream", "list", "--server", broker.address()});
  CHECK(done.exit.code == 4);
}

TEST_CASE("a certificate that is replaced is shown to new connections, each time") {
  const Certificates first, second;
  const TempDir used;
  const auto use = [&](const Certificates& certificates) {
    for (const auto& [from, to] : {std::pair(certificates.Cert("server"), "cert.pem"),
                                   std::pair(certificates.Key("server"), "key.pem")}) {
      std::filesystem::copy_file(from, used.Path(to),
                                 std::filesystem::copy_options::overwrite_existing);
    }
  };
  use(first);
  auto nats = StartNats();
  MainBroker broker(nats->url(),
                    {"--tls-cert", used.Path("cert.pem"), "--tls-key", used.Path("key.pem")});
  broker.Start();
  for (const Certificates* next : {&second, &first}) {
    use(*next);
    // Whoever trusts this authority alone.
    CHECK_MESSAGE(Eventually([&] {
                    return RunTool("bascule", {"stream", "list", "--server", broker.address(),
                                               "--tls-ca", next->ca})
                        .exit.ok();
                  }),
                  broker.Tail());
  }
}

TEST_CASE("a key that is not the certificate's, and files that are none, end the start in words") {
  const Certificates certificates;
  auto nats = StartNats();
  MainBroker mixed(nats->url(), {"--tls-cert", certificates.Cert("server"), "--tls-key",
                                 certificates.Key("client")});
  CHECK(mixed.StartRefused().code == 1);
  BROKER_CHECK(mixed, Has(mixed.Log(), "are not a key and its certificate"));
  MainBroker missing(nats->url(), {"--tls-cert", certificates.files.Path("nowhere"), "--tls-key",
                                   certificates.Key("server")});
  CHECK(missing.StartRefused().code == 1);
  BROKER_CHECK(missing, Has(missing.Log(), certificates.files.Path("nowhere")));
}

}  // namespace
}  // namespace bascule::main_job
