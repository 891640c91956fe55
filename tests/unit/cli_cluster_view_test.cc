// The cluster as `bascule cluster status` shows it.
#include <doctest/doctest.h>

#include <sstream>

// The program is no library: its pure files are compiled in here (format.cc and text.cc by their
// own tests).
#include "../../cmd/bascule/cluster_view.cc"

namespace bascule::cli {
namespace {

v1::ClusterMember Member(const std::string& id, bool voter, int64_t match) {
  v1::ClusterMember member;
  member.set_server_id(id);
  member.set_peer_address(id + ".example.com:9293");
  member.set_client_address(id + ".example.com:9292");
  member.set_voter(voter);
  member.set_live(true);
  member.set_match(match);
  member.set_feature_level(1);
  member.set_partitions(3);
  member.set_leading(1);
  return member;
}

v1::GetClusterStatusResponse Healthy() {
  v1::GetClusterStatusResponse status;
  status.set_cluster_id("3f2a91c0");
  status.set_namespace_("prod");
  status.set_answered_by("b1");
  status.set_leader("b2");
  status.set_term(5);
  status.set_commit(1234);
  status.set_applied(1234);
  status.set_first(101);
  status.set_last(1236);
  status.set_log_bytes(120 * 1024);
  status.set_feature_level(1);
  *status.add_members() = Member("b1", true, 1234);
  *status.add_members() = Member("b2", true, 1236);
  *status.add_members() = Member("b3", false, 36);
  status.mutable_members(1)->set_leader(true);
  status.mutable_members(2)->set_rack("r2");
  return status;
}

std::string Shown(const v1::GetClusterStatusResponse& status) {
  std::stringstream out;
  PrintCluster(out, status);
  return out.str();
}

TEST_CASE("cluster view: a live broker in trouble is not said to be well") {
  v1::GetClusterStatusResponse status = Healthy();
  status.mutable_members(2)->set_trouble("its disk is full");
  status.add_degraded("broker b3 at b3:9293 gets no new partitions: its disk is full");
  const std::string shown = Shown(status);
  CHECK(shown.find("learner  AILING") != std::string::npos);
  CHECK(shown.find("! broker b3 at b3:9293 gets no new partitions: its disk is full\n") !=
        std::string::npos);
  CHECK(shown.find("All is well") == std::string::npos);
  CHECK_FALSE(Troubles(status).empty());
}

TEST_CASE("cluster view: partitions that are not as they should be are seen at a glance") {
  v1::GetClusterStatusResponse status = Healthy();
  status.set_partitions(1200);
  CHECK(Shown(status).find("\n  partitions    1,200\n") != std::string::npos);
  status.set_leaderless(1);
  status.set_below_min_isr(3);
  status.set_under_replicated(1009);
  const std::string line =
      "  partitions    1,200: 1 leaderless, 3 below min ISR, 1,009 under-replicated\n";
  CHECK(line.size() <= 80);
  CHECK(Shown(status).find(line) != std::string::npos);
}

TEST_CASE("cluster view: a healthy cluster") {
  CHECK(Shown(Healthy()) ==
        "Cluster 3f2a91c0, namespace prod\n"
        "  leader        b2, term 5\n"
        "  log           committed to 1,234, written to 1,236, kept from 101, 120 KiB\n"
        "  feature level 1\n"
        "  seen by       b1\n"
        "\n"
        "MEMBER  ROLE     STATE    LAG  PARTITIONS  LEADING  CLIENTS              PEERS            "
        "    "
        "RACK  LEVEL\n"
        "b1      voter    live       2           3        1  b1.example.com:9292  "
        "b1.example.com:9293  "
        "-         1\n"
        "b2      leader   live       0           3        1  b2.example.com:9292  "
        "b2.example.com:9293  "
        "-         1\n"
        "b3      learner  live   1,200           3        1  b3.example.com:9292  "
        "b3.example.com:9293  "
        "r2        1\n"
        "\n"
        "All is well.\n");
  CHECK(Troubles(Healthy()).empty());
}

TEST_CASE("cluster view: what is wrong stands last, once") {
  v1::GetClusterStatusResponse status = Healthy();
  status.mutable_members(2)->set_live(false);
  CHECK(Troubles(status) == std::vector<std::string>{"broker b3 is gone"});
  CHECK(Shown(status).find("GONE") != std::string::npos);
  status.add_degraded("broker b3 has been silent for 9s");
  CHECK(Troubles(status) == std::vector<std::string>{"broker b3 has been silent for 9s"});
  status.set_degraded(0, "broker b31 is silent, and so is ab3");  // another one
  CHECK(Troubles(status).size() == 2);
  const std::string shown = Shown(status);
  CHECK(shown.find("! broker b31 is silent, and so is ab3\n! broker b3 is gone\n") !=
        std::string::npos);
  CHECK(shown.find("All is well") == std::string::npos);
}

TEST_CASE("cluster view: without a leader, and seen by a follower that knows no positions") {
  v1::GetClusterStatusResponse status = Healthy();
  status.clear_leader();
  status.mutable_members(1)->set_leader(false);
  status.mutable_members(0)->set_match(-1);
  status.mutable_members(1)->set_match(2000);  // ahead of what the asked broker has
  const std::string shown = Shown(status);
  CHECK(shown.find("  leader        NONE, term 5\n") != std::string::npos);
  CHECK(shown.find("b1      voter    live       - ") != std::string::npos);
  CHECK(shown.find("b2      voter    live       0 ") != std::string::npos);
  REQUIRE(Troubles(status).size() == 1);
  CHECK(Troubles(status)[0].find("there is no metadata leader") == 0);
  status.add_degraded("no metadata leader is known here");  // said already
  CHECK(Troubles(status).size() == 1);
}

TEST_CASE("cluster view: what a server says cannot steer the terminal") {
  v1::GetClusterStatusResponse status = Healthy();
  status.set_leader("b\x1b[2J");
  status.add_degraded("\x1b]0;x\x07");
  status.mutable_members(0)->set_rack("a\nb");
  CHECK(Shown(status).find('\x1b') == std::string::npos);
  CHECK(Shown(status).find("a\nb") == std::string::npos);
}

}  // namespace
}  // namespace bascule::cli
