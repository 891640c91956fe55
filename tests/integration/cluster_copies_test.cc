// Data directories that are not what the cluster was promised: emptied and killed before that was told,
// put back from a copy.
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "tests/integration/cluster_world.h"

namespace bascule::cluster_job {
namespace {

namespace fs = std::filesystem;

// A stream that b2 leads, with a message in it.
std::string StreamOnSecond(Cluster& cluster) {
  for (int i = 0; i < cluster.size(); ++i) {
    const std::string name = absl::StrCat("s", i);
    const grpc::Status made = CreateStream(cluster.at(0).api(), name, kPatience);
    CLUSTER_REQUIRE(cluster, made.ok());
    if (LeaderOf(cluster.at(0), name) != "b2") continue;
    CLUSTER_REQUIRE(cluster, Eventually([&] { return LeaderOf(cluster.at(1), name) == "b2"; }));
    cluster.at(1).Publish(name, "kept");
    return name;
  }
  CLUSTER_REQUIRE(cluster, false);
  return "";
}

bool StatusSays(Cluster& cluster, const std::string& text) {
  const RunResult status = RunCli(cluster.at(0).address(), {"cluster", "status"});
  return status.exit.code == 6 && Has(status.output, text);
}

TEST_CASE("cluster: an emptied disk, killed before it could tell, tells at its next start") {
  Cluster cluster;
  cluster.Start();
  const std::string stream = StreamOnSecond(cluster);
  MainBroker& broker = cluster.at(1);
  broker.Kill();
  fs::remove_all(broker.data());
  // Several times: the kill comes between being accepted and being registered.
  for (int i = 0; i < 3; ++i) {
    broker.Launch();
    CLUSTER_REQUIRE(cluster, Eventually([&] { return fs::exists(broker.data() + "/cluster"); }));
    broker.Kill();
  }
  broker.Start();
  cluster.AwaitAllLive();
  cluster.AwaitSameTables();
  CHECK(LeaderOf(cluster.at(0), stream).empty());
  CHECK_MESSAGE(StatusSays(cluster, "1 partitions have no leader for good"), cluster.Tail());
  // Told once: what it is given from now on it keeps.
  broker.Kill();
  broker.Start();
  cluster.AwaitAllLive();
  const grpc::Status made = CreateStream(cluster.at(0).api(), "fresh", kPatience);
  CLUSTER_REQUIRE(cluster, made.ok());
}

TEST_CASE("cluster: a directory put back from a copy is noticed, and joins anew with nothing") {
  Cluster cluster;
  cluster.Start();
  const std::string stream = StreamOnSecond(cluster);
  MainBroker& broker = cluster.at(1);
  const std::string copy = broker.data() + "-copy";
  broker.Stop();
  fs::copy(broker.data(), copy, fs::copy_options::recursive);
  broker.Start();
  CLUSTER_REQUIRE(cluster, Eventually([&] { return LeaderOf(broker, stream) == "b2"; }));
  broker.Publish(stream, "acknowledged after the copy");
  // The feature level that counts generations is in force with the last broker; it is by now.
  broker.Kill();
  fs::remove_all(broker.data());
  fs::rename(copy, broker.data());

  CHECK(broker.StartRefused().code == 1);
  CHECK_MESSAGE(Has(broker.Log(), "the data directory of broker b2 is an older copy"),
                broker.Tail());
  CHECK(fs::exists(broker.data() + "/meta"));
  broker.Start();
  CHECK_MESSAGE(Has(broker.Log(), "joins its cluster as a new member"), broker.Tail());
  CHECK(fs::exists(broker.data() + "/meta.older-copy"));
  cluster.AwaitAllLive();
  cluster.AwaitAllVote();
  cluster.AwaitSameTables();
  CHECK(LeaderOf(cluster.at(0), stream).empty());
  CHECK_MESSAGE(StatusSays(cluster, "have no leader for good"), cluster.Tail());
  // The remedy that is named.
  const RunResult erased = RunCli(cluster.at(0).address(), {"stream", "delete", stream, "--yes"});
  CHECK_MESSAGE(erased.exit.code == 0, erased.errors);
  const grpc::Status made = CreateStream(cluster.at(0).api(), stream, kPatience);
  CHECK_MESSAGE(made.ok(), made.error_message());
  CHECK(Eventually([&] {
    return RunCli(cluster.Servers(), {"cluster", "status"}).exit.code == 0;
  }));
}

TEST_CASE("cluster: a broker that was killed and comes back as it was lost nothing") {
  Cluster cluster;
  cluster.Start();
  const std::string stream = StreamOnSecond(cluster);
  MainBroker& broker = cluster.at(1);
  for (const char* said : {"", "peers connect to", " serves on "}) {
    broker.Kill();
    // Killed on the way up too.
    broker.Launch();
    CLUSTER_REQUIRE(cluster, Eventually([&] { return Has(broker.Log(), said); }));
    broker.Kill();
    broker.Start();
    CLUSTER_REQUIRE(cluster, Eventually([&] { return LeaderOf(broker, stream) == "b2"; }));
    CHECK(broker.ReadAll(stream).size() == 1);
  }
}

}  // namespace
}  // namespace bascule::cluster_job
