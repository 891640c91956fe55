// Three brokers with a stream of three replicas under a steady load: leaders are killed, stopped,
// and stand still. Nothing that was acked may be lost, and somebody acks again soon.
// BASCULE_TEST_FAILOVER_SECONDS: how long each case goes on; BASCULE_TEST_FAILOVER_RATE: messages per
// second.
#include <csignal>
#include <cstdlib>

#include "absl/strings/str_split.h"
#include "tests/integration/cluster_world.h"
#include "tests/integration/failover_flood.h"

namespace bascule::cluster_job {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using FailoverClock = std::chrono::steady_clock;

constexpr milliseconds kPatienceForAck{10'000};

int FailoverRate(int otherwise) {
  const char* text = std::getenv("BASCULE_TEST_FAILOVER_RATE");
  return text != nullptr ? std::atoi(text) : otherwise;
}

double InMilliseconds(FailoverClock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

struct Failover {
  explicit Failover(int rate) : cluster({.brokers = 3, .peers = true}) {
    cluster.Start();
    cluster.at(0).CreateStream("orders", "orders.in", [](v1::CreateStreamRequest& request) {
      request.set_replication_factor(3);
      request.mutable_settings()->set_reply_acks(v1::REPLY_ACKS_JETSTREAM);
    });
    AwaitWhole();
    flood.emplace(cluster.nats().url(), "orders.in", rate);
    REQUIRE_MESSAGE(flood->AckedAfter(FailoverClock::now(), kPatienceForAck), cluster.Tail());
  }

  // Position of the partition's leader, as a live broker says.
  int PartitionLeader() {
    std::string leader;
    CLUSTER_REQUIRE(cluster, Eventually(
                                 [&] {
                                   for (int i = 0; i < 3 && leader.empty(); ++i) {
                                     if (cluster.at(i).Running())
                                       leader = LeaderOf(cluster.at(i), "orders");
                                   }
                                   return !leader.empty();
                                 },
                                 kPatience));
    return leader.back() - '1';
  }
  bool Whole(int i) {
    const auto metadata = MetadataOf(cluster.at(i));
    if (!metadata) return false;
    for (const auto& stream : metadata->streammetadata()) {
      const auto partition = stream.partitions().find(0);
      if (stream.name() == "orders" && partition != stream.partitions().end())
        return partition->second.isr_size() == 3;
    }
    return false;
  }
  void AwaitWhole() {
    CLUSTER_REQUIRE(cluster,
                    Eventually([&] { return Whole(0) && Whole(1) && Whole(2); }, kPatience));
  }
  void NoteBlow(FailoverClock::time_point blow) {
    const auto acked = flood->AckedAfter(blow, kPatienceForAck);
    CLUSTER_REQUIRE(cluster, acked.has_value());
    waits.push_back(InMilliseconds(*acked - blow));
  }
  // Every acked message is at its offset; every offset once.
  void Finish(const std::string& what) {
    const FailoverFlood::Result result = flood->Stop(seconds(5));
    AwaitWhole();
    std::map<int64_t, std::string> stored;
    for (const proto::Message& message : cluster.at(PartitionLeader()).ReadAll("orders"))
      CHECK(stored.emplace(message.offset(), message.value()).second);
    int64_t lost = 0;
    for (const auto& [number, offset] : result.acked) {
      const auto found = stored.find(static_cast<int64_t>(offset));
      lost += found == stored.end() || found->second != absl::StrCat("m", number) ? 1 : 0;
    }
    MESSAGE(what, ": time without acks ", Distribution(waits), "; sent ", result.sent, ", acked ",
            result.acked.size(), ", refused or unknown ", result.refused, ", stored ",
            stored.size(), ", acked and lost ", lost);
    CLUSTER_CHECK(cluster, lost == 0);
    CHECK(result.acked.size() >= 100);
  }

  Cluster cluster;
  std::optional<FailoverFlood> flood;
  std::vector<double> waits;
};

}  // namespace

TEST_CASE("cluster failover: the partition's leader is killed again and again under load") {
  Failover test(FailoverRate(2000));
  const auto end = FailoverClock::now() + TestSeconds("BASCULE_TEST_FAILOVER_SECONDS", 15);
  do {
    const int leader = test.PartitionLeader();
    const auto blow = FailoverClock::now();
    test.cluster.at(leader).Kill();
    test.NoteBlow(blow);
    test.cluster.at(leader).Launch();
    test.cluster.at(leader).AwaitServing();
    test.AwaitWhole();
  } while (FailoverClock::now() < end);
  test.Finish("killed");
}

TEST_CASE("cluster failover: brokers are stopped in order one after another under load") {
  Failover test(FailoverRate(2000));
  for (int round = 0; round < 3; ++round) {
    const int leader = test.PartitionLeader();
    const auto blow = FailoverClock::now();
    test.cluster.at(leader).Stop();
    test.NoteBlow(blow);
    CHECK(test.PartitionLeader() != leader);
    test.cluster.at(leader).Start();
    test.AwaitWhole();
  }
  test.Finish("stopped in order");
}

TEST_CASE("cluster failover: a leader that stands still is replaced and comes back as a follower") {
  Failover test(FailoverRate(2000));
  const int leader = test.PartitionLeader();
  const auto blow = FailoverClock::now();
  test.cluster.at(leader).Signal(SIGSTOP);
  test.NoteBlow(blow);
  test.cluster.at(leader).Signal(SIGCONT);
  test.AwaitWhole();
  test.Finish("stood still");
}

TEST_CASE("cluster failover: all brokers die at once and keep what was acked") {
  Failover test(FailoverRate(2000));
  for (int i = 0; i < 3; ++i) test.cluster.at(i).Kill();
  for (int i = 0; i < 3; ++i) test.cluster.at(i).Launch();
  for (int i = 0; i < 3; ++i) test.cluster.at(i).AwaitServing();
  test.cluster.AwaitAllLive();
  test.AwaitWhole();
  test.NoteBlow(FailoverClock::now());
  test.Finish("all killed");
}

}  // namespace bascule::cluster_job
