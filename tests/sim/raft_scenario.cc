#include "tests/sim/raft_scenario.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>

#include "core/base/text.h"

namespace bascule {
namespace {

using raft::Message;
using raft::NodeId;

constexpr int kQuiet = 1000;  // rounds after which a group should have come to rest

}  // namespace

RaftScenario::RaftScenario(Ids voters, Ids learners, std::function<void(raft::Options&)> change)
    : change_(std::move(change)) {
  trace_.Switch(true);
  raft::Configuration configuration;
  for (const uint64_t id : voters) configuration.voters.emplace_back(id);
  for (const uint64_t id : learners) configuration.learners.emplace_back(id);
  for (const Ids* ids : {&voters, &learners}) {
    for (const uint64_t id : *ids) {
      members_[id] = std::make_unique<RaftMember>(OptionsOf(id), checker_, trace_);
      member(id).Found(configuration);
      Start(id);
    }
  }
}

RaftScenario::~RaftScenario() {
  if (std::getenv("BASCULE_TRACE") != nullptr) std::cout << trace_.Tail() << "\n";
  INFO(trace_.Tail());
  CHECK_MESSAGE(!checker_.violation(), checker_.violation().value_or(""));
}

std::ostream& operator<<(std::ostream& out, const RaftScenario& scenario) {
  return out << "\n" << scenario.trace_.Tail();
}

raft::Options RaftScenario::OptionsOf(uint64_t id) {
  raft::Options options;
  options.id = NodeId(id);
  options.snapshot_retry_ticks = 20;
  options.random = [](uint64_t bound) { return bound / 2; };  // a timeout is 15 ticks
  if (change_) change_(options);
  return options;
}

void RaftScenario::Start(uint64_t id) { member(id).Start(); }

void RaftScenario::AddMember(uint64_t id) {
  members_[id] = std::make_unique<RaftMember>(OptionsOf(id), checker_, trace_);
  Start(id);
}

void RaftScenario::Preset(uint64_t id, uint64_t term, uint64_t vote,
                          const std::vector<uint64_t>& terms, uint64_t commit) {
  member(id).Crash();
  RaftDisk& its = disk(id);
  its.hard = {raft::Term(term), NodeId(vote), raft::Index(commit)};
  its.entries.clear();
  for (const uint64_t of : terms) {
    const raft::Index index = its.last() + 1;
    its.entries.push_back(
        {index, raft::Term(of), raft::EntryType::kNormal, Concat("x", index, "@", of)});
  }
  checker_.OnDurable(NodeId(id), its, its.snapshot.index + 1);
  Start(id);
}

void RaftScenario::Tick(uint64_t id, int times) {
  trace_.Add(id, " ticks ", times, " times");
  for (int i = 0; i < times; ++i) raft(id).Tick();
  Work(id);
}

void RaftScenario::Campaign(uint64_t id) {
  raft(id).Campaign();
  Work(id);
}

uint64_t RaftScenario::Propose(uint64_t id, std::string data) {
  if (!member(id).Propose(std::move(data))) return 0;
  const uint64_t index = raft(id).log().last().value();
  Work(id);
  return index;
}

bool RaftScenario::Change(uint64_t id, raft::ConfChangeType type, uint64_t node) {
  const bool taken = member(id).ProposeConfChange({type, NodeId(node), ""});
  Work(id);
  return taken;
}

bool RaftScenario::Read(uint64_t id, const std::string& context) {
  const bool taken = member(id).Read(context);
  Work(id);
  return taken;
}

absl::Status RaftScenario::Say(Message message) {
  const uint64_t to = message.to.value();
  trace_.Add("as if  ", ToText(message));
  absl::Status status = raft(to).Step(std::move(message));
  Work(to);
  return status;
}

void RaftScenario::Crash(uint64_t id, RaftWriteCut cut) {
  member(id).Crash(cut);
  blocked_.erase(id);
}

void RaftScenario::Restart(uint64_t id) {
  Start(id);
  Work(id);
}

void RaftScenario::Work(uint64_t id) {
  RaftMember& one = member(id);
  for (int i = 0; one.HasReady() && !checker_.violation(); ++i) {
    if (i == kQuiet) return checker_.Fail(Concat(id, " never has nothing to do"));
    Collect(one.Take());
    if (blocked_.contains(id)) return;
    Collect(one.Write());
    one.Finish();
  }
}

void RaftScenario::Unblock(uint64_t id) {
  blocked_.erase(id);
  RaftMember& one = member(id);
  if (one.writing()) {
    Collect(one.Write());
    one.Finish();
  }
  Work(id);
}

void RaftScenario::Collect(std::vector<Message> messages) {
  for (Message& message : messages) {
    if (cut_.contains({message.from.value(), message.to.value()})) continue;
    wire_.push_back(std::move(message));
  }
}

void RaftScenario::Isolate(uint64_t id) {
  trace_.Add(id, " is cut off");
  for (const auto& [other, unused] : members_) {
    Cut(id, other);
    Cut(other, id);
  }
  Drop([id](const Message& message) {
    return message.from.value() == id || message.to.value() == id;
  });
}

void RaftScenario::Deliver() {
  for (int i = 0; i < kQuiet && !wire_.empty(); ++i) {
    DeliverOnly([](const Message&) { return true; });
  }
  CHECK_MESSAGE(wire_.empty(), "the group does not come to rest");
}

void RaftScenario::DeliverOnly(const Filter& passes) {
  std::deque<Message> now;
  for (Message& message : std::exchange(wire_, {})) {
    (passes(message) ? now : wire_).push_back(std::move(message));
  }
  for (Message& message : now) {
    const auto to = members_.find(message.to.value());
    if (to == members_.end() || !to->second->up()) continue;
    const auto from = members_.find(message.from.value());
    const uint64_t state = message.snapshot && from != members_.end()
                               ? from->second->disk().StateAt(message.snapshot->index).value_or(0)
                               : 0;
    to->second->Step(std::move(message), state);
    Work(to->first);
  }
}

void RaftScenario::Drop(const Filter& passes) { std::erase_if(wire_, passes); }

size_t RaftScenario::Count(const Filter& passes) const {
  return static_cast<size_t>(std::count_if(wire_.begin(), wire_.end(), passes));
}

void RaftScenario::Elect(uint64_t id) {
  Campaign(id);
  Deliver();
  REQUIRE(raft(id).role() == raft::Role::kLeader);
}

void RaftScenario::Beat(uint64_t id) {
  Tick(id, 1);
  Deliver();
}

}  // namespace bascule
