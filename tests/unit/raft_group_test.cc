// The driver of the metadata group: rounds, answers, snapshots, full disks, the end.
#include "tests/unit/raft_group_world.h"

namespace bascule::raft {
namespace {

constexpr Duration kSecond = std::chrono::seconds(1);

}  // namespace

TEST_CASE("a group of one leads at once, applies in order, and answers with what Apply said") {
  GroupWorld world(1);
  world.Found(1);
  CHECK(world.Lead() == 1);
  CHECK(world.clock.Monotonic() < Add(SimClock().Monotonic(), kSecond / 10));
  CHECK(world.Propose("a").ok());
  CHECK(absl::IsAlreadyExists(world.Propose("refused")));
  CHECK(world.Propose("b").ok());
  CHECK(world.At(1).state->Commands() == std::vector<std::string>{"a", "refused", "b"});
  CHECK(world.Barrier(1).ok());
}

TEST_CASE("what waits together is synced together") {
  GroupWorld world(2);
  world.Found(1);
  world.Lead();
  world.RunFor(kSecond);
  SimFaults& faults = world.At(1).fs.faults();
  const uint64_t before = faults.Calls(kSync);
  int answered = 0;
  for (int i = 0; i < 100; ++i)
    world.At(1).group->Propose(Concat("c", i), [&](const absl::Status& s) { answered += s.ok(); });
  REQUIRE(world.scheduler.RunUntil([&] { return answered == 100; }, kSecond));
  CHECK(faults.Calls(kSync) == before + 1);
}

TEST_CASE("members hear of commands and of changed members in one order, however they arrive") {
  GroupWorld world(3);
  world.FoundThree();
  for (int i = 0; i < 5; ++i) CHECK(world.Propose(Concat("c", i)).ok());
  // A member that was away gets all of it in one batch.
  const uint64_t away = world.Follower();
  world.Kill(away);
  for (int i = 5; i < 8; ++i) CHECK(world.Propose(Concat("c", i)).ok());
  world.Join(4, false);
  CHECK(world.Propose("with four").ok());
  CHECK(world
            .Change([](MetadataGroup& group, auto done) {
              group.RemoveMember(PeerId(4), std::move(done));
            })
            .ok());
  CHECK(world.Propose("without four").ok());
  world.Kill(4);
  world.Start(away);
  world.RunFor(5 * kSecond);
  world.CheckAllAlike();
  CHECK(world.At(away).state->Commands().size() == 10);
}

TEST_CASE("a leader that dies is replaced, and nothing that was answered is lost") {
  GroupWorld world(4);
  world.FoundThree();
  CHECK(world.Propose("before").ok());
  const uint64_t first = world.Lead();
  world.Kill(first, true);
  const MonotonicTime died = world.clock.Monotonic();
  const uint64_t second = world.Lead();
  CHECK(second != first);
  CHECK(Between(died, world.clock.Monotonic()) < 3 * kSecond);
  CHECK(world.Propose("after").ok());
  world.Start(first);
  world.RunFor(3 * kSecond);
  world.CheckAllAlike();
  CHECK(world.At(first).state->Commands() == std::vector<std::string>{"before", "after"});
}

TEST_CASE(
    "a leader that is cut off says that the outcome is unknown, a follower that it took nothing") {
  GroupWorld world(5);
  world.FoundThree();
  const uint64_t leader = world.Lead();
  const uint64_t follower = world.Follower();
  CHECK(absl::IsUnavailable(world.Propose(follower, "not here")));
  world.network.Isolate(PeerId(leader));
  const absl::Status status = world.Propose(leader, "lost?");
  CHECK(absl::IsUnknown(status));
  CHECK(absl::IsUnavailable(world.Barrier(leader)));
  world.network.isolated.clear();
  world.RunFor(5 * kSecond);
  world.CheckAllAlike();
  CHECK(world.At(follower).state->Commands().empty());
}

TEST_CASE("a read barrier on any member sees everything that was answered before") {
  GroupWorld world(6);
  world.FoundThree();
  for (int i = 0; i < 20; ++i) {
    CHECK(world.Propose(Concat("c", i)).ok());
    const uint64_t id = 1 + static_cast<uint64_t>(i) % 3;
    CHECK(world.Barrier(id).ok());
    CHECK(world.At(id).state->Commands().size() == static_cast<size_t>(i) + 1);
  }
}

TEST_CASE("who is too far behind is sent the snapshot, and restarts go on from it") {
  GroupWorld world(7);
  world.options.snapshot_entries = 50;
  world.options.trailing_entries = 10;
  world.FoundThree();
  const uint64_t away = world.Follower();
  world.Kill(away);
  for (int i = 0; i < 200; ++i) CHECK(world.Propose(Concat("c", i)).ok());
  world.Start(away);
  world.RunFor(5 * kSecond);
  CHECK(world.At(away).state->restored >= 2);  // its own at the start, then the leader's
  world.CheckAllAlike();
  world.Kill(away, true);
  world.Start(away);
  world.RunFor(5 * kSecond);
  world.CheckAllAlike();
  CHECK(world.At(away).state->Commands().size() == 200);
}

// Every file of one store, in another disk.
void CopyStore(FileSystem& from, FileSystem& to) {
  (void)to.RemoveTree("/meta");
  REQUIRE(to.CreateDirectories("/meta").ok());
  const auto files = from.List("/meta");
  REQUIRE(files.ok());
  for (const DirectoryEntry& entry : *files) {
    const std::string path = "/meta/" + entry.name;
    const auto file = from.Open(path, OpenMode::kRead);
    REQUIRE(file.ok());
    const auto bytes = ReadWhole(**file, uint64_t{64} << 20);
    REQUIRE(bytes.ok());
    REQUIRE(WriteFileAtomically(to, path, *bytes).ok());
  }
}

TEST_CASE("a majority that was put back from copies is not followed by who knows better") {
  int ended = 0;
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    CAPTURE(seed);
    GroupWorld world(100 + seed);
    world.FoundThree();
    CHECK(world.Propose("before").ok());
    world.RunFor(kSecond);
    const uint64_t knows = seed % 3 + 1;
    std::map<uint64_t, std::unique_ptr<SimFileSystem>> copies;
    const auto kill_all = [&] {
      for (uint64_t id = 1; id <= 3; ++id) world.Kill(id);
    };
    kill_all();
    for (uint64_t id = 1; id <= 3; ++id) {
      copies[id] = std::make_unique<SimFileSystem>(id);
      CopyStore(world.At(id).fs, *copies[id]);
    }
    for (uint64_t round = 0; round < 1 + seed % 4; ++round) {  // that many terms later
      for (uint64_t id = 1; id <= 3; ++id) world.Start(id);
      for (int i = 0; i < 5; ++i) CHECK(world.Propose(Concat("agreed ", round, " ", i)).ok());
      world.RunFor(kSecond);
      kill_all();
    }
    for (uint64_t id = 1; id <= 3; ++id) {
      if (id != knows) CopyStore(*copies[id], world.At(id).fs);
    }
    for (uint64_t id = 1; id <= 3; ++id) {
      if (id != knows) world.Start(id);
    }
    for (uint64_t i = 0; i < seed; ++i) CHECK(world.Propose(Concat("again ", i)).ok());
    world.Start(knows);
    world.RunFor(30 * kSecond);
    bool fatal = false;
    for (uint64_t id = 1; id <= 3; ++id) {
      const absl::Status& why = world.At(id).fatal;
      if (why.ok()) continue;
      fatal = true;
      CHECK_MESSAGE(absl::IsFailedPrecondition(why), why.ToString());
      CHECK(why.message().find("--recover-quorum on the broker whose metadata is the newest") !=
            std::string_view::npos);
    }
    if (fatal) ++ended;
  }
  // Not where the other terms happen to have the same numbers.
  MESSAGE(ended, " of 12 noticed");
  CHECK(ended >= 6);
}

TEST_CASE("a full disk stops one member, the others go on, and it comes back by itself") {
  GroupWorld world(8);
  world.FoundThree();
  const uint64_t leader = world.Lead();
  world.At(leader).fs.SetCapacity(0);
  world.RunFor(5 * kSecond);
  const uint64_t next = world.Lead();
  CHECK(next != leader);
  CHECK_FALSE(world.At(leader).group->degraded().empty());
  CHECK(absl::IsUnavailable(world.Propose(leader, "no room")));
  for (int i = 0; i < 10; ++i) CHECK(world.Propose(Concat("c", i)).ok());
  CHECK(world.At(leader).fatal.ok());
  world.At(leader).fs.SetCapacity(uint64_t{1} << 40);
  world.RunFor(5 * kSecond);
  CHECK(world.At(leader).group->degraded().empty());
  CHECK(world.Propose("all").ok());
  world.RunFor(kSecond);
  world.CheckAllAlike();
}

TEST_CASE(
    "a follower whose disk is full stalls, and complains no more once there is room, each time") {
  GroupWorld world(28);
  world.store_options.segment_bytes = uint64_t{64} << 10;
  world.FoundThree();
  world.Lead();
  const uint64_t full = world.Follower();
  for (int round = 0; round < 3; ++round) {
    world.At(full).fs.SetCapacity(0);
    for (int i = 0; i < 3; ++i)
      CHECK(world.Propose(Concat("round ", round, " ", i, std::string(40'000, 'x'))).ok());
    world.RunFor(kSecond);
    CHECK(world.At(full).group->Status().stalled);
    CHECK(world.At(full).group->degraded().find("has no room") != std::string::npos);
    world.At(full).fs.SetCapacity(uint64_t{1} << 40);
    world.RunFor(5 * kSecond);
    CHECK_FALSE(world.At(full).group->Status().stalled);
    CHECK(world.At(full).group->degraded().empty());
    world.CheckAllAlike();
  }
  CHECK(world.At(full).fatal.ok());
}

TEST_CASE("on a nearly full disk what frees room gets through, alone and from others, twice over") {
  GroupWorld world(18);
  world.store_options.reserve_bytes = uint64_t{1} << 20;
  world.Found(1);
  world.Lead();
  const auto used = [&world] {
    return (uint64_t{1} << 40) - world.At(1).fs.Space("/meta")->available_bytes;
  };
  for (int round = 0; round < 2; ++round) {
    world.At(1).fs.SetCapacity(used());  // not a byte left
    world.RunFor(3 * kSecond);
    CHECK(absl::IsUnavailable(world.Propose(1, "grow")));
    for (int i = 0; i < 300; ++i) REQUIRE(world.Propose(1, Concat("free ", i)).ok());
    CHECK(absl::IsUnavailable(world.Propose(1, "grow")));
    CHECK_FALSE(world.At(1).group->Status().stalled);
    CHECK(world.At(1).fatal.ok());
    // A start needs room too.
    world.Kill(1);
    world.Start(1);
    world.Lead();
    REQUIRE(world.Propose(1, "free after a start").ok());
    world.At(1).fs.SetCapacity(uint64_t{1} << 40);
    world.RunFor(3 * kSecond);
    CHECK(world.At(1).group->degraded().empty());
    CHECK(world.Propose(1, "grow").ok());
  }
}

TEST_CASE("a snapshot that is too large is not kept: the log grows, the process goes on") {
  GroupWorld world(19);
  world.options.snapshot_entries = 10;
  world.store_options.snapshot_bytes = 600;
  world.FoundThree();
  for (int i = 0; i < 100; ++i) REQUIRE(world.Propose(Concat("a longer command ", i)).ok());
  world.RunFor(kSecond);
  for (const uint64_t id : {1, 2, 3}) CHECK(world.At(id).fatal.ok());
  world.CheckAllAlike();
  const uint64_t leader = world.Lead();
  const GroupStatus status = world.At(leader).group->Status();
  CHECK(status.snapshot < status.applied);
  world.Kill(leader);
  world.Start(leader);
  world.RunFor(3 * kSecond);
  CHECK(world.Propose("after").ok());
  world.RunFor(kSecond);
  world.CheckAllAlike();
}

TEST_CASE("a failed sync ends the process, which is whole after a restart") {
  GroupWorld world(9);
  world.FoundThree();
  const uint64_t follower = world.Follower();
  world.At(follower).fs.faults().FailAfter(1, kSync, absl::StatusCode::kInternal);
  CHECK(world.Propose("a").ok());
  world.RunFor(kSecond);
  CHECK(absl::IsInternal(world.At(follower).fatal));
  world.Kill(follower, true);
  world.Start(follower);
  world.RunFor(3 * kSecond);
  CHECK(world.Propose("b").ok());
  world.RunFor(kSecond);
  world.CheckAllAlike();
}

TEST_CASE("a command of a newer version ends the process instead of being skipped") {
  GroupWorld world(10);
  world.Found(1);
  world.Lead();
  CHECK(absl::IsUnknown(world.Propose("newer")));
  CHECK(absl::IsUnimplemented(world.At(1).fatal));
}

TEST_CASE("a member that is removed ends with a text that says so, the leader too") {
  GroupWorld world(11);
  world.FoundThree();
  for (int round = 0; round < 2; ++round) {
    const uint64_t goes = round == 0 ? world.Follower() : world.Lead();
    CHECK(world
              .Change([&](MetadataGroup& group, auto done) {
                group.RemoveMember(PeerId(goes), std::move(done));
              })
              .ok());
    world.RunFor(5 * kSecond);
    CHECK(absl::IsFailedPrecondition(world.At(goes).fatal));
    CHECK(world.At(goes).fatal.message().find("was removed") != std::string::npos);
    world.Kill(goes);
    CHECK(world.Propose(Concat("after ", round)).ok());
  }
}

TEST_CASE("leadership moves to whom it is given, and to the best when a leader stops") {
  GroupWorld world(12);
  world.FoundThree();
  const uint64_t leader = world.Lead();
  const uint64_t heir = world.Follower();
  CHECK(world
            .Change([&](MetadataGroup& group, auto done) {
              group.TransferLeadership(PeerId(heir), std::move(done));
            })
            .ok());
  CHECK(world.Lead() == heir);
  CHECK(leader != heir);
  const MonotonicTime before = world.clock.Monotonic();
  bool stopped = false;
  world.At(heir).group->Stop([&] { stopped = true; });
  REQUIRE(world.scheduler.RunUntil([&] { return stopped; }, 5 * kSecond));
  world.Kill(heir);
  world.Lead();
  CHECK(Between(before, world.clock.Monotonic()) < kSecond / 2);  // no election timeout passed
  CHECK(world.Propose("on").ok());
}

// The group has gone on under another leader, whose entries come in the moment in which the end of
// the log is to be marked: they are taken, and not yet saved.
TEST_CASE("a deposed leader's entries are never marked as committed on the word of its successor") {
  for (const bool killed : {false, true}) {
    CAPTURE(killed);
    GroupWorld world(18);
    world.FoundThree();
    REQUIRE(world.Propose("agreed").ok());
    const uint64_t old = world.Lead();
    const uint64_t successor = old == 1 ? 2 : 1;
    world.RunFor(kSecond / 5);
    world.network.Isolate(PeerId(old));
    raft_group::RaftGroup& group = *world.At(old).group;
    const raft::Index agreed = group.Status().last;
    const raft::Term term(group.role().term);
    group.Propose("deposed 1", [](const absl::Status&) {});
    group.Propose("deposed 2", [](const absl::Status&) {});
    world.RunFor(kSecond / 100);
    REQUIRE(group.Status().last == agreed + 2);

    raft::Message append;
    append.type = raft::MessageType::kAppend;
    append.to = raft::NodeId(old);
    append.from = raft::NodeId(successor);
    append.term = term + 1;
    append.log_term = term;
    append.index = append.commit = agreed;
    const PeerIdentity from{PeerId(successor), "b", "b:1", 1, 1};
    group.OnPeerMessage(from, raft_group::EncodeRaftMessage(append));
    world.scheduler.RunUntilIdle();  // its term is saved: the end of the log is to be marked
    for (uint64_t i = 1; i <= 2; ++i)
      append.entries.push_back({agreed + i, append.term, raft::EntryType::kNormal, "agreed later"});
    append.commit = agreed + 2;
    constexpr std::chrono::milliseconds kMoment{1};
    world.RunFor(std::chrono::milliseconds(50) - kMoment);
    world.At(old).home->StandStill(kMoment);
    group.OnPeerMessage(from, raft_group::EncodeRaftMessage(append));
    world.clock.Advance(kMoment);
    // The message, the timer, and only then the round.
    for (int i = 0; i < (killed ? 2 : 100) && world.scheduler.Step();) ++i;
    if (killed) {
      world.Kill(old);
      world.Start(old);
      world.scheduler.RunUntilIdle();
      CHECK(world.At(old).group->Status().commit <= agreed);
      CHECK(world.At(old).state->Commands() == std::vector<std::string>{"agreed"});
    } else {
      CHECK(world.At(old).state->Commands() ==
            std::vector<std::string>{"agreed", "agreed later", "agreed later"});
    }
    CHECK(world.At(old).fatal.ok());
  }
}

TEST_CASE("a proposal is not answered with what became of another leader's command at its place") {
  GroupWorld world(19);
  world.FoundThree();
  REQUIRE(world.Propose("agreed").ok());
  const uint64_t old = world.Lead();
  world.RunFor(kSecond / 5);
  world.network.Isolate(PeerId(old));
  raft_group::RaftGroup& group = *world.At(old).group;
  const raft::Index agreed = group.Status().last;
  const raft::Term term(group.role().term);
  std::optional<absl::Status> answer;
  group.Propose("deposed", [&](const absl::Status& status) { answer = status; });
  world.RunFor(kSecond / 100);
  REQUIRE(group.Status().last == agreed + 1);
  // Its successor's command comes together with the word that it is committed.
  raft::Message append;
  append.type = raft::MessageType::kAppend;
  append.to = raft::NodeId(old);
  append.from = raft::NodeId(old == 1 ? 2 : 1);
  append.term = term + 1;
  append.log_term = term;
  append.index = agreed;
  append.commit = agreed + 1;
  append.entries.push_back({agreed + 1, append.term, raft::EntryType::kNormal, "instead"});
  group.OnPeerMessage({PeerId(append.from.value()), "b", "b:1", 1, 1},
                      raft_group::EncodeRaftMessage(append));
  world.scheduler.RunUntilIdle();
  CHECK(world.At(old).state->Commands() == std::vector<std::string>{"agreed", "instead"});
  REQUIRE(answer.has_value());
  CHECK_FALSE(answer->ok());
}

TEST_CASE("malformed and foreign messages change nothing") {
  GroupWorld world(13);
  world.FoundThree();
  CHECK(world.Propose("a").ok());
  const uint64_t leader = world.Lead();
  const PeerIdentity from{PeerId(world.Follower()), "b", "b:1", 1, 1};
  raft_group::RaftGroup& group = *world.At(leader).group;
  raft::Message absurd;
  absurd.type = raft::MessageType::kAppend;
  absurd.to = raft::NodeId(leader);
  absurd.term = raft::Term(~uint64_t{0});
  for (const std::string& bytes :
       {std::string("garbage"), std::string(), std::string(100'000, '\xff'),
        raft_group::EncodeRaftMessage(absurd)}) {
    group.OnPeerMessage(from, bytes);
    group.OnPeerBulk(from, bytes, "body", [](const absl::StatusOr<std::string>&) {});
  }
  world.RunFor(kSecond);
  CHECK(world.Lead() == leader);
  CHECK(world.Propose("b").ok());
  world.RunFor(kSecond);
  world.CheckAllAlike();
}

TEST_CASE(
    "a message is of the one whose connection it came by; only a wish for a transfer is passed "
    "on") {
  raft::Message wish;
  wish.type = raft::MessageType::kTransferLeader;
  wish.from = raft::NodeId(3);
  std::string bytes = raft_group::EncodeRaftMessage(wish);
  CHECK(raft_group::DecodeRaftMessage(raft::NodeId(2), bytes)->from == raft::NodeId(3));
  REQUIRE(bytes[1] == static_cast<char>(raft::MessageType::kTransferLeader));
  bytes[1] = static_cast<char>(raft::MessageType::kVoteResponse);
  CHECK(raft_group::DecodeRaftMessage(raft::NodeId(2), bytes)->from == raft::NodeId(2));
}

TEST_CASE("a group that cannot start is not called: its handler is not left behind") {
  GroupWorld world(1);
  const raft::SnapshotMeta first{MetadataIndex(1), raft::Term(1), {{raft::NodeId(1)}, {}}};
  world.Create(1, first, "\xff no snapshot");
  raft_store::StoredRaft stored;
  auto store = raft_store::RaftStore::Open(world.At(1).fs, "/meta", world.store_options, stored);
  REQUIRE(store.ok());
  FakePeerTransport& transport = world.network.Add({PeerId(1), "b1", "", 1, 1});
  TellingState state;
  SimExecutor& home = world.scheduler.NewExecutor("home");
  const auto group = raft_group::RaftGroup::Start(
      {home, world.scheduler.rng(), &transport, state, [](const absl::Status&) {}}, world.options,
      *std::move(store), std::move(stored));
  CHECK_FALSE(group.ok());
  CHECK_FALSE(transport.handles(PeerService::kRaft));
}

TEST_CASE("roles are told: one leader, named by all") {
  GroupWorld world(14);
  world.FoundThree();
  world.RunFor(kSecond);
  const uint64_t leader = world.Lead();
  for (uint64_t id = 1; id <= 3; ++id) {
    REQUIRE_FALSE(world.At(id).roles.empty());
    CHECK(world.At(id).roles.back().leader == PeerId(leader));
    CHECK(world.At(id).roles.back().leading == (id == leader));
  }
  const GroupStatus status = world.At(leader).group->Status();
  CHECK(status.members.size() == 3);
  CHECK(status.commit == status.applied);
}

}  // namespace bascule::raft
