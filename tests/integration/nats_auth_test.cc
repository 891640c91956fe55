// Every way to prove who we are to NATS, and what is said when it does not work.
#include <doctest/doctest.h>

#include <fstream>

#include "nats_bridge/nkey.h"
#include "tests/integration/nats_keys.h"
#include "tests/integration/nats_world.h"
#include "tests/support/temp_dir.h"

namespace bascule {
namespace {

std::string WriteFile(const TempDir& directory, const std::string& name, const std::string& text) {
  const std::string path = directory.Path(name);
  std::ofstream(path) << text;
  return path;
}

// Both connections come up and a message makes the round trip.
void ExpectWorks(NatsWorld& w) {
  w.StartBus();
  auto feed = w.OpenAndListen("foo");
  REQUIRE(Eventually([&] { return w.bus->connected(); }));
  PublishMessage message;
  message.value = "v";
  REQUIRE(w.bus->Publish("foo", message).ok());
  CHECK(w.Hears(1));
  w.Close(std::move(feed));
}

absl::Status StartError(const NatsOptions& options) {
  return NatsBus::Start(options, RealClock(), RealRng()).status();
}

TEST_CASE("nats auth: user and password") {
  NatsServerOptions server;
  server.user = "me";
  server.password = "secret";
  NatsWorld w(server);
  w.options.user = "me";
  w.options.password = "secret";
  ExpectWorks(w);
  CHECK(w.bus->server_url().find("secret") == std::string::npos);
}

TEST_CASE("nats auth: user and password in the URL stay out of what is shown") {
  NatsServerOptions server;
  server.user = "me";
  server.password = "secret";
  NatsWorld w(server);
  w.options.urls = {Concat("nats://me:secret@127.0.0.1:", w.server->port())};
  ExpectWorks(w);
  CHECK(w.bus->server_url() == Concat("nats://127.0.0.1:", w.server->port()));
}

TEST_CASE("nats auth: token") {
  NatsServerOptions server;
  server.token = "t0ken";
  NatsWorld w(server);
  w.options.token = "t0ken";
  ExpectWorks(w);
}

TEST_CASE("nats auth: NKey seed") {
  const TestNkey user(TestNkey::kUser, 'x');
  NatsServerOptions server;
  server.config = Concat("authorization: { users: [ { nkey: ", user.Public(), " } ] }\n");
  NatsWorld w(server);
  const TempDir files;
  w.options.nkey_seed_file = WriteFile(files, "user.nk", user.Seed() + "\n");
  CHECK(NkeyPublicFromSeed(user.Seed()).value() == user.Public());
  ExpectWorks(w);
}

TEST_CASE("nats auth: creds file with JWT and NKey") {
  const TestTrust trust;
  NatsServerOptions server;
  server.config = trust.ServerConfig();
  NatsWorld w(server);
  const TempDir files;
  w.options.creds_file = WriteFile(files, "user.creds", trust.CredsFile());
  ExpectWorks(w);
}

// A CA, a server and a client certificate, by the openssl command.
struct Certificates {
  TempDir files;
  std::string Path(const char* name) const { return files.Path(name); }
  void Openssl(std::vector<std::string> args) const {
    ChildOptions child;
    child.program = "openssl";
    child.args = std::move(args);
    const auto run = RunProgram(child);
    REQUIRE_MESSAGE((run.ok() && run->exit.ok()),
                    (run.ok() ? run->errors : run.status().ToString()));
  }
  void Issue(const std::string& name) const {
    Openssl({"req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
             "/CN=" + name, "-keyout", Path((name + ".key").c_str()), "-out",
             Path((name + ".csr").c_str())});
    WriteFile(files, name + ".ext", "subjectAltName=IP:127.0.0.1,DNS:localhost\n");
    Openssl({"x509", "-req", "-in", Path((name + ".csr").c_str()), "-CA", Path("ca.pem"), "-CAkey",
             Path("ca.key"), "-CAcreateserial", "-days", "1", "-extfile",
             Path((name + ".ext").c_str()), "-out", Path((name + ".pem").c_str())});
  }
  Certificates() {
    Openssl({"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-days", "1", "-subj", "/CN=test ca", "-keyout", Path("ca.key"), "-out",
             Path("ca.pem")});
    Issue("server");
    Issue("client");
  }
};

TEST_CASE("nats auth: TLS, with and without client certificates") {
  const Certificates certificates;
  for (const bool mutual : {false, true}) {
    NatsServerOptions server;
    server.tls_cert_file = certificates.Path("server.pem");
    server.tls_key_file = certificates.Path("server.key");
    if (mutual) server.tls_ca_file = certificates.Path("ca.pem");
    NatsWorld w(server);
    w.options.urls = {Concat("tls://127.0.0.1:", w.server->port())};
    w.options.tls.enabled = true;
    w.options.tls.ca_file = certificates.Path("ca.pem");
    if (mutual) {
      w.options.tls.cert_file = certificates.Path("client.pem");
      w.options.tls.key_file = certificates.Path("client.key");
    }
    ExpectWorks(w);
  }
  // Somebody else's authority: never connected.
  const Certificates others;
  NatsServerOptions server;
  server.tls_cert_file = certificates.Path("server.pem");
  server.tls_key_file = certificates.Path("server.key");
  NatsWorld w(server);
  w.options.tls.ca_file = others.Path("ca.pem");
  w.StartBus();
  REQUIRE(Eventually([&] { return w.bus->ReadCounters()["nats_ingest_errors"] > 0; }));
  CHECK(!w.bus->connected());
}

TEST_CASE("nats auth: refused credentials do not end the process, and connect nothing") {
  NatsServerOptions server;
  server.user = "me";
  server.password = "right";
  NatsWorld w(server);
  w.options.user = "me";
  w.options.password = "wrong";
  w.StartBus();
  REQUIRE(Eventually([&] { return w.bus->ReadCounters()["nats_ingest_errors"] > 0; }));
  CHECK(!w.bus->connected());
}

TEST_CASE("nats auth: a subscription without permission is refused with NATS's own words") {
  NatsServerOptions server;
  server.config =
      "authorization: { users: [ { user: u, password: p, permissions: { subscribe: [\"ok.>\", "
      "\"ns.ack.>\"] } } ] }\n";
  NatsWorld w(server);
  w.options.user = "u";
  w.options.password = "p";
  w.StartBus();
  std::vector<std::unique_ptr<SubjectFeed>> feeds;
  std::vector<std::future<absl::Status>> told;
  for (const auto* subject : {"ok.1", "forbidden.1", "forbidden.2", "ok.2"}) {
    FeedOptions options;
    options.subject = subject;
    auto [feed, future] = w.Open(options, w.partition);
    feeds.push_back(std::move(feed));
    told.push_back(std::move(future));
  }
  CHECK(told[0].get().ok());
  for (const int i : {1, 2}) {
    const absl::Status status = told[static_cast<size_t>(i)].get();
    CHECK(status.code() == absl::StatusCode::kPermissionDenied);
    CHECK(status.message().find("forbidden") != absl::string_view::npos);
  }
  CHECK(told[3].get().ok());
  for (auto& feed : feeds) w.Close(std::move(feed));
}

TEST_CASE("nats auth: what no waiting mends fails the start and says which file") {
  const TempDir files;
  const std::string garbage = WriteFile(files, "garbage", "not what you wanted\n");
  NatsOptions options;
  options.creds_file = files.Path("absent.creds");
  CHECK(StartError(options).code() == absl::StatusCode::kNotFound);
  CHECK(StartError(options).message().find("absent.creds") != absl::string_view::npos);
  options.creds_file = garbage;
  CHECK(StartError(options).code() == absl::StatusCode::kInvalidArgument);
  options.creds_file.clear();
  options.nkey_seed_file = garbage;
  CHECK(StartError(options).message().find("garbage") != absl::string_view::npos);
  options.token = "both";
  CHECK(StartError(options).code() == absl::StatusCode::kInvalidArgument);
  options.nkey_seed_file.clear();
  options.token.clear();
  options.tls.ca_file = garbage;
  CHECK(StartError(options).code() == absl::StatusCode::kInvalidArgument);
  CHECK(StartError(options).message().find("garbage") != absl::string_view::npos);
  options.tls.ca_file.clear();
  options.tls.cert_file = garbage;
  CHECK(StartError(options).code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("nats auth: mistyped seeds are noticed") {
  const std::string seed = TestNkey(TestNkey::kUser, 'x').Seed();
  CHECK(NkeyPublicFromSeed(seed).ok());
  for (size_t i = 0; i < seed.size(); ++i) {
    std::string typo = seed;
    typo[i] = typo[i] == 'A' ? 'B' : 'A';
    CHECK(!NkeyPublicFromSeed(typo).ok());
    CHECK(!NkeyPublicFromSeed(seed.substr(0, i)).ok());
  }
  CHECK(!NkeyPublicFromSeed(TestNkey(TestNkey::kAccount, 'x').Seed()).ok());
  CHECK(FindNkeySeed("-----BEGIN USER NKEY SEED-----\n" + seed + "\n----") == seed);
  CHECK(FindNkeySeed("SUPERB").empty());
}

}  // namespace
}  // namespace bascule
