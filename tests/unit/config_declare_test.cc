// streams.declare: streams of the configuration file.
#include <doctest/doctest.h>

#include "core/config/settings.h"
#include "tests/unit/config_loading.h"

namespace bascule::config {
namespace {

using namespace std::chrono_literals;

TEST_CASE("config declare: name, subject and settings") {
  const auto config = LoadFile(R"(
streams:
  retention.max.age: 1h
  declare:
    - name: orders
      subject: orders.>
    - Name: audit
      subject: audit.*
      group: g
      partitions: 4
      replication: {factor: 1}
      retention: {max.age: 2h, max: {bytes: 1GiB}}
      segment.max.bytes: 1MiB
      min.insync.replicas: 1
      durability: os
      reply.acks: jetstream
      compact.enabled: false
)");
  REQUIRE_MESSAGE(config.ok(), config.status().message());
  REQUIRE(config->declared_streams.size() == 2);
  CHECK(config->declared_streams[0].name == "orders");
  CHECK(config->declared_streams[0].subject == "orders.>");
  CHECK(config->declared_streams[0].partitions == 1);
  CHECK(config->declared_streams[0].replication_factor == 0);  // streams.replication.factor
  CHECK(config->declared_streams[0].overrides == StreamOverrides());
  const StreamSpec& audit = config->declared_streams[1];
  CHECK(audit.group == "g");
  CHECK(audit.partitions == 4);
  CHECK(audit.replication_factor == 1);
  StreamOverrides expected;
  expected.retention_max_age = 2h;
  expected.retention_max_bytes = 1 << 30;
  expected.segment_max_bytes = 1 << 20;
  expected.min_isr = 1;
  expected.durability = Durability::kOs;
  expected.reply_acks = ReplyAcks::kJetStream;
  CHECK(audit.overrides == expected);
}

TEST_CASE("config declare: every mistake has its line") {
  const std::pair<const char*, const char*> cases[] = {
      {"streams.declare:\n - name: a\n",
       "bascule.yaml:2: declared stream \"a\" has no \"subject\"; give it one"},
      {"streams.declare:\n - subject: a\n",
       "bascule.yaml:2: declared stream has no \"name\"; give it one"},
      {"streams.declare:\n - name: a\n   subjet: b\n",
       "bascule.yaml:3: unknown setting \"subjet\"; did you mean \"subject\"?"},
      {"streams.declare:\n - name: a\n   subject: b\n   retention.maxage: 1h\n",
       "bascule.yaml:4: unknown setting \"retention.maxage\"; did you mean \"retention.max.age\"?"},
      {"streams.declare:\n - {name: a, subject: b}\n - name: c\n   subject: d\n   partitions: x\n",
       "bascule.yaml:5: \"partitions\" must be a whole number from 1 to 1000, not \"x\""},
      {"streams.declare:\n - name: a\n   subject: b\n   name: c\n",
       "bascule.yaml:4: \"name\" is set twice, first on line 2; keep one of them"},
      {"streams.declare:\n - name: a\n   subject: b\n - subject: c\n   name: a\n",
       "bascule.yaml:5: stream \"a\" is declared twice, first at bascule.yaml:2; keep one of them"},
      {"streams.declare: yes\n",
       "bascule.yaml:1: \"streams.declare\" must be a list of streams such as [{name: "
       "orders, subject: orders.>}]"},
      {"streams.declare:\n - orders\n",
       "bascule.yaml:2: an item of \"streams.declare\" must be a stream such as "
       "{name: orders, subject: orders.>}"},
      {"streams.declare:\n - name: a\n   subject: b\n   encryption: true\n",
       "bascule.yaml:4: \"encryption\" belongs to encryption at rest, which this version does not "
       "have; remove it or "
       "set it to false"}};
  for (const auto& [text, expected] : cases) CHECK(FileFaults(text) == expected);
}

TEST_CASE("config declare: how many copies there can be is known when the stream is created") {
  for (const int factor : {-1, 0, 3, 128}) {
    const auto config = LoadFile(
        Concat("streams.declare: [{name: a, subject: b, replication.factor: ", factor, "}]"));
    REQUIRE(config.ok());
    CHECK(config->declared_streams.at(0).replication_factor == factor);
  }
  // With a factor that is open there is nothing to compare it with.
  CHECK(LoadFile("streams.declare: [{name: a, subject: b, min.insync.replicas: 3}]").ok());
}

TEST_CASE("config declare: what a stream cannot be is refused as by CreateStream") {
  for (const char* item :
       {"{name: a, subject: 'b c'}", "{name: a, subject: 'b.>.c'}", "{name: __cursors, subject: b}",
        "{name: a, subject: b, replication.factor: 2, min.insync.replicas: 3}"}) {
    CAPTURE(item);
    const std::string faults = FileFaults(std::string("\nstreams.declare: [") + item + "]");
    CHECK(Holds(faults, "bascule.yaml:2: declared stream"));
    CHECK(Holds(faults, "is not possible: "));
  }
}

TEST_CASE("config declare: as a variable or flag it is YAML") {
  const auto config = LoadVariables(
      {{"BASCULE_STREAMS_DECLARE", "[{name: a, subject: b}, {name: c, subject: d}]"}});
  REQUIRE_MESSAGE(config.ok(), config.status().message());
  CHECK(config->declared_streams.size() == 2);
  CHECK(VariableFaults({{"BASCULE_STREAMS_DECLARE", "[{name: a}"}})
            .rfind("BASCULE_STREAMS_DECLARE: ", 0) == 0);
  CHECK(VariableFaults({{"BASCULE_STREAMS_DECLARE", "[{name: a}]"}}) ==
        "BASCULE_STREAMS_DECLARE: declared stream \"a\" has no \"subject\"; give it one");
}

TEST_CASE("config declare: a repeated key of a variable has no line to name") {
  CHECK(VariableFaults({{"BASCULE_STREAMS_DECLARE", "[{name: a, subject: b, name: c}]"}}) ==
        "BASCULE_STREAMS_DECLARE: \"name\" is set twice; keep one of them");
}

TEST_CASE("config declare: a later source replaces the list") {
  ConfigSources sources{"bascule.yaml", "streams.declare: [{name: a, subject: b}]", {}, {}};
  sources.flags["streams.declare"] = {"--set", "[{name: c, subject: d}]"};
  const auto config = LoadConfig(sources);
  REQUIRE(config.ok());
  REQUIRE(config->declared_streams.size() == 1);
  CHECK(config->declared_streams[0].name == "c");
}

TEST_CASE("config declare: every stream setting has a broker-wide default of the same type") {
  int shared = 0;
  for (const Setting<StreamSpec>& row : DeclaredStreamSettings().rows()) {
    const Setting<Config>* broker = BrokerSettings().Find("streams." + row.key);
    if (broker == nullptr) broker = BrokerSettings().Find("clustering." + row.key);
    if (broker == nullptr) continue;
    CHECK(broker->type == row.type);
    ++shared;
  }
  // And the replication factor, which is no setting of the stream that is there.
  CHECK(shared == static_cast<int>(MakeStreamRows().stream.size()) + 1);
}

}  // namespace
}  // namespace bascule::config
