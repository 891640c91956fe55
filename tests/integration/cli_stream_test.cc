// `bascule stream` and `bascule server` against a broker in memory: what they ask for and what they
// print.
#include <doctest/doctest.h>

#include "tests/integration/cli_fake_broker.h"

namespace bascule::testing {
namespace {

TEST_CASE("stream create sends every setting and says what it made") {
  FakeBroker broker;
  const RunResult made = RunCli(broker, {"stream",    "create",
                                         "orders",    "--subject",
                                         "orders.>",  "--partitions",
                                         "3",         "--replication-factor",
                                         "all",       "--group",
                                         "workers",   "--retention-max-age",
                                         "1.5h",      "--retention-max-bytes",
                                         "2GiB",      "--retention-max-messages",
                                         "7",         "--cleaner-interval",
                                         "90s",       "--segment-max-bytes",
                                         "64M",       "--segment-max-age",
                                         "250ms",     "--min-isr",
                                         "2",         "--optimistic-concurrency",
                                         "on",        "--durability",
                                         "os",        "--leader-acks",
                                         "committed", "--reply-acks",
                                         "jetstream", "--record-internal-subjects",
                                         "off",       "--max-message-bytes",
                                         "64K"});
  CHECK(made.exit.code == 0);
  CHECK(made.output == "Created orders: 3 partitions recording orders.>.\n");
  const v1::CreateStreamRequest& sent = broker.last_create;
  CHECK(sent.name() == "orders");
  CHECK(sent.subject() == "orders.>");
  CHECK(sent.group() == "workers");
  CHECK(sent.partitions() == 3);
  CHECK(sent.replication_factor() == -1);
  const v1::StreamSettings& set = sent.settings();
  CHECK(set.retention_max_age_ms() == 5'400'000);
  CHECK(set.retention_max_bytes() == int64_t{2} << 30);
  CHECK(set.retention_max_messages() == 7);
  CHECK(set.cleaner_interval_ms() == 90'000);
  CHECK(set.segment_max_bytes() == 64 << 20);
  CHECK(set.segment_max_age_ms() == 250);
  CHECK(set.min_isr() == 2);
  CHECK(set.optimistic_concurrency_control());
  CHECK(set.durability() == v1::DURABILITY_OS);
  CHECK(set.leader_acks() == v1::LEADER_ACKS_COMMITTED);
  CHECK(set.reply_acks() == v1::REPLY_ACKS_JETSTREAM);
  CHECK(set.has_record_internal_subjects());
  CHECK_FALSE(set.record_internal_subjects());
  CHECK(set.max_message_bytes() == 65536);
}

TEST_CASE("settings that are not given are left to the broker") {
  FakeBroker broker;
  CHECK(RunCli(broker, {"stream", "create", "a", "-s", "a"}).exit.code == 0);
  const v1::StreamSettings& set = broker.last_create.settings();
  CHECK(set.ByteSizeLong() == 0);
  CHECK(broker.last_create.partitions() == 1);
  CHECK(broker.last_create.replication_factor() == 0);  // the cluster's default
}

TEST_CASE("a stream that exists is an error, or with --if-absent a comparison") {
  FakeBroker broker;
  broker.Add("orders", "orders.>");
  const RunResult refused = RunCli(broker, {"stream", "create", "orders", "-s", "x"});
  CHECK(refused.exit.code == 1);
  CHECK(refused.errors ==
        "bascule: cannot create stream orders: stream already exists; with --if-absent that is no "
        "error\n");
  const RunResult compared =
      RunCli(broker, {"stream", "create", "orders", "-s", "x", "--if-absent"});
  CHECK(compared.exit.code == 0);
  CHECK(Has(compared.output, "subject: orders.> here, x asked"));
  const RunResult same =
      RunCli(broker, {"--json", "stream", "create", "orders", "-s", "orders.>", "--if-absent"});
  CHECK(same.output == "{\"name\":\"orders\",\"created\":false,\"differences\":[]}\n");
}

TEST_CASE("stream list is a table for people and a line for each stream for programs") {
  FakeBroker broker;
  CHECK(Has(RunCli(broker, {"stream", "list"}).output, "No streams"));
  CHECK(RunCli(broker, {"stream", "list", "--json"}).output.empty());
  broker.Add("orders", "orders.>");
  broker.Append("orders", "x");
  broker.Add("audit", "audit", 2);
  broker.Edit([&] { broker.at("audit").description.mutable_partitions(1)->set_gap_records(1); });
  const RunResult table = RunCli(broker, {"stream", "list"});
  CHECK(table.exit.code == 0);
  CHECK(table.output.find("audit") < table.output.find("orders"));
  CHECK(Has(table.output, "gaps"));
  const RunResult json = RunCli(broker, {"stream", "list", "--json"});
  CHECK(json.output.find("{\"name\":\"audit\"") == 0);
  CHECK(Has(json.output, "\n{\"name\":\"orders\""));
}

TEST_CASE("stream info says that all is well only when it is") {
  FakeBroker broker;
  broker.Add("orders", "orders.>");
  broker.Append("orders", "x");
  CHECK(Has(RunCli(broker, {"stream", "info", "orders"}).output, "All is well"));
  broker.Edit([&] {
    v1::Partition& p = *broker.at("orders").description.mutable_partitions(0);
    p.set_gap_records(2);
    p.set_messages_in_gaps(1017);
    p.set_messages_refused(3);
    p.set_degraded("offsets 5 to 9 are damaged\x1b[2J");
    p.add_replicas("b2");
    broker.paused["orders"] = true;
  });
  const std::string out = RunCli(broker, {"stream", "info", "orders"}).output;
  CHECK_FALSE(Has(out, "All is well"));
  CHECK(Has(out, "! partition 0 has 2 gap records"));
  CHECK(Has(out, "at least 1,017 of them"));
  CHECK(Has(out, "! partition 0 refused 3 messages"));
  CHECK(Has(out, "! partition 0 is degraded: offsets 5 to 9 are damaged\\x1b[2J"));
  CHECK(Has(out, "! partition 0 has 1 of 2 replicas in sync, without b2"));
  CHECK(Has(out, "! partition 0 has fewer than min ISR (2)"));
  CHECK(Has(out, "! partition 0 is paused"));
  const std::string json = RunCli(broker, {"stream", "info", "orders", "--json"}).output;
  CHECK(
      Has(json, "\"gap_records\":2,\"messages_in_gaps\":1017,\"lost_records\":0,\"paused\":true"));
  CHECK(Has(json, "\"latest_received\":\"2023-11-14T22:13:20.000000000Z\""));
}

TEST_CASE("stream gaps lists when, how many and why, of every partition, page after page") {
  FakeBroker broker;
  broker.Add("orders", "orders.>", 2);
  CHECK(RunCli(broker, {"stream", "gaps", "orders"}).output ==
        "No gap records: nothing is known to be missing from orders.\n");
  CHECK(RunCli(broker, {"stream", "gaps", "orders", "--json"}).output.empty());
  const auto page = [](int64_t offset, v1::GapReason reason, int64_t messages, int64_t next) {
    v1::ListGapsResponse response;
    v1::Gap& gap = *response.add_gaps();
    gap.set_offset(offset);
    gap.set_from(1'700'000'000'250'000'000);
    gap.set_to(1'700'000'001'500'000'000);
    gap.set_reason(reason);
    gap.set_messages(messages);
    response.set_next_offset(next);
    return response;
  };
  const auto fill = [&] {
    broker.Edit([&] {
      broker.gap_requests.clear();
      broker.gap_pages = {page(5, v1::GAP_REASON_DISCONNECTED, -1, 8),
                          page(1234, v1::GAP_REASON_QUEUE_FULL, 4321, -1),
                          page(7, static_cast<v1::GapReason>(99), 1, -1)};
    });
  };
  fill();
  const RunResult table = RunCli(broker, {"stream", "gaps", "orders"});
  CHECK(table.exit.code == 0);
  CHECK(table.output ==
        "PARTITION  OFFSET  FROM                      TO                        MESSAGES  REASON\n"
        "        0       5  2023-11-14T22:13:20.250Z  2023-11-14T22:13:21.500Z   unknown  "
        "not connected to NATS\n"
        "        0   1,234  2023-11-14T22:13:20.250Z  2023-11-14T22:13:21.500Z     4,321  "
        "ingest queue full\n"
        "        1       7  2023-11-14T22:13:20.250Z  2023-11-14T22:13:21.500Z         1  "
        "unknown\n");
  REQUIRE(broker.gap_requests.size() == 3);
  CHECK(broker.gap_requests[1].from_offset() == 8);
  CHECK(broker.gap_requests[2].partition() == 1);
  CHECK(broker.gap_requests[2].from_offset() == 0);
  fill();
  const std::string json = RunCli(broker, {"stream", "gaps", "orders", "--json"}).output;
  CHECK(json.find(
            "{\"partition\":0,\"offset\":5,\"from\":\"2023-11-14T22:13:20.250000000Z\","
            "\"from_ns\":1700000000250000000,\"to\":\"2023-11-14T22:13:21.500000000Z\","
            "\"to_ns\":1700000001500000000,\"reason\":\"disconnected\",\"messages\":null}\n") == 0);
  CHECK(Has(json, "\"reason\":\"queue_full\",\"messages\":4321}"));
  CHECK(Has(json, "\"reason\":\"unknown\",\"messages\":1}"));
  broker.Edit([&] {
    broker.gap_requests.clear();
    broker.gap_pages.clear();
  });
  CHECK(RunCli(broker, {"stream", "gaps", "orders", "-p", "1"}).exit.code == 0);
  REQUIRE(broker.gap_requests.size() == 1);
  CHECK(broker.gap_requests[0].partition() == 1);
}

TEST_CASE("stream gaps: what cannot be listed is a failure, after what could be") {
  FakeBroker broker;
  broker.Add("orders", "orders.>");
  const RunResult unknown = RunCli(broker, {"stream", "gaps", "ordres"});
  CHECK(unknown.exit.code == 3);
  CHECK(Has(unknown.errors, "did you mean orders?"));
  CHECK(RunCli(broker, {"stream", "gaps", "orders", "-p", "7"}).exit.code == 3);
  broker.Edit([&] {
    v1::ListGapsResponse first;
    first.add_gaps()->set_offset(3);
    first.set_next_offset(9);
    broker.gap_pages = {first};
    broker.gaps_answer = {grpc::StatusCode::DATA_LOSS, "00.log is damaged"};
  });
  const RunResult damaged = RunCli(broker, {"stream", "gaps", "orders"});
  CHECK(damaged.exit.code == 5);
  CHECK(Has(damaged.output, "        0       3  unknown"));
  CHECK(Has(damaged.errors, "00.log is damaged"));
}

TEST_CASE("stream info and list show which replicas are missing and why") {
  FakeBroker broker;
  broker.Add("orders", "orders.>");
  for (const char* value : {"x", "y", "z"}) broker.Append("orders", value);
  const auto replica = [](v1::Partition& p, const char* id, bool live) -> v1::Replica& {
    v1::Replica& added = *p.add_replica_status();
    added.set_broker(id);
    added.set_live(live);
    return added;
  };
  broker.Edit([&] {
    broker.at("orders").description.set_replication_factor(3);
    v1::Partition& p = *broker.at("orders").description.mutable_partitions(0);
    p.add_replicas("b2");
    p.add_replicas("b3");
    p.add_isr("b2");
    p.set_min_isr(2);
    replica(p, "b1", true).set_in_isr(true);
    replica(p, "b2", true).set_in_isr(true);
    replica(p, "b3", true).set_acknowledged_offset(0);
  });
  std::string out = RunCli(broker, {"stream", "info", "orders"}).output;
  CHECK(Has(out,
            "PARTITION  REPLICA  ROLE      STATE    BEHIND BY\n"
            "        0  b1       leader    in sync          -\n"
            "        0  b2       follower  in sync          -\n"
            "        0  b3       follower  behind           2\n"));
  CHECK(Has(out, "! partition 0 has 2 of 3 replicas in sync, without b3 (behind by 2 records)\n"));
  CHECK_FALSE(Has(out, "min ISR ("));
  CHECK(Has(RunCli(broker, {"stream", "list"}).output, "replica behind"));
  const std::string json = RunCli(broker, {"stream", "info", "orders", "--json"}).output;
  CHECK(Has(json,
            "\"elr\":[],\"min_isr\":2,\"replica_status\":[{\"broker\":\"b1\",\"live\":true,"
            "\"in_isr\":true,\"eligible\":false,\"doubtful\":false,"
            "\"acknowledged_offset\":null},"));
  CHECK(Has(json, "\"acknowledged_offset\":0}"));

  broker.Edit([&] {
    v1::Partition& p = *broker.at("orders").description.mutable_partitions(0);
    p.mutable_isr()->RemoveLast();
    p.add_elr("b2");
    for (int i : {1, 2}) p.mutable_replica_status(i)->set_live(false);
    p.mutable_replica_status(1)->set_in_isr(false);
    p.mutable_replica_status(1)->set_eligible(true);
    p.mutable_replica_status(2)->set_doubtful(true);
  });
  out = RunCli(broker, {"stream", "info", "orders"}).output;
  CHECK(Has(out, "follower  GONE, eligible"));
  CHECK(Has(out, "! partition 0 has 1 of 3 replicas in sync, without b2 (gone), b3 (gone)\n"));
  CHECK(Has(out, "! partition 0: the log of b3 may be short since its last stop"));
  CHECK(Has(out, "! partition 0 has fewer than min ISR (2)"));
  CHECK(Has(RunCli(broker, {"stream", "list"}).output, "BELOW MIN ISR"));

  broker.Edit([&] {
    v1::Partition& p = *broker.at("orders").description.mutable_partitions(0);
    p.clear_isr();
    p.clear_leader();
  });
  out = RunCli(broker, {"stream", "info", "orders"}).output;
  CHECK(Has(out,
            "! partition 0 has no leader: it can be neither published to nor read; it waits for "
            "b2, which holds all that was committed\n"));
  CHECK(Has(RunCli(broker, {"stream", "list"}).output, "NO LEADER"));
}

TEST_CASE("numbers come from the broker that leads the partition") {
  FakeBroker leader;
  leader.Add("orders", "orders.>");
  leader.Edit([&] { leader.at("orders").description.mutable_partitions(0)->set_leader("b2"); });
  leader.Append("orders", "only the leader has it");
  FakeBroker follower;
  follower.Add("orders", "orders.>");
  follower.Edit([&] { follower.at("orders").description.mutable_partitions(0)->set_leader("b2"); });
  proto::Broker own, other;
  own.set_id("b1");
  own.set_host("127.0.0.1");
  own.set_port(follower.port());
  other.set_id("b2");
  other.set_host("127.0.0.1");
  other.set_port(leader.port());
  follower.brokers = {own, other};
  CHECK(
      Has(RunCli(follower, {"stream", "info", "orders", "--json"}).output, "\"newest_offset\":0"));
  CHECK(RunCli(follower, {"subscribe", "orders", "--format", "raw"}).output ==
        "only the leader has it\n");

  // What the leader says of a partition that it only follows is older than what there is.
  leader.Add("halves", "halves.>", 2);
  follower.Add("halves", "halves.>", 2);
  for (FakeBroker* broker : {&leader, &follower}) {
    broker->Edit([&] { broker->at("halves").description.mutable_partitions(0)->set_leader("b2"); });
  }
  leader.Append("halves", "of b2");
  for (const char* value : {"of b1", "another"}) follower.Append("halves", value, "", 0, 1);
  const std::string halves = RunCli(follower, {"stream", "info", "halves", "--json"}).output;
  CHECK(Has(halves, "\"newest_offset\":0"));
  CHECK(Has(halves, "\"newest_offset\":1"));

  leader.Stop();
  const std::string out = RunCli(follower, {"stream", "info", "orders"}).output;
  CHECK(Has(out, "! partition 0 is unknown: its leader b2 cannot be reached"));
  const RunResult fallback = RunCli(follower, {"subscribe", "orders"});
  CHECK(fallback.exit.code == 0);
  CHECK(Has(fallback.errors, "cannot be reached from here; asking " + follower.address()));
}

TEST_CASE("deleting needs a yes, and an unknown name offers the nearest") {
  FakeBroker broker;
  broker.Add("orders", "orders.>");
  const RunResult unsure = RunCli(broker, {"stream", "delete", "orders"});
  CHECK(unsure.exit.code == 2);
  CHECK(Has(unsure.errors, "add --yes"));
  const RunResult unknown = RunCli(broker, {"stream", "delete", "ordres", "--yes"});
  CHECK(unknown.exit.code == 3);
  CHECK(Has(unknown.errors, "did you mean orders?"));
  CHECK(RunCli(broker, {"stream", "delete", "orders", "--yes"}).output == "Deleted orders.\n");
  CHECK(RunCli(broker, {"stream", "info", "orders"}).exit.code == 3);
}

TEST_CASE("server info") {
  FakeBroker broker;
  const RunResult text = RunCli(broker, {"server", "info"});
  CHECK(text.exit.code == 0);
  CHECK(Has(text.output, "400 GiB free of 512 GiB (78%)"));
  CHECK(Has(text.output, "1,234,567"));
  CHECK(Has(text.output, "All is well."));
  CHECK(Has(RunCli(broker, {"--json", "server", "info"}).output, "\"ingest.messages\":1234567"));
}

}  // namespace
}  // namespace bascule::testing
