// `bascule cluster ...` and `bascule stream update`, against brokers in memory.
#include <doctest/doctest.h>

#include "tests/integration/cli_fake_broker.h"

namespace bascule::testing {
namespace {

void AddMember(FakeBroker& broker, const std::string& id) {
  v1::ClusterMember& member = *broker.cluster.add_members();
  member.set_server_id(id);
  member.set_node(0x1f);
  member.set_voter(true);
  member.set_live(true);
  member.set_leader(id == "b1");
  member.set_peer_address(id + ":9293");
}

void MakeCluster(FakeBroker& broker) {
  broker.cluster.set_cluster_id("c1");
  broker.cluster.set_leader("b1");
  for (const char* id : {"b1", "b2", "b3"}) AddMember(broker, id);
}

TEST_CASE("cluster status: the exit status says how the cluster is") {
  FakeBroker broker;
  MakeCluster(broker);
  const RunResult well = RunCli(broker, {"cluster", "status"});
  CHECK(well.exit.code == 0);
  CHECK(Has(well.output, "b1      leader  live"));
  CHECK(Has(well.output, "All is well."));
  broker.cluster.add_degraded("b3 lags by 5,000 entries");
  const RunResult degraded = RunCli(broker, {"cluster", "status"});
  CHECK(degraded.exit.code == 6);
  CHECK(Has(degraded.output, "! b3 lags by 5,000 entries"));
  broker.cluster.clear_degraded();
  broker.cluster.mutable_members(2)->set_live(false);
  CHECK(RunCli(broker, {"cluster", "status"}).exit.code == 6);
  broker.cluster.clear_leader();
  CHECK(RunCli(broker, {"cluster", "status"}).exit.code == 7);
  const RunResult json = RunCli(broker, {"cluster", "status", "--json"});
  CHECK(json.exit.code == 7);
  CHECK(Has(json.output, "\"cluster_id\":\"c1\""));
  CHECK(Has(json.output, "\"leader\":null"));
  CHECK(Has(json.output, "\"node\":\"000000000000001f\",\"voter\":true"));
  CHECK(Has(json.output, "broker b3 is gone"));
}

TEST_CASE("cluster status: a server that cannot answer is passed over") {
  FakeBroker sick, well;
  sick.cluster_answer = {grpc::StatusCode::UNAVAILABLE, "stopping"};
  MakeCluster(well);
  const std::string both = sick.address() + "," + well.address();
  const RunResult result = RunCli(sick, {"--server", both, "cluster", "status"});
  CHECK(result.exit.code == 0);
  CHECK(Has(result.errors, sick.address() + " does not answer (stopping); asking the next server"));
  well.Stop();
  const RunResult none = RunCli(sick, {"--server", both, "--timeout", "1s", "cluster", "status"});
  CHECK(none.exit.code == 4);
}

TEST_CASE("cluster add, remove, transfer: what is asked, and what came of it") {
  FakeBroker broker;
  RunResult result = RunCli(broker, {"cluster", "add", "b4.example.com"});
  CHECK(result.exit.code == 0);
  CHECK(broker.last_cluster_change == "add b4.example.com:9293");
  CHECK(result.output == "The broker at b4.example.com:9293 is a member now.\n");
  result = RunCli(broker, {"cluster", "remove", "b3", "--json"});
  CHECK(broker.last_cluster_change == "remove b3");
  CHECK(result.output == "{\"member\":\"b3\",\"removed\":true}\n");
  CHECK(RunCli(broker, {"cluster", "remove", "b3", "--force"}).exit.code == 0);
  CHECK(broker.last_cluster_change == "remove b3 force");
  CHECK(RunCli(broker, {"cluster", "transfer"}).exit.code == 0);
  CHECK(broker.last_cluster_change == "transfer ");
  CHECK(RunCli(broker, {"cluster", "transfer", "b2"}).output == "The metadata is led by b2 now.\n");
  CHECK(broker.last_cluster_change == "transfer b2");
}

TEST_CASE("cluster changes that fail say what to do") {
  FakeBroker broker;
  struct Case {
    grpc::Status answer;
    int code;
    std::string says;
  };
  const std::vector<Case> cases = {
      {{grpc::StatusCode::FAILED_PRECONDITION, "b3 lives; stop it, or force its removal"},
       1,
       "cannot remove broker b3: b3 lives; stop it, or force its removal; --force does that\n"},
      {{grpc::StatusCode::FAILED_PRECONDITION, "b3 leads; transfer the leadership first"},
       1,
       "cannot remove broker b3: b3 leads; transfer the leadership first\n"},
      {{grpc::StatusCode::NOT_FOUND, "no member b3"}, 3, "cluster status lists the members"},
      {{grpc::StatusCode::UNKNOWN, "the leader went away"}, 1, "it may have been done"},
      {{grpc::StatusCode::DEADLINE_EXCEEDED, "no majority"}, 4, "it may still be done"},
      {{grpc::StatusCode::UNAVAILABLE, "no metadata leader is known"}, 7, "no metadata leader"}};
  for (const Case& one : cases) {
    CAPTURE(one.says);
    broker.cluster_answer = one.answer;
    const RunResult result = RunCli(broker, {"cluster", "remove", "b3"});
    CHECK(result.exit.code == one.code);
    CHECK(result.output.empty());
    CHECK(Has(result.errors, one.says));
  }
}

TEST_CASE("stream update sends what was named and shows what is in force") {
  FakeBroker broker;
  broker.Add("orders", "orders.>");
  const RunResult result = RunCli(broker, {"stream", "update", "orders", "--retention-max-bytes",
                                           "50G", "--retention-max-age", "0"});
  CHECK(result.exit.code == 0);
  CHECK(broker.last_update.settings().retention_max_bytes() == int64_t{50} << 30);
  CHECK(broker.last_update.settings().has_retention_max_age_ms());
  CHECK_FALSE(broker.last_update.settings().has_segment_max_bytes());
  CHECK(broker.last_update.settings().durability() == v1::DURABILITY_UNSPECIFIED);
  CHECK(Has(result.output, "Updated orders.\n"));
  CHECK(Has(result.output, "retention     50 GiB a partition, checked every 5m"));
  const RunResult json =
      RunCli(broker, {"stream", "update", "orders", "--durability", "os", "--json"});
  CHECK(Has(json.output, "{\"name\":\"orders\",\"updated\":true,\"settings\":{"));
  CHECK(Has(json.output, "\"durability\":\"os\""));

  const RunResult unknown =
      RunCli(broker, {"stream", "update", "ordres", "--retention-max-age", "1d"});
  CHECK(unknown.exit.code == 3);
  CHECK(Has(unknown.errors, "did you mean orders?"));
  const RunResult refused = RunCli(broker, {"stream", "update", "orders", "--min-isr", "9"});
  CHECK(refused.exit.code == 1);
  CHECK(Has(refused.errors, "cannot update stream orders: min_isr cannot change"));
}

TEST_CASE("a partition whose leader is gone shows no invented numbers") {
  FakeBroker broker;
  broker.Add("orders", "orders.>");
  broker.Edit([&] {
    v1::Partition& partition = *broker.at("orders").description.mutable_partitions(0);
    partition.set_leader("b9");
    partition.set_segments(0);
    partition.set_error("this broker holds no replica; ask broker b9");
  });
  const RunResult info = RunCli(broker, {"stream", "info", "orders"});
  CHECK(info.exit.code == 0);
  CHECK(
      Has(info.output, "! partition 0 is unknown: its leader b9 is not among the live brokers\n"));
  CHECK_FALSE(Has(info.output, "0 B"));
  CHECK(Has(RunCli(broker, {"stream", "list"}).output, "UNKNOWN"));
  const RunResult read = RunCli(broker, {"subscribe", "orders"});
  CHECK(read.exit.code == 4);
  CHECK(Has(read.errors, "led by broker b9, which is not among the live ones"));
}

}  // namespace
}  // namespace bascule::testing
