// What a member that was away learns of those that do not vote.
#include "tests/unit/raft_group_world.h"

namespace bascule::raft {

TEST_CASE("a snapshot that is sent tells of those that do not vote") {
  GroupWorld world(11);
  world.options.snapshot_entries = 50;
  world.options.trailing_entries = 10;
  world.FoundThree();
  const uint64_t away = world.Follower();
  world.Kill(away);
  world.Join(4, false);
  for (int i = 0; i < 200; ++i) CHECK(world.Propose(Concat("c", i)).ok());
  world.Start(away);
  world.RunFor(std::chrono::seconds(5));
  CHECK(world.At(away).state->restored >= 2);  // its own at the start, then the leader's
  const GroupStatus status = world.At(away).group->Status();
  REQUIRE(status.members.size() == 4);
  for (const GroupMemberStatus& one : status.members)
    CHECK(one.member.voter == (one.member.id != PeerId(4)));
}

}  // namespace bascule::raft
