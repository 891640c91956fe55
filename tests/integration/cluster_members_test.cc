// Who belongs to a cluster: how brokers come and go, and two that have one id.
#include <algorithm>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "tests/integration/cluster_world.h"

namespace bascule::cluster_job {
namespace {

using std::chrono::seconds;

constexpr auto kLong = seconds(30);  // sessions, refusals and removals have their own periods

// The command succeeds within the patience; members change one at a time, and leaders hand over.
void Insist(Cluster& cluster, const std::vector<std::string>& command, const std::string& says) {
  RunResult last;
  const bool done = Eventually([&] {
    last = RunCli(cluster.at(0).address(), command);
    return last.exit.code == 0;
  });
  REQUIRE_MESSAGE(done, last.errors, cluster.Tail());
  CHECK_MESSAGE(Has(last.output, says), last.output);
}

std::vector<std::string> MembersOf(MainBroker& broker) {
  std::vector<std::string> members;
  if (const auto status = StatusOf(broker)) {
    for (const auto& member : status->members()) members.push_back(member.server_id());
  }
  return members;
}

TEST_CASE("cluster: a peer list starts it, others join by address or by invitation, and leave") {
  auto elsewhere = StartNats();  // a NATS on which no member is found
  Cluster cluster({.brokers = 3, .peers = true});
  cluster.Start();
  cluster.Add({"--cluster-join", cluster.PeerAddress(1)}, elsewhere->url()).Start();
  cluster.AwaitAllLive();
  MainBroker& invited = cluster.Add({}, elsewhere->url());
  invited.Launch();
  REQUIRE_MESSAGE(Eventually([&] { return Has(invited.Log(), "peers connect to"); }),
                  invited.Tail());
  const RunResult added =
      RunCli(cluster.at(2).address(), {"cluster", "add", cluster.PeerAddress(4)});
  CHECK_MESSAGE(added.exit.code == 0, added.errors, invited.Tail());
  CHECK(Has(added.output, "is a member now"));
  invited.AwaitServing();
  cluster.AwaitAllLive();
  cluster.AwaitAllVote();

  for (const std::string to : {"b2", "b3"}) {
    Insist(cluster, {"cluster", "transfer", to}, absl::StrCat("led by ", to, " now"));
    CHECK(cluster.AwaitLeader() == (to == "b2" ? 1 : 2));
  }

  RunResult refused = RunCli(cluster.at(0).address(), {"cluster", "remove", "b5"});
  CHECK(refused.exit.code == 1);
  CHECK_MESSAGE(Has(refused.errors, "is alive"), refused.errors);
  CHECK_MESSAGE(Has(refused.errors, "--force does that"), refused.errors);
  refused = RunCli(cluster.at(0).address(), {"cluster", "remove", "b9"});
  CHECK(refused.exit.code == 3);
  Insist(cluster, {"cluster", "remove", "b5", "--force"}, "Removed b5");
  const auto ended = invited.AwaitEnd(kLong);
  REQUIRE_MESSAGE(ended.has_value(), "a removed broker runs on:\n", invited.Tail());
  CHECK(ended->code == 1);
  CHECK_MESSAGE(Has(invited.Log(), "was removed from"), invited.Tail());
  for (int i = 0; i < 4; ++i) {
    CHECK(Eventually([&] {
      return MembersOf(cluster.at(i)) == std::vector<std::string>{"b1", "b2", "b3", "b4"};
    }));
  }

  // The leader goes too, once it has been stopped.
  const int leader = cluster.AwaitLeader();
  cluster.at(leader).Stop();
  const int heir = leader == 0 ? 1 : 0;
  RunResult removed;
  CHECK(Eventually([&] {
    removed = RunCli(cluster.at(heir).address(), {"cluster", "remove", IdOf(leader)});
    return removed.exit.code == 0;
  }));
  CHECK_MESSAGE(removed.exit.code == 0, removed.errors, cluster.Tail());
  // Its directory cannot come back: it asks, is told, and ends.
  const ExitStatus ended_again = cluster.at(leader).StartRefused();
  CHECK_MESSAGE(ended_again.code == 1, cluster.at(leader).Tail());
  // By the others' word, or by the log that one of them still sent it: the way back is the same.
  CHECK_MESSAGE(Has(cluster.at(leader).Log(), "to join again move"), cluster.at(leader).Tail());
  // An empty one can.
  std::filesystem::remove_all(cluster.at(leader).data());
  cluster.at(leader).Start();
  CHECK(Eventually([&] { return MembersOf(cluster.at(heir)).size() == 4; }));
}

// Its own log names neither the newcomer nor where it is, and nobody but the leader tells it more.
TEST_CASE("cluster: a broker comes back under a leader that joined while it was away") {
  Cluster cluster({.brokers = 3, .peers = true});
  cluster.Start();
  const int away = 2;
  cluster.at(away).Stop();
  for (int i = 3; i < 5; ++i) cluster.Add({"--cluster-join", cluster.PeerAddress(0)}).Start();
  const auto lead = [&] {
    const bool moved = Eventually([&] {
      return RunCli(cluster.at(3).address(), {"cluster", "transfer", "b4"}).exit.code == 0 &&
             cluster.Leader() == 3;
    });
    REQUIRE_MESSAGE(moved, cluster.Tail());
  };
  lead();
  // What those who led before have to say to it goes with their processes.
  for (const int old : {0, 1}) {
    cluster.at(old).Stop();
    cluster.at(old).Start();
    cluster.AwaitLeader();
  }
  lead();
  cluster.at(away).Start();
  cluster.AwaitAllLive();
  CHECK(cluster.AwaitLeader() == 3);
  CLUSTER_CHECK(cluster, Has(cluster.at(away).Log(), "broker b4 at"));
}

TEST_CASE("cluster: a second broker with a live one's id is refused") {
  Cluster cluster;
  cluster.Start();
  MainBroker twin(cluster.nats().url(),
                  {"--server-id", "b2", "--namespace", kNamespace, "--cluster-listen",
                   absl::StrCat("127.0.0.1:", PickFreePort()), "--cluster-insecure"});
  const auto begun = std::chrono::steady_clock::now();
  const ExitStatus exit = twin.StartRefused();
  const auto took = std::chrono::steady_clock::now() - begun;
  MESSAGE("refused after ", std::chrono::duration<double>(took).count(), " s: ", twin.Tail());
  CHECK(took < seconds(18));
  CHECK(exit.code == 1);
  CHECK_MESSAGE(Has(twin.Log(), absl::StrCat("server id b2 is in use by the broker at ",
                                             cluster.PeerAddress(1))),
                twin.Tail());
  CHECK_MESSAGE(Has(twin.Log(),
                    "give this one an id of its own (clustering.server.id, and an empty "
                    "data directory"),
                twin.Tail());
  cluster.AwaitAllLive();
  // That done, it is the fourth.
  std::filesystem::remove_all(twin.data());
  std::replace(twin.args().begin(), twin.args().end(), std::string("b2"), std::string("b4"));
  twin.Start();
  CHECK(Eventually([&] { return MembersOf(cluster.at(0)).size() == 4; }));
}

TEST_CASE("cluster: a broker with another's certificate is refused, and one is made for it") {
  Cluster cluster({.brokers = 1, .tls = true});
  cluster.Start();
  const std::string certs = cluster.Certificates();
  MainBroker& second = cluster.Add();
  for (std::string& arg : second.args()) {
    if (arg.starts_with(certs + "/b2.")) arg.replace(certs.size() + 1, 2, "b1");
  }
  CHECK(second.StartRefused().code != 0);
  CHECK_MESSAGE(Has(second.Log(),
                    "b1.pem is the certificate of broker 'b1', and this one is 'b2': "
                    "make one for it (bascule cluster certs --server-id b2)"),
                second.Tail());
  const RunResult made =
      RunTool("bascule", {"cluster", "certs", "--out", certs, "--server-id", "b2"});
  REQUIRE_MESSAGE(made.exit.ok(), made.errors);
  for (std::string& arg : second.args()) {
    if (arg.starts_with(certs + "/b1.")) arg.replace(certs.size() + 1, 2, "b2");
  }
  second.Start();
  CHECK(Eventually([&] { return MembersOf(cluster.at(0)).size() == 2; }));
}

TEST_CASE("cluster: a broker that comes back at another peer address is found again") {
  Cluster cluster;
  cluster.Start();
  MainBroker& moved = cluster.at(2);
  moved.Stop();
  const std::string address = absl::StrCat("127.0.0.1:", PickFreePort());
  for (size_t i = 0; i + 1 < moved.args().size(); ++i) {
    if (moved.args()[i] == "--cluster-listen") moved.args()[i + 1] = address;
  }
  moved.Start();
  cluster.AwaitAllLive();
  CHECK(Eventually([&] {
    const auto status = StatusOf(cluster.at(0));
    return status && status->members_size() == 3 && status->members(2).peer_address() == address;
  }));
}

TEST_CASE("cluster: two of three directories are lost; the quorum is recovered by hand") {
  Cluster cluster;
  cluster.Start();
  for (int i = 0; i < 6; ++i) {
    const grpc::Status made =
        CreateStream(cluster.at(i % 3).api(), absl::StrCat("s", i), kPatience);
    CLUSTER_REQUIRE(cluster, made.ok());
  }
  std::vector<std::string> kept;
  for (int i = 0; i < 6; ++i) {
    const std::string stream = absl::StrCat("s", i);
    if (LeaderOf(cluster.at(2), stream) != "b3") continue;
    cluster.at(2).Publish(stream, "kept");
    kept.push_back(stream);
  }
  REQUIRE(kept.size() == 2);
  for (int i = 0; i < 3; ++i) cluster.at(i).Kill();
  for (int i = 0; i < 2; ++i) std::filesystem::remove_all(cluster.at(i).data());

  MainBroker& survivor = cluster.at(2);
  const RunResult recovered =
      RunTool("basculed", {"--recover-quorum", "--data-dir", survivor.data()});
  REQUIRE_MESSAGE(recovered.exit.ok(), recovered.errors);
  MESSAGE(recovered.output);
  CHECK(Has(recovered.output, "b3 is the only member"));
  CHECK(Has(recovered.output, "6 streams"));
  survivor.Start();
  for (const std::string& stream : kept) {
    const auto messages = survivor.ReadAll(stream);
    REQUIRE(messages.size() == 1);
    CHECK(messages[0].value() == "kept");
  }
  const grpc::Status made = CreateStream(survivor.api(), "after", kPatience);
  CHECK_MESSAGE(made.ok(), made.error_message(), survivor.Tail());
  cluster.at(0).Start();
  cluster.at(1).Start();
  cluster.AwaitAllLive();
  cluster.AwaitAllVote();
  const std::string table = cluster.AwaitSameTables();
  for (int i = 0; i < 6; ++i) CHECK(Has(table, absl::StrCat("s", i, " ")));
}

}  // namespace
}  // namespace bascule::cluster_job
