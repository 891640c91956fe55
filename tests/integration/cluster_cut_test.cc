// Brokers whose network is cut apart: who may go on, who must refuse, how they come together again.
#include "absl/strings/str_cat.h"
#include "tests/integration/cluster_network.h"
#include "tests/integration/cluster_world.h"

namespace bascule::cluster_job {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using TestClock = std::chrono::steady_clock;

constexpr int kBrokers = 5;
constexpr milliseconds kDeadline{1500};
constexpr milliseconds kGrace{500};  // of an answer behind its deadline

double Since(TestClock::time_point begun) {
  return std::chrono::duration<double, std::milli>(TestClock::now() - begun).count();
}

// The brokers, each with a NATS of its own: this is about what they say to each other.
struct CutWorld {
  explicit CutWorld(CutNetwork& made) : network(made) {
    for (int i = 0; i < kBrokers; ++i) {
      std::vector<std::string> args = {"--server-id", IdOf(i), "--namespace", kNamespace};
      const std::string own = absl::StrCat(network.PeerHost(i), ":9293");
      const std::string first = absl::StrCat(network.PeerHost(0), ":9293");
      args.insert(args.end(), {"--cluster-listen", own, "--cluster-insecure", "--embedded-nats",
                               "--set", "nats.embedded.port=0"});
      if (i == 0) {
        args.push_back("--raft-bootstrap-seed");
      } else {
        args.insert(args.end(), {"--cluster-join", first});
      }
      brokers.push_back(std::make_unique<MainBroker>("", args));
      brokers.back()->PutAt(absl::StrCat(network.ClientHost(i), ":9292"), network.Launcher(i));
    }
    for (const auto& broker : brokers) broker->Launch();
    for (const auto& broker : brokers) broker->AwaitServing(seconds(30));
    REQUIRE_MESSAGE(Eventually([&] { return AllLive() && AllVote(); }), Tail());
  }

  MainBroker& at(int i) { return *brokers.at(static_cast<size_t>(i)); }

  bool AllLive() {
    for (const auto& broker : brokers) {
      const auto metadata = MetadataOf(*broker);
      if (!metadata || LiveOf(*metadata).size() != kBrokers) return false;
    }
    return true;
  }

  bool AllVote() {
    const auto status = StatusOf(at(0));
    int voters = 0;
    if (!status) return false;
    for (const v1::ClusterMember& member : status->members()) voters += member.voter() ? 1 : 0;
    return voters == kBrokers;
  }

  bool Agree() {
    const std::string first = TableOf(at(0));
    if (first == "?" || Has(first, " - ")) return false;
    for (const auto& broker : brokers) {
      if (TableOf(*broker) != first) return false;
    }
    return true;
  }

  int Leader() {
    int leader = -1;
    const bool found = Eventually([&] {
      const auto status = StatusOf(at(0));
      for (int i = 0; status && i < kBrokers; ++i) {
        if (IdOf(i) == status->leader()) leader = i;
      }
      return leader >= 0;
    });
    REQUIRE_MESSAGE(found, Tail());
    return leader;
  }

  // Through `broker`, until one is accepted; milliseconds.
  double AwaitCreate(int broker, const std::string& prefix) {
    const auto begun = TestClock::now();
    int n = 0;
    grpc::Status last;
    const bool accepted = Eventually([&] {
      last = CreateStream(at(broker).api(), absl::StrCat(prefix, "-", n++), milliseconds(500));
      return last.ok();
    });
    CHECK_MESSAGE(accepted, last.error_message(), "\n", Tail());
    return Since(begun);
  }

  // Within its deadline, with a reason.
  void CheckRefuses(int broker, const std::string& name) {
    const auto begun = TestClock::now();
    const grpc::Status status = CreateStream(at(broker).api(), name, kDeadline);
    CHECK_MESSAGE(Since(begun) <= static_cast<double>((kDeadline + kGrace).count()), Tail());
    CHECK_MESSAGE(!status.ok(), IdOf(broker), " accepted ", name);
    MESSAGE(IdOf(broker), " refused after ", Since(begun), " ms: ", status.error_code(), " ",
            status.error_message());
    const bool told = status.error_code() == grpc::StatusCode::UNAVAILABLE ||
                      status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
    CHECK(told);
    CHECK_MESSAGE((Has(status.error_message(), "metadata leader")), status.error_message());
  }

  std::string Tail() const {
    std::string text;
    for (const auto& broker : brokers) text += broker->Tail() + "\n";
    return text;
  }

  CutNetwork& network;
  std::vector<std::unique_ptr<MainBroker>> brokers;
};

TEST_CASE("cluster: the network is cut; a majority goes on, a minority refuses, and they heal") {
  auto network = CutNetwork::Make(kBrokers);
  if (!network.ok()) {
    MESSAGE("skipped: ", network.status().message());
    return;
  }
  CutWorld world(**network);
  const auto cut = [&](const std::vector<int>& sides) {
    const absl::Status done = (*network)->Cut(sides);
    REQUIRE_MESSAGE(done.ok(), done.message());
  };
  world.AwaitCreate(0, "before");

  // The leader with one other on one side, three on the other.
  const int leader = world.Leader();
  const int companion = (leader + 1) % kBrokers, across = (leader + 2) % kBrokers;
  std::vector<int> sides(kBrokers, 1);
  sides[static_cast<size_t>(leader)] = sides[static_cast<size_t>(companion)] = 0;
  cut(sides);
  const double went_on = world.AwaitCreate(across, "majority");
  MESSAGE("the majority accepts a create ", went_on, " ms after the cut");
  CHECK(went_on <= 2000);
  for (const int minor : {leader, companion})
    world.CheckRefuses(minor, absl::StrCat("minority-", minor));
  auto healed = TestClock::now();
  cut(std::vector<int>(kBrokers, 0));
  CHECK_MESSAGE(Eventually([&] { return world.AllLive() && world.Agree(); }, seconds(30)),
                world.Tail());
  MESSAGE("healed after ", Since(healed), " ms");
  for (const int minor : {leader, companion}) {
    CHECK_FALSE(Has(TableOf(world.at(minor)), absl::StrCat("minority-", minor)));
    world.AwaitCreate(minor, absl::StrCat("healed-", minor));
  }

  // No side is a majority.
  cut({0, 0, 1, 1, 2});
  for (int i = 0; i < kBrokers; i += 2) {
    // The leader knows after an election timeout; until then what it took is not committed.
    world.CheckRefuses(i, absl::StrCat("nobody-", i));
  }
  healed = TestClock::now();
  cut(std::vector<int>(kBrokers, 0));
  const double again = world.AwaitCreate(3, "again");
  MESSAGE("the next create is accepted ", again, " ms after healing");
  CHECK_MESSAGE(Eventually([&] { return world.AllLive() && world.Agree(); }, seconds(30)),
                world.Tail());
  MESSAGE("healed after ", Since(healed), " ms");
}

}  // namespace
}  // namespace bascule::cluster_job
