// The cluster as operators change it, and as brokers enter it.
#include "replication/meta/cluster/cluster_control.h"

#include <doctest/doctest.h>

#include "absl/strings/match.h"
#include "tests/unit/meta_world.h"

namespace bascule::metadata {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

JoinRequest JoinOf(uint64_t node, const std::string& server_id) {
  return {"ns", "", server_id, PeerId(node), server_id + ":9293", kFeatureLevel};
}

// What the member `through` says to an introduction by `certified`.
absl::StatusOr<IntroAnswer> Introduce(MetaWorld& world, uint64_t through,
                                      const std::string& certified, const IntroRequest& request,
                                      Duration timeout = seconds(5)) {
  std::optional<absl::StatusOr<std::string>> answer;
  world[through].OnIntroduction(certified, EncodeIntroRequest(request), timeout,
                                [&](absl::StatusOr<std::string> bytes) { answer = bytes; });
  REQUIRE(world.scheduler.RunUntil([&] { return answer.has_value(); }, seconds(30)));
  if (!answer->ok()) return answer->status();
  return DecodeIntroAnswer(**answer);
}

ClusterStatus StatusOf(MetaWorld& world, uint64_t through) {
  std::optional<absl::StatusOr<ClusterStatus>> status;
  world[through].control->Status(seconds(5),
                                 [&](absl::StatusOr<ClusterStatus> s) { status = std::move(s); });
  REQUIRE(world.scheduler.RunUntil([&] { return status.has_value(); }, seconds(30)));
  REQUIRE(status->ok());
  return **status;
}

template <typename Call>
absl::Status Ask(MetaWorld& world, Call call) {
  std::optional<absl::Status> answer;
  call([&](const absl::Status& status) { answer = status; });
  REQUIRE(world.scheduler.RunUntil([&] { return answer.has_value(); }, seconds(30)));
  return *answer;
}

std::set<uint64_t> Nodes(const MetaWorld& world) {
  std::set<uint64_t> nodes;
  for (const GroupMember& member : world.group.members()) nodes.insert(member.id.value());
  return nodes;
}

}  // namespace

TEST_CASE("a broker joins through any member, and is told who is there") {
  MetaWorld world(3);
  const auto answer = Introduce(world, 2, "b4", JoinOf(4, "b4"));
  REQUIRE_MESSAGE(answer.ok(), answer.status().ToString());
  CHECK(answer->cluster_id == "cluster-1");
  CHECK(answer->cluster_namespace == "ns");
  CHECK(answer->leader == PeerId(1));
  CHECK(answer->leader_address == "b1:9293");
  CHECK(answer->members.size() == 4);
  CHECK(Nodes(world) == std::set<uint64_t>{1, 2, 3, 4});
  for (const GroupMember& member : answer->members)
    CHECK(member.voter == (member.server_id != "b4"));
  // Again: it did not hear the answer. Nothing more happens.
  const MetadataIndex last = world.group.last();
  CHECK(Introduce(world, 3, "b4", JoinOf(4, "b4")).ok());
  CHECK(world.group.last() == last);
  // With another address: that one is taken.
  JoinRequest moved = JoinOf(4, "b4");
  moved.address = "other:1";
  CHECK(Introduce(world, 3, "b4", moved).ok());
  CHECK(world.group.members().back().address == "other:1");
  // Of one that votes, too: it goes on voting.
  JoinRequest second = JoinOf(2, "b2");
  second.address = "another:1";
  CHECK(Introduce(world, 3, "b2", second).ok());
  const std::vector<GroupMember> members = world.group.members();
  const auto found = std::find_if(members.begin(), members.end(),
                                  [](const GroupMember& one) { return one.id == PeerId(2); });
  REQUIRE(found != members.end());
  CHECK(found->address == "another:1");
  CHECK(found->voter);
}

TEST_CASE("joins that cannot be are refused with what to do, and change nothing") {
  MetaWorld world(3);
  world.Run(seconds(1));
  const MetadataIndex last = world.group.last();
  const auto refused = [&](const std::string& certified, auto change) {
    JoinRequest join = JoinOf(4, "b4");
    change(join);
    const auto answer = Introduce(world, 2, certified, join);
    REQUIRE_FALSE(answer.ok());
    return std::string(answer.status().message());
  };
  CHECK(refused("b5", [](JoinRequest&) {}) ==
        "the certificate is that of b5, the broker says that it is b4");
  CHECK(refused("b4", [](JoinRequest& j) { j.cluster_namespace = "x"; }) ==
        "the cluster has the namespace ns, broker b4 has x: set clustering.namespace alike");
  CHECK(refused("b4", [](JoinRequest& j) { j.cluster_id = "other"; }) ==
        "broker b4 belongs to the cluster other, this is cluster-1: give it an empty data "
        "directory to join");
  CHECK(refused("b4", [](JoinRequest& j) { j.feature_level = 0; }) ==
        "broker b4 has feature level 0, the cluster needs 3; install a newer version of the "
        "program on it");
  CHECK(refused("b4", [](JoinRequest& j) { j.node = PeerId(); }) ==
        "a join names a server id, a node id and an address");
  CHECK(refused("b4", [](JoinRequest& j) { j.address = std::string(5000, 'x'); }) ==
        "the peer address of a broker has 5000 bytes, at most 512 are kept: give it a shorter "
        "cluster.advertised");
  CHECK(refused(std::string(600, 'b'), [](JoinRequest& j) { j.server_id.assign(600, 'b'); }) ==
        "the server id of a broker has 600 bytes, at most 512 are kept: give it a shorter "
        "clustering.server.id");
  CHECK(refused("b4", [](JoinRequest& j) { j.node = PeerId(3); }) ==
        "the data directory of broker b4 is a copy of that of broker b3: start it with an empty "
        "one");
  CHECK(refused("b2", [](JoinRequest& j) { j.server_id = "b2"; }) ==
        "server id b2 is in use by the broker at b2:9293; stop that one, or give this one an id of "
        "its own (clustering.server.id, and an empty data directory: a directory keeps its id)");
  CHECK(world.group.last() == last);
}

TEST_CASE("a join of an earlier life that comes late takes no place from the successor") {
  MetaWorld world(3);
  world.Stop(2);
  world.Run(seconds(3));
  REQUIRE(Introduce(world, 3, "b2", JoinOf(9, "b2")).ok());
  const absl::Status late = Introduce(world, 3, "b2", JoinOf(8, "b2")).status();
  CHECK(absl::IsFailedPrecondition(late));
  CHECK_MESSAGE(absl::StrContains(late.message(), "is not registered yet"), late.ToString());
  CHECK(Nodes(world) == std::set<uint64_t>{1, 3, 9});
  // It never registers: it was emptied again, and who asks for the second time does it from there.
  world.Run(seconds(9));
  CHECK(absl::IsFailedPrecondition(Introduce(world, 3, "b2", JoinOf(8, "b2")).status()));
  world.Run(seconds(2));
  CHECK(Introduce(world, 3, "b2", JoinOf(8, "b2")).ok());
  CHECK(Nodes(world) == std::set<uint64_t>{1, 3, 8});
}

TEST_CASE("of two directories that ask for one place at once one gets it, and keeps it") {
  MetaWorld world(3);
  world.Stop(2);
  world.Run(seconds(3));
  std::map<uint64_t, absl::Status> answers;
  for (const uint64_t node : {8, 9}) {
    world[3].OnIntroduction("b2", EncodeIntroRequest(JoinOf(node, "b2")), seconds(5),
                            [&answers, node](const absl::StatusOr<std::string>& answer) {
                              answers[node] = answer.status();
                            });
  }
  REQUIRE(world.scheduler.RunUntil([&] { return answers.size() == 2; }, seconds(30)));
  const uint64_t joined = answers[8].ok() ? 8 : 9;
  CHECK(answers[joined].ok());
  CHECK(absl::IsFailedPrecondition(answers[17 - joined]));
  CHECK(Nodes(world) == std::set<uint64_t>{1, 3, joined});
}

TEST_CASE("R6b: an emptied disk comes back under its old id when the old session is over") {
  MetaWorld world(3);
  for (uint64_t i = 0; i < 3; ++i) CHECK(world.Await(world[1].Create(Concat("s", i))).ok());
  REQUIRE(world[1].LeaderOf("s1") == "b2");
  world.Stop(2);
  world.Run(milliseconds(500));
  CHECK(absl::IsAlreadyExists(Introduce(world, 3, "b2", JoinOf(9, "b2")).status()));
  world.Run(seconds(3));
  const auto joined = Introduce(world, 3, "b2", JoinOf(9, "b2"));
  REQUIRE_MESSAGE(joined.ok(), joined.status().ToString());
  CHECK(Nodes(world) == std::set<uint64_t>{1, 3, 9});
  CHECK_FALSE(world.group.members().back().voter);
  BrokerRegistration registration;
  registration.id = "b2";
  registration.node = PeerId(9);
  registration.incarnation = 5;
  registration.peer_address = "b2:9293";
  world[1].log->Propose(EncodeRegisterBroker(registration),
                        [](const absl::Status& status) { CHECK(status.ok()); });
  world.Run(milliseconds(100));
  const PartitionDescription& lost = world[1].table().Find("s1")->partitions[0];
  CHECK(lost.leader == "");
  CHECK(lost.elr.empty());
  CHECK(lost.replicas == std::vector<std::string>{"b2"});
}

TEST_CASE("a join waits for another change of the group, and for a leader") {
  MetaWorld world(3);
  world.group.hold = true;
  world[1].log->AddMember({PeerId(7), "b7", "b7:9293", false}, [](const absl::Status&) {});
  world.scheduler.NewExecutor("later").After(milliseconds(500), [&] { world.group.hold = false; });
  CHECK(Introduce(world, 1, "b4", JoinOf(4, "b4")).ok());
  CHECK(Nodes(world) == std::set<uint64_t>{1, 2, 3, 4, 7});
  world.group.Elect(PeerId());
  const auto none = Introduce(world, 2, "b5", JoinOf(5, "b5"), seconds(1));
  CHECK(absl::IsUnavailable(none.status()));
}

TEST_CASE(
    "who is there is answered to those of the same namespace; invitations are not for members") {
  MetaWorld world(3);
  const auto who = Introduce(world, 3, "x", WhoRequest{"ns"});
  REQUIRE(who.ok());
  CHECK(who->server_id == "b3");
  CHECK(who->members.size() == 3);
  CHECK(absl::IsNotFound(Introduce(world, 3, "x", WhoRequest{"other"}).status()));
  CHECK(Introduce(world, 3, "b1", InviteRequest{"ns", "cluster-1", {}}).ok());
  CHECK(absl::IsAlreadyExists(Introduce(world, 3, "y", InviteRequest{"ns", "c2", {}}).status()));
}

namespace {

// A broker that waits to be invited, and joins then.
struct Waiting final : PeerEvents {
  Waiting(MetaWorld& given, bool joins_then)
      : world(given),
        peers(given.network.Add({PeerId(4), "b4", "b4:9293", 1, 1})),
        joins(joins_then) {
    peers.HandleEvents(*this);
  }
  void OnPeerUp(const PeerIdentity&) override {}
  void OnPeerDown(const PeerIdentity&) override {}
  void OnIntroduction(const std::string&, std::string request, Duration,
                      PeerHandler::Respond respond) override {
    const auto parsed = DecodeIntroRequest(request);
    REQUIRE(parsed.ok());
    invite = std::get<InviteRequest>(*parsed);
    IntroAnswer answer;
    answer.server_id = "b4";
    answer.node = PeerId(4);
    respond(EncodeIntroAnswer(answer));
    if (!joins) return;
    peers.Introduce(invite.addresses.front(), EncodeIntroRequest(JoinOf(4, "b4")), seconds(5),
                    [](const absl::StatusOr<std::string>& joined) { CHECK(joined.ok()); });
  }
  MetaWorld& world;
  FakePeerTransport& peers;
  const bool joins;
  InviteRequest invite;
};

}  // namespace

TEST_CASE("an invited broker joins, and the operator hears of it through any broker") {
  MetaWorld world(3);
  Waiting waiting(world, true);
  CHECK(Ask(world, [&](auto done) {
          world[2].control->AddMember("b4:9293", seconds(5), std::move(done));
        }).ok());
  CHECK(waiting.invite.cluster_id == "cluster-1");
  CHECK(waiting.invite.addresses.size() == 3);
  CHECK(Nodes(world).contains(4));
}

TEST_CASE("an invitation that leads to nothing says why") {
  MetaWorld world(3);
  Waiting waiting(world, false);
  CHECK(Ask(world, [&](auto done) {
          world[1].control->AddMember("b4:9293", seconds(2), std::move(done));
        }).message() == "broker b4 was invited, but has not joined yet; see its log");
  CHECK(Ask(world, [&](auto done) {
          world[2].control->AddMember("nowhere:1", seconds(2), std::move(done));
        }).message() == "no broker answers at nowhere:1: cannot connect to nowhere:1");
}

TEST_CASE("a broker is removed for ever when nothing hangs on it, or by force") {
  MetaWorld world(4);
  for (uint64_t i = 0; i < 4; ++i) CHECK(world.Await(world[1].Create(Concat("s", i))).ok());
  world.Run(seconds(1));
  const auto remove = [&](uint64_t through, const std::string& id, bool force) {
    return Ask(world, [&](auto done) {
      world[through].control->RemoveMember(id, force, seconds(5), std::move(done));
    });
  };
  CHECK(absl::IsNotFound(remove(2, "b9", true)));
  CHECK(remove(3, "b1", false).message() ==
        "broker b1 at b1:9293 is alive and leads 1 partitions; stop it first, or force its "
        "removal");
  CHECK(remove(2, "b3", false).message() ==
        "broker b3 at b3:9293 is alive and leads 1 partitions; stop it first, or force its "
        "removal");
  world.Stop(3);
  world.Run(seconds(3));
  CHECK(remove(2, "b3", false).message() ==
        "broker b3 holds the only replica of 1 partitions; delete their streams first, or force "
        "its removal");
  CHECK(world.Await(world[2].Delete("s2")).ok());
  CHECK(remove(2, "b3", false).ok());
  CHECK(Nodes(world) == std::set<uint64_t>{1, 2, 4});
  CHECK(world[2].table().FindBroker("b3") == nullptr);
  // A live one by force: it ends.
  CHECK(remove(2, "b4", true).ok());
  world.Run(milliseconds(100));
  CHECK(world[4].fatal.has_value());
  CHECK(Nodes(world) == std::set<uint64_t>{1, 2});
}

TEST_CASE("no removal leaves the live voters without a majority") {
  MetaWorld world(3);
  world.Run(seconds(1));
  world.Stop(3);
  world.Run(seconds(3));
  // Of three voters two live; without b2 it would be one of two.
  const absl::Status refused = Ask(world, [&](auto done) {
    world[1].control->RemoveMember("b2", true, seconds(5), std::move(done));
  });
  CHECK(refused.message() ==
        "without broker b2 the voting brokers that live would be no majority; bring others back "
        "first");
  CHECK(Nodes(world) == std::set<uint64_t>{1, 2, 3});
}

TEST_CASE("the metadata leadership goes where it is asked to, or to the best follower") {
  MetaWorld world(3);
  world.Run(seconds(1));
  const auto transfer = [&](uint64_t through, const std::string& id) {
    return Ask(world, [&](auto done) {
      world[through].control->TransferLeadership(id, seconds(5), std::move(done));
    });
  };
  CHECK(transfer(2, "b3").ok());
  CHECK(world.group.leader() == PeerId(3));
  world.Run(milliseconds(100));
  CHECK(transfer(2, "b3").ok());  // it leads already
  CHECK(absl::IsNotFound(transfer(1, "b9")));
  CHECK(transfer(1, "").ok());
  CHECK(world.group.leader() != PeerId(3));
  world.Run(seconds(5));
  for (const auto& [id, broker] : world[1].table().brokers()) CHECK_FALSE(broker.fenced);
}

TEST_CASE("the status is the leader's, from every broker, and names what is not as it should be") {
  MetaWorld world(3);
  for (uint64_t i = 0; i < 4; ++i) CHECK(world.Await(world[1].Create(Concat("s", i))).ok());
  world.Run(seconds(1));
  const ClusterStatus well = StatusOf(world, 2);
  CHECK(well.degraded.empty());
  CHECK(well.cluster_id == "cluster-1");
  CHECK(well.cluster_namespace == "ns");
  CHECK(well.answered_by == "b1");
  CHECK(well.leader == "b1");
  CHECK(well.feature_level == kFeatureLevel);
  CHECK(well.last == static_cast<int64_t>(world.group.last().value()));
  REQUIRE(well.members.size() == 3);
  CHECK(well.members[0].leader);
  CHECK(well.members[0].leading == 2);
  CHECK(well.members[1].server_id == "b2");
  CHECK(well.members[1].host == "b2.example");
  CHECK(well.members[1].peer_address == "b2:9293");
  CHECK(well.members[1].match == well.last);
  CHECK(well.members[1].incarnation == world[2].self.incarnation);
  CHECK(well.members[1].voter);
  CHECK(well.members[1].live);
  world.Stop(3);
  world[1].log->degraded_text = "the disk is full";
  world.Run(seconds(3));
  const ClusterStatus ill = StatusOf(world, 2);
  CHECK(ill.degraded == std::vector<std::string>{"the disk is full",
                                                 "broker b3 at b3:9293 is not reachable",
                                                 "1 partitions have no leader"});
  CHECK_FALSE(ill.members[2].live);
  world.group.Elect(PeerId());
  world.Run(milliseconds(100));
  const ClusterStatus headless = StatusOf(world, 2);
  CHECK(headless.leader == "");
  CHECK(headless.answered_by == "b2");
  CHECK(headless.degraded[0] ==
        "there is no metadata leader: a majority of the voting brokers must be reachable");
  CHECK(headless.members[0].match == -1);
}

TEST_CASE("a broker without a peer address is named without one") {
  MetaWorld world(1);
  world[1].trouble = "its disk is full";
  world.Run(seconds(1));
  world.group.SetMembers({{PeerId(1), "b1", "", true}, {PeerId(2), "b2", "", true}});
  CHECK(StatusOf(world, 1).degraded ==
        std::vector<std::string>{"broker b1 gets no new partitions: its disk is full",
                                 "broker b2 has not registered"});
}

TEST_CASE("a leader that does not answer is said to, and the broker's own view is given") {
  MetaWorld world(3);
  world.network.Cut(PeerId(1), PeerId(2));
  const ClusterStatus status = StatusOf(world, 2);
  CHECK(status.answered_by == "b2");
  CHECK(status.leader == "");
  CHECK(status.members.size() == 3);
  REQUIRE_FALSE(status.degraded.empty());
  CHECK(status.degraded.back().starts_with("the metadata leader does not answer: "));
}

TEST_CASE(
    "introductions, their answers and a cluster's status survive their encoding, or are refused") {
  SimRng rng(5);
  ClusterStatus status;
  status.cluster_id = "c";
  status.members.resize(2);
  status.members[1].server_id = "b2";
  status.members[1].match = -1;
  status.degraded = {"one", "two"};
  const auto again = DecodeClusterStatus(EncodeClusterStatus(status));
  REQUIRE(again.ok());
  CHECK(again->members[1].server_id == "b2");
  CHECK(again->members[1].match == -1);
  CHECK(again->degraded == status.degraded);
  IntroAnswer answer;
  answer.members = {{PeerId(1), "b1", "a:1", true}};
  CHECK(DecodeIntroAnswer(EncodeIntroAnswer(answer))->members == answer.members);
  answer.members.push_back({PeerId(), "b2", "a:2", true});
  CHECK(absl::IsInvalidArgument(DecodeIntroAnswer(EncodeIntroAnswer(answer)).status()));
  CHECK(absl::IsUnimplemented(DecodeIntroRequest("").status()));
  CHECK(absl::IsInvalidArgument(
      DecodeIntroRequest(EncodeIntroRequest(WhoRequest{std::string(70'000, 'x')})).status()));
  for (int i = 0; i < 20000; ++i) {
    std::string bytes = EncodeIntroRequest(JoinOf(rng.Next(), "b1"));
    bytes[rng.Below(bytes.size())] = static_cast<char>(rng.Next());
    bytes.resize(rng.Below(bytes.size() + 1));
    (void)DecodeIntroRequest(bytes);
    (void)DecodeIntroAnswer(bytes);
    (void)DecodeClusterStatus(bytes);
    (void)DecodeHeartbeat(bytes);
    (void)DecodeResponse(bytes);
  }
}

}  // namespace bascule::metadata
