// A Raft group that does what a test says, step by step, and nothing by itself; reads like the
// minutes of a meeting. `INFO(s)` prints these minutes when a check fails, BASCULE_TRACE=1 always.
//
//   RaftScenario s({1, 2, 3});
//   INFO(s);
//   s.Elect(1);
//   s.Isolate(1);
//   s.Propose(1, "a");
//   s.Tick(2, 20);
//   s.Deliver();
//   CHECK(s.raft(2).role() == raft::Role::kLeader);
//
// All that RaftChecker knows is checked on the way and reported at the end.
#pragma once

#include <deque>
#include <functional>
#include <iosfwd>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/sim/raft_checker.h"
#include "tests/sim/raft_member.h"
#include "tests/sim/raft_trace.h"

namespace bascule {

class RaftScenario {
 public:
  using Ids = std::vector<uint64_t>;
  using Filter = std::function<bool(const raft::Message&)>;

  // Entry 1 founds the group; what tests propose begins at 2 or later. Everybody runs.
  explicit RaftScenario(Ids voters, Ids learners = {},
                        std::function<void(raft::Options&)> change = {});
  ~RaftScenario();

  raft::Raft& raft(uint64_t id) { return member(id).raft(); }
  RaftMember& member(uint64_t id) { return *members_.at(id); }
  RaftDisk& disk(uint64_t id) { return member(id).disk(); }
  // One more, with nothing, who belongs to nobody yet.
  void AddMember(uint64_t id);
  // Restarts a member whose disk holds entries of these terms from index 2 on (commands "x<index>",
  // none for term 0).
  void Preset(uint64_t id, uint64_t term, uint64_t vote, const std::vector<uint64_t>& terms,
              uint64_t commit = 1);

  // --- what happens; nothing of it is delivered yet ---
  void Tick(uint64_t id, int times);
  void Campaign(uint64_t id);
  // Where it stands; 0 when it was refused.
  uint64_t Propose(uint64_t id, std::string data);
  bool Change(uint64_t id, raft::ConfChangeType type, uint64_t node);
  bool Read(uint64_t id, const std::string& context);
  // As if a member had said it.
  absl::Status Say(raft::Message message);
  void Crash(uint64_t id, RaftWriteCut cut = {});
  void Restart(uint64_t id);
  // Ready by Ready until nothing is left; what it says waits to be delivered.
  void Work(uint64_t id);
  // Its disk takes nothing until Unblock: a Ready is taken, its early messages leave, no more.
  void Block(uint64_t id) { blocked_.insert(id); }
  void Unblock(uint64_t id);

  // --- the network ---
  void Isolate(uint64_t id);
  void Cut(uint64_t from, uint64_t to) { cut_.insert({from, to}); }
  void Heal() { cut_.clear(); }
  // Everything that waits, and what comes of it, until all are quiet.
  void Deliver();
  // Only what passes; the rest waits on. Not what comes of it.
  void DeliverOnly(const Filter& passes);
  void Drop(const Filter& passes);
  void DropAll() { wire_.clear(); }
  const std::deque<raft::Message>& waiting() const { return wire_; }
  size_t Count(const Filter& passes) const;

  // Campaigns and wins; everybody who can be reached knows.
  void Elect(uint64_t id);
  // Lets heartbeats of `id` go round.
  void Beat(uint64_t id);

  // Commands that a member has applied, and their indexes.
  raft::Index applied(uint64_t id) { return member(id).applied(); }
  raft::Index commit(uint64_t id) { return raft(id).log().committed(); }
  RaftChecker& checker() { return checker_; }
  friend std::ostream& operator<<(std::ostream& out, const RaftScenario& scenario);

 private:
  void Start(uint64_t id);
  void Collect(std::vector<raft::Message> messages);
  raft::Options OptionsOf(uint64_t id);

  const std::function<void(raft::Options&)> change_;
  RaftChecker checker_;
  RaftTrace trace_;
  std::map<uint64_t, std::unique_ptr<RaftMember>> members_;
  std::deque<raft::Message> wire_;
  std::set<std::pair<uint64_t, uint64_t>> cut_;
  std::set<uint64_t> blocked_;
};

// Filters.
inline RaftScenario::Filter Of(raft::MessageType type) {
  return [type](const raft::Message& message) { return message.type == type; };
}
inline RaftScenario::Filter OfTo(raft::MessageType type, uint64_t to) {
  return [type, to](const raft::Message& message) {
    return message.type == type && message.to.value() == to;
  };
}
inline RaftScenario::Filter From(uint64_t id) {
  return [id](const raft::Message& message) { return message.from.value() == id; };
}
inline RaftScenario::Filter To(uint64_t id) {
  return [id](const raft::Message& message) { return message.to.value() == id; };
}

}  // namespace bascule
