// Brokers that come back somewhere else, seeds that lost what they knew, and two that are one.
#include <signal.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "tests/integration/cluster_world.h"

namespace bascule::cluster_job {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::seconds;

void SetArg(MainBroker& broker, const std::string& name, const std::string& value) {
  for (size_t i = 0; i + 1 < broker.args().size(); ++i) {
    if (broker.args()[i] == name) broker.args()[i + 1] = value;
  }
}

std::string ArgOf(MainBroker& broker, const std::string& name) {
  for (size_t i = 0; i + 1 < broker.args().size(); ++i) {
    if (broker.args()[i] == name) return broker.args()[i + 1];
  }
  return "";
}

// Every member as every broker's log has it is where that broker is.
bool AllKnowAll(Cluster& cluster) {
  for (int i = 0; i < cluster.size(); ++i) {
    const auto status = StatusOf(cluster.at(i));
    if (!status || status->members_size() != cluster.size()) return false;
    for (const auto& member : status->members()) {
      for (int k = 0; k < cluster.size(); ++k) {
        if (member.server_id() == IdOf(k) &&
            member.peer_address() != ArgOf(cluster.at(k), "--cluster-listen"))
          return false;
      }
    }
  }
  return true;
}

// Stops those, gives them the addresses, starts them again; returns how long it took until streams
// are made through each broker.
double Move(Cluster& cluster, const std::vector<int>& who, const std::vector<std::string>& where,
            const std::string& stream) {
  for (const int i : who) cluster.at(i).Stop();
  for (size_t k = 0; k < who.size(); ++k) {
    SetArg(cluster.at(who[k]), "--cluster-listen", where[k]);
  }
  const auto begun = Clock::now();
  for (const int i : who) cluster.at(i).Launch();
  for (const int i : who) cluster.at(i).AwaitServing();
  for (int i = 0; i < cluster.size(); ++i) {
    const grpc::Status made =
        CreateStream(cluster.at(i).api(), absl::StrCat(stream, "-", i), kPatience);
    CLUSTER_REQUIRE(cluster, made.ok());
  }
  const double took = Seconds(begun);
  CLUSTER_REQUIRE(cluster, Eventually([&] { return AllKnowAll(cluster); }, seconds(20)));
  cluster.AwaitAllLive();
  return took;
}

std::string FreeAddress() { return absl::StrCat("127.0.0.1:", PickFreePort()); }

TEST_CASE("cluster: brokers that come back at other peer addresses find each other") {
  ClusterOptions options;
  SUBCASE("by their certificates") { options.tls = true; }
  SUBCASE("without certificates") {}
  Cluster cluster(options);
  cluster.Start();
  const double all = Move(cluster, {0, 1, 2}, {FreeAddress(), FreeAddress(), FreeAddress()}, "all");
  MESSAGE("three brokers restarted at once with new peer addresses serve metadata after ", all,
          " s");
  const double two = Move(cluster, {1, 2}, {FreeAddress(), FreeAddress()}, "two");
  MESSAGE("two of three: ", two, " s");
  const auto at = [&](int i) { return ArgOf(cluster.at(i), "--cluster-listen"); };
  const double swapped = Move(cluster, {0, 1}, {at(1), at(0)}, "swapped");
  MESSAGE("two that have each other's address: ", swapped, " s");
  const double turned = Move(cluster, {0, 1, 2}, {at(1), at(2), at(0)}, "turned");
  MESSAGE("three that have each other's addresses: ", turned, " s");
}

TEST_CASE(
    "cluster: an emptied seed that was told of its cluster starts none, though all fall silent") {
  Cluster cluster;
  cluster.Start();
  MainBroker& seed = cluster.at(0);
  seed.Kill();
  std::filesystem::remove_all(seed.data());
  const int leader = cluster.AwaitLeaderOtherThan(0);
  const int other = leader == 1 ? 2 : 1;
  cluster.nats().Freeze();
  cluster.at(leader).Signal(SIGSTOP);
  seed.args().insert(seed.args().end(), {"--cluster-join", cluster.PeerAddress(leader),
                                         "--cluster-join", cluster.PeerAddress(other)});
  seed.Launch();
  CLUSTER_REQUIRE(cluster, Eventually([&] { return Has(seed.Log(), "names the cluster"); }));
  cluster.at(other).Signal(SIGSTOP);
  CLUSTER_REQUIRE(
      cluster, Eventually([&] { return Has(seed.Log(), "waiting for the cluster"); }, seconds(30)));
  CLUSTER_CHECK(cluster, !Has(seed.Log(), "started the cluster"));
  seed.Kill();
  // The next start asks nobody who could answer, and knows it all the same.
  cluster.nats().Thaw();
  seed.Launch();
  CLUSTER_REQUIRE(
      cluster, Eventually([&] { return Has(seed.Log(), "waiting for the cluster"); }, seconds(30)));
  CLUSTER_CHECK(cluster, !Has(seed.Log(), "started the cluster"));
  CLUSTER_CHECK(cluster, Has(seed.Log(), "cluster.known"));
  cluster.at(leader).Signal(SIGCONT);
  cluster.at(other).Signal(SIGCONT);
  seed.AwaitServing(seconds(40));
  cluster.AwaitAllLive();
  CLUSTER_CHECK(cluster, Has(seed.Log(), "joined the cluster"));
  CHECK_FALSE(std::filesystem::exists(seed.data() + "/cluster.known"));
}

TEST_CASE("cluster: what a broker says to do about a cluster that is gone for good works") {
  Cluster cluster({.brokers = 1});
  MainBroker& seed = cluster.at(0);
  seed.Start();
  MainBroker& second = cluster.Add({"--raft-bootstrap-seed"});
  // It is told of a cluster, and cannot join it: the id is in use.
  SetArg(second, "--server-id", "b1");
  const ExitStatus refused = second.StartRefused();
  CHECK(refused.code == 1);
  CHECK(std::filesystem::exists(second.data() + "/cluster.known"));
  seed.Kill();
  second.Launch();
  CLUSTER_REQUIRE(cluster, Eventually([&] { return Has(second.Log(), "waiting for the cluster"); },
                                      seconds(30)));
  CLUSTER_CHECK(cluster,
                Has(second.Log(), absl::StrCat("remove ", second.data(), "/cluster.known")));
  second.Kill();
  std::filesystem::remove(second.data() + "/cluster.known");
  second.Start();
  CLUSTER_CHECK(cluster, Has(second.Log(), "started the cluster"));
}

TEST_CASE("cluster: a copied data directory beside its original is refused, and changes nothing") {
  Cluster cluster({.tls = true});
  cluster.Start();
  MainBroker& original = cluster.at(1);
  original.Stop();
  TempDir files;
  std::filesystem::copy(original.data(), files.Path("copy"),
                        std::filesystem::copy_options::recursive);
  original.Start();
  cluster.AwaitAllLive();
  std::vector<std::string> args = original.args();
  MainBroker copy(cluster.nats().url(), args, files.Path("copy"));
  SetArg(copy, "--cluster-listen", FreeAddress());
  const ExitStatus exit = copy.StartRefused();
  CHECK(exit.code == 1);
  CHECK_MESSAGE(Has(copy.Log(), absl::StrCat("server id b2 is in use by the broker at ",
                                             cluster.PeerAddress(1))),
                copy.Tail());
  CHECK_MESSAGE(Has(copy.Log(), "is a copy of that one's"), copy.Tail());
  cluster.AwaitAllLive();
  CHECK(original.Running());
  CLUSTER_CHECK(cluster, AllKnowAll(cluster));
}

TEST_CASE("a copied data directory of a broker that is alone is refused beside its original") {
  auto nats = StartNats();
  MainBroker original(nats->url());
  original.Start();
  original.Stop();
  TempDir files;
  std::filesystem::copy(original.data(), files.Path("copy"),
                        std::filesystem::copy_options::recursive);
  original.Start();
  MainBroker copy(nats->url(), {}, files.Path("copy"));
  CHECK(copy.StartRefused().code == 1);
  CHECK_MESSAGE(Has(copy.Log(), "is in use by the broker at process"), copy.Tail());
  BROKER_CHECK(original, original.Running());
  // As the text says.
  std::filesystem::remove_all(files.Path("copy"));
  copy.Start();
}

}  // namespace
}  // namespace bascule::cluster_job
