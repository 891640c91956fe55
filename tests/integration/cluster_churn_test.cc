// Streams are created and deleted through all brokers while brokers die, stand still and restart.
// BASCULE_TEST_CLUSTER_SECONDS: how long each case goes on.
#include <csignal>
#include <random>

#include "absl/strings/str_cat.h"
#include "tests/integration/cluster_load.h"

namespace bascule::cluster_job {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr double kLongestWait = 2000;  // ms until the next create is accepted
constexpr milliseconds kPeriod{2000};

// A load that runs already, and how long the next create took after each blow.
struct Churn {
  explicit Churn(int brokers, bool late_attempts = false) : cluster({.brokers = brokers}) {
    cluster.Start();
    load.emplace(cluster, LoadOptions{.late_attempts = late_attempts});
    REQUIRE_MESSAGE(load->AcceptedAfter(TestClock::now()).has_value(), cluster.Tail());
    load->LongestPause();
    load->LongestCreate();
  }

  void Note(TestClock::time_point since) {
    const auto wait = load->AcceptedAfter(since);
    REQUIRE_MESSAGE(wait.has_value(), "no create is accepted any more\n", cluster.Tail());
    waits.push_back(static_cast<double>(wait->count()));
    if (waits.back() > kLongestWait)
      MESSAGE("a create waited ", waits.back(), " ms\n", cluster.Tail());
  }

  void Finish() {
    load->Stop();
    MESSAGE(cluster.size(), " brokers: next create accepted after ", Distribution(waits));
    MESSAGE("longest time without any accepted create ", load->LongestPause(),
            " ms, longest create of one client with all its attempts ", load->LongestCreate(),
            " ms; ", load->Summary());
    CHECK(Max(waits) <= kLongestWait);
    cluster.AwaitAllLive();
    load->CheckKept(cluster);
  }

  // At most until the load has done something; a test's pace, not its synchronisation.
  void RestUntil(TestClock::time_point time) {
    const auto left = std::chrono::duration_cast<milliseconds>(time - TestClock::now());
    if (left.count() > 0) (void)Eventually([] { return false; }, left);
  }

  Cluster cluster;
  std::optional<StreamLoad> load;
  std::vector<double> waits;
};

void KillLeaders(int brokers, int default_seconds) {
  Churn churn(brokers);
  const auto end = TestClock::now() + TestSeconds("BASCULE_TEST_CLUSTER_SECONDS", default_seconds);
  std::vector<double> restarts;
  while (TestClock::now() < end) {
    const int leader = churn.cluster.AwaitLeader();
    const auto killed = TestClock::now();
    churn.cluster.at(leader).Kill();
    churn.Note(killed);
    const auto restarted = TestClock::now();
    churn.cluster.at(leader).Launch();
    churn.cluster.at(leader).AwaitServing();
    restarts.push_back(
        std::chrono::duration<double, std::milli>(TestClock::now() - restarted).count());
    churn.RestUntil(killed + kPeriod);
  }
  MESSAGE("killed brokers serve again after ", Distribution(restarts));
  churn.Finish();
}

TEST_CASE("cluster: 3 brokers, the metadata leader is killed every 2 s") { KillLeaders(3, 12); }

TEST_CASE("cluster: 5 brokers, the metadata leader is killed every 2 s") { KillLeaders(5, 12); }

void StopAndContinue(int brokers, int default_seconds) {
  Churn churn(brokers, /*late_attempts=*/true);
  std::mt19937 random(7);
  const auto end = TestClock::now() + TestSeconds("BASCULE_TEST_CLUSTER_SECONDS", default_seconds);
  for (int n = 0; TestClock::now() < end; ++n) {
    // Every other time the leader.
    const int leader = churn.cluster.AwaitLeader();
    const int other = static_cast<int>(random() % static_cast<unsigned>(brokers));
    MainBroker& broker = churn.cluster.at(n % 2 == 0 ? leader : other);
    const auto stopped = TestClock::now();
    broker.Signal(SIGSTOP);
    churn.Note(stopped);
    churn.RestUntil(stopped + milliseconds(100 + random() % 2900));
    broker.Signal(SIGCONT);
    // Whole again before the next one: two that stand still are no majority of three.
    churn.cluster.AwaitAllLive();
  }
  churn.Finish();
  for (int i = 0; i < churn.cluster.size(); ++i)
    CHECK_MESSAGE(churn.cluster.at(i).Running(), churn.cluster.at(i).Tail());
}

TEST_CASE("cluster: 3 brokers, one after the other stands still for a while") {
  StopAndContinue(3, 12);
}

TEST_CASE("cluster: 5 brokers, one after the other stands still for a while") {
  StopAndContinue(5, 8);
}

TEST_CASE("cluster: a rolling restart under load") {
  Churn churn(3);
  for (int i = 0; i < churn.cluster.size(); ++i) {
    CAPTURE(i);
    const int leader = churn.cluster.AwaitLeader();
    const auto begun = TestClock::now();
    churn.cluster.at(i).Stop();
    // Whoever led handed over before it ended: nobody needs an election now.
    const auto status = StatusOf(churn.cluster.at((i + 1) % churn.cluster.size()));
    CLUSTER_REQUIRE(churn.cluster, status.has_value());
    CHECK_FALSE(status->leader().empty());
    CHECK(status->leader() != IdOf(i));
    MESSAGE(IdOf(i), std::string(i == leader ? " (the leader)" : ""), " stopped in ",
            std::chrono::duration<double, std::milli>(TestClock::now() - begun).count(), " ms");
    churn.Note(begun);
    churn.cluster.at(i).Start();
    churn.cluster.AwaitAllLive();
  }
  MESSAGE("longest time without an accepted create ", churn.load->LongestPause(), " ms");
  churn.Finish();
}

}  // namespace
}  // namespace bascule::cluster_job
