// How a broker without a cluster finds one, or starts one.
#include <doctest/doctest.h>

#include "replication/meta/cluster/cluster_limits.h"
#include "tests/support/sim_file_system.h"
#include "tests/unit/join_world.h"

namespace bascule::metadata {

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
    // Again, now that it is a member.
    answered.reset();
    seeker.OnIntroduction("b9", EncodeIntroRequest(invite), kSecond, respond);
    world.scheduler.RunFor(kSecond);
    CHECK(answered->ok());
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

TEST_CASE("who was once named its cluster never starts one, whoever falls silent since") {
  JoinWorld world;
  FakeMember& member = world.Cluster(9);
  member.answer.leader_address = "b8:9293";  // which stands still
  FakeMember& leader = world.Cluster(8);
  world.network.Isolate(PeerId(8));
  auto options = world.Options(1);
  options.seed = true;
  options.addresses = {"b9:9293"};
  std::vector<std::string> noted;
  options.note = [&](const KnownCluster& known) {
    noted.push_back(known.cluster_id);
    return absl::OkStatus();
  };
  const ClusterJoinerOptions again = options;
  Seeker& seed = world.Seek(options);
  member.refusal = absl::UnavailableError("no leader");
  world.scheduler.RunFor(std::chrono::milliseconds(500));
  world.network.Isolate(PeerId(9));
  world.scheduler.RunFor(60 * kSecond);
  CHECK_FALSE(seed.outcome.has_value());
  CHECK(noted == std::vector<std::string>{"theirs"});
  CHECK(leader.joins.empty());

  SUBCASE("the next start knows it too") {
    auto later = again;
    later.node = PeerId(2);
    later.address = "b1:2";
    later.known = KnownCluster{"theirs", "b9", "data/cluster.known"};
    Seeker& restarted = world.Seek(later);
    world.scheduler.RunFor(60 * kSecond);
    CHECK_FALSE(restarted.outcome.has_value());
    member.refusal = absl::OkStatus();
    world.network.isolated.clear();
    world.scheduler.RunFor(30 * kSecond);
    REQUIRE(restarted.outcome.has_value());
    CHECK((*restarted.outcome)->cluster_id == "theirs");
    CHECK(member.joins.back().cluster_id == "theirs");
  }
  SUBCASE("a broker that waits passes it on") {
    auto other = world.Options(3);
    other.seed = true;
    other.addresses = {"b1:9293"};
    Seeker& second = world.Seek(other);
    world.scheduler.RunFor(60 * kSecond);
    CHECK_FALSE(second.outcome.has_value());
  }
  SUBCASE("another cluster is not joined instead") {
    world.Cluster(7).answer.cluster_id = "another";
    IntroAnswer heard;
    heard.cluster_namespace = "ns";
    heard.address = "b7:9293";
    seed.joiner->OnDiscovered(EncodeIntroAnswer(heard));
    world.scheduler.RunFor(10 * kSecond);
    CHECK_FALSE(seed.outcome.has_value());
    CHECK(world.members.back()->joins.empty());
  }
  SUBCASE("when the leader is back it is joined") {
    world.network.isolated.clear();
    world.scheduler.RunFor(30 * kSecond);
    REQUIRE(seed.outcome.has_value());
    CHECK(seed.outcome->ok());
  }
}

TEST_CASE("a cluster that cannot be noted is not joined") {
  JoinWorld world;
  world.Cluster(9);
  auto options = world.Options(1);
  options.addresses = {"b9:9293"};
  options.note = [](const KnownCluster&) { return absl::ResourceExhaustedError("disk full"); };
  Seeker& seeker = world.Seek(options);
  world.scheduler.RunFor(5 * kSecond);
  REQUIRE(seeker.outcome.has_value());
  CHECK(absl::IsResourceExhausted(seeker.outcome->status()));
}

TEST_CASE("a leader that stands still does not keep a broker out: it joins through who answers") {
  JoinWorld world;
  FakeMember& member = world.Cluster(9);
  world.Cluster(8);
  world.network.Isolate(PeerId(8));
  member.answer.leader_address = "b8:9293";
  auto options = world.Options(1);
  options.addresses = {"b9:9293"};
  Seeker& seeker = world.Seek(options);
  world.scheduler.RunFor(15 * kSecond);
  REQUIRE(seeker.outcome.has_value());
  CHECK(seeker.outcome->ok());
}

namespace {

// What a stranger on the bus says: brokers at `count` addresses where nobody is.
std::string Lies(uint64_t node, int from, int count) {
  IntroAnswer answer;
  answer.cluster_namespace = "ns";
  answer.cluster_id = "lies";
  answer.server_id = "stranger";
  answer.node = PeerId(node);
  for (int i = from; i < from + count; ++i)
    answer.members.push_back({PeerId(100), "s", Concat("nowhere:", i), true});
  return EncodeIntroAnswer(answer);
}

}  // namespace

TEST_CASE("dead addresses on the bus keep nobody from being asked") {
  JoinWorld world;
  world.network.silent = "nowhere";
  FakeMember& member = world.Cluster(9);
  auto options = world.Options(1);
  options.seed = true;
  SUBCASE("who is configured") {
    Seeker& seed = world.Seek(options);
    seed.joiner->OnDiscovered(Lies(100, 0, 256));
    world.scheduler.RunFor(std::chrono::milliseconds(300));
    CHECK(world.network.introductions <= limits::kHearsayAsks);
    world.scheduler.RunFor(10 * kSecond);
    // Nobody is there: what the bus said was looked into.
    REQUIRE(seed.outcome.has_value());
    CHECK((*seed.outcome)->start_new);
  }
  SUBCASE("who comes up only then") {
    options.addresses = {"b9:9293"};
    world.network.isolated.insert(PeerId(9));
    Seeker& seed = world.Seek(options);
    for (int i = 0; i < 40 && !seed.outcome.has_value(); ++i) {
      // A flood: each answer by another one, at other addresses.
      for (int k = 0; k < 100; ++k)
        seed.joiner->OnDiscovered(Lies(static_cast<uint64_t>(i * 100 + k + 200), i * 300 + k, 3));
      world.scheduler.RunFor(std::chrono::milliseconds(250));
    }
    CHECK_FALSE(seed.outcome.has_value());
    world.network.isolated.clear();
    for (int i = 0; i < 8 && !seed.outcome.has_value(); ++i) {
      for (int k = 0; k < 100; ++k)
        seed.joiner->OnDiscovered(Lies(static_cast<uint64_t>(i * 100 + k + 9000), i * 300 + k, 3));
      world.scheduler.RunFor(std::chrono::milliseconds(250));
    }
    REQUIRE(seed.outcome.has_value());
    CHECK((*seed.outcome)->cluster_id == "theirs");
  }
  SUBCASE("who is heard of beside them") {
    Seeker& seed = world.Seek(options);
    for (int i = 0; i < 20; ++i) {
      for (uint64_t k = 0; k < 10; ++k)
        seed.joiner->OnDiscovered(Lies(1000 + k, i * 10 + static_cast<int>(k), 256));
      seed.joiner->OnDiscovered(EncodeIntroAnswer(member.answer));
      world.scheduler.RunFor(std::chrono::milliseconds(250));
    }
    world.scheduler.RunFor(10 * kSecond);
    REQUIRE(seed.outcome.has_value());
    CHECK((*seed.outcome)->cluster_id == "theirs");
  }
}

TEST_CASE("what the bus says is asked in turn by who says it, each address once in a while") {
  ClusterHearsay hearsay;
  MonotonicTime now(1);
  const auto answer = [](uint64_t node, const std::string& prefix) {
    IntroAnswer says;
    says.node = PeerId(node);
    for (size_t i = 0; i < limits::kHearsayAddresses + 2; ++i)
      says.members.push_back({PeerId(50), "s", Concat(prefix, i), true});
    return says;
  };
  for (int round = 1; round <= 2; ++round) {
    hearsay.Hear(answer(1, "one"), {"one0"}, now);
    hearsay.Hear(answer(2, "two"), {}, now);
    hearsay.Hear(answer(2, "two"), {}, now);
    std::set<std::string> first;
    for (int i = 0; i < 4; ++i) first.insert(*hearsay.Next(now));
    CHECK(first == std::set<std::string>{"one1", "two0", "one2", "two1"});
    size_t rest = 4;
    while (hearsay.Next(now).has_value()) ++rest;
    CHECK(rest == 2 * limits::kHearsayAddresses);
    CHECK_FALSE(hearsay.Pending(now));
    hearsay.Hear(answer(1, "one"), {}, now);
    // Only what had no place before is new.
    CHECK(*hearsay.Next(now) == "one0");
    while (hearsay.Next(now).has_value()) continue;
    now = Add(now, 2 * limits::kHearsayAgain);
  }
  for (uint64_t node = 1; node <= limits::kHearsayBrokers; ++node)
    hearsay.Hear(answer(node, Concat("n", node, "-")), {}, now);
  hearsay.Hear(answer(1000, "late"), {}, now);
  while (hearsay.Next(now).has_value()) continue;
  CHECK(hearsay.Pending(now));  // it found no place
  CHECK_FALSE(hearsay.Pending(Add(now, limits::kHearsayAgain)));
}

TEST_CASE("more configured addresses than can be asked at once: all have their turn") {
  JoinWorld world;
  world.network.silent = "nowhere";
  world.Cluster(9);
  auto options = world.Options(1);
  for (int i = 0; i < 100; ++i) options.addresses.push_back(Concat("nowhere:", i));
  options.addresses.emplace_back("zz9:9293");
  options.addresses.emplace_back("b9:9293");
  std::swap(options.addresses.front(), options.addresses.back());
  Seeker& seeker = world.Seek(options);
  world.scheduler.RunFor(8 * kSecond);
  REQUIRE(seeker.outcome.has_value());
  CHECK(seeker.outcome->ok());
  CHECK(world.network.most_introductions <= limits::kPeerIntroductions);
}

TEST_CASE("a seed that cannot ask on the bus waits until it can") {
  JoinWorld world;
  bool connected = false;
  auto options = world.Options(1);
  options.seed = true;
  options.bus_asked = [&] { return connected; };
  Seeker& seed = world.Seek(options);
  world.scheduler.RunFor(60 * kSecond);
  CHECK_FALSE(seed.outcome.has_value());
  connected = true;
  world.scheduler.RunFor(kSecond);
  CHECK_FALSE(seed.outcome.has_value());  // answers take their time
  world.scheduler.RunFor(2 * kSecond);
  REQUIRE(seed.outcome.has_value());
  CHECK((*seed.outcome)->start_new);
}

TEST_CASE("a data directory remembers that there is a cluster") {
  SimRng rng(1);
  SimFileSystem fs(1);
  REQUIRE(fs.CreateDirectories("data").ok());
  const auto read = [&](const std::string& ns) { return ReadKnownCluster(fs, "data", ns).value(); };
  CHECK_FALSE(read("ns").has_value());
  REQUIRE(NoteKnownCluster(fs, "data", "ns", {"c1", "broker b2\nat x", ""}).ok());
  fs.Crash(rng);
  REQUIRE(read("ns").has_value());
  CHECK(read("ns")->cluster_id == "c1");
  CHECK(read("ns")->named_by == "broker b2\nat x");
  CHECK(read("ns")->file == "data/cluster.known");
  CHECK_FALSE(read("other").has_value());
  // Damaged in any byte it says that there is some cluster.
  const std::string whole =
      ReadWhole(**fs.Open("data/cluster.known", OpenMode::kRead), 4096).value();
  for (size_t i = 0; i <= whole.size(); ++i) {
    std::string bad = whole.substr(0, i);
    if (i < whole.size()) REQUIRE(WriteFileAtomically(fs, "data/cluster.known", bad).ok());
    if (i < whole.size()) CHECK(read("ns")->cluster_id.empty());
    bad = whole;
    if (i < whole.size()) bad[i] ^= 1;
    REQUIRE(WriteFileAtomically(fs, "data/cluster.known", bad).ok());
    REQUIRE(read("ns").has_value());
    CHECK(read("ns")->cluster_id == (i < whole.size() ? "" : "c1"));
  }
  REQUIRE(ForgetKnownCluster(fs, "data").ok());
  CHECK_FALSE(read("ns").has_value());
  REQUIRE(ForgetKnownCluster(fs, "data").ok());
  // One that holds a cluster's streams knows it, whatever became of its metadata.
  REQUIRE(WriteFileAtomically(fs, "data/cluster", "c2\n").ok());
  CHECK(read("ns")->cluster_id == "c2");
  REQUIRE(WriteFileAtomically(fs, "data/cluster", "").ok());
  CHECK(read("ns")->cluster_id.empty());
}

}  // namespace bascule::metadata
