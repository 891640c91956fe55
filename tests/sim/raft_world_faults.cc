// What clients ask of the simulated group, and what is done to it.
#include <algorithm>
#include <utility>

#include "core/base/text.h"
#include "tests/sim/raft_world.h"

namespace bascule {

using raft::ConfChange;
using raft::ConfChangeType;
using raft::Message;
using raft::MessageType;
using raft::NodeId;

namespace {

constexpr uint64_t kFaultStepUs = 50'000;
constexpr double kFaultStepSeconds = 0.05;

}  // namespace

size_t RaftWorld::Leader() const {
  size_t best = nodes_.size();
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (!nodes_[i].member->leads()) continue;
    if (best == nodes_.size() ||
        nodes_[i].member->raft().term() > nodes_[best].member->raft().term()) {
      best = i;
    }
  }
  return best;
}

void RaftWorld::OnClient() {
  const uint64_t total = faults_.proposals + faults_.reads;
  At(1 + rng_.Below(2'000'000 / total), Kind::kClient, 0, 0);
  // Whoever is asked may or may not lead, or only believe so.
  size_t at = rng_.Below(nodes_.size());
  const bool read = rng_.Below(total) < faults_.reads;
  // Once all is well somebody who can answer must be among them: members that were removed cannot.
  if ((!read || healed_) && rng_.Below(4) != 0) at = Leader();
  if (at == nodes_.size() || !nodes_[at].member->up() || nodes_[at].stalled_until > now_) return;
  RaftMember& member = *nodes_[at].member;
  if (member.writing() && !faults_.step_while_writing) return;
  const std::string name = Concat(read ? "r" : "p", ++asked_);
  if (read) {
    member.Read(name);
  } else {
    member.Propose(name);
  }
  Pump(at);
}

void RaftWorld::OnFault() {
  At(kFaultStepUs, Kind::kFault, 0, 0);
  if (!healed_) {
    for (size_t i = 0; i < nodes_.size(); ++i) HarmNode(i);
    HarmGroup();
  }
  for (size_t i = 0; i < nodes_.size(); ++i) Pump(i);  // a full disk may have room again
}

void RaftWorld::HarmNode(size_t at) {
  Node& node = nodes_[at];
  if (!node.member->up()) return;
  const auto outage = [this] { return now_ + 1 + rng_.Below(faults_.outage); };
  if (Happens(faults_.stall, kFaultStepSeconds)) node.stalled_until = outage();
  if (Happens(faults_.full_disk, kFaultStepSeconds)) node.full_until = outage();
  if (Happens(faults_.slow_disk, kFaultStepSeconds)) node.slow_until = outage();
  if (Happens(faults_.tick_burst, kFaultStepSeconds)) {
    node.ticks_missed += static_cast<int>(rng_.Below(25));
  }
  const bool busy = node.member->writing() && !faults_.step_while_writing;
  if (Happens(faults_.snapshot, kFaultStepSeconds)) node.member->TakeSnapshot(faults_.trailing);
  if (Happens(faults_.campaign, kFaultStepSeconds) && !busy) node.member->raft().Campaign();
  if (Happens(faults_.leader_lost, kFaultStepSeconds)) {
    raft::Raft& raft = node.member->raft();
    raft.OnLeaderLost(rng_.Below(4) == 0 ? NodeId(1 + rng_.Below(kMostMembers)) : raft.leader());
  }
  if (Happens(faults_.isolation, kFaultStepSeconds)) {
    for (size_t i = 0; i < kMostMembers; ++i) cut_[at][i] = cut_[i][at] = true;
    At(rng_.Below(faults_.outage), Kind::kHeal, 0, 0);
  }
  if (Happens(faults_.one_way_cut, kFaultStepSeconds)) {
    cut_[at][rng_.Below(nodes_.size())] = true;
    At(rng_.Below(faults_.outage), Kind::kHeal, 0, 0);
  }
  if (Happens(faults_.crash, kFaultStepSeconds)) {
    if (Chance(rng_, faults_.crash_while_writing)) {
      node.crash_when_writing = true;
    } else {
      Crash(at);
    }
  }
}

void RaftWorld::HarmGroup() {
  if (Happens(faults_.partition, kFaultStepSeconds)) {
    const uint64_t sides = rng_.Next();
    for (size_t i = 0; i < kMostMembers; ++i) {
      for (size_t k = 0; k < kMostMembers; ++k) cut_[i][k] = ((sides >> i ^ sides >> k) & 1) != 0;
    }
    At(rng_.Below(faults_.outage), Kind::kHeal, 0, 0);
  }
  if (Happens(faults_.membership, kFaultStepSeconds)) ChangeMembers();
  const size_t leader = Leader();
  if (leader == nodes_.size() || !Happens(faults_.transfer, kFaultStepSeconds)) return;
  // InvalidArgument for those that are no voters.
  nodes_[leader]
      .member->raft()
      .TransferLeadership(NodeId(1 + rng_.Below(nodes_.size())))
      .IgnoreError();
}

// Any change that leaves a voter; a new member only now and then, since they stay for good.
void RaftWorld::ChangeMembers() {
  const size_t leader = Leader();
  if (leader == nodes_.size()) return;
  RaftMember& member = *nodes_[leader].member;
  const raft::Configuration& configuration = member.raft().configuration();
  const size_t voters = configuration.voters.size();
  ConfChange change;
  switch (rng_.Below(4)) {
    case 0:  // a new one
      if (nodes_.size() == kMostMembers) return;
      change.type = rng_.Below(3) == 0 ? ConfChangeType::kAddVoter : ConfChangeType::kAddLearner;
      change.node = NodeId(nodes_.size() + 1);
      if (!member.ProposeConfChange(change)) return;
      Add(false, {});
      return;
    case 1:  // promote
      if (configuration.learners.empty()) return;
      change.node = configuration.learners[rng_.Below(configuration.learners.size())];
      break;
    case 2:  // demote
      if (voters < 2) return;
      change = {ConfChangeType::kAddLearner, configuration.voters[rng_.Below(voters)], ""};
      break;
    default:  // remove
      if (voters < 2) return;
      change.type = ConfChangeType::kRemove;
      change.node = rng_.Below(2) == 0 || configuration.learners.empty()
                        ? configuration.voters[rng_.Below(voters)]
                        : configuration.learners[rng_.Below(configuration.learners.size())];
  }
  member.ProposeConfChange(change);
}

void RaftWorld::Crash(size_t at) {
  Node& node = nodes_[at];
  if (!node.member->up()) return;
  RaftWriteCut cut;
  cut.hard_state = rng_.Below(3) != 0;
  cut.snapshot = cut.hard_state && rng_.Below(3) != 0;
  if (cut.snapshot) cut.entries = rng_.Below(node.member->entries_under_way() + 1);
  node.member->Crash(cut);
  ++node.life;
  for (const uint32_t flight : std::exchange(node.inbox, {})) free_flights_.push_back(flight);
  node.ticks_missed = 0;
  node.stalled_until = 0;
  At(1 + rng_.Below(faults_.downtime), Kind::kRestart, at, node.life);
}

void RaftWorld::Restart(size_t at) {
  Node& node = nodes_[at];
  node.member->Start();
  At(rng_.Below(node.tick_us), Kind::kTick, at, node.life);
}

// One outage ends: all of it, or nothing while another goes on half the time.
void RaftWorld::HealNetwork() {
  if (trace_.on()) trace_.Add("the network is whole again");
  for (auto& row : cut_) row.fill(false);
}

// A message that no sound member sends, and that a sound one therefore refuses.
Message RaftWorld::Malformed(Message message) {
  if (options_.lies) {
    const auto lie = [this] { return rng_.Below(8) == 0 ? rng_.Next() : rng_.Below(40); };
    switch (rng_.Below(10)) {
      case 0:
        message.type = static_cast<MessageType>(rng_.Below(20));
        break;
      case 1:
        message.term = raft::Term(lie());
        break;
      case 2:
        message.log_term = raft::Term(lie());
        break;
      case 3:
        message.index = raft::Index(lie());
        break;
      case 4:
        message.commit = raft::Index(lie());
        break;
      case 5:
        message.reject_hint = raft::Index(lie());
        break;
      case 6:
        message.reject = !message.reject;
        break;
      case 7:
        message.from = NodeId(1 + rng_.Below(kMostMembers));
        break;
      case 8:
        message.entries.push_back({raft::Index(lie()), raft::Term(lie()),
                                   raft::EntryType::kConfChange, std::string("\x08\0\x10\1", 4)});
        break;
      default:
        message.snapshot = raft::SnapshotMeta{raft::Index(lie()), raft::Term(lie()), {}};
        for (int i = 0; i < 3; ++i) message.snapshot->configuration.voters.emplace_back(lie());
    }
    return message;
  }
  switch (rng_.Below(6)) {
    case 0:
      message.term = message.term + (raft::kMaxTermJump << 1);
      break;
    case 1:
      message.term = raft::Term(~uint64_t{0});
      break;
    case 2:
      message.from = NodeId();
      break;
    case 3:
      message.index = raft::Index(~uint64_t{0});
      break;
    case 4:
      message.type = MessageType::kSnapshot;
      message.snapshot.reset();
      break;
    default:
      message.type = MessageType::kAppend;
      message.entries = {{message.index + 2, message.term, raft::EntryType::kNormal, "x"}};
  }
  return message;
}

void RaftWorld::EndFaults() {
  RaftFaults calm;
  calm.members = faults_.members;
  calm.proposals = 20;
  calm.reads = 10;
  calm.trailing = faults_.trailing;
  faults_ = calm;
  healed_ = true;
  HealNetwork();
  for (size_t i = 0; i < nodes_.size(); ++i) {
    Node& node = nodes_[i];
    node.tick_us = kTickUs;
    node.stalled_until = node.full_until = node.slow_until = now_;
    node.crash_when_writing = false;
    if (node.member->up()) continue;
    ++node.life;
    Restart(i);
  }
}

bool RaftWorld::Converged() {
  const size_t leader = Leader();
  if (leader == nodes_.size()) return false;
  RaftMember& ours = *nodes_[leader].member;
  const raft::Configuration configuration = ours.raft().configuration();
  for (const Node& node : nodes_) {
    if (!configuration.Contains(node.member->id())) continue;
    if (node.member->applied() != ours.applied() || node.member->state() != ours.state() ||
        node.member->raft().configuration() != configuration) {
      return false;
    }
  }
  return ours.applied() == ours.raft().log().last();
}

void RaftWorld::CheckConverged() {
  constexpr uint64_t kPatienceUs = 3'000'000;
  const size_t before = checker_.acknowledged();
  const uint64_t end = now_ + kPatienceUs;
  const size_t reads_before = checker_.reads();
  while (now_ < end && !checker_.violation()) {
    RunUntil(now_ + 20'000);
    const bool goes_on = checker_.acknowledged() > before && checker_.reads() > reads_before;
    if (goes_on && Converged()) return;
  }
  if (checker_.violation()) return;
  std::string text = Concat("the group does not come together: acknowledged ", before, " then ",
                            checker_.acknowledged(), ";");
  for (const Node& node : nodes_) {
    RaftMember& member = *node.member;
    text += Concat("\n  ", member.id(), " ", ToText(member.raft().role()), " term ",
                   member.raft().term(), " applied ", member.applied(), " commit ",
                   member.raft().log().committed(), " log ", member.raft().log().first(), "-",
                   member.raft().log().last(), " of ", ToText(member.raft().configuration()));
  }
  checker_.Fail(std::move(text));
}

}  // namespace bascule
