// What a data directory leads to when its broker starts, and when a broker believes that it was
// removed.
#include <doctest/doctest.h>

#include "replication/meta/cluster/cluster_start.h"
#include "replication/meta/cluster/removal_watch.h"

namespace bascule::metadata {
namespace {

constexpr bool kAlone = false;
constexpr bool kClustered = true;

FoundDirectory Empty() {
  FoundDirectory found;
  found.path = "/data";
  return found;
}

FoundDirectory Member(bool received) {
  FoundDirectory found = Empty();
  found.member = true;
  found.received = received;
  return found;
}

std::string Refusal(const FoundDirectory& found, bool clustered) {
  const auto plan = PlanStart(found, clustered);
  REQUIRE_FALSE(plan.ok());
  CHECK(absl::IsFailedPrecondition(plan.status()));
  return std::string(plan.status().message());
}

bool Says(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("start: a member that has received something is opened, alone and in a cluster") {
  for (const bool clustered : {kAlone, kClustered}) {
    const auto plan = PlanStart(Member(true), clustered);
    REQUIRE(plan.ok());
    CHECK(plan->way == StartWay::kOpen);
    CHECK(plan->had_metadata);
    CHECK(plan->look_before);
    CHECK_FALSE(plan->leave_old_part);
  }
}

TEST_CASE("start: an empty directory founds a group of one, or finds a cluster") {
  const auto alone = PlanStart(Empty(), kAlone);
  REQUIRE(alone.ok());
  CHECK(alone->way == StartWay::kFound);
  CHECK(alone->look_before);  // nobody let it in: the bus may know its id
  CHECK_FALSE(alone->had_metadata);
  const auto clustered = PlanStart(Empty(), kClustered);
  REQUIRE(clustered.ok());
  CHECK(clustered->way == StartWay::kJoin);
  CHECK(clustered->may_start);
  CHECK_FALSE(clustered->look_before);
}

TEST_CASE("start: a member that has received nothing joins on, and never starts a cluster") {
  const auto plan = PlanStart(Member(false), kClustered);
  REQUIRE(plan.ok());
  CHECK(plan->way == StartWay::kJoin);
  CHECK_FALSE(plan->may_start);
  CHECK(plan->look_before);
}

TEST_CASE("start: a log of before clusters is upgraded, but not beside a member's") {
  FoundDirectory found = Empty();
  found.legacy = true;
  found.streams = 3;
  for (const bool clustered : {kAlone, kClustered}) {
    const auto plan = PlanStart(found, clustered);
    REQUIRE(plan.ok());
    CHECK(plan->way == StartWay::kUpgrade);
    CHECK(plan->had_metadata);
  }
  found.member = found.received = true;
  CHECK(PlanStart(found, kAlone)->way == StartWay::kOpen);
}

TEST_CASE("start: metadata that is missing beside streams is lost, not new") {
  FoundDirectory found = Empty();
  found.streams = 2;
  CHECK(Says(Refusal(found, kAlone), "/data/meta is missing, but /data holds the data of 2"));
  // In a cluster they may be its own: what data/cluster says decides, once it has joined.
  const auto plan = PlanStart(found, kClustered);
  REQUIRE(plan.ok());
  CHECK(plan->way == StartWay::kJoin);
}

TEST_CASE("start: who is to be part of a cluster does not begin alone") {
  FoundDirectory found = Empty();
  found.known = KnownCluster{"theirs", "b7", "/data/cluster.known"};
  CHECK(Says(Refusal(found, kAlone), "part of the cluster theirs (says /data/cluster.known)"));
  CHECK(PlanStart(found, kClustered)->way == StartWay::kJoin);
}

TEST_CASE("start: an older copy leaves its part in the group and joins, or is refused alone") {
  FoundDirectory found = Member(true);
  found.older_copy = true;
  found.streams = 4;
  CHECK(Says(Refusal(found, kAlone), "is an older copy"));
  const auto plan = PlanStart(found, kClustered);
  REQUIRE(plan.ok());
  CHECK(plan->way == StartWay::kJoin);
  CHECK(plan->leave_old_part);
  CHECK_FALSE(plan->may_start);
  CHECK(plan->had_metadata);
  CHECK(plan->look_before);
}

TEST_CASE("binding: a directory is bound once, and to one cluster") {
  FoundDirectory found = Empty();
  CHECK(*BindingOf(found, false, "ours", std::nullopt) == Binding::kBindEmpty);
  CHECK(*BindingOf(found, false, "ours", BindingText("ours")) == Binding::kBound);
  const auto theirs = BindingOf(found, true, "ours", BindingText("theirs"));
  CHECK(absl::IsFailedPrecondition(theirs.status()));
  CHECK(Says(std::string(theirs.status().message()), "streams of another cluster"));
}

TEST_CASE("binding: a file that names no cluster is damaged, not another cluster's") {
  for (const std::string& text :
       {std::string(), std::string("\n"), std::string("ours"), std::string("ours\nours\n"),
        std::string("\0\0\0\0\n", 5), std::string(300, 'x') + "\n"}) {
    CAPTURE(text);
    FoundDirectory found = Empty();
    for (const bool had_metadata : {false, true}) {
      for (found.streams = 0; found.streams < 2; ++found.streams) {
        const auto damaged = BindingOf(found, had_metadata, "ours", text);
        CHECK(absl::IsDataLoss(damaged.status()));
        const std::string why(damaged.status().message());
        CHECK(Says(why, "/data/cluster is damaged"));
        CHECK(Says(why, "remove it") == (had_metadata || found.streams == 0));
        CHECK(Says(why, "write the id of the cluster") != Says(why, "remove it"));
      }
    }
  }
}

TEST_CASE("binding: streams of which nobody says whose they are, are bound only beside metadata") {
  FoundDirectory found = Empty();
  found.streams = 1;
  CHECK(*BindingOf(found, true, "ours", std::nullopt) == Binding::kBind);
  const auto unknown = BindingOf(found, false, "ours", std::nullopt);
  CHECK(absl::IsFailedPrecondition(unknown.status()));
  CHECK(Says(std::string(unknown.status().message()), "nothing says of which cluster"));
  CHECK(*BindingOf(found, false, "ours", BindingText("ours")) == Binding::kBound);
}

TEST_CASE("removal: without a leader the others are asked every five seconds") {
  RemovalWatch watch("ours", PeerId(3));
  const auto seconds_until_asked = [&watch] {
    int seconds = 1;
    while (!watch.Tick(false)) ++seconds;
    return seconds;
  };
  CHECK(seconds_until_asked() == 5);
  CHECK(seconds_until_asked() == 5);
  for (int i = 0; i < 4; ++i) CHECK_FALSE(watch.Tick(false));
  CHECK_FALSE(watch.Tick(true));  // begins anew
  CHECK(seconds_until_asked() == 5);
}

TEST_CASE("removal: is believed of the leader of the own cluster, said twice, and told once") {
  IntroAnswer gone;
  gone.cluster_id = "ours";
  gone.node = gone.leader = PeerId(1);
  gone.members = {{PeerId(1), "b1", "b1:9293", true}};
  IntroAnswer member = gone;
  member.members.push_back({PeerId(3), "b3", "b3:9293", true});
  IntroAnswer follower = gone;
  follower.node = PeerId(2);
  IntroAnswer other = gone;
  other.cluster_id = "theirs";

  RemovalWatch watch("ours", PeerId(3));
  for (int i = 0; i < 3; ++i) {
    CHECK_FALSE(watch.OnAnswer(follower, false));
    CHECK_FALSE(watch.OnAnswer(other, false));
  }
  CHECK_FALSE(watch.OnAnswer(gone, false));
  CHECK_FALSE(watch.OnAnswer(member, false));  // begins anew
  CHECK_FALSE(watch.OnAnswer(gone, false));
  CHECK_FALSE(watch.OnAnswer(gone, true));  // likewise: there is a leader again
  CHECK_FALSE(watch.Tick(false));
  CHECK_FALSE(watch.OnAnswer(gone, false));
  CHECK(watch.Tick(false));  // asked again at once: until it is sure it goes on taking messages
  CHECK(watch.OnAnswer(gone, false));
  CHECK_FALSE(watch.OnAnswer(gone, false));
}

}  // namespace bascule::metadata
