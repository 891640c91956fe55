// How soon a killed broker is noticed and fenced, in real processes: with the metadata leader alive, and when
// it is the metadata leader itself. BASCULE_TEST_FAILOVERS=10 kills so often; the times are printed.
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tests/integration/cluster_world.h"

namespace bascule::cluster_job {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A busy machine runs these beside others; replication/README.md section 6 has the budget.
constexpr double kFencedMs = 3000;

int Failovers() {
  int failovers = 2;
  const char* text = std::getenv("BASCULE_TEST_FAILOVERS");
  if (text != nullptr) REQUIRE(absl::SimpleAtoi(text, &failovers));
  return failovers;
}

size_t Occurrences(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

// How often the brokers but `killed` said that they fence it.
size_t TimesSaid(Cluster& cluster, int killed) {
  size_t said = 0;
  for (int i = 0; i < cluster.size(); ++i) {
    if (i != killed)
      said += Occurrences(cluster.at(i).Log(), absl::StrCat("fencing ", IdOf(killed)));
  }
  return said;
}

struct FailoverTimes {
  std::vector<double> noticed;  // a broker says that it fences
  std::vector<double> fenced;   // a survivor's clients see it
};

void KillOnce(Cluster& cluster, int killed, FailoverTimes& times) {
  const int survivor = (killed + 1) % cluster.size();
  const size_t before = TimesSaid(cluster, killed);
  const auto begun = TestClock::now();
  cluster.at(killed).Kill();
  double noticed = 0;
  const bool fenced = Eventually(
      [&] {
        if (noticed == 0 && TimesSaid(cluster, killed) > before) noticed = Seconds(begun) * 1000;
        const auto metadata = MetadataOf(cluster.at(survivor), milliseconds(200));
        return metadata && !LiveOf(*metadata).contains(IdOf(killed));
      },
      seconds(20));
  CLUSTER_REQUIRE(cluster, fenced);
  times.fenced.push_back(Seconds(begun) * 1000);
  times.noticed.push_back(noticed == 0 ? times.fenced.back() : noticed);
  cluster.at(killed).Start();
  cluster.AwaitAllLive();
  cluster.AwaitAllVote();
}

TEST_CASE("cluster: a killed broker is fenced when its connection cannot be made again") {
  Cluster cluster({.brokers = 3, .tls = true});
  cluster.Start();
  FailoverTimes others;
  FailoverTimes leaders;
  for (int i = 0; i < Failovers(); ++i) {
    KillOnce(cluster, (cluster.AwaitLeader() + 1) % cluster.size(), others);
    KillOnce(cluster, cluster.AwaitLeader(), leaders);
  }
  MESSAGE("a killed broker: noticed ", Distribution(others.noticed), ", fenced ",
          Distribution(others.fenced));
  MESSAGE("the killed metadata leader: noticed ", Distribution(leaders.noticed), ", fenced ",
          Distribution(leaders.fenced));
  CLUSTER_CHECK(cluster, Max(others.fenced) <= kFencedMs);
  CLUSTER_CHECK(cluster, Max(leaders.fenced) <= kFencedMs);
}

}  // namespace
}  // namespace bascule::cluster_job
