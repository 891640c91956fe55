#include "tests/sim/isr_metadata.h"

#include <algorithm>

#include "tests/sim/isr_mutated.h"

namespace bascule::isr {

std::string BrokerName(int broker) { return {static_cast<char>('a' + broker)}; }

int BrokerNumber(const std::string& name) { return name.empty() ? -1 : name[0] - 'a'; }

bool Contains(const std::vector<std::string>& brokers, const std::string& broker) {
  return std::find(brokers.begin(), brokers.end(), broker) != brokers.end();
}

bool MetadataState::IsLive(const std::string& broker) const {
  return !brokers[static_cast<size_t>(BrokerNumber(broker))].fenced;
}

bool MetadataState::IsDoubtful(const std::string& broker) const {
  return std::any_of(partition.doubtful.begin(), partition.doubtful.end(),
                     [&broker](const ReplicaDoubt& doubt) { return doubt.broker == broker; });
}

bool MetadataState::SomebodyMayLead(const std::set<int>& live) const {
  int members = 0;
  int alive = 0;
  bool clean = false;
  for (const std::string& broker : partition.replicas) {
    if (!Contains(partition.isr, broker) && !Contains(partition.elr, broker)) continue;
    ++members;
    if (!live.contains(BrokerNumber(broker))) continue;
    ++alive;
    clean = clean || !IsDoubtful(broker);
  }
  return alive > 0 && (clean || alive >= std::min(min_isr, members));
}

PartitionView MetadataState::View() const {
  PartitionView view{partition.version, min_isr, {}};
  for (const std::string& broker : partition.replicas) {
    const auto& registered = brokers[static_cast<size_t>(BrokerNumber(broker))];
    view.replicas.push_back({broker, registered.incarnation, !registered.fenced,
                             Contains(partition.isr, broker), IsDoubtful(broker)});
  }
  return view;
}

IsrMetadata::IsrMetadata(int brokers, int min_isr, const std::set<int>& away) {
  auto state = std::make_shared<MetadataState>();
  state->min_isr = min_isr;
  state->brokers.resize(static_cast<size_t>(brokers), {.incarnation = 1});
  for (int b = 0; b < brokers; ++b) state->partition.replicas.push_back(BrokerName(b));
  for (const int b : away) state->brokers[static_cast<size_t>(b)].fenced = true;
  log_.push_back(state);
  metadata::SeatReplicas([&state](const std::string& broker) { return state->IsLive(broker); },
                         min_isr, MetadataIndex(1), state->partition);
}

MetadataState& IsrMetadata::Next() {
  log_.push_back(std::make_shared<MetadataState>(*log_.back()));
  return *log_.back();
}

void IsrMetadata::Change(const metadata::BrokerChange& change) {
  MetadataState& state = *log_.back();
  metadata::ApplyBrokerChange(
      change, [&state](const std::string& broker) { return state.IsLive(broker); }, state.min_isr,
      MetadataIndex(log_.size()), state.partition);
}

void IsrMetadata::Register(const Registration& registration) {
  MetadataState& state = Next();
  state.brokers[static_cast<size_t>(registration.broker)] = {registration.incarnation, false};
  metadata::BrokerChange change;
  if (registration.new_process) change.restarted = BrokerName(registration.broker);
  if (registration.lost) change.lost = BrokerName(registration.broker);
  change.doubt = registration.doubt;
  Change(change);
}

void IsrMetadata::Fence(const std::set<int>& brokers) {
  MetadataState& state = Next();
  metadata::BrokerChange change;
  for (const int broker : brokers) {
    state.brokers[static_cast<size_t>(broker)].fenced = true;
    change.fenced.insert(BrokerName(broker));
  }
  Change(change);
}

bool IsrMetadata::MayMove(int to) const {
  const MetadataState& state = now();
  if (BrokerName(to) == state.partition.leader) return false;
  return metadata::MayLead(
      state.partition, BrokerName(to),
      [&state](const std::string& broker) { return state.IsLive(broker); }, state.min_isr);
}

void IsrMetadata::Move(int to) {
  MetadataState& state = Next();
  metadata::MoveLead(BrokerName(to), state.min_isr, MetadataIndex(log_.size()), state.partition);
}

void IsrMetadata::SetMinIsr(int min_isr) {
  MetadataState& state = Next();
  state.min_isr = min_isr;
  if (!Mutated("min_lower_keeps_elr")) Change({});
}

void IsrMetadata::RaiseEpoch() {
  Next();
  metadata::BrokerChange change;
  change.raise_epoch = true;
  Change(change);
}

bool IsrMetadata::Alter(int leader, const IsrProposal& proposal) {
  metadata::IsrChange change{BrokerName(leader), proposal.epoch, proposal.version, {}, {}};
  change.verified = proposal.verified;
  for (const IsrProposal::Member& member : proposal.isr) {
    const bool named =
        !Contains(now().partition.isr, member.broker) || Contains(proposal.verified, member.broker);
    const auto& registered = now().brokers[static_cast<size_t>(BrokerNumber(member.broker))];
    const bool other_life = named && registered.incarnation != member.incarnation;
    if (other_life && !Mutated("no_inc_on_expand")) return false;  // R1c
    change.isr.push_back(member.broker);
  }
  auto next = std::make_shared<MetadataState>(now());
  const auto live = [&next](const std::string& broker) { return next->IsLive(broker); };
  if (metadata::ApplyIsrChange(change, live, next->min_isr, next->partition) !=
      metadata::IsrVerdict::kChanged) {
    return false;
  }
  log_.push_back(next);
  return true;
}

}  // namespace bascule::isr
