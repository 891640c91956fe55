// The servers of a connection: in which order they are tried, and which are learnt and forgotten.
#include "nats_bridge/server_pool.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/base/text.h"
#include "nats_bridge/bridge_limits.h"
#include "tests/support/sim_rng.h"

namespace bascule::nats {
namespace {

using HostPorts = std::vector<std::string>;

ServerPool PoolOf(const std::vector<std::string>& urls, Rng& rng) {
  auto pool = ServerPool::Make(urls, rng);
  REQUIRE_MESSAGE(pool.ok(), pool.status().ToString());
  return *std::move(pool);
}

std::string CurrentOf(const ServerPool& pool) { return HostPort(pool.current().url); }

// What is tried until it is time to wait.
HostPorts RoundOf(ServerPool& pool) {
  HostPorts tried;
  do {
    tried.push_back(CurrentOf(pool));
    REQUIRE(tried.size() <= pool.size());
  } while (!pool.Advance());
  return tried;
}

std::set<std::string> MembersOf(ServerPool pool) {
  pool.Restart();
  const HostPorts tried = RoundOf(pool);
  return {tried.begin(), tried.end()};
}

// On to the server `host_port`.
const PoolServer& MoveTo(ServerPool& pool, const std::string& host_port) {
  for (size_t i = 0; i < pool.size() && CurrentOf(pool) != host_port; ++i) pool.Advance();
  REQUIRE(CurrentOf(pool) == host_port);
  return pool.current();
}

HostPorts NumberedServers(const std::string& name, size_t count) {
  HostPorts out;
  for (size_t i = 0; i < count; ++i) out.push_back(Concat(name, i, ":4222"));
  return out;
}

TEST_CASE("nats server pool: without any URL it is the server beside us") {
  SimRng rng(1);
  ServerPool pool = PoolOf({}, rng);
  CHECK(pool.size() == 1);
  CHECK(Shown(pool.current().url) == "nats://127.0.0.1:4222");
  CHECK_FALSE(pool.current().learnt);
  CHECK(pool.Advance());
  CHECK(pool.Advance());
  CHECK(CurrentOf(pool) == "127.0.0.1:4222");
}

TEST_CASE("nats server pool: one URL that is none refuses them all, without its password") {
  for (const size_t place : {0, 1, 2}) {
    std::vector<std::string> urls = {"nats://a", "nats://b"};
    urls.insert(urls.begin() + static_cast<std::ptrdiff_t>(place), "nats://me:secret@c:0");
    SimRng rng(1);
    const auto pool = ServerPool::Make(urls, rng);
    REQUIRE_FALSE(pool.ok());
    CHECK(absl::IsInvalidArgument(pool.status()));
    CHECK(pool.status().message().find("nats://c:0") != std::string_view::npos);
    CHECK(pool.status().message().find("secret") == std::string_view::npos);
  }
}

TEST_CASE("nats server pool: what a URL says stands in its server") {
  SimRng rng(1);
  ServerPool pool = PoolOf({"tls://me:pw@a:1", "nats://t0ken@10.0.0.2", "[::1]:3"}, rng);
  const PoolServer a = MoveTo(pool, "a:1");
  CHECK(a.url.tls);
  CHECK(a.url.user == "me");
  CHECK(a.url.password == "pw");
  CHECK(a.tls_name == "a");
  CHECK_FALSE(a.learnt);
  const PoolServer b = MoveTo(pool, "10.0.0.2:4222");
  CHECK_FALSE(b.url.tls);
  CHECK(b.url.token == "t0ken");
  CHECK(b.tls_name == "10.0.0.2");
  CHECK(MoveTo(pool, "[::1]:3").tls_name == "::1");
}

TEST_CASE("nats server pool: a round tries each server once, and the next one does so again") {
  for (size_t count = 1; count <= 9; ++count) {
    SimRng rng(count);
    HostPorts servers = NumberedServers("s", count);
    ServerPool pool = PoolOf(servers, rng);
    CHECK(pool.size() == count);
    std::sort(servers.begin(), servers.end());
    for (int round = 0; round < 5; ++round) {
      HostPorts tried = RoundOf(pool);
      std::sort(tried.begin(), tried.end());
      CHECK(tried == servers);
    }
  }
}

TEST_CASE("nats server pool: a restart begins behind the present server, which comes last") {
  for (size_t count = 1; count <= 6; ++count) {
    for (size_t steps = 0; steps < 2 * count; ++steps) {
      SimRng rng(count);
      ServerPool pool = PoolOf(NumberedServers("s", count), rng);
      for (size_t i = 0; i < steps; ++i) pool.Advance();
      const std::string present = CurrentOf(pool);
      ServerPool one_on = pool;
      one_on.Advance();
      pool.Restart();
      CHECK(CurrentOf(pool) == CurrentOf(one_on));
      const HostPorts tried = RoundOf(pool);
      CHECK(tried.size() == count);
      CHECK(tried.back() == present);
      CHECK(std::set<std::string>(tried.begin(), tried.end()).size() == count);
    }
  }
}

TEST_CASE("nats server pool: brokers begin at any of the servers, and go on in any order") {
  std::map<HostPorts, int> orders;
  constexpr int kPools = 1200;
  for (uint64_t seed = 1; seed <= kPools; ++seed) {
    SimRng rng(seed);
    ServerPool pool = PoolOf({"a:1", "b:1", "c:1"}, rng);
    ++orders[RoundOf(pool)];
  }
  CHECK(orders.size() == 6);
  for (const auto& [order, count] : orders) {
    CAPTURE(order[0] + order[1]);
    CHECK(count > kPools / 6 / 2);
    CHECK(count < kPools / 6 * 2);
  }
}

TEST_CASE("nats server pool: a server that is named is tried too, and logged in to as the namer") {
  for (const std::string scheme : {"nats://", "tls://"}) {
    for (const std::string login : {"me:pw@", "t0ken@", ""}) {
      SimRng rng(7);
      ServerPool pool = PoolOf({scheme + login + "a:1", "other:secret@b:1"}, rng);
      const ServerUrl namer = MoveTo(pool, "a:1").url;
      CHECK(pool.Learn({"a:1", "b:1", "c:1", "[2001:db8::1]:2"}) == 2);
      CHECK(pool.size() == 4);
      CHECK(CurrentOf(pool) == "a:1");
      CHECK_FALSE(pool.current().learnt);
      for (const std::string learnt : {"c:1", "[2001:db8::1]:2"}) {
        const PoolServer server = MoveTo(pool, learnt);
        CHECK(server.learnt);
        CHECK(server.url.tls == namer.tls);
        CHECK(server.url.user == namer.user);
        CHECK(server.url.password == namer.password);
        CHECK(server.url.token == namer.token);
      }
      const PoolServer configured = MoveTo(pool, "b:1");
      CHECK_FALSE(configured.learnt);
      CHECK(configured.url.user == "other");
      CHECK(configured.url.password == "secret");
      CHECK(pool.Learn({"c:1", "a:1", "[2001:db8::1]:2"}) == 0);
    }
  }
}

TEST_CASE("nats server pool: who is not named any more goes, unless it was configured or speaks") {
  SimRng rng(3);
  ServerPool pool = PoolOf({"a:1", "b:1"}, rng);
  MoveTo(pool, "a:1");
  CHECK(pool.Learn({"a:1", "c:1", "d:1", "e:1"}) == 3);
  CHECK(pool.Learn({"a:1", "d:1", "f:1"}) == 1);
  CHECK(MembersOf(pool) == std::set<std::string>{"a:1", "b:1", "d:1", "f:1"});
  CHECK(CurrentOf(pool) == "a:1");
  // A learnt one that names the others alone.
  MoveTo(pool, "d:1");
  CHECK(pool.Learn({"g:1"}) == 1);
  CHECK(MembersOf(pool) == std::set<std::string>{"a:1", "b:1", "d:1", "g:1"});
  CHECK(CurrentOf(pool) == "d:1");
  CHECK(pool.current().learnt);
  // Once somebody else speaks it goes like any other.
  MoveTo(pool, "b:1");
  CHECK(pool.Learn({"g:1"}) == 0);
  CHECK(MembersOf(pool) == std::set<std::string>{"a:1", "b:1", "g:1"});
}

TEST_CASE("nats server pool: what is no address is passed over, and what comes twice is one") {
  SimRng rng(3);
  ServerPool pool = PoolOf({"a:1"}, rng);
  CHECK(pool.Learn({"", ":4222", "c:0", "c:65536", "http://c:1", "[::1", "c d:1", "c:1",
                    "me:pw@d:1", "c:1", "c:x", "\n", "/"}) == 1);
  CHECK(MembersOf(pool) == std::set<std::string>{"a:1", "c:1"});
}

TEST_CASE("nats server pool: no more than the bound is learnt, however many are named") {
  SimRng rng(5);
  ServerPool pool = PoolOf({"a:1", "b:1"}, rng);
  const HostPorts many = NumberedServers("s", 3 * limits::kNatsLearntServers);
  CHECK(pool.Learn(many) == limits::kNatsLearntServers);
  CHECK(pool.size() == 2 + limits::kNatsLearntServers);
  pool.Learn(NumberedServers("t", 3 * limits::kNatsLearntServers));
  CHECK(pool.size() == 2 + limits::kNatsLearntServers);
  CHECK(RoundOf(pool).size() == pool.size());
}

TEST_CASE("nats server pool: a learnt server that speaks counts among those that are kept") {
  SimRng rng(5);
  ServerPool pool = PoolOf({"a:1"}, rng);
  pool.Learn({"z:1"});
  MoveTo(pool, "z:1");
  pool.Learn(NumberedServers("s", 2 * limits::kNatsLearntServers));
  CHECK(CurrentOf(pool) == "z:1");
  CHECK(pool.size() <= 1 + limits::kNatsLearntServers);
}

TEST_CASE("nats server pool: a certificate has the name of its host, or of who named its address") {
  SimRng rng(9);
  ServerPool pool = PoolOf({"tls://nats.example.com:4222"}, rng);
  pool.Learn({"10.0.0.2:4222", "[2001:db8::2]:4222", "n3.example.com:4222"});
  CHECK(MoveTo(pool, "n3.example.com:4222").tls_name == "n3.example.com");
  CHECK(MoveTo(pool, "[2001:db8::2]:4222").tls_name == "nats.example.com");
  CHECK(MoveTo(pool, "10.0.0.2:4222").tls_name == "nats.example.com");
  // From there on, with the name that was configured.
  pool.Learn({"nats.example.com:4222", "10.0.0.2:4222", "10.0.0.4:4222", "n5.example.com:4222"});
  CHECK(MoveTo(pool, "10.0.0.4:4222").tls_name == "nats.example.com");
  CHECK(MoveTo(pool, "n5.example.com:4222").tls_name == "n5.example.com");
  CHECK(MoveTo(pool, "nats.example.com:4222").tls_name == "nats.example.com");
}

TEST_CASE("nats server pool: an address that was learnt from an address stands for itself") {
  for (const std::string namer : {"10.0.0.1:4222", "[2001:db8::1]:4222"}) {
    SimRng rng(9);
    ServerPool pool = PoolOf({"tls://" + namer}, rng);
    pool.Learn({"10.0.0.2:4222", "[2001:db8::2]:4222"});
    // Nobody was configured by name: the namer's address is not in the certificates of the others.
    CHECK(MoveTo(pool, "10.0.0.2:4222").tls_name == "10.0.0.2");
    CHECK(MoveTo(pool, "[2001:db8::2]:4222").tls_name == "2001:db8::2");
  }
}

TEST_CASE("nats server pool: whatever happens, it holds who was configured and who is named") {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SimRng rng(seed);
    CAPTURE(seed);
    const HostPorts all = NumberedServers("s", 12);
    const HostPorts given(all.begin(),
                          all.begin() + static_cast<std::ptrdiff_t>(Between(rng, 1, 4)));
    const std::set<std::string> configured(given.begin(), given.end());
    ServerPool pool = PoolOf(given, rng);
    std::set<std::string> members = configured;
    for (int step = 0; step < 60; ++step) {
      const uint64_t what = rng.Below(5);
      if (what == 0) {
        HostPorts named;
        for (const std::string& server : all) {
          if (rng.Below(3) == 0) named.push_back(server);
        }
        if (named.empty()) continue;
        const std::string speaker = CurrentOf(pool);
        std::set<std::string> now = configured;
        now.insert(named.begin(), named.end());
        now.insert(speaker);
        size_t fresh = 0;
        for (const std::string& server : now) fresh += members.contains(server) ? 0 : 1;
        REQUIRE(pool.Learn(named) == fresh);
        REQUIRE(CurrentOf(pool) == speaker);
        members = now;
      } else if (what == 1) {
        pool.Restart();
      } else {
        pool.Advance();
      }
      REQUIRE(pool.size() == members.size());
      REQUIRE(pool.current().learnt == !configured.contains(CurrentOf(pool)));
      REQUIRE(MembersOf(pool) == members);
    }
  }
}

}  // namespace
}  // namespace bascule::nats
