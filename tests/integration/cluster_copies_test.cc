// Data directories that are not what the cluster was promised: emptied and killed before that was told,
// put back from a copy.
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "core/base/crc32c.h"
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
  CHECK_FALSE(fs::exists(broker.data() + "/meta.older-copy"));
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

// data/registration of a directory that has found itself an older copy (replication/meta/FORMAT.md).
std::string MarkedAsCopy() {
  std::string block =
      "bascule registration 1\nsequence 90\ngeneration 90\nowes_all 1\nrejoin 1\nowes 0\n";
  block += absl::StrCat("crc32c ", Crc32c(block), "\n");
  block.resize(4096, '\n');
  return block;
}

// b2's data directory as it was before its last start, put back.
void PutOlderCopyBack(Cluster& cluster) {
  MainBroker& broker = cluster.at(1);
  const std::string copy = broker.data() + "-copy";
  broker.Stop();
  fs::copy(broker.data(), copy, fs::copy_options::recursive);
  broker.Start();
  cluster.AwaitAllLive();
  broker.Stop();
  fs::remove_all(broker.data());
  fs::rename(copy, broker.data());
}

TEST_CASE("cluster: an older copy that nobody can take in keeps what it has, and says what to do") {
  Cluster cluster({.brokers = 2});
  cluster.Start();
  PutOlderCopyBack(cluster);
  MainBroker& broker = cluster.at(1);
  cluster.at(0).Kill();
  // As it looks when it was killed between noting what it is and giving up its vote.
  const std::string path = broker.data() + "/registration";
  const std::string block = MarkedAsCopy();
  std::ofstream(path, std::ios::binary | std::ios::trunc) << block << block;
  cluster.at(0).Launch();
  broker.Launch();
  CLUSTER_REQUIRE(cluster, Eventually([&] { return Has(broker.Log(), "has 2 voters"); }));
  CHECK(fs::exists(broker.data() + "/meta"));
  CHECK_FALSE(fs::exists(broker.data() + "/meta.older-copy"));
  // The remedy that is named.
  cluster.at(0).Kill();
  const RunResult recovered =
      RunTool("basculed", {"--recover-quorum", "--data-dir", cluster.at(0).data()});
  CHECK_MESSAGE(recovered.exit.code == 0, recovered.errors);
  cluster.at(0).Start();
  cluster.AwaitAllLive();
  cluster.AwaitAllVote();
  CHECK(fs::exists(broker.data() + "/meta.older-copy"));
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
