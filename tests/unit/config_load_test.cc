// Files: forms of keys, unknown and repeated ones, wrong types, and which source wins.
#include <doctest/doctest.h>

#include "core/base/text.h"
#include "tests/unit/config_loading.h"

namespace bascule::config {
namespace {

using namespace std::chrono_literals;

TEST_CASE("config load: without sources everything is the default") {
  const auto config = LoadConfig({});
  REQUIRE(config.ok());
  CHECK(config->listen == Address{"0.0.0.0", 9292});
  CHECK(config->advertised == Address{"localhost", 9292});
  CHECK(config->data_dir == "/var/lib/bascule");
  CHECK(config->cluster_namespace == "bascule-default");
  CHECK(config->stream_defaults == StreamSettings());
  CHECK(config->max_message_bytes == 1 << 20);
  CHECK_FALSE(config->nats.embedded.enabled);
  CHECK(config->MaxRequestBytes() == limits::kDefaultRequestBytes);
}

TEST_CASE("config load: nested, dotted, mixed and any case mean the same") {
  for (const char* text :
       {"streams:\n  retention:\n    max:\n      age: 1h\n", "streams.retention.max.age: 1h\n",
        "streams.retention: {max.age: 1h}\n", "streams:\n  retention.max:\n    age: 1h\n",
        "Streams:\n  RETENTION.Max.Age: 1h\n", "{streams: {retention: {max: {age: '1h'}}}}",
        "streams.retention.max.age: 3600000000000\n"}) {
    CAPTURE(text);
    REQUIRE(LoadFile(text).ok());
    CHECK(LoadFile(text)->stream_defaults.retention_max_age == 1h);
  }
}

TEST_CASE("config load: every kind of setting arrives") {
  const auto config = LoadFile(R"(
listen: "[::1]:7000"
data.dir: /data
disk.reserve: 5%
logging.level: WARN
nats:
  servers: [nats://a:4222, tls://user:p@w@b:4333, c]
  user: u
  password: 12345
  tls: {ca: ca.pem, cert: c.pem, key: k.pem}
  embedded: false
streams:
  retention.max: {bytes: 10GiB, messages: 7}
  cleaner.interval: 30s
  segment.max: {bytes: 1MiB, age: 0}
  concurrency.control: yes
  durability: os
  reply.acks: jetstream
  acks.leader: committed
  subjects.internal: true
clustering:
  server.id: b-1
  namespace: prod
  min.insync.replicas: 1
  replication.max.bytes: 64MiB
)");
  REQUIRE_MESSAGE(config.ok(), config.status().message());
  CHECK(config->listen == Address{"::1", 7000});
  CHECK(ToText(config->listen) == "[::1]:7000");
  CHECK(config->disk_reserve.Of(1000) == 50);
  CHECK(config->log_level == LogLevel::kWarning);
  CHECK(config->nats.servers ==
        std::vector<std::string>{"nats://a:4222", "tls://user:p@w@b:4333", "c"});
  CHECK(config->nats.password == "12345");
  StreamSettings expected;
  expected.retention_max_bytes = 10LL << 30;
  expected.retention_max_messages = 7;
  expected.cleaner_interval = 30s;
  expected.segment_max_bytes = 1 << 20;
  expected.segment_max_age = 0ms;
  expected.optimistic_concurrency_control = true;
  expected.durability = Durability::kOs;
  expected.reply_acks = ReplyAcks::kJetStream;
  expected.leader_acks = LeaderAcks::kCommitted;
  expected.record_internal_subjects = true;
  expected.min_isr = 1;
  CHECK(config->stream_defaults == expected);
  CHECK(config->server_id == "b-1");
  CHECK(config->cluster_namespace == "prod");
  CHECK(config->MaxRequestBytes() == (64 << 20) + limits::kRecordOverheadBytes);
}

TEST_CASE("config load: the disk's reserve is that share of it, parts of a percent too") {
  constexpr uint64_t kDisk = 1'000'000'000'000;
  const std::pair<const char*, uint64_t> cases[] = {{"0.5%", 5'000'000'000},
                                                    {"2.5%", 25'000'000'000},
                                                    {"12.25%", 122'500'000'000},
                                                    {"5%", 50'000'000'000},
                                                    {"0%", 0}};
  for (const auto& [share, bytes] : cases) {
    CAPTURE(share);
    const auto config = LoadFile(Concat("disk.reserve: ", share));
    REQUIRE(config.ok());
    CHECK(config->disk_reserve.Of(kDisk) == bytes);
  }
}

TEST_CASE("config load: an unknown key names file, line and the nearest key") {
  const std::pair<const char*, const char*> cases[] = {
      {"port: 1\nstreams.retenton.max.age: 1h\n",
       "bascule.yaml:2: unknown setting \"streams.retenton.max.age\"; did you mean "
       "\"streams.retention.max.age\"?"},
      {"streams:\n  Retention:\n    max:\n      agee: 1h\n",
       "bascule.yaml:4: unknown setting \"streams.retention.max.agee\"; did you mean "
       "\"streams.retention.max.age\"?"},
      {"nats_servers: x\n",
       "bascule.yaml:1: unknown setting \"nats_servers\"; did you mean \"nats.servers\"?"},
      {"retention.max.age: 1h\n",
       "bascule.yaml:1: unknown setting \"retention.max.age\"; did you mean "
       "\"streams.retention.max.age\"?"},
      {"qqqqqqqqqq: 1\n", "bascule.yaml:1: unknown setting \"qqqqqqqqqq\""},
      {"prot: 1\n", "bascule.yaml:1: unknown setting \"prot\"; did you mean \"port\"?"},
      {"strems.durability: os\n",
       "bascule.yaml:1: unknown setting \"strems.durability\"; did you mean "
       "\"streams.durability\"?"},
      {"nothing: {}\n", "bascule.yaml:1: unknown setting \"nothing\""},
      {"<<: {port: 1}\n", "bascule.yaml:1: unknown setting \"<<.port\""},
      {"a..b: 1\n", "bascule.yaml:1: unknown setting \"a..b\""}};
  for (const auto& [text, expected] : cases) CHECK(FileFaults(text) == expected);
}

TEST_CASE("config load: a repeated key names both lines, in every spelling") {
  CHECK(FileFaults("port: 1\nhost: a\nport: 2\n") ==
        "bascule.yaml:3: \"port\" is set twice, first on line 1; keep one of them");
  CHECK(FileFaults("streams.retention.max.age: 1h\nstreams:\n  retention:\n    max.age: 2h\n") ==
        "bascule.yaml:4: \"streams.retention.max.age\" is set twice, first on line 1; keep one of "
        "them");
  CHECK(FileFaults("nats:\n  user: a\nNATS:\n  token: b\n") ==
        "bascule.yaml:3: \"nats\" is set twice, first on line 1; keep one of them");
  CHECK(Holds(FileFaults("port: x\nPort: 2\n"), "set twice"));
}

TEST_CASE("config load: a wrong type says what is right") {
  const std::pair<const char*, const char*> cases[] = {
      {"port: abc\n",
       "bascule.yaml:1: \"port\" must be a whole number from 0 to 65535, not \"abc\""},
      {"port: 70000\n",
       "bascule.yaml:1: \"port\" must be a whole number from 0 to 65535, not \"70000\""},
      {"port: [1]\n", "bascule.yaml:1: \"port\" must be a whole number, not a list"},
      {"port:\n", "bascule.yaml:1: \"port\" has no value; give it one or remove the line"},
      {"port: {a: 1}\n",
       "bascule.yaml:1: \"port\" must be a whole number, not a group of settings"},
      {"nats: x\n",
       "bascule.yaml:1: \"nats\" is a group of settings, not one; write \"nats.<setting>: value\""},
      {"listen: 9292\n",
       "bascule.yaml:1: \"listen\" must be host:port such as 0.0.0.0:9292, localhost:9292 or "
       "[::1]:9292 with a port from 0 to 65535, not \"9292\""},
      {"logging.level: loud\n",
       "bascule.yaml:1: \"logging.level\" must be \"debug\" or \"info\" or \"warn\" or \"error\", "
       "not \"loud\""},
      {"nats.embedded: maybe\n",
       "bascule.yaml:1: \"nats.embedded\" must be true or false, not \"maybe\""},
      {"streams.retention.max.age: 168\n",
       "bascule.yaml:1: \"streams.retention.max.age\" must be at least 1ms, or 0 for no limit, not "
       "\"168\"; a bare "
       "number counts nanoseconds, so write its unit: 168h"},
      {"streams.retention.max.age: -1h\n",
       "bascule.yaml:1: \"streams.retention.max.age\" must be a duration such as 250ms, 1h30m or "
       "7d "
       "(units ns, us, ms, s, m, h, d, w), not \"-1h\""},
      {"streams.cleaner.interval: 1500us\n",
       "bascule.yaml:1: \"streams.cleaner.interval\" must be whole milliseconds, not \"1500us\""},
      {"streams.segment.max.bytes: 1\n",
       "bascule.yaml:1: \"streams.segment.max.bytes\" must be from 64KiB to 16GiB, or 0 for the "
       "default, not \"1\""},
      {"streams.retention.max.bytes: -1\n",
       "bascule.yaml:1: \"streams.retention.max.bytes\" must be a size such as 65536, 64K or "
       "1.5GiB "
       "(K, M, G, T and KiB, MiB, GiB, TiB of 1024; KB, MB, GB, TB of 1000), not \"-1\""},
      {"streams.durability: disk\n",
       "bascule.yaml:1: \"streams.durability\" must be \"fsync\" or \"os\", not \"disk\""},
      {"clustering.replication.max.bytes: 65MiB\n",
       "bascule.yaml:1: \"clustering.replication.max.bytes\" must be "
       "from 1KiB to 64MiB, not \"65MiB\""},
      {"disk.reserve: 95%\n",
       "bascule.yaml:1: \"disk.reserve\" must be from 0% to 90% of the disk, not \"95%\""},
      {"disk.reserve: nan%\n",
       "bascule.yaml:1: \"disk.reserve\" must be from 0% to 90% of the disk, not \"nan%\""},
      {"data.dir: ''\n",
       "bascule.yaml:1: \"data.dir\" must not be empty; give it a value or remove it for the "
       "default"},
      {"nats.servers: []\n",
       "bascule.yaml:1: \"nats.servers\" names no server; give at least one, such as "
       "nats://127.0.0.1:4222"},
      {"nats.servers: [[a]]\n",
       "bascule.yaml:1: \"nats.servers\" must be a list of single texts; item 1 is not one"}};
  for (const auto& [text, expected] : cases) CHECK(FileFaults(text) == expected);
}

TEST_CASE("config load: the longest period, by unit and in bare nanoseconds, and one past it") {
  const std::chrono::milliseconds longest(9'223'372'036'854);
  for (const char* text : {"2562047h47m16s854ms", "9223372036854ms", "9223372036854000000"}) {
    CAPTURE(text);
    const auto config = LoadFile(Concat("api.connections.idle.time: ", text));
    REQUIRE(config.ok());
    CHECK(config->api.connection_idle == longest);
    CHECK(FileFaults(Concat("streams.retention.max.age: ", text)).empty());
  }
  for (const char* text : {"2562047h47m16s855ms", "9223372036855ms", "9223372036855000000"}) {
    CAPTURE(text);
    CHECK_FALSE(LoadFile(Concat("api.connections.idle.time: ", text)).ok());
    CHECK_FALSE(LoadFile(Concat("cluster.session.timeout: ", text)).ok());
  }
}

TEST_CASE("config load: all mistakes of a file come at once, by line") {
  CHECK(FileFaults("tls.key: k\nport: x\nprot: 1\nstreams.encryption: true\n") ==
        "bascule.yaml:1: \"tls.key\" is set but \"tls.cert\" is not; set both or neither\n"
        "bascule.yaml:2: \"port\" must be a whole number from 0 to 65535, not \"x\"\n"
        "bascule.yaml:3: unknown setting \"prot\"; did you mean \"port\"?\n"
        "bascule.yaml:4: \"streams.encryption\" belongs to encryption at rest, which this version "
        "does not have; "
        "remove it or set it to false");
}

TEST_CASE("config load: flags over environment over file over defaults") {
  ConfigSources sources;
  const auto port = [&sources] { return LoadConfig(sources)->advertised.port; };
  CHECK(port() == 9292);
  sources.file_text = "port: 1\n";
  CHECK(port() == 1);
  sources.environment["LIFTBRIDGE_PORT"] = "2";
  CHECK(port() == 2);
  sources.environment["BASCULE_PORT"] = "3";
  CHECK(port() == 3);
  sources.flags["port"] = {"--port", "4"};
  CHECK(port() == 4);
  sources.file_text = "port: x\n";  // overridden, and still a mistake in the file
  CHECK_FALSE(LoadConfig(sources).ok());
}

TEST_CASE("config load: flags name themselves in errors") {
  CHECK(LoadConfig({"", std::nullopt, {}, {{"port", {"--port", "x"}}}}).status().message() ==
        "--port: \"port\" must be a whole number from 0 to 65535, not \"x\"");
  CHECK(LoadConfig({"", std::nullopt, {}, {{"stream.durability", {"--set", "os"}}}})
            .status()
            .message() ==
        "--set: unknown setting \"stream.durability\"; did you mean \"streams.durability\"?");
}

}  // namespace
}  // namespace bascule::config
