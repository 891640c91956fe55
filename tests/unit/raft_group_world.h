// Members of a metadata group, each with a store on a simulated disk of its own, on one time line.
// A member's disk outlives it.
#pragma once

#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "replication/meta/group/raft_group.h"
#include "tests/support/fake_peer_transport.h"
#include "tests/support/sim_file_system.h"

namespace bascule::raft {

// Everything it is told, in order: "<index> <command>", "<index> members 1v 2l".
class TellingState final : public MetadataState {
 public:
  absl::Status Apply(MetadataIndex index, std::string_view command) override {
    told.push_back(Concat(index, " ", command));
    if (command == "newer") return absl::UnimplementedError("a command of a newer version");
    return command == "refused" ? absl::AlreadyExistsError("refused") : absl::OkStatus();
  }
  void ApplyMembers(MetadataIndex index, const std::vector<GroupMember>& members) override {
    members_ = members;
    std::string text = "members";
    for (const GroupMember& m : members) text += Concat(" ", m.id, m.voter ? "v" : "l");
    if (text != last_members_) told.push_back(Concat(index, " ", text));
    last_members_ = text;
  }
  bool Grows(std::string_view command) const override { return !command.starts_with("free"); }
  std::string Snapshot() const override {
    std::string all;
    for (const std::string& line : told) all += line + "\n";
    return all;
  }
  absl::Status Restore(MetadataIndex, std::string_view snapshot) override {
    ++restored;
    told.clear();
    while (!snapshot.empty()) {
      const size_t end = snapshot.find('\n');
      told.emplace_back(snapshot.substr(0, end));
      const size_t members = told.back().find("members");
      if (members != std::string::npos) last_members_ = told.back().substr(members);
      snapshot.remove_prefix(end + 1);
    }
    return absl::OkStatus();
  }
  // The commands alone.
  std::vector<std::string> Commands() const {
    std::vector<std::string> commands;
    for (const std::string& line : told) {
      const std::string rest = line.substr(line.find(' ') + 1);
      if (!rest.starts_with("members")) commands.push_back(rest);
    }
    return commands;
  }
  std::vector<std::string> told;
  std::vector<GroupMember> members_;
  int restored = 0;

 private:
  std::string last_members_;
};

class GroupWorld {
 public:
  struct Member {
    explicit Member(uint64_t seed) : fs(seed) {}
    SimFileSystem fs;
    SimExecutor* home = nullptr;
    std::unique_ptr<TellingState> state;
    std::unique_ptr<raft_group::RaftGroup> group;
    absl::Status fatal;
    std::vector<MetadataRole> roles;
  };

  explicit GroupWorld(uint64_t seed) : scheduler(clock, seed), network(scheduler) {}
  ~GroupWorld() {
    scheduler.DropAll();
    for (auto& [id, member] : members_) member.group.reset();
    scheduler.DropAll();
  }

  static GroupMember Named(uint64_t id, bool voter = true) {
    return {PeerId(id), Concat("b", id), Concat("b", id, ":9293"), voter};
  }

  // What a member's disk holds before its first start.
  void Create(uint64_t id, const raft::SnapshotMeta& snapshot, const std::string& state) {
    REQUIRE(raft_store::RaftStore::Create(At(id).fs, "/meta", store_options,
                                          {"cluster", raft::NodeId(id)}, snapshot, state)
                .ok());
  }
  // The first member of a new group.
  void Found(uint64_t id) {
    const raft::SnapshotMeta first{MetadataIndex(1), raft::Term(1), {{raft::NodeId(id)}, {}}};
    Create(id, first, raft_group::RaftGroup::InitialSnapshot(Named(id), ""));
    Start(id);
  }
  // A member that knows nothing yet; the leader takes it in.
  void Join(uint64_t id, bool voter = true) {
    Create(id, {}, "");
    Start(id);
    REQUIRE(Change([&](MetadataGroup& group, auto done) {
              group.AddMember(Named(id, false), std::move(done));
            }).ok());
    if (!voter) return;
    REQUIRE(Change([&](MetadataGroup& group, auto done) {
              group.AddMember(Named(id), std::move(done));
            }).ok());
  }
  void FoundThree() {
    Found(1);
    Lead();
    Join(2);
    Join(3);
  }
  void Start(uint64_t id) {
    Member& member = At(id);
    if (member.home == nullptr) member.home = &scheduler.NewExecutor(Concat("home", id));
    FakePeerTransport& transport = network.Add({PeerId(id), Concat("b", id), "", id, 1});
    member.state = std::make_unique<TellingState>();
    member.fatal = absl::OkStatus();
    raft_store::StoredRaft stored;
    auto store = raft_store::RaftStore::Open(member.fs, "/meta", store_options, stored);
    REQUIRE_MESSAGE(store.ok(), store.status().ToString());
    auto group =
        raft_group::RaftGroup::Start({*member.home, scheduler.rng(), &transport, *member.state,
                                      [&member](const absl::Status& why) { member.fatal = why; }},
                                     options, *std::move(store), std::move(stored));
    REQUIRE_MESSAGE(group.ok(), group.status().ToString());
    member.group = *std::move(group);
    member.group->OnRoleChange(
        [&member](const MetadataRole& role) { member.roles.push_back(role); });
  }
  // The process ends; what was not synced survives in part, if `power` goes too.
  void Kill(uint64_t id, bool power = false) {
    Member& member = At(id);
    member.home->DropAll();
    member.group.reset();
    member.home->DropAll();
    network.Remove(PeerId(id));
    if (power) {
      member.fs.Crash(scheduler.rng());
    } else {
      member.fs.Kill();
    }
  }

  // The one who leads, waiting for it.
  uint64_t Lead() {
    uint64_t leader = 0;
    REQUIRE(scheduler.RunUntil(
        [&] {
          leader = 0;
          for (auto& [id, member] : members_) {
            if (member.group && member.group->role().leading && member.fatal.ok()) leader = id;
          }
          return leader != 0;
        },
        std::chrono::seconds(30)));
    return leader;
  }
  uint64_t Follower() {
    const uint64_t leader = Lead();
    for (auto& [id, member] : members_) {
      if (member.group && id != leader) return id;
    }
    FAIL("no follower");
    return 0;
  }
  absl::Status Propose(uint64_t id, const std::string& command) {
    return Answer([&](auto done) { At(id).group->Propose(command, std::move(done)); });
  }
  absl::Status Propose(const std::string& command) { return Propose(Lead(), command); }
  absl::Status Barrier(uint64_t id) {
    return Answer([&](auto done) { At(id).group->ReadBarrier(std::move(done)); });
  }
  // On the leader; again while another change is under way.
  template <typename Call>
  absl::Status Change(Call call) {
    for (;;) {
      MetadataGroup& group = *At(Lead()).group;
      const absl::Status status = Answer([&](auto done) { call(group, std::move(done)); });
      if (!absl::IsFailedPrecondition(status) && !absl::IsUnavailable(status)) return status;
      scheduler.RunFor(std::chrono::milliseconds(100));
    }
  }
  template <typename Call>
  absl::Status Answer(Call call, Duration limit = std::chrono::seconds(60)) {
    auto answer = std::make_shared<std::optional<absl::Status>>();
    call([answer](const absl::Status& status) { *answer = status; });
    REQUIRE(scheduler.RunUntil([&] { return answer->has_value(); }, limit));
    return **answer;
  }
  void RunFor(Duration duration) { scheduler.RunFor(duration); }
  Member& At(uint64_t id) {
    const auto it = members_.find(id);
    if (it != members_.end()) return it->second;
    return members_.try_emplace(id, id).first->second;
  }
  void CheckAllAlike() {
    const TellingState* first = nullptr;
    for (auto& [id, member] : members_) {
      if (!member.group || !member.fatal.ok()) continue;
      if (first == nullptr) first = member.state.get();
      INFO("member ", id);
      CHECK(member.state->told == first->told);
    }
  }

  SimClock clock;
  SimScheduler scheduler;
  FakePeerNetwork network;
  raft_group::RaftGroupOptions options;
  raft_store::RaftStoreOptions store_options;

 private:
  std::map<uint64_t, Member> members_;
};

}  // namespace bascule::raft
