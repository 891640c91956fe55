// Brokers that lose their disk, or a bit of their metadata.
#include <algorithm>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "tests/integration/cluster_world.h"

namespace bascule::cluster_job {
namespace {

namespace fs = std::filesystem;

constexpr int kStreams = 6;

std::string NameOf(int i) { return absl::StrCat("s", i); }

// kStreams streams, made through every broker in turn, a message in each.
void MakeStreams(Cluster& cluster) {
  for (int i = 0; i < kStreams; ++i) {
    const grpc::Status made =
        CreateStream(cluster.at(i % cluster.size()).api(), NameOf(i), kPatience);
    CLUSTER_REQUIRE(cluster, made.ok());
    for (int b = 0; b < cluster.size(); ++b) {
      if (LeaderOf(cluster.at(b), NameOf(i)) == IdOf(b))
        cluster.at(b).Publish(NameOf(i), NameOf(i));
    }
  }
}

// Broker `b` serves every stream that it leads, whole. Returns how many those are.
int CheckServed(Cluster& cluster, int b) {
  int led = 0;
  for (int i = 0; i < kStreams; ++i) {
    if (LeaderOf(cluster.at(b), NameOf(i)) != IdOf(b)) continue;
    ++led;
    const auto messages = cluster.at(b).ReadAll(NameOf(i));
    CLUSTER_REQUIRE(cluster, messages.size() == 1);
    CHECK(messages[0].value() == NameOf(i));
  }
  return led;
}

void FlipBit(const std::string& path, uint64_t offset) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  REQUIRE_MESSAGE(file.good(), path);
  file.seekg(static_cast<std::streamoff>(offset));
  const char byte = static_cast<char>(file.get() ^ 0x10);
  file.seekp(static_cast<std::streamoff>(offset));
  file.put(byte);
  REQUIRE(file.good());
}

// The files of `data`/meta whose names begin like this, oldest first.
std::vector<std::string> MetaFiles(const std::string& data, const std::string& prefix) {
  std::vector<std::string> paths;
  for (const auto& entry : fs::directory_iterator(data + "/meta")) {
    if (entry.path().filename().string().starts_with(prefix)) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

// Broker 1 was refused: without its metadata it joins again, and still serves its partitions.
void CheckRejoins(Cluster& cluster, int led) {
  MainBroker& broker = cluster.at(1);
  static int moved = 0;
  fs::rename(broker.data() + "/meta", absl::StrCat(broker.data(), "/../meta-", ++moved));
  broker.Start();
  cluster.AwaitAllLive();
  cluster.AwaitAllVote();
  cluster.AwaitSameTables();
  CHECK(Eventually([&] { return CheckServed(cluster, 1) == led; }));
}

TEST_CASE("cluster: the seed's directory is wiped; it comes back by itself as a new member") {
  Cluster cluster;
  cluster.Start();
  MakeStreams(cluster);
  const auto before = StatusOf(cluster.at(1));
  REQUIRE(before.has_value());
  std::vector<std::string> lost;
  for (int i = 0; i < kStreams; ++i) {
    if (LeaderOf(cluster.at(1), NameOf(i)) == "b1") lost.push_back(NameOf(i));
  }
  REQUIRE(lost.size() == 2);
  cluster.at(0).Kill();
  fs::remove_all(cluster.at(0).data());
  const auto begun = std::chrono::steady_clock::now();
  cluster.at(0).Start();
  MESSAGE("serves again after ",
          std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count(), " s");
  cluster.AwaitAllLive();
  cluster.AwaitAllVote();
  const auto after = StatusOf(cluster.at(1));
  REQUIRE(after.has_value());
  CHECK(after->cluster_id() == before->cluster_id());
  CHECK(after->members(0).server_id() == "b1");
  CHECK(after->members(0).node() != before->members(0).node());
  CHECK(after->members(1).node() == before->members(1).node());
  cluster.AwaitSameTables();
  for (int b = 0; b < cluster.size(); ++b) CHECK(CheckServed(cluster, b) == (b == 0 ? 0 : 2));
  const RunResult info = RunCli(cluster.at(1).address(), {"stream", "info", lost[0]});
  MESSAGE(info.output, info.errors);
  CHECK(Has(info.output + info.errors, "leader"));
  const RunResult status = RunCli(cluster.at(1).address(), {"cluster", "status"});
  CHECK(status.exit.code == 6);
  CHECK_MESSAGE(Has(status.output, "2 partitions have no leader"), status.output);
  for (const std::string& stream : lost) {
    const RunResult erased = RunCli(cluster.at(2).address(), {"stream", "delete", stream, "--yes"});
    CHECK_MESSAGE(erased.exit.code == 0, erased.errors, cluster.Tail());
    const grpc::Status made = CreateStream(cluster.at(0).api(), stream, kPatience);
    CHECK_MESSAGE(made.ok(), made.error_message(), cluster.Tail());
  }
  CHECK(Eventually([&] {
    return RunCli(cluster.Servers(), {"cluster", "status"}).exit.code == 0;
  }));
}

TEST_CASE("cluster: a flipped bit in the hard state or in the log of one broker") {
  Cluster cluster;
  cluster.Start();
  MakeStreams(cluster);
  MainBroker& broker = cluster.at(1);
  const int led = CheckServed(cluster, 1);
  REQUIRE(led == 2);
  constexpr uint64_t kCopy = 4096, kTerm = 16;

  broker.Stop();
  FlipBit(broker.data() + "/meta/hardstate", kTerm);
  broker.Start();
  CHECK_MESSAGE(Has(broker.Log(), "copy 1 of term and vote is torn or damaged"), broker.Tail());
  cluster.AwaitAllLive();
  CHECK(CheckServed(cluster, 1) == led);

  broker.Stop();
  FlipBit(broker.data() + "/meta/hardstate", kTerm);
  FlipBit(broker.data() + "/meta/hardstate", kCopy + kTerm);
  CHECK(broker.StartRefused().code == 1);
  CHECK_MESSAGE(Has(broker.Log(), "hardstate is damaged: whom this broker voted for is not known"),
                broker.Tail());
  CHECK_MESSAGE(Has(broker.Log(), absl::StrCat("move ", broker.data(), "/meta away and start")),
                broker.Tail());
  CheckRejoins(cluster, led);

  const grpc::Status made = CreateStream(cluster.at(0).api(), "more", kPatience);
  CLUSTER_REQUIRE(cluster, made.ok());
  cluster.AwaitSameTables();
  broker.Stop();
  constexpr uint64_t kFirstRecord = 64 + 48;  // its data, or the next record's head
  FlipBit(MetaFiles(broker.data(), "log-").back(), kFirstRecord);
  CHECK(broker.StartRefused().code == 1);
  CHECK_MESSAGE(Has(broker.Log(), "/meta/log-"), broker.Tail());
  CHECK_MESSAGE(Has(broker.Log(), "damage"), broker.Tail());
  CHECK_MESSAGE(Has(broker.Log(), absl::StrCat("move ", broker.data(), "/meta away and start")),
                broker.Tail());
  CheckRejoins(cluster, led);
}

TEST_CASE("cluster: a flipped bit in a snapshot of one broker") {
  Cluster cluster({.args = {"--set", "clustering.raft.snapshot.threshold=16"}});
  cluster.Start();
  MakeStreams(cluster);
  MainBroker& broker = cluster.at(1);
  const int led = CheckServed(cluster, 1);
  const auto snapshots = [&] { return MetaFiles(broker.data(), "snapshot-"); };
  for (int i = 0; i < 40; ++i) {
    const grpc::Status made =
        CreateStream(cluster.at(i % 3).api(), absl::StrCat("more-", i), kPatience);
    CLUSTER_REQUIRE(cluster, made.ok());
  }
  cluster.AwaitSameTables();
  CLUSTER_REQUIRE(cluster, Eventually([&] { return snapshots().size() == 2; }));
  constexpr uint64_t kState = 80;

  broker.Stop();
  FlipBit(snapshots().back(), kState);
  broker.Start();
  CHECK_MESSAGE(Has(broker.Log(), "/meta/snapshot-"), broker.Tail());
  CHECK_MESSAGE(Has(broker.Log(), "damaged"), broker.Tail());
  cluster.AwaitAllLive();
  cluster.AwaitSameTables();
  CHECK(CheckServed(cluster, 1) == led);

  broker.Stop();
  for (const std::string& snapshot : snapshots()) FlipBit(snapshot, kState);
  CHECK(broker.StartRefused().code == 1);
  CHECK_MESSAGE(Has(broker.Log(), "/meta/snapshot-"), broker.Tail());
  CHECK_MESSAGE(Has(broker.Log(), absl::StrCat("move ", broker.data(), "/meta away and start")),
                broker.Tail());
  CheckRejoins(cluster, led);
}

}  // namespace
}  // namespace bascule::cluster_job
