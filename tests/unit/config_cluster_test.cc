// When a broker is part of a cluster, and what it must be told then.
#include <doctest/doctest.h>

#include "tests/unit/config_loading.h"

namespace bascule::config {
namespace {

using namespace std::chrono_literals;

TEST_CASE("config cluster: a broker that is told nothing is alone") {
  for (const char* text :
       {"", "clustering.raft.bootstrap.seed: true", "cluster.rack: r1", "cluster.join: []",
        "clustering.raft.bootstrap.peers: []", "cluster.insecure: false",
        "clustering.raft.snapshot.threshold: 100", "cluster.session.timeout: 5s"}) {
    CAPTURE(text);
    const auto config = LoadFile(text);
    REQUIRE_MESSAGE(config.ok(), config.status().message());
    CHECK_FALSE(config->cluster.enabled);
  }
  CHECK(LoadFile("clustering.raft.bootstrap.seed: true")->cluster.bootstrap_seed);
}

TEST_CASE("config cluster: listen, join or peers make it a member") {
  for (const char* text :
       {"cluster.listen: 10.0.0.1:9293", "{cluster.join: b, host: a}",
        "{clustering: {server.id: b1, raft.bootstrap.peers: [b1, b2]}, listen: 'h:1'}"}) {
    CAPTURE(text);
    auto config = LoadFile(std::string(text) + "\n");
    CHECK(Holds(std::string(config.status().message()), "whose connections need TLS"));
    config = LoadConfig({"bascule.yaml", text, {{"BASCULE_CLUSTER_INSECURE", "true"}}, {}});
    REQUIRE_MESSAGE(config.ok(), config.status().message());
    CHECK(config->cluster.enabled);
    CHECK(config->cluster.insecure);
  }
}

TEST_CASE("config cluster: every setting arrives") {
  const auto config = LoadFile(R"(
listen: 10.0.0.1:9292
clustering:
  server.id: b1
  raft:
    bootstrap.peers: [b1, b2, b3]
    max.quorum.size: 3
    snapshot.threshold: 1000
    snapshot.retain: 2
    cache.size: 512
cluster:
  listen: 0.0.0.0:7000
  advertised: b1.example.com:7001
  join: [b2.example.com, "[::1]:7002", 10.0.0.3:7003, b4]
  tls: {ca: ca.pem, cert: b1.pem, key: b1-key.pem}
  rack: r1
  session.timeout: 5s
  raft: {heartbeat: 50ms, election.timeout: 1s}
)");
  REQUIRE_MESSAGE(config.ok(), config.status().message());
  const ClusterSettings& cluster = config->cluster;
  CHECK(cluster.enabled);
  CHECK(cluster.listen == Address{"0.0.0.0", 7000});
  CHECK(cluster.advertised == Address{"b1.example.com", 7001});
  CHECK(cluster.join ==
        std::vector<Address>{
            {"b2.example.com", 9293}, {"::1", 7002}, {"10.0.0.3", 7003}, {"b4", 9293}});
  CHECK(cluster.tls.enabled());
  CHECK(cluster.tls.ca == "ca.pem");
  CHECK(cluster.tls.cert == "b1.pem");
  CHECK(cluster.tls.key == "b1-key.pem");
  CHECK_FALSE(cluster.insecure);
  CHECK(cluster.rack == "r1");
  CHECK(cluster.bootstrap_peers == std::vector<std::string>{"b1", "b2", "b3"});
  CHECK_FALSE(cluster.bootstrap_seed);
  CHECK(cluster.max_voters == 3);
  CHECK(cluster.snapshot_entries == 1000);
  CHECK(cluster.session_timeout == 5s);
  CHECK(cluster.heartbeat == 50ms);
  CHECK(cluster.election_timeout == 1s);
  CHECK(Holds(DescribeConfig(*config),
              "cluster.join: [b2.example.com:9293, [::1]:7002, 10.0.0.3:7003, b4:9293]\n"));
}

TEST_CASE("config cluster: what others dial") {
  struct Case {
    const char* text;
    Address peers, clients;
  };
  const Case cases[] = {
      {"cluster.listen: 10.0.0.1:9293", {"10.0.0.1", 9293}, {"10.0.0.1", 9292}},
      {"cluster.listen: 127.0.0.1:0", {"127.0.0.1", 0}, {"127.0.0.1", 9292}},
      {"{cluster.listen: ':7', host: b1}", {"b1", 7}, {"b1", 9292}},
      {"{cluster.listen: ':7', listen: 'h:8'}", {"h", 7}, {"h", 8}},
      {"{cluster.join: b2, host: b1}", {"b1", 9293}, {"b1", 9292}},
      {"{cluster: {listen: ':7', advertised: 'p:9'}}", {"p", 9}, {"p", 9292}},
      {"{cluster: {listen: ':7', advertised: 'p:9'}, host: c}", {"p", 9}, {"c", 9292}},
      {"{cluster: {listen: 'q:7', advertised: 'p:9'}, listen: ':5'}", {"p", 9}, {"p", 5}},
      {"{cluster.listen: '10.0.0.1:7', listen: 'h:5'}", {"10.0.0.1", 7}, {"h", 5}}};
  for (const Case& c : cases) {
    CAPTURE(c.text);
    const auto config =
        LoadConfig({"bascule.yaml", c.text, {{"BASCULE_CLUSTER_INSECURE", "true"}}, {}});
    REQUIRE_MESSAGE(config.ok(), config.status().message());
    CHECK(ToText(config->cluster.advertised) == ToText(c.peers));
    CHECK(ToText(config->advertised) == ToText(c.clients));
  }
  CHECK(
      FileFaults("cluster.insecure: true\ncluster.join: b2\n") ==
      "bascule.yaml:2: other brokers need an address of this one; set \"cluster.advertised\" to a "
      "host and port that they can dial, or \"cluster.listen\" to such a one");
  for (const char* text : {"0.0.0.0:1", ":1", "'[::]:1'", "h"})
    CHECK_FALSE(LoadFile(std::string("cluster.listen: h:1\ncluster.insecure: true\n") +
                         "cluster.advertised: " + text)
                    .ok());
}

TEST_CASE("config cluster: what the cluster keeps of a broker has its bounds") {
  const std::string cluster = "cluster.insecure: true\ncluster.listen: h:1\n";
  CHECK(LoadFile(cluster + "cluster.rack: " + std::string(512, 'r')).ok());
  CHECK(FileFaults(cluster + "cluster.rack: " + std::string(513, 'r')) ==
        "bascule.yaml:3: \"cluster.rack\" names a rack of 513 bytes, at most 512 are kept; give a "
        "shorter one");
  const std::string host(253, 'h');
  CHECK(LoadFile(cluster + "cluster.advertised: " + host + ":65535").ok());
  for (const char* key : {"listen", "host", "cluster.advertised", "cluster.join"}) {
    CAPTURE(key);
    const std::string port = std::string(key) == "host" ? "" : ":1";
    CHECK(LoadFile(cluster + key + ": " + host + port).ok());
    const std::string faults = FileFaults(cluster + key + ": " + host + "h" + port);
    CHECK(Holds(faults, std::string("bascule.yaml:3: \"") + key + "\" "));
    CHECK(Holds(faults, "names a host of 254 bytes, at most 253 are kept; give a shorter one"));
  }
}

TEST_CASE("config cluster: TLS whole, or plain by express wish, never both") {
  const std::string listen = "cluster.listen: h:1\n";
  CHECK(FileFaults(listen) ==
        "bascule.yaml:1: \"cluster.listen\" makes this broker part of a cluster, whose connections "
        "need TLS; set \"cluster.tls.ca\", \"cluster.tls.cert\" and \"cluster.tls.key\" (bascule "
        "cluster certs makes the files), or \"cluster.insecure\" to true where the network is "
        "trusted");
  CHECK(FileFaults(listen + "cluster.tls: {ca: a, cert: c, key: k}") == "");
  CHECK(FileFaults(listen + "cluster.tls: {ca: a, key: k}") ==
        "bascule.yaml:2: \"cluster.tls.ca\" is set but \"cluster.tls.cert\" is not; set all of "
        "\"cluster.tls.ca\", \"cluster.tls.cert\" and \"cluster.tls.key\"");
  CHECK(Holds(FileFaults(listen + "cluster.tls: {cert: c, key: k}"),
              "\"cluster.tls.cert\" is set but \"cluster.tls.ca\" is not"));
  CHECK(FileFaults(listen + "cluster.tls: {ca: a, cert: c, key: k}\ncluster.insecure: true\n") ==
        "bascule.yaml:3: \"cluster.insecure\" and \"cluster.tls.ca\" (bascule.yaml:2) contradict "
        "each other; keep one");
}

TEST_CASE("config cluster: settings that do nothing for a broker that is alone") {
  for (const char* text : {"cluster.advertised: h:1", "cluster.tls.ca: f", "cluster.tls.cert: f",
                           "cluster.tls.key: f", "cluster.insecure: true"}) {
    CAPTURE(text);
    CHECK(Holds(FileFaults(text), "has no effect on a broker that is alone"));
  }
}

TEST_CASE("config cluster: one way to start, and a list that fits") {
  const auto faults = [](const std::string& text) {
    return std::string(
        LoadConfig(
            {"bascule.yaml", text, {{"BASCULE_CLUSTER_INSECURE", "1"}, {"BASCULE_HOST", "h"}}, {}})
            .status()
            .message());
  };
  const std::string peers = "clustering.raft.bootstrap.peers: [b1, b2]\n";
  CHECK(faults(peers + "clustering.server.id: b2\n") == "");
  CHECK(faults(peers) ==
        "bascule.yaml:1: \"clustering.raft.bootstrap.peers\" needs \"clustering.server.id\", which "
        "says which of them this broker is; set that too");
  CHECK(
      faults(peers + "clustering.server.id: b3\n") ==
      "bascule.yaml:1: \"clustering.raft.bootstrap.peers\" does not name this broker, \"b3\"; list "
      "every first member, the same on each");
  CHECK(
      faults(peers + "clustering.server.id: b1\nclustering.raft.bootstrap.seed: true\n") ==
      "bascule.yaml:1: \"clustering.raft.bootstrap.peers\" and \"clustering.raft.bootstrap.seed\" "
      "(bascule.yaml:3) are two ways to start a cluster; keep one");
  CHECK(faults("clustering.raft.bootstrap.seed: true\ncluster.listen: h:1\n") == "");
  CHECK(Holds(faults("clustering.raft.bootstrap.peers: [b1, b1]"), "names \"b1\" twice"));
  CHECK(Holds(faults("clustering.raft.bootstrap.peers: [b1, '']"), "one of them is empty"));
  CHECK(Holds(faults("clustering.raft.bootstrap.peers: [b.1]"), "letters, digits"));
}

TEST_CASE("config cluster: ranges") {
  const std::pair<const char*, const char*> cases[] = {
      {"cluster.session.timeout: 100ms",
       "bascule.yaml:1: \"cluster.session.timeout\" must be from 500ms to 1m, not \"100ms\""},
      {"cluster.session.timeout: 2m",
       "bascule.yaml:1: \"cluster.session.timeout\" must be from 500ms to 1m, not \"2m\""},
      {"cluster.raft.heartbeat: 200ms",
       "bascule.yaml:1: \"cluster.raft.election.timeout\" must be at least three times "
       "\"cluster.raft.heartbeat\", so that one lost message starts no election"},
      {"cluster.join: [':1']",
       "bascule.yaml:1: \"cluster.join\" must hold addresses such as b1.example.com:9293 or "
       "10.0.0.1; \":1\" is none that can be dialled"},
      {"clustering.raft.max.quorum.size: -1",
       "bascule.yaml:1: \"clustering.raft.max.quorum.size\" must be a whole number from 0 to 1000, "
       "not \"-1\""},
      {"clustering.raft.snapshot.retain: 3",
       "bascule.yaml:1: \"clustering.raft.snapshot.retain\" belongs to another number of kept "
       "metadata snapshots, which this version does not have; remove it or set it to 2"}};
  for (const auto& [text, expected] : cases) CHECK(FileFaults(text) == expected);
  for (const char* address : {"h:0", "0.0.0.0:1", "h:x", "a b"})
    CHECK(Holds(FileFaults(std::string("cluster.join: ['") + address + "']"), "can be dialled"));
  CHECK(LoadFile("cluster.raft: {heartbeat: 200ms, election.timeout: 600ms}").ok());
}

}  // namespace
}  // namespace bascule::config
