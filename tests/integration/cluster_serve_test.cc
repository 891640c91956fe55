// A cluster that is well: how it comes together, what its brokers say, what they serve.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/integration/cluster_world.h"

namespace bascule::cluster_job {
namespace {

using std::chrono::seconds;

// Every broker says of every partition of these streams that the same live broker leads it.
void CheckLeaders(Cluster& cluster, const std::vector<std::string>& streams, int partitions) {
  for (const std::string& stream : streams) {
    for (int partition = 0; partition < partitions; ++partition) {
      CAPTURE(stream);
      CAPTURE(partition);
      const std::string leader = LeaderOf(cluster.at(0), stream, partition);
      CHECK_FALSE(leader.empty());
      for (int i = 1; i < cluster.size(); ++i)
        CHECK(LeaderOf(cluster.at(i), stream, partition) == leader);
    }
  }
}

MainBroker& BrokerOf(Cluster& cluster, const std::string& id) {
  for (int i = 0; i < cluster.size(); ++i) {
    if (IdOf(i) == id) return cluster.at(i);
  }
  FAIL("no broker " << id);
  return cluster.at(0);
}

TEST_CASE("cluster: mutual TLS, a seed, two that find it over NATS; streams through each broker") {
  const auto begun = std::chrono::steady_clock::now();
  Cluster cluster({.brokers = 3, .tls = true});
  cluster.Start();
  MESSAGE("3 brokers live after ",
          std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count(), " s");
  std::vector<std::string> streams;
  for (int i = 0; i < cluster.size(); ++i) {
    streams.push_back(absl::StrCat("s", i));
    const grpc::Status made = CreateStream(cluster.at(i).api(), streams.back(), kPatience, 3);
    CLUSTER_REQUIRE(cluster, made.ok());
  }
  for (int i = 0; i < cluster.size(); ++i) {
    const auto metadata = MetadataOf(cluster.at(i));
    CLUSTER_REQUIRE(cluster, metadata.has_value());
    CHECK(LiveOf(*metadata) == std::set<std::string>{"b1", "b2", "b3"});
    for (const proto::Broker& broker : metadata->brokers()) {
      CHECK(absl::StrCat(broker.host(), ":", broker.port()) ==
            BrokerOf(cluster, broker.id()).address());
      // Nine partitions on three brokers: each has three, and leads them.
      CHECK(broker.partitioncount() == 3);
      CHECK(broker.leadercount() == 3);
    }
  }
  CheckLeaders(cluster, streams, 3);
  cluster.AwaitSameTables();
  for (const std::string& stream : streams) {
    std::set<std::string> leaders;
    for (int partition = 0; partition < 3; ++partition) {
      leaders.insert(LeaderOf(cluster.at(0), stream, partition));
      MainBroker& leader = BrokerOf(cluster, LeaderOf(cluster.at(0), stream, partition));
      CHECK(leader.Publish(stream, "one", partition) == 0);
      const auto messages = leader.ReadAll(stream, partition);
      CLUSTER_REQUIRE(cluster, messages.size() == 1);
      CHECK(messages[0].value() == "one");
    }
    CHECK(leaders.size() == 3);  // on different brokers
  }
  for (int i = 0; i < cluster.size(); ++i) {
    const RunResult status = RunCli(cluster.at(i).address(), {"cluster", "status"});
    CHECK_MESSAGE(status.exit.code == 0, status.output, status.errors);
    CHECK(Has(status.output, absl::StrCat("seen by       ", IdOf(cluster.AwaitLeader()))));
    CHECK(Has(status.output, "All is well."));
    if (i == 0) MESSAGE("\n", status.output);
  }
  const RunResult json = RunCli(cluster.at(1).address(), {"cluster", "status", "--json"});
  CHECK(json.exit.code == 0);
  CHECK(Has(json.output, absl::StrCat("\"leader\":\"", IdOf(cluster.AwaitLeader()), "\"")));
  CHECK(Has(json.output, "\"degraded\":[]"));
}

}  // namespace
}  // namespace bascule::cluster_job
