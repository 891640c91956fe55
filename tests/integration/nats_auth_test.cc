// Every way to prove who we are to NATS, and what is said when it does not work.
#include <doctest/doctest.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>

#include "nats_bridge/nkey.h"
#include "tests/integration/nats_certificates.h"
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

absl::Status StartError(const nats::NatsOptions& options) {
  return nats::NatsBus::Start(options, RealClock(), RealRng()).status();
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
  CHECK(nats::NkeyPublicFromSeed(user.Seed()).value() == user.Public());
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

// The server comes back and knows only what the files hold now: connected again, without a restart,
// and messages flow.
void ExpectRotation(NatsWorld& w, const std::function<void(NatsServerOptions&)>& rotate) {
  w.StartBus();
  auto feed = w.OpenAndListen("foo");
  for (int round = 0; round < 2; ++round) {
    w.server->Kill();
    REQUIRE(Eventually([&] { return !w.bus->connected(); }));
    rotate(w.server->options());
    REQUIRE(w.server->Restart().ok());
    REQUIRE(Eventually([&] { return w.bus->connected(); }));
    PublishMessage message;
    message.value = "v";
    REQUIRE(w.bus->Publish("foo", message).ok());
    CHECK(w.Hears(static_cast<size_t>(round) + 1));
    CHECK(w.partition.gaps().size() == static_cast<size_t>(round) + 1);
  }
  w.Close(std::move(feed));
}

TEST_CASE("nats auth: rotated NKey seeds are used when it connects again") {
  const TempDir files;
  char fill = 'x';
  const auto rotate = [&](NatsServerOptions& server) {
    const TestNkey user(TestNkey::kUser, ++fill);
    WriteFile(files, "user.nk", user.Seed() + "\n");
    server.config = Concat("authorization: { users: [ { nkey: ", user.Public(), " } ] }\n");
  };
  NatsServerOptions server;
  rotate(server);
  NatsWorld w(server);
  w.options.nkey_seed_file = files.Path("user.nk");
  ExpectRotation(w, rotate);
}

TEST_CASE("nats auth: rotated creds are used when it connects again") {
  const TempDir files;
  char fill = 'A';
  const auto rotate = [&](NatsServerOptions& server) {
    const TestTrust trust{TestNkey(TestNkey::kOperator, ++fill),
                          TestNkey(TestNkey::kAccount, ++fill), TestNkey(TestNkey::kUser, ++fill)};
    WriteFile(files, "user.creds", trust.CredsFile());
    server.config = trust.ServerConfig();
  };
  NatsServerOptions server;
  rotate(server);
  NatsWorld w(server);
  w.options.creds_file = files.Path("user.creds");
  ExpectRotation(w, rotate);
}

TEST_CASE("nats auth: rotated certificates are used when it connects again") {
  const Certificates sets[3];
  const TempDir files;
  int next = 0;
  const auto rotate = [&](NatsServerOptions& server) {
    const Certificates& now = sets[next++ % 3];
    for (const auto* name : {"ca.pem", "client.pem", "client.key"}) {
      std::ifstream from(now.Path(name));
      WriteFile(files, name, std::string(std::istreambuf_iterator<char>(from), {}));
    }
    server.tls_cert_file = now.Path("server.pem");
    server.tls_key_file = now.Path("server.key");
    server.tls_ca_file = now.Path("ca.pem");
  };
  NatsServerOptions server;
  rotate(server);
  NatsWorld w(server);
  w.options.tls.ca_file = files.Path("ca.pem");
  w.options.tls.cert_file = files.Path("client.pem");
  w.options.tls.key_file = files.Path("client.key");
  ExpectRotation(w, rotate);
}

TEST_CASE("nats auth: a seed that is gone for a while is said, and used when it is there again") {
  const TestNkey user(TestNkey::kUser, 'x');
  NatsServerOptions server;
  server.config = Concat("authorization: { users: [ { nkey: ", user.Public(), " } ] }\n");
  NatsWorld w(server);
  const TempDir files;
  w.options.nkey_seed_file = WriteFile(files, "user.nk", user.Seed() + "\n");
  w.StartBus();
  auto feed = w.OpenAndListen("foo");
  w.server->Kill();
  REQUIRE(Eventually([&] { return !w.bus->connected(); }));
  std::filesystem::remove(files.Path("user.nk"));
  REQUIRE(w.server->Restart().ok());
  CHECK(!Eventually([&] { return w.bus->connected(); }, std::chrono::seconds(3)));
  WriteFile(files, "user.nk", user.Seed() + "\n");
  CHECK(Eventually([&] { return w.bus->connected(); }));
  w.Close(std::move(feed));
}

// Greets as a NATS server without TLS, takes whatever is said, and keeps it.
class PlaintextServer {
 public:
  PlaintextServer() : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    REQUIRE(bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0);
    REQUIRE(listen(listener_, 16) == 0);
    REQUIRE(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Serve(); });
  }
  ~PlaintextServer() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
  }
  int port() const { return port_; }
  int visits() const { return visits_; }
  std::string said() const {
    const std::lock_guard lock(mutex_);
    return said_;
  }

 private:
  void Serve() {
    for (;;) {
      const int peer = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (peer < 0) return;
      const std::string info =
          R"(INFO {"server_id":"X","version":"2.9.10","proto":1,"headers":true,"max_payload":1048576,)"
          R"("auth_required":true,"nonce":"bm9uY2Vub25jZQ","client_id":1})"
          "\r\n";
      [[maybe_unused]] const ssize_t sent = send(peer, info.data(), info.size(), MSG_NOSIGNAL);
      const timeval limit{1, 0};
      setsockopt(peer, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
      char bytes[4096];
      ssize_t n;
      while ((n = recv(peer, bytes, sizeof(bytes), 0)) > 0) {
        const std::lock_guard lock(mutex_);
        said_.append(bytes, static_cast<size_t>(n));
      }
      close(peer);
      ++visits_;
    }
  }
  const int listener_;
  int port_ = 0;
  std::atomic<int> visits_{0};
  mutable std::mutex mutex_;
  std::string said_;  // guarded by mutex_
  std::thread thread_;
};

TEST_CASE("nats auth: where TLS is asked for, a server without it is told nothing") {
  const Certificates certificates;
  const TempDir files;
  const TestNkey user(TestNkey::kUser, 'x');
  const std::string seed = WriteFile(files, "user.nk", user.Seed() + "\n");
  const std::string creds = WriteFile(files, "user.creds", TestTrust().CredsFile());
  const auto visit = [](nats::NatsOptions options, const std::string& scheme,
                        const std::string& login) {
    PlaintextServer server;
    options.urls.insert(options.urls.begin(),
                        Concat(scheme, "://", login, "127.0.0.1:", server.port()));
    options.server_id = "test";
    auto bus = nats::NatsBus::Start(options, RealClock(), RealRng());
    REQUIRE(bus.ok());
    auto& discovery = (*bus)->discovery();
    const auto query = discovery.Ask("who?", [](std::string_view) {});
    REQUIRE(Eventually([&] { return server.visits() >= 4; }));  // two connections, twice
    CHECK(!(*bus)->connected());
    return server.said();
  };
  const auto with = [](auto set) {
    nats::NatsOptions options;
    set(options);
    return options;
  };
  const auto password = with([](auto& o) {
    o.user = "me";
    o.password = "secret";
  });
  CHECK(visit(password, "tls", "") == "");
  CHECK(visit(password, "TLS", "") == "");
  CHECK(visit({}, "tls", "me:secret@") == "");
  CHECK(visit(with([](auto& o) { o.token = "t0ken"; }), "tls", "") == "");
  CHECK(visit(with([&](auto& o) { o.nkey_seed_file = seed; }), "tls", "") == "");
  CHECK(visit(with([&](auto& o) { o.creds_file = creds; }), "tls", "") == "");
  auto settings = password;
  settings.tls.ca_file = certificates.Path("ca.pem");
  CHECK(visit(settings, "nats", "") == "");
  settings = password;
  settings.tls.enabled = true;
  CHECK(visit(settings, "nats", "") == "");
  // tls:// of any server holds for all of them.
  settings = password;
  settings.urls = {"tls://127.0.0.1:1"};
  CHECK(visit(settings, "nats", "") == "");
  // The server is one that would have been told.
  CHECK(visit(password, "nats", "").find("secret") != std::string::npos);
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
  nats::NatsOptions options;
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
  CHECK(nats::NkeyPublicFromSeed(seed).ok());
  for (size_t i = 0; i < seed.size(); ++i) {
    std::string typo = seed;
    typo[i] = typo[i] == 'A' ? 'B' : 'A';
    CHECK(!nats::NkeyPublicFromSeed(typo).ok());
    CHECK(!nats::NkeyPublicFromSeed(seed.substr(0, i)).ok());
  }
  CHECK(!nats::NkeyPublicFromSeed(TestNkey(TestNkey::kAccount, 'x').Seed()).ok());
  CHECK(nats::FindNkeySeed("-----BEGIN USER NKEY SEED-----\n" + seed + "\n----") == seed);
  CHECK(nats::FindNkeySeed("SUPERB").empty());
}

}  // namespace
}  // namespace bascule
