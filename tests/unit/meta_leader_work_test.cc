// The metadata leader's own work: sessions, fencing, votes, levels.
#include "replication/meta/cluster/leader_work.h"

#include <doctest/doctest.h>

#include "replication/meta/cluster/membership.h"
#include "replication/meta/table/commands.pb.h"
#include "tests/unit/meta_samples.h"
#include "tests/unit/meta_world.h"

namespace bascule::metadata {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

GroupMemberStatus Member(uint64_t node, bool voter, bool active, uint64_t match = 1000) {
  return {{PeerId(node), Concat("b", node), Concat("b", node, ":9293"), voter},
          MetadataIndex(match),
          active};
}

// Led by node 1.
GroupStatus Group(std::vector<GroupMemberStatus> members) {
  GroupStatus status;
  status.self = PeerId(1);
  status.last = MetadataIndex(1000);
  status.members = std::move(members);
  return status;
}

// "b3 votes", "b2 demoted", "nothing". `silent_for`: since when the inactive ones are.
std::string Next(const GroupStatus& status, int32_t max_voters, Duration silent_for = seconds(60)) {
  MemberSilence silence;
  GroupStatus all_well = status;
  for (GroupMemberStatus& member : all_well.members) member.active = true;
  const MonotonicTime start(1);
  silence.Note(all_well, start);
  const MonotonicTime now = Add(start, silent_for);
  silence.Note(status, now);
  const auto change = NextVoterChange(status, {max_voters, seconds(10)}, silence, now);
  if (!change) return "nothing";
  return Concat(change->server_id, change->voter ? " votes" : " demoted");
}

}  // namespace

TEST_CASE("a learner votes when it has caught up and there is a place") {
  CHECK(Next(Group({Member(1, true, true), Member(2, false, true)}), 0) == "b2 votes");
  CHECK(Next(Group({Member(1, true, true), Member(2, false, true, 500)}), 0) == "nothing");
  CHECK(Next(Group({Member(1, true, true), Member(2, false, true, 0)}), 0) == "nothing");
  CHECK(Next(Group({Member(1, true, true), Member(2, false, false)}), 0) == "nothing");
  CHECK(Next(Group({Member(1, true, true), Member(2, true, true), Member(3, true, true),
                    Member(4, false, true)}),
             3) == "nothing");
  CHECK(Next(Group({Member(1, true, true), Member(2, true, true), Member(5, false, true),
                    Member(4, false, true)}),
             3) == "b4 votes");
}

TEST_CASE("a silent voter gives its place to a learner that has caught up, after a while") {
  const GroupStatus status = Group({Member(1, true, true), Member(2, true, false),
                                    Member(3, true, true), Member(4, false, true)});
  CHECK(Next(status, 3, seconds(10)) == "b2 demoted");
  CHECK(Next(status, 3, seconds(9)) == "nothing");
  // Nobody waits for the place.
  CHECK(Next(Group({Member(1, true, true), Member(2, true, false), Member(3, true, true)}), 3) ==
        "nothing");
  CHECK(Next(Group({Member(1, true, true), Member(2, true, false), Member(3, true, true),
                    Member(4, false, true, 10)}),
             3) == "nothing");
  // All vote: the learner does not wait for a place.
  CHECK(Next(status, 0) == "b4 votes");
}

TEST_CASE(
    "voters beyond the limit are demoted, the silent ones first, never at the quorum's cost") {
  CHECK(Next(Group({Member(1, true, true), Member(2, true, true), Member(3, true, false)}), 2) ==
        "b3 demoted");
  CHECK(Next(Group({Member(1, true, true), Member(2, true, true)}), 1) == "b2 demoted");
  // 1 and 2 live of four: without a silent one it is two of three.
  const GroupStatus half = Group({Member(1, true, true), Member(2, true, true),
                                  Member(3, true, false), Member(4, true, false)});
  CHECK(Next(half, 3) == "b3 demoted");
  CHECK_FALSE(QuorumWithout(half, PeerId(2)));
  CHECK(QuorumWithout(half, PeerId(3)));
  CHECK_FALSE(QuorumWithout(Group({Member(1, true, true)}), PeerId(1)));
  // Learners decide nothing: one voter of three is dead, and any number of others listens.
  const GroupStatus listened =
      Group({Member(1, true, true), Member(2, true, true), Member(3, true, false),
             Member(4, false, true), Member(5, false, true), Member(6, false, true)});
  CHECK_FALSE(QuorumWithout(listened, PeerId(2)));
  CHECK(QuorumWithout(listened, PeerId(3)));
  CHECK(QuorumWithout(listened, PeerId(4)));
}

TEST_CASE("every next change keeps a live majority, whatever the group looks like") {
  SimRng rng(3);
  for (int round = 0; round < 20000; ++round) {
    std::vector<GroupMemberStatus> members{Member(1, true, true)};
    for (uint64_t node = 2; node < 2 + rng.Below(7); ++node)
      members.push_back(Member(node, rng.Below(3) > 0, rng.Below(2) > 0, rng.Below(2) * 1000));
    GroupStatus status = Group(members);
    const bool quorum = QuorumWithout(status, PeerId());
    MemberSilence silence;
    silence.Note(status, MonotonicTime(1));
    const VoterRules rules{static_cast<int32_t>(rng.Below(6)), seconds(0)};
    const auto change = NextVoterChange(status, rules, silence, MonotonicTime(2));
    if (!change) continue;
    CHECK(change->id != status.self);
    for (GroupMemberStatus& member : status.members) {
      if (member.member.id == change->id) member.member.voter = change->voter;
    }
    if (quorum) CHECK(QuorumWithout(status, PeerId()));
  }
}

TEST_CASE("R6: brokers that fall silent together are fenced in one command, after the timeout") {
  MetaWorld world(4);
  world.Run(seconds(1));
  const uint64_t before = world.group.last().value();
  world.network.Cut(PeerId(1), PeerId(3));
  world.network.Cut(PeerId(1), PeerId(4));
  world.Run(milliseconds(1700));
  CHECK_FALSE(world[1].table().FindBroker("b3")->fenced);
  world.Run(milliseconds(800));
  CHECK(world[1].table().FindBroker("b3")->fenced);
  CHECK(world[1].table().FindBroker("b4")->fenced);
  CHECK_FALSE(world[1].table().FindBroker("b2")->fenced);
  CHECK(world.group.last().value() == before + 1);
}

TEST_CASE("a session is that of the registered process: a new one has its own time") {
  MetaTable table = TableWith({"b1"});
  BrokerSessions sessions(seconds(2));
  const auto at = [](int ms) { return Add(MonotonicTime(1), milliseconds(ms)); };
  CHECK(sessions.Expired(table.brokers(), at(0)).empty());
  CHECK(sessions.Expired(table.brokers(), at(2000)).empty());
  CHECK(sessions.Expired(table.brokers(), at(2001)) == std::vector<BrokerSession>{{"b1", 1}});
  table.Apply(MetadataIndex(5), EncodeRegisterBroker(Broker("b1", 8)));
  CHECK(sessions.Expired(table.brokers(), at(2500)).empty());
  sessions.Heard({"b1", 1}, table, at(4000));  // of the process before
  CHECK(sessions.Expired(table.brokers(), at(4501)) == std::vector<BrokerSession>{{"b1", 8}});
  sessions.Heard({"b1", 8}, table, at(4600));
  CHECK(sessions.Holds("b1", at(6600)));
  CHECK_FALSE(sessions.Holds("b1", at(6601)));
}

TEST_CASE("a new leader gives everybody a full timeout, but not its predecessor") {
  MetaWorld world(3);
  world.Run(seconds(1));
  world.Stop(1);
  world.group.Elect(PeerId());
  world.Run(milliseconds(900));
  world.group.Elect(PeerId(2));
  // b3 cannot be heard from the beginning.
  world.network.Cut(PeerId(2), PeerId(3));
  world.Run(milliseconds(1000));
  CHECK_FALSE(world[2].table().FindBroker("b1")->fenced);
  world.Run(milliseconds(500));
  CHECK(world[2].table().FindBroker("b1")->fenced);  // 2 s after it was lost
  CHECK_FALSE(world[2].table().FindBroker("b3")->fenced);
  world.Run(milliseconds(1000));
  CHECK(world[2].table().FindBroker("b3")->fenced);
}

TEST_CASE("who leads again fences nobody for what it did not hear in between") {
  MetaWorld world(3);
  world.Run(seconds(3));
  world.group.Elect(PeerId(2));
  world.Run(seconds(30));
  world.network.Cut(PeerId(1), PeerId(3));
  world.group.Elect(PeerId(1));
  world.Run(milliseconds(1500));
  CHECK_FALSE(world[1].table().FindBroker("b3")->fenced);
  world.Run(milliseconds(1500));
  CHECK(world[1].table().FindBroker("b3")->fenced);
}

TEST_CASE("who leads again takes no vote for a silence of when it led before") {
  LeaderWorkOptions options;
  options.max_voters = 3;
  MetaWorld world(4, 1, options);
  world.Run(seconds(5));
  const auto votes = [&](PeerId id) {
    const auto& members = world.group.members();
    return std::any_of(members.begin(), members.end(),
                       [id](const GroupMember& m) { return m.id == id && m.voter; });
  };
  std::vector<PeerId> others;
  for (uint64_t n = 2; n <= 4; ++n) {
    if (votes(PeerId(n))) others.push_back(PeerId(n));
  }
  REQUIRE(others.size() == 2);
  const PeerId judged = others[0];
  world.group.silent.insert(judged);
  world.Run(seconds(8));
  CHECK(votes(judged));
  world.group.Elect(others[1]);
  world.group.silent.clear();
  world.Run(seconds(30));
  CHECK(votes(judged));
  world.group.silent.insert(judged);
  world.group.Elect(PeerId(1));
  world.Run(seconds(8));
  CHECK(votes(judged));
  world.Run(seconds(5));
  CHECK_FALSE(votes(judged));
}

TEST_CASE("a leader that stood still fences nobody for what it could not hear") {
  MetaWorld world(3);
  world.Run(seconds(1));
  const MetadataIndex before = world.group.last();
  for (int i = 0; i < 10; ++i) {
    world.clock.Advance(seconds(30));  // the whole machine: timers are due all at once
    world.Run(milliseconds(1900));
  }
  for (MetadataIndex at = before + 1; at <= world.group.last(); at += 1) {
    meta::Command command;
    REQUIRE(command.ParseFromString(world.group.command(at)));
    CHECK(command.has_note_generations());  // the time did pass
  }
}

TEST_CASE(
    "heartbeats of a process that is not registered, or in another's name, keep nothing alive") {
  MetaWorld world(3);
  world.Run(milliseconds(300));
  world.network.Cut(PeerId(1), PeerId(2));
  for (int i = 0; i < 20; ++i) {
    world[3].peers.Send(PeerId(1), PeerService::kSession,
                        EncodeHeartbeat({{"b2", world[2].self.incarnation}, {}}));
    world[1].leader_work->OnPeerMessage({PeerId(2), "b2", "", 5, 1},
                                        EncodeHeartbeat({{"b2", 5}, {}}));
    world[1].leader_work->OnPeerMessage({PeerId(2), "b2", "", 5, 1}, "\xff\xff");
    world.Run(milliseconds(200));
  }
  CHECK(world[1].table().FindBroker("b2")->fenced);
}

TEST_CASE("the cluster's id is written down, and the feature level raised when all have it") {
  MetaWorld world(3);
  world.Run(seconds(8));
  for (uint64_t n = 1; n <= 3; ++n) {
    CHECK(world[n].table().cluster_id() == "cluster-1");
    CHECK(world[n].table().feature_level() == kFeatureLevel);
  }
  const MetadataIndex last = world.group.last();
  world.Run(seconds(20));
  CHECK(world.group.last() == last);  // nothing to do costs nothing
}

TEST_CASE("what the oldest broker does not know is refused until it has this version too") {
  MetaWorld world(2);
  BrokerRegistration old = Broker("b3", 1);
  old.feature_level = 1;
  const auto registers = [&](const BrokerRegistration& broker) {
    world[1].log->Propose(EncodeRegisterBroker(broker),
                          [](const absl::Status& s) { CHECK(s.ok()); });
  };
  registers(old);
  world.Run(seconds(8));
  CHECK(world[1].table().feature_level() == 1);
  StreamSpec spec;
  spec.name = spec.subject = "s";
  spec.overrides.max_message_bytes = 1000;
  CHECK(
      world.Await(world[1].Create(spec)).message() ==
      "max_message_bytes needs feature level 2, the cluster has 1: bring broker b3 (feature level "
      "1) to this version first");
  registers(Broker("b3", 2));
  world.Run(seconds(8));
  CHECK(world.Await(world[1].Create(spec)).ok());
}

TEST_CASE("what the log did not take is proposed again, each time") {
  MetaWorld world(3);
  world.Run(seconds(8));
  for (const uint64_t dead : {2, 3}) {
    world[1].log->refuse = 3;
    world.Stop(dead);
    world.Run(seconds(10));
    CHECK(world[1].log->refuse == 0);
    CHECK(world[1].table().FindBroker(Concat("b", dead))->fenced);
  }
}

TEST_CASE("work that was stopped sends nothing, hears nothing and fences nobody") {
  MetaWorld world(3);
  world.Run(seconds(8));
  for (uint64_t n = 1; n <= 3; ++n) world[n].leader_work->Stop();
  world.Run(milliseconds(50));
  const MetadataIndex last = world.group.last();
  const uint64_t messages = world.network.messages;
  world.Run(seconds(10));  // far more than a session
  CHECK(world.network.messages == messages);
  CHECK(world.group.last() == last);
}

TEST_CASE("a member that comes back at another address is dialled there, and keeps its part") {
  MetaWorld world(3);
  BrokerRegistration moved;
  moved.id = "b2";
  moved.node = PeerId(2);
  moved.incarnation = world[2].self.incarnation;
  moved.host = "b2.example";  // as it says itself: else it would register again
  moved.port = 9292;
  moved.peer_address = "elsewhere:1";
  world[1].log->Propose(EncodeRegisterBroker(moved), [](const absl::Status&) {});
  world.Run(seconds(1));
  for (const GroupMember& member : world.group.members()) {
    CHECK(member.voter);
    CHECK(member.address ==
          (member.server_id == "b2" ? "elsewhere:1" : member.server_id + ":9293"));
  }
}

TEST_CASE("a member that is not registered does not vote, however well it follows") {
  MetaWorld world(1);
  world.Start(2);
  world[1].log->AddMember({PeerId(2), "b2", "b2:9293", false}, [](const absl::Status&) {});
  world[2].home.Post([&world] { world[2].leader_work->Start(); });
  world.Run(seconds(5));
  REQUIRE(world.group.members().size() == 2);
  CHECK_FALSE(world.group.members().back().voter);
  world.Register(2);
  world.Run(seconds(5));
  CHECK(world.group.members().back().voter);
}

TEST_CASE("a joined learner is promoted, and a dead voter's place goes to it when places are few") {
  LeaderWorkOptions few;
  few.max_voters = 3;
  MetaWorld world(3, 1, few);
  world.Start(4);
  std::optional<absl::Status> added;
  world[1].log->AddMember({PeerId(4), "b4", "b4:9293", false},
                          [&](const absl::Status& status) { added = status; });
  world.Register(4);
  world.Run(seconds(5));
  REQUIRE(world.group.members().size() == 4);
  CHECK_FALSE(world.group.members().back().voter);
  world.Stop(2);
  world.Run(seconds(9));
  const auto votes = [&](const std::string& id) {
    for (const GroupMember& member : world.group.members()) {
      if (member.server_id == id) return member.voter;
    }
    return false;
  };
  CHECK(votes("b2"));
  world.Run(seconds(3));
  CHECK_FALSE(votes("b2"));
  CHECK(votes("b4"));
}

TEST_CASE("who leads again after a time without a leader is not silent itself") {
  MetaWorld world(3);
  world.Run(seconds(1));
  world.group.Elect(PeerId());
  world.Run(seconds(3));
  world.group.Elect(PeerId(1));
  bool fenced = false;
  for (int i = 0; i < 400; ++i) {  // it would register again at once
    world.Run(milliseconds(1));
    fenced = fenced || world[1].table().FindBroker("b1")->fenced;
  }
  CHECK_FALSE(fenced);
}

}  // namespace bascule::metadata
