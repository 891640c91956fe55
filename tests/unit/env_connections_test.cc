// Connections and descriptors: who gets one, who does not, and that what is given back is there for
// a second round.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <string>
#include <vector>

#include "core/env/connection_listener.h"
#include "core/env/connection_quota.h"
#include "core/env/descriptor_budget.h"
#include "core/env/listen_sockets.h"
#include "tests/support/eventually.h"

namespace bascule {
namespace {

using Verdict = ConnectionQuota::Verdict;

bool Holds(const absl::Status& status, const std::string& part) {
  return status.ToString().find(part) != std::string::npos;
}

TEST_CASE("connection quota: bounds in all and from one address, given back twice over") {
  ConnectionQuota quota(3, 2);
  for (int round = 0; round < 2; ++round) {
    CAPTURE(round);
    CHECK(quota.Take("a") == Verdict::kAdmitted);
    CHECK(quota.Take("a") == Verdict::kAdmitted);
    CHECK(quota.Take("a") == Verdict::kAddressFull);
    CHECK(quota.Take("b") == Verdict::kAdmitted);
    CHECK(quota.Take("c") == Verdict::kFull);
    CHECK(quota.Take("a") == Verdict::kFull);
    CHECK(quota.taken() == 3);
    quota.Release("c");  // never admitted
    CHECK(quota.taken() == 3);
    quota.Release("b");
    CHECK(quota.Take("a") == Verdict::kAddressFull);
    CHECK(quota.Take("c") == Verdict::kAdmitted);
    for (const char* address : {"a", "a", "c"}) quota.Release(address);
    CHECK(quota.taken() == 0);
    CHECK(quota.addresses() == 0);
  }
}

TEST_CASE("descriptor budget: shares, and what is left for partitions") {
  const auto alone = DescriptorBudget::Plan({.limit = 1024});
  REQUIRE(alone.ok());
  CHECK(alone->clients() == 256);
  CHECK(alone->peers() == 0);
  CHECK(alone->partitions() == 1024 - limits::kReservedDescriptors - 256);
  const auto clustered = DescriptorBudget::Plan({.limit = 1024, .cluster = true});
  REQUIRE(clustered.ok());
  CHECK(clustered->peers() == 128);
  CHECK(clustered->partitions() == alone->partitions() - 128);
  const auto large = DescriptorBudget::Plan({.limit = 524'288, .cluster = true});
  REQUIRE(large.ok());
  CHECK(large->clients() == limits::kDefaultApiConnections);
  CHECK(large->peers() == limits::kPeerConnections);
  CHECK(large->partitions() > limits::kMaxPartitionsPerBroker);
  const auto asked = DescriptorBudget::Plan({.limit = 1024, .clients = 500});
  REQUIRE(asked.ok());
  CHECK(asked->clients() == 500);
}

TEST_CASE("descriptor budget: too little is said with numbers and remedies") {
  const auto asked = DescriptorBudget::Plan({.limit = 1024, .clients = 1000});
  CHECK(absl::IsResourceExhausted(asked.status()));
  CHECK(Holds(asked.status(), "may open 1024 files, and needs at least 1208"));
  CHECK(Holds(asked.status(), "lower api.connections.max"));
  const auto tiny = DescriptorBudget::Plan({.limit = 128});
  CHECK(absl::IsResourceExhausted(tiny.status()));
  CHECK(Holds(tiny.status(), "LimitNOFILE"));
  const auto budget = DescriptorBudget::Plan({.limit = 1024});
  REQUIRE(budget.ok());
  CHECK(budget->CheckPartitions(budget->partitions()).ok());
  const absl::Status over = budget->CheckPartitions(budget->partitions() + 10);
  CHECK(absl::IsResourceExhausted(over));
  // The remedy works, and one less does not.
  const size_t count = budget->partitions() + 10;
  size_t enough = 1024;
  while (DescriptorBudget::Plan({.limit = enough})->partitions() < count) ++enough;
  CHECK(Holds(over, "to at least " + std::to_string(enough) + ","));
}

namespace {

// The number behind `words`; 0: they are not there.
size_t NumberBehind(const absl::Status& status, const std::string& words) {
  const std::string text(status.message());
  const size_t at = text.find(words);
  return at == std::string::npos ? 0 : std::stoul(text.substr(at + words.size()));
}

}  // namespace

TEST_CASE("descriptor budget: whatever it names works at once, and nothing less does") {
  for (const bool cluster : {false, true}) {
    for (const size_t clients : {size_t{0}, size_t{1}, size_t{100}, size_t{1000}}) {
      for (size_t limit = 0; limit <= 400; ++limit) {
        const DescriptorNeeds needs{limit, cluster, clients};
        const auto plan = DescriptorBudget::Plan(needs);
        if (plan.ok()) continue;
        CAPTURE(plan.status().ToString());
        DescriptorNeeds raised = needs;
        raised.limit = NumberBehind(plan.status(), "needs at least ");
        REQUIRE(raised.limit > limit);
        const auto enough = DescriptorBudget::Plan(raised);
        REQUIRE(enough.ok());
        --raised.limit;
        CHECK_FALSE(DescriptorBudget::Plan(raised).ok());
        DescriptorNeeds lowered = needs;
        lowered.clients = NumberBehind(plan.status(), "lower api.connections.max to ");
        if (lowered.clients == 0) continue;
        CHECK(DescriptorBudget::Plan(lowered).ok());
        ++lowered.clients;
        CHECK_FALSE(DescriptorBudget::Plan(lowered).ok());
      }
    }
  }
}

TEST_CASE("descriptor budget: fewer clients make room for partitions, where they can") {
  for (size_t limit = 400; limit <= 2000; limit += 100) {
    const auto budget = DescriptorBudget::Plan({.limit = limit, .cluster = true});
    REQUIRE(budget.ok());
    for (const size_t more : {size_t{1}, budget->clients() - 1, budget->clients()}) {
      const size_t count = budget->partitions() + more;
      const size_t clients =
          NumberBehind(budget->CheckPartitions(count), "api.connections.max to ");
      CHECK((clients == 0) == (more == budget->clients()));
      if (clients == 0) continue;
      const auto fewer =
          DescriptorBudget::Plan({.limit = limit, .cluster = true, .clients = clients});
      REQUIRE(fewer.ok());
      CHECK(fewer->CheckPartitions(count).ok());
    }
  }
}

TEST_CASE("descriptor limit: the soft one is raised to the hard one") {
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  rlimit lowered = before;
  lowered.rlim_cur = 256;
  REQUIRE(setrlimit(RLIMIT_NOFILE, &lowered) == 0);
  const size_t raised = RaiseDescriptorLimit();
  rlimit after{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &after) == 0);
  CHECK(after.rlim_cur == after.rlim_max);
  CHECK(raised >= std::min<rlim_t>(after.rlim_cur, 1 << 30));
  setrlimit(RLIMIT_NOFILE, &before);
}

// Owns what the listener hands on.
struct Server {
  explicit Server(ListenOptions options, ConnectionWatch watch = {}) {
    options.address = options.address.empty() ? "127.0.0.1:0" : options.address;
    options.name = "test";
    auto opened = ConnectionListener::Open(options);
    REQUIRE_MESSAGE(opened.ok(), opened.status().ToString());
    listener = *std::move(opened);
    listener->Start(
        [this](int fd) {
          const std::lock_guard lock(mutex);
          taken.push_back(fd);
        },
        std::move(watch));
  }
  ~Server() {
    listener->Stop();
    CloseAll();
  }
  size_t size() {
    const std::lock_guard lock(mutex);
    return taken.size();
  }
  void CloseAll() {
    const std::lock_guard lock(mutex);
    for (const int fd : taken) close(fd);
    taken.clear();
  }
  std::unique_ptr<ConnectionListener> listener;
  std::mutex mutex;
  std::vector<int> taken;
};

int Dial(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  if (fd >= 0) REQUIRE(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  return fd;
}

bool IsClosed(int fd) {
  char byte = 0;
  return Eventually([&] { return recv(fd, &byte, 1, MSG_DONTWAIT) == 0 || errno == ECONNRESET; });
}

TEST_CASE("connection listener: past the bound connections are closed, and places come back") {
  Server server({.max_connections = 3, .max_per_address = 3});
  for (int round = 0; round < 2; ++round) {
    CAPTURE(round);
    std::vector<int> clients;
    for (int i = 0; i < 3; ++i) clients.push_back(Dial(server.listener->port()));
    REQUIRE(Eventually([&] { return server.size() == 3; }));
    clients.push_back(Dial(server.listener->port()));
    CHECK(IsClosed(clients.back()));
    CHECK(server.listener->counts().open == 3);
    const auto refused = static_cast<uint64_t>(round + 1);  // counted behind the closing
    CHECK(Eventually([&] { return server.listener->counts().refused_full == refused; }));
    CHECK(server.listener->counts().accepted == static_cast<uint64_t>(3 * (round + 1)));
    for (const int fd : clients) close(fd);
    server.CloseAll();
    CHECK(Eventually([&] { return server.listener->counts().open == 0; }));
  }
}

TEST_CASE("connection listener: one address has its own bound") {
  Server server({.max_connections = 10, .max_per_address = 1});
  const int first = Dial(server.listener->port());
  REQUIRE(Eventually([&] { return server.size() == 1; }));
  const int second = Dial(server.listener->port());
  CHECK(IsClosed(second));
  CHECK(Eventually([&] { return server.listener->counts().refused_address == 1; }));
  close(first);
  close(second);
}

TEST_CASE("connection listener: without descriptors it closes who comes, and recovers, twice") {
  Server server({.max_connections = 100, .max_per_address = 100});
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  for (int round = 0; round < 2; ++round) {
    CAPTURE(round);
    const uint64_t failed = server.listener->counts().failed;
    const int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    std::vector<int> held;
    rlimit low = before;
    low.rlim_cur = 256;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &low) == 0);
    for (int fd = 0; (fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0;) held.push_back(fd);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(server.listener->port()));
    CHECK(connect(client, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    CHECK(IsClosed(client));
    CHECK(server.listener->counts().failed > failed);
    for (const int fd : held) close(fd);
    setrlimit(RLIMIT_NOFILE, &before);
    close(client);
    const int again = Dial(server.listener->port());
    CHECK(Eventually([&] { return server.size() == 1; }));
    close(again);
    server.CloseAll();
  }
}

TEST_CASE("connection listener: an IPv4 client is one of its own address, by an IPv6 socket too") {
  const auto v4 = [](const char* text) {
    sockaddr_storage address{};
    auto& in = reinterpret_cast<sockaddr_in&>(address);
    in.sin_family = AF_INET;
    in.sin_port = htons(4711);
    REQUIRE(inet_pton(AF_INET, text, &in.sin_addr) == 1);
    return address;
  };
  const auto v6 = [](const char* text) {
    sockaddr_storage address{};
    auto& in = reinterpret_cast<sockaddr_in6&>(address);
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(4711);
    REQUIRE(inet_pton(AF_INET6, text, &in.sin6_addr) == 1);
    return address;
  };
  CHECK(internal::AddressKey(v4("10.0.0.7")) == "10.0.0.7");
  CHECK(internal::AddressKey(v6("::ffff:10.0.0.7")) == "10.0.0.7");
  CHECK(internal::AddressKey(v6("::ffff:10.0.0.8")) == "10.0.0.8");
  CHECK(internal::AddressKey(v6("2001:db8:1:2:3:4:5:6")) == "2001:db8:1:2::/64");
  CHECK(internal::PeerName(v4("10.0.0.7")) == "10.0.0.7:4711");
  CHECK(internal::PeerName(v6("::ffff:10.0.0.7")) == "10.0.0.7:4711");
  CHECK(internal::PeerName(v6("2001:db8::7")) == "[2001:db8::7]:4711");
}

TEST_CASE("connection listener: addresses") {
  for (const char* address : {"127.0.0.1:0", "localhost:0", "0.0.0.0:0", "[::]:0"}) {
    CAPTURE(address);
    Server server({.address = address, .max_connections = 2, .max_per_address = 2});
    CHECK(server.listener->port() > 0);
    const int client = Dial(server.listener->port());
    CHECK(Eventually([&] { return server.size() == 1; }));
    close(client);
  }
  Server first({.max_connections = 1, .max_per_address = 1});
  ListenOptions taken;
  taken.address = "127.0.0.1:" + std::to_string(first.listener->port());
  const auto refused = ConnectionListener::Open(taken);
  CHECK(absl::IsUnavailable(refused.status()));
  CHECK(Holds(refused.status(), "in use"));
  taken.address = "no-such-host.invalid:1";
  CHECK(absl::IsUnavailable(ConnectionListener::Open(taken).status()));
}

TEST_CASE("connection listener: after Stop the port is free") {
  int port = 0;
  {
    Server server({.max_connections = 1, .max_per_address = 1});
    port = server.listener->port();
    server.listener->Stop();
    server.listener->Stop();
  }
  Server again(
      {.address = "127.0.0.1:" + std::to_string(port), .max_connections = 1, .max_per_address = 1});
  CHECK(again.listener->port() == port);
}

TEST_CASE(
    "connection listener: who sends a little at each look is shown all the same, again and again") {
  std::atomic<int> looks{0};
  std::atomic<int> shown{0};
  std::atomic<uint64_t> received{0};
  ConnectionWatch watch;
  watch.period = std::chrono::milliseconds(1);
  watch.busy_bytes = 1000;
  watch.judge = [&](const std::vector<BusyConnection>& busy) {
    for (const BusyConnection& one : busy) received = one.received;
    shown += static_cast<int>(busy.size());
    ++looks;
    return std::vector<CondemnedConnection>();
  };
  Server server({.max_connections = 3, .max_per_address = 3}, std::move(watch));
  const int client = Dial(server.listener->port());
  REQUIRE(Eventually([&] { return server.size() == 1; }));
  const int at_once = 1;
  REQUIRE(setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof(at_once)) == 0);
  const std::string some(100, 'x');
  for (int sent = 1; sent <= 35; ++sent) {
    REQUIRE(send(client, some.data(), some.size(), MSG_NOSIGNAL) == 100);
    const int before = looks;
    REQUIRE(Eventually([&] { return looks > before + 1; }));
    CHECK(shown.load() == sent / 10);
    if (sent % 10 == 0) CHECK(received.load() == static_cast<uint64_t>(sent) * 100);
  }
  close(client);
}

TEST_CASE("connection listener: whoever was ended opens no others, for as long as is said") {
  std::atomic<int> looks{0};
  ConnectionWatch watch;
  watch.period = std::chrono::milliseconds(1);
  watch.busy_bytes = 10;
  watch.barred = std::chrono::hours(1);
  watch.judge = [&](const std::vector<BusyConnection>& busy) {
    ++looks;
    std::vector<CondemnedConnection> condemned;
    for (const BusyConnection& one : busy) condemned.push_back({one.peer, "it is a test"});
    return condemned;
  };
  Server server({.max_connections = 5, .max_per_address = 5}, std::move(watch));
  const int calm = Dial(server.listener->port());
  const int client = Dial(server.listener->port());
  REQUIRE(Eventually([&] { return server.size() == 2; }));
  const std::string some(100, 'x');
  REQUIRE(send(client, some.data(), some.size(), MSG_NOSIGNAL) == 100);
  REQUIRE(IsClosed(client));
  const int before = looks;
  REQUIRE(Eventually([&] { return looks > before + 200; }));  // many periods
  const int again = Dial(server.listener->port());
  CHECK(IsClosed(again));
  CHECK(server.size() == 2);
  for (const int fd : {calm, client, again}) close(fd);
}

TEST_CASE(
    "connection listener: a descriptor number that is used again gives its place back at once") {
  Server server({.max_connections = 3, .max_per_address = 3});
  for (int round = 0; round < 3; ++round) {
    // The next client's socket gets this number, so the accepted one gets its predecessor's.
    const int reserved = open("/dev/null", O_RDONLY | O_CLOEXEC);
    const int first = Dial(server.listener->port());
    REQUIRE(Eventually([&] { return server.size() == 1; }));
    server.CloseAll();
    close(reserved);
    const int second = Dial(server.listener->port());
    REQUIRE(Eventually([&] { return server.size() == 1; }));
    server.CloseAll();
    close(first);
    close(second);
  }
  CHECK(Eventually([&] { return server.listener->counts().open == 0; }));
}

}  // namespace
}  // namespace bascule
