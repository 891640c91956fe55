// What settings mean together: addresses, pairs, ways to log in, the embedded server, and what is
// not built yet.
#include <doctest/doctest.h>

#include "core/config/settings.h"
#include "tests/unit/config_loading.h"

namespace bascule::config {
namespace {

TEST_CASE("config rules: where to listen and what to advertise") {
  struct Case {
    const char* text;
    Address listen, advertised;
  };
  const Case cases[] = {{"", {"0.0.0.0", 9292}, {"localhost", 9292}},
                        {"port: 7", {"0.0.0.0", 7}, {"localhost", 7}},
                        {"host: h", {"h", 9292}, {"h", 9292}},
                        {"{host: h, port: 7}", {"h", 7}, {"h", 7}},
                        {"listen: l:5", {"l", 5}, {"l", 5}},
                        {"listen: 0.0.0.0:5", {"0.0.0.0", 5}, {"localhost", 5}},
                        {"listen: ':5'", {"0.0.0.0", 5}, {"localhost", 5}},
                        {"listen: '[::]:5'", {"::", 5}, {"localhost", 5}},
                        {"listen: 127.0.0.1:0", {"127.0.0.1", 0}, {"127.0.0.1", 0}},
                        {"{listen: l:5, host: h}", {"l", 5}, {"h", 5}},
                        {"{listen: l:5, host: h, port: 7}", {"l", 5}, {"h", 7}},
                        {"{listen: l:5, port: 7}", {"l", 5}, {"l", 7}}};
  for (const Case& c : cases) {
    CAPTURE(c.text);
    const auto config = LoadFile(c.text);
    REQUIRE(config.ok());
    CHECK(ToText(config->listen) == ToText(c.listen));
    CHECK(ToText(config->advertised) == ToText(c.advertised));
  }
  for (const char* text :
       {"listen: ''", "listen: h", "listen: 'h:'", "listen: h:99999", "listen: ::1:5",
        "listen: '[::1]5'", "listen: '[::1'", "listen: 'a b:5'", "listen: h:-1"})
    CHECK_FALSE(LoadFile(text).ok());
}

TEST_CASE("config rules: TLS comes in whole pairs") {
  CHECK(LoadFile("tls: {cert: c, key: k}")->tls.enabled());
  CHECK_FALSE(LoadFile("tls: {cert: '', key: ''}")->tls.enabled());
  CHECK(FileFaults("tls.cert: c") ==
        "bascule.yaml:1: \"tls.cert\" is set but \"tls.key\" is not; set both or neither");
  CHECK(
      FileFaults("nats.tls.key: k") ==
      "bascule.yaml:1: \"nats.tls.key\" is set but \"nats.tls.cert\" is not; set both or neither");
  CHECK(LoadFile("nats.tls.ca: ca")->nats.tls.enabled());
  CHECK(FileFaults("admin.identities: [operator]") ==
        "bascule.yaml:1: \"admin.identities\" has no effect unless \"tls.client.auth.enabled\" is "
        "true: set that too or remove it");
  CHECK(FileFaults("tls.client.auth.enabled: true") ==
        "bascule.yaml:1: \"tls.client.auth.enabled\" needs TLS; set \"tls.cert\" and \"tls.key\" "
        "too");
  CHECK(FileFaults("tls: {cert: c, key: k, client.auth.ca: ca}") ==
        "bascule.yaml:1: \"tls.client.auth.ca\" has no effect unless \"tls.client.auth.enabled\" "
        "is true; set that "
        "too or remove it");
  const auto both = LoadFile("tls: {cert: c, key: k, client.auth: {enabled: true, ca: ca}}");
  REQUIRE(both.ok());
  CHECK(both->tls.client_auth);
}

TEST_CASE("config rules: one way to log in to NATS") {
  CHECK(FileFaults("nats.user: u\nnats.token: t\n") ==
        "bascule.yaml:2: \"nats.token\" and \"nats.user\" (bascule.yaml:1) are two ways to log in "
        "to NATS; keep one");
  CHECK(Holds(FileFaults("nats.creds: c\nnats.nkey.seed: n\n"),
              "\"nats.nkey.seed\" and \"nats.creds\""));
  CHECK(FileFaults("nats.password: p") ==
        "bascule.yaml:1: \"nats.password\" is set but \"nats.user\" is not; set both or neither");
  CHECK(LoadFile("nats.user: u").ok());
  CHECK(LoadFile("nats.creds: c").ok());
}

TEST_CASE("config rules: secrets do not show in errors and descriptions") {
  CHECK_FALSE(Holds(FileFaults("nats.password: \"hush\\n\"\nnats.user: u"), "hush"));
  CHECK(Holds(FileFaults("nats.password: \"hush\\n\"\nnats.user: u"), "holds a line break"));
  CHECK(FileFaults("nats.servers: 'http://u:@hush@h'") ==
        "bascule.yaml:1: \"nats.servers\" must hold addresses such as nats://host:4222 or "
        "tls://host:4222; "
        "\"http://***@h\" has the scheme \"http\"");
  const auto config = LoadFile("nats: {user: u, password: hush, servers: nats://u:@hush@h:1}");
  REQUIRE(config.ok());
  CHECK(config->nats.password == "hush");
  CHECK_FALSE(Holds(DescribeConfig(*config), "hush"));
  CHECK(Holds(DescribeConfig(*config), "nats.password: ***\n"));
}

TEST_CASE("config rules: a password that looks like the end of a scheme is not shown either") {
  const auto config = LoadFile("nats.servers: 'u:hush://hush@h'");
  REQUIRE(config.ok());
  CHECK_FALSE(Holds(DescribeConfig(*config), "hush"));
  CHECK(Holds(DescribeConfig(*config), "[***@h]"));
  CHECK(FileFaults("nats.servers: 'u:hush://hush@h:none'") ==
        "bascule.yaml:1: \"nats.servers\" must hold addresses such as nats://host:4222 or "
        "tls://host:4222; \"***@h:none\" is not one");
}

TEST_CASE("config rules: no secret is shown, of whatever kind") {
  for (const std::string text :
       {"nats: {user: u, password: hush}", "nats: {token: hush}", "nats.servers: 'nats://u:hush@h'",
        "nats.servers: 'nats://hush@h'"}) {
    CAPTURE(text);
    const auto config = LoadFile(text);
    REQUIRE(config.ok());
    CHECK_FALSE(Holds(DescribeConfig(*config), "hush"));
    CHECK(Holds(DescribeConfig(*config), "***"));
  }
}

TEST_CASE("config rules: a file with the line ends of Windows is one all the same") {
  const auto config = LoadFile("listen: 0.0.0.0:7000\r\nnats:\r\n  token: t\r\n");
  REQUIRE_MESSAGE(config.ok(), config.status().message());
  CHECK(config->listen.port == 7000);
  CHECK(config->nats.token == "t");
}

TEST_CASE("config rules: NATS server addresses") {
  for (const char* text : {"nats://h:4222", "h", "h:4222", "tls://h", "nats://u:p@h:1", "NATS://h/",
                           "nats://[::1]:4222", "'nats://a , nats://b'", "nats://u:p@ss@h"}) {
    CAPTURE(text);
    CHECK(FileFaults(std::string("nats.servers: ") + text) == "");
  }
  for (const char* text : {"http://h", "nats://", "nats://:4222", "nats://h:0", "nats://h:x",
                           "nats://h:70000", "nats://h h"}) {
    CAPTURE(text);
    CHECK(Holds(FileFaults(std::string("nats.servers: '") + text + "'"),
                "must hold addresses such as"));
  }
}

TEST_CASE("config rules: every wrong item of a list is named") {
  CHECK(FileFaults("nats.servers: ['http://x', 'nats://h', 'foo://y', 'nats://u:hush@a b:1']") ==
        "bascule.yaml:1: \"nats.servers\" must hold addresses such as nats://host:4222 or "
        "tls://host:4222; \"http://x\" has the scheme \"http\", \"foo://y\" has the scheme "
        "\"foo\", \"nats://***@a b:1\" is not one");
  CHECK(FileFaults("cluster: {insecure: true, listen: 'h:1', join: ['a b', b2, ':1']}") ==
        "bascule.yaml:1: \"cluster.join\" must hold addresses such as b1.example.com:9293 or "
        "10.0.0.1; \"a b\" is none that can be dialled, \":1\" is none that can be dialled");
  const std::string ids = FileFaults("clustering.raft.bootstrap.peers: [b1, a.b, b1, '', 'c d']");
  for (const char* part :
       {"not \"a.b\"", "not \"c d\"", "names \"b1\" twice", "one of them is empty"})
    CHECK_MESSAGE(Holds(ids, part), ids);
}

TEST_CASE("config rules: the embedded server, where false means false") {
  CHECK_FALSE(LoadFile("nats.embedded: false")->nats.embedded.enabled);
  CHECK(LoadFile("nats.embedded: true")->nats.embedded.enabled);
  CHECK(LoadFile("nats.embedded.config: f")->nats.embedded.enabled);
  CHECK_FALSE(LoadFile("nats.embedded: false\nnats.embedded.config: f")->nats.embedded.enabled);
  CHECK(LoadFile("nats:\n  embedded:\n    config: f\n    port: 0\n")->nats.embedded.port == 0);
  CHECK(FileFaults("nats.embedded.port: 5") ==
        "bascule.yaml:1: \"nats.embedded.port\" has no effect unless "
        "\"nats.embedded\" is true; set that too or remove it");
  CHECK(FileFaults("nats.embedded: true\nnats.servers: h\n") ==
        "bascule.yaml:2: \"nats.servers\" names servers, but an embedded one is asked for; remove "
        "one of the two");
}

TEST_CASE("config rules: names that travel in NATS subjects") {
  CHECK(LoadFile("clustering.server.id: ''").ok());
  for (const char* id : {"a.b", "a b", "*", ">", "\u00e9"})
    CHECK(Holds(FileFaults(std::string("clustering.server.id: '") + id + "'"), "letters, digits"));
  CHECK(LoadFile("clustering.namespace: a.b-c_d").ok());
  for (const char* name : {"", ".a", "a.", "a..b", "a.*", "a b"})
    CHECK(Holds(FileFaults(std::string("clustering.namespace: '") + name + "'"),
                "begins NATS subjects"));
}

TEST_CASE("config rules: how many copies streams have, unless they say") {
  CHECK(LoadFile("")->replication_factor == 0);
  CHECK(LoadFile("streams.replication.factor: -1")->replication_factor == -1);
  const auto config =
      LoadFile("streams.replication.factor: 3\nclustering.min.insync.replicas: 2\n");
  REQUIRE(config.ok());
  CHECK(config->replication_factor == 3);
  CHECK(config->stream_defaults.min_isr == 2);
  CHECK(FileFaults("streams.replication.factor: 129") ==
        "bascule.yaml:1: \"streams.replication.factor\" must be a whole number from -1 to 128, not "
        "\"129\"");
}

TEST_CASE("config rules: what is not built yet is accepted when off and refused otherwise") {
  int seen = 0;
  for (const Setting<Config>& row : BrokerSettings().rows()) {
    if (row.state != Setting<Config>::State::kNotBuilt) continue;
    CAPTURE(row.key);
    ++seen;
    CHECK(FileFaults(row.key + ": '" + row.show(Config()) + "'") == "");
    const std::string other = row.type == "bool" ? "true" : row.type == "duration" ? "77s" : "77";
    CHECK(Holds(FileFaults("\n" + row.key + ": " + other),
                "bascule.yaml:2: \"" + row.key + "\" belongs to "));
    CHECK(Holds(FileFaults(row.key + ": [[x]]"), "\"" + row.key + "\" must be "));
  }
  CHECK(seen >= 28);
  CHECK(FileFaults("streams.compact.enabled: true") ==
        "bascule.yaml:1: \"streams.compact.enabled\" belongs to log compaction, which this version "
        "does not have; "
        "remove it or set it to false");
  CHECK(FileFaults("clustering.raft.bootstrap.peers: []") == "");
  CHECK(FileFaults("streams.auto.pause.time: 0s") == "");
}

TEST_CASE("config rules: settings that one broker fulfils by itself") {
  CHECK(LoadFile("metadata.cache.max.age: 2m\n").ok());
  CHECK_FALSE(LoadFile("metadata.cache.max.age: soon").ok());
}

TEST_CASE("config rules: the disk reserve") {
  CHECK(Config().disk_reserve.Of(10 * limits::kGiB) == limits::kGiB);
  CHECK(Config().disk_reserve.Of(100 * limits::kGiB) == 2 * limits::kGiB);
  CHECK(LoadFile("disk.reserve: 5GiB")->disk_reserve.Of(1000 * limits::kGiB) == 5 * limits::kGiB);
  CHECK(LoadFile("disk.reserve: 0")->disk_reserve.Of(limits::kGiB) == 0);
  CHECK_FALSE(LoadFile("disk.reserve: -1").ok());
  CHECK_FALSE(LoadFile("disk.reserve: lots").ok());
}

}  // namespace
}  // namespace bascule::config
