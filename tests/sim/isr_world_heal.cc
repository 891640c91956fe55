// Liveness: from here on nothing fails, some brokers are up and the others stay dead.
#include "tests/sim/isr_world.h"

namespace bascule::isr {
namespace {

constexpr int kRounds = 12;

}  // namespace

void IsrWorld::CatchUp() {
  for (int b = 0; b < profile_.brokers; ++b) {
    while (machine(b).up() && machine(b).seen() < metadata_.newest()) {
      Enter(b, machine(b).seen() + 1);
      Look();
    }
  }
}

void IsrWorld::Heal(const std::set<int>& live) {
  counts_.of[IsrCounts::kWaits] = 0;
  std::string names;
  for (const int b : live) names += BrokerName(b);
  Say("--- from now on all is well with {", names, "}, the others are dead");
  bag_.clear();
  CatchUp();
  std::set<int> dead;
  for (int b = 0; b < profile_.brokers; ++b) {
    if (live.contains(b)) continue;
    if (machine(b).up()) Crash(b, machine(b).durable().size());
    if (metadata_.now().IsLive(BrokerName(b))) dead.insert(b);
  }
  // Or their sessions live on, and the leader must do without them (R8).
  const int led_by = BrokerNumber(metadata_.now().partition.leader);
  hanging_ = live.contains(led_by) && OneIn(2);
  for (const int b : live)  // no registration moves the lead to one of them
    hanging_ = hanging_ && machine(b).up() && metadata_.now().IsLive(BrokerName(b));
  if (!dead.empty() && !hanging_) Fence(dead);
  for (const int b : live) {
    if (!machine(b).up()) {
      Restart(b);
    } else if (!metadata_.now().IsLive(BrokerName(b))) {
      Register(b, /*new_process=*/false);
    }
    if (machine(b).flushing()) machine(b).EndFlush();
  }
  CatchUp();
  Look();
  const bool somebody = metadata_.now().SomebodyMayLead(live);
  if (!somebody) counts_.of[IsrCounts::kWaits] = 1;
  std::optional<size_t> target;
  for (int round = 0; round < kRounds && !violation(); ++round) {
    if (!HealingRound(live, target)) break;
  }
  CatchUp();
  Look();
  const MetadataState& end = metadata_.now();
  const int leader = BrokerNumber(end.partition.leader);
  if (violation() || !somebody) return;
  if (leader < 0) return checker_.Fail("somebody who may lead lives, but nobody leads");
  if (static_cast<int>(live.size()) < end.min_isr) return;
  const auto shown = static_cast<size_t>(machine(leader).high_watermark().value());
  if (shown < checker_.committed().size()) checker_.Fail("committed records stay unreadable");
  if (target && shown < *target) checker_.Fail("a new record does not commit");
  for (const int b : live) {
    if (!Contains(end.partition.isr, BrokerName(b)))
      checker_.Fail("a live replica stays out of the ISR");
  }
  for (const std::string& member : end.partition.isr) {
    if (end.IsDoubtful(member)) checker_.Fail("a doubtful member stays unverified");
  }
}

// False: nobody leads.
bool IsrWorld::HealingRound(const std::set<int>& live, std::optional<size_t>& target) {
  CatchUp();
  const int leader = BrokerNumber(metadata_.now().partition.leader);
  if (leader < 0) return false;
  if (machine(leader).resigned()) return OnRaiseEpoch();
  if (!machine(leader).Acting()) {
    checker_.Fail("the metadata names a leader that does not act");
    return false;
  }
  if (machine(leader).CanFlush()) FlushNow(leader);
  for (const int b : live) {
    if (b == leader) continue;
    if (machine(b).CanFlush()) FlushNow(b);
    Replicate(leader, b);
    Look();
  }
  if (!target) {
    machine(leader).Append(++records_, now_);
    target = machine(leader).log().size();
    if (machine(leader).CanFlush()) FlushNow(leader);
  }
  if (machine(leader).proposing()) machine(leader).ProposalEnded();
  Propose(leader, 0, false);
  now_ = now_ + (hanging_ ? max_lag_.count() + 1 : 1);
  Look();
  return true;
}

}  // namespace bascule::isr
