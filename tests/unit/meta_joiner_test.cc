// How a broker without a cluster finds one, or starts one.
#include <doctest/doctest.h>

#include <optional>

#include "replication/meta/cluster_joiner.h"
#include "tests/support/fake_peer_transport.h"

namespace bascule {
namespace {

constexpr Duration kSecond = std::chrono::seconds(1);

// A member of a cluster, as strangers see it.
struct FakeMember : PeerEvents {
  void OnPeerUp(const PeerIdentity&) override {}
  void OnPeerDown(const PeerIdentity&) override {}
  void OnIntroduction(const std::string&, std::string request, Duration,
                      PeerHandler::Respond respond) override {
    const auto decoded = DecodeIntroRequest(request);
    REQUIRE(decoded.ok());
    if (const auto* join = std::get_if<JoinRequest>(&*decoded)) {
      joins.push_back(*join);
      if (!refusal.ok()) return respond(refusal);
      answer.members.push_back({join->node, join->server_id, join->address, false});
    }
    respond(EncodeIntroAnswer(answer));
  }
  IntroAnswer answer;
  absl::Status refusal;
  std::vector<JoinRequest> joins;
};

// A broker that looks for its cluster.
struct Seeker : PeerEvents {
  void OnPeerUp(const PeerIdentity&) override {}
  void OnPeerDown(const PeerIdentity&) override {}
  void OnIntroduction(const std::string& server_id, std::string request, Duration timeout,
                      PeerHandler::Respond respond) override {
    joiner->OnIntroduction(server_id, std::move(request), timeout, std::move(respond));
  }
  std::unique_ptr<ClusterJoiner> joiner;
  std::optional<absl::StatusOr<JoinOutcome>> outcome;
};

struct JoinWorld {
  JoinWorld() : scheduler(clock, 7), network(scheduler), home(scheduler.NewExecutor("home")) {}
  ~JoinWorld() { scheduler.DropAll(); }

  ClusterJoinerOptions Options(uint64_t id) {
    ClusterJoinerOptions options;
    options.cluster_namespace = "ns";
    options.server_id = Concat("b", id);
    options.node = PeerId(id);
    options.address = Concat("b", id, ":9293");
    return options;
  }
  Seeker& Seek(ClusterJoinerOptions options) {
    Seeker& seeker = *seekers.emplace_back(std::make_unique<Seeker>());
    FakePeerTransport& transport =
        network.Add({options.node, options.server_id, options.address, 1, 1});
    transport.HandleEvents(seeker);
    seeker.joiner = std::make_unique<ClusterJoiner>(home, clock, transport, std::move(options));
    seeker.joiner->Start(
        [&seeker](absl::StatusOr<JoinOutcome> o) { seeker.outcome = std::move(o); });
    return seeker;
  }
  FakeMember& Cluster(uint64_t id) {
    FakeMember& member = *members.emplace_back(std::make_unique<FakeMember>());
    const std::string address = Concat("b", id, ":9293");
    network.Add({PeerId(id), Concat("b", id), address, 1, 1}).HandleEvents(member);
    member.answer.cluster_namespace = "ns";
    member.answer.cluster_id = "theirs";
    member.answer.leader_address = address;
    member.answer.members = {{PeerId(id), Concat("b", id), address, true}};
    return member;
  }

  SimClock clock;
  SimScheduler scheduler;
  FakePeerNetwork network;
  SimExecutor& home;
  std::vector<std::unique_ptr<Seeker>> seekers;
  std::vector<std::unique_ptr<FakeMember>> members;
};

}  // namespace

TEST_CASE("a seed that nobody answers starts a cluster, one that is no seed waits") {
  JoinWorld world;
  auto options = world.Options(1);
  options.seed = true;
  Seeker& seed = world.Seek(options);
  Seeker& other = world.Seek(world.Options(2));
  world.scheduler.RunFor(kSecond);
  CHECK_FALSE(seed.outcome.has_value());
  world.scheduler.RunFor(2 * kSecond);
  REQUIRE(seed.outcome.has_value());
  CHECK((*seed.outcome)->start_new);
  world.scheduler.RunFor(60 * kSecond);
  CHECK_FALSE(other.outcome.has_value());
}

TEST_CASE("an emptied seed joins the cluster that is there, and starts none") {
  JoinWorld world;
  FakeMember& member = world.Cluster(9);
  auto options = world.Options(1);
  options.seed = true;
  SUBCASE("it is configured") { options.addresses = {"b9:9293"}; }
  SUBCASE("it is heard of over the bus") {}
  const bool configured = !options.addresses.empty();
  Seeker& seed = world.Seek(options);
  if (!configured) seed.joiner->OnDiscovered(EncodeIntroAnswer(member.answer));
  world.scheduler.RunFor(5 * kSecond);
  REQUIRE(seed.outcome.has_value());
  REQUIRE(seed.outcome->ok());
  CHECK_FALSE((*seed.outcome)->start_new);
  CHECK((*seed.outcome)->cluster_id == "theirs");
  CHECK((*seed.outcome)->members.size() == 2);
  REQUIRE(member.joins.size() == 1);
  CHECK(member.joins[0].server_id == "b1");
  CHECK(member.joins[0].node == PeerId(1));
}

TEST_CASE("of a peer list the smallest starts, once a majority waits") {
  JoinWorld world;
  std::vector<Seeker*> seekers;
  for (uint64_t id = 1; id <= 3; ++id) {
    auto options = world.Options(id);
    options.peers = {"b1", "b2", "b3"};
    options.addresses = {"b1:9293", "b2:9293", "b3:9293"};
    if (id == 1) seekers.push_back(&world.Seek(options));
    if (id == 1) world.scheduler.RunFor(10 * kSecond);
    if (id == 1) CHECK_FALSE(seekers[0]->outcome.has_value());  // alone it is no majority
    if (id == 2) seekers.push_back(&world.Seek(options));
  }
  world.scheduler.RunFor(5 * kSecond);
  REQUIRE(seekers[0]->outcome.has_value());
  CHECK((*seekers[0]->outcome)->start_new);
  CHECK_FALSE(seekers[1]->outcome.has_value());
}

TEST_CASE("a refusal because the id is in use is waited out for a while, then told") {
  JoinWorld world;
  FakeMember& member = world.Cluster(9);
  member.refusal = absl::AlreadyExistsError("server id b1 is in use by the broker at x");
  auto options = world.Options(1);
  options.addresses = {"b9:9293"};
  SUBCASE("it stays in use") {
    Seeker& seeker = world.Seek(options);
    world.scheduler.RunFor(5 * kSecond);
    CHECK_FALSE(seeker.outcome.has_value());
    world.scheduler.RunFor(10 * kSecond);
    REQUIRE(seeker.outcome.has_value());
    CHECK(absl::IsAlreadyExists(seeker.outcome->status()));
  }
  SUBCASE("it becomes free") {
    Seeker& seeker = world.Seek(options);
    world.scheduler.RunFor(5 * kSecond);
    member.refusal = absl::OkStatus();
    world.scheduler.RunFor(2 * kSecond);
    REQUIRE(seeker.outcome.has_value());
    CHECK(seeker.outcome->ok());
  }
  SUBCASE("a refusal for good is told at once") {
    member.refusal = absl::PermissionDeniedError("the certificate is another's");
    Seeker& seeker = world.Seek(options);
    world.scheduler.RunFor(kSecond);
    REQUIRE(seeker.outcome.has_value());
    CHECK(absl::IsPermissionDenied(seeker.outcome->status()));
  }
}

TEST_CASE("an invitation names whom to ask; one of another namespace is refused") {
  JoinWorld world;
  FakeMember& member = world.Cluster(9);
  Seeker& seeker = world.Seek(world.Options(1));
  world.scheduler.RunFor(kSecond);
  InviteRequest invite{"ns", "theirs", {"b9:9293"}};
  std::optional<absl::Status> answered;
  const auto respond = [&](const absl::StatusOr<std::string>& a) { answered = a.status(); };
  SUBCASE("ours") {
    seeker.OnIntroduction("b9", EncodeIntroRequest(invite), kSecond, respond);
    world.scheduler.RunFor(2 * kSecond);
    CHECK(answered->ok());
    REQUIRE(seeker.outcome.has_value());
    CHECK(seeker.outcome->ok());
    CHECK(member.joins.size() == 1);
  }
  SUBCASE("another's") {
    invite.cluster_namespace = "other";
    seeker.OnIntroduction("b9", EncodeIntroRequest(invite), kSecond, respond);
    world.scheduler.RunFor(2 * kSecond);
    CHECK(absl::IsFailedPrecondition(*answered));
    CHECK_FALSE(seeker.outcome.has_value());
  }
}

TEST_CASE("answers that are garbage, or of another namespace, lead nowhere") {
  JoinWorld world;
  FakeMember& member = world.Cluster(9);
  member.answer.cluster_namespace = "other";
  auto options = world.Options(1);
  options.addresses = {"b9:9293", "nobody:1", ""};
  Seeker& seeker = world.Seek(options);
  seeker.joiner->OnDiscovered("garbage");
  seeker.joiner->OnDiscovered(EncodeIntroAnswer(member.answer));
  std::optional<absl::Status> answered;
  seeker.OnIntroduction("x", "\xff\xff", kSecond,
                        [&](const absl::StatusOr<std::string>& a) { answered = a.status(); });
  world.scheduler.RunFor(10 * kSecond);
  CHECK_FALSE(answered->ok());
  CHECK_FALSE(seeker.outcome.has_value());
  CHECK(member.joins.empty());
}

}  // namespace bascule
