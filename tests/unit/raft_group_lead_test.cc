// Who comes to lead a metadata group: out of members that differ, and by a hand-over.
#include "tests/unit/raft_group_world.h"

namespace bascule::raft {
namespace {

// One of 1, 2 and 3, which has heard of `term` and holds `entries` behind the first snapshot.
void CreateOneOfThree(GroupWorld& world, uint64_t id, uint64_t term,
                      const std::vector<Entry>& entries) {
  raft_group::MemberBook book;
  for (uint64_t other = 1; other <= 3; ++other)
    book[NodeId(other)] = {Concat("b", other), Concat("b", other, ":9293")};
  world.Create(id, {Index(1), Term(1), {{NodeId(1), NodeId(2), NodeId(3)}, {}}},
               raft_group::EncodeSnapshotBody(book, ""));
  raft_store::StoredRaft stored;
  auto store = raft_store::RaftStore::Open(world.At(id).fs, "/meta", world.store_options, stored);
  REQUIRE(store.ok());
  REQUIRE((*store)->Save(HardState{Term(term), NodeId(), Index(1)}, entries, Index(1)).ok());
}

}  // namespace

TEST_CASE("two of three go on: one has the longer log, the other has heard of a later term") {
  for (const uint64_t longer : {1, 2}) {
    CAPTURE(longer);
    GroupWorld world(longer);
    const uint64_t later = 3 - longer;
    CreateOneOfThree(world, longer, 2, {{Index(2), Term(2), EntryType::kNormal, "kept"}});
    CreateOneOfThree(world, later, 9, {});
    world.Start(longer);
    world.Start(later);
    CHECK(world.Lead() == longer);
    CHECK(world.Propose("next").ok());
    CHECK(world.At(longer).state->Commands() == std::vector<std::string>{"kept", "next"});
  }
}

TEST_CASE("a leader hands over to a voter that is there, whichever of the others is gone") {
  for (const bool first_is_gone : {true, false}) {
    CAPTURE(first_is_gone);
    GroupWorld world(17);
    world.FoundThree();
    CHECK(world.Propose("a").ok());
    world.RunFor(std::chrono::seconds(2));  // all have everything
    const uint64_t leader = world.Lead();
    std::vector<uint64_t> others;
    for (uint64_t id = 1; id <= 3; ++id)
      if (id != leader) others.push_back(id);
    world.Kill(others[first_is_gone ? 0 : 1]);
    world.RunFor(std::chrono::seconds(10));  // long not heard of
    REQUIRE(world.Lead() == leader);
    const absl::Status moved = world.Answer(
        [&](auto done) { world.At(leader).group->TransferLeadership(PeerId(), std::move(done)); });
    CHECK_MESSAGE(moved.ok(), moved.ToString());
    CHECK(world.Lead() == others[first_is_gone ? 1 : 0]);
    CHECK(world.Propose("b").ok());
  }
}

}  // namespace bascule::raft
