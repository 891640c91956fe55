#include "tests/sim/isr_world.h"

#include <algorithm>
#include <utility>

#include "tests/sim/isr_mutated.h"

namespace bascule::isr {
namespace {

constexpr size_t kLongestLog = 12;
constexpr uint64_t kMostRecords = 24;
constexpr int kStepsBetweenHealings = 24;
constexpr size_t kKeptLines = 2000;

}  // namespace

// A run draws one of the three weights for each kind of event: its mood.
struct IsrWorld::EventKind {
  Handler handler;
  int weights[3];
};
const IsrWorld::EventKind IsrWorld::kEventKinds[kEvents] = {
    {&IsrWorld::OnDelta, {8, 30, 80}},       {&IsrWorld::OnAppend, {10, 20, 40}},
    {&IsrWorld::OnFlush, {6, 20, 60}},       {&IsrWorld::OnFrame, {6, 20, 30}},
    {&IsrWorld::OnAsk, {6, 20, 40}},         {&IsrWorld::OnAcknowledge, {10, 25, 40}},
    {&IsrWorld::OnReplicate, {4, 20, 60}},   {&IsrWorld::OnDeliver, {4, 10, 20}},
    {&IsrWorld::OnDrop, {0, 1, 2}},          {&IsrWorld::OnPropose, {5, 15, 30}},
    {&IsrWorld::OnProposalEnds, {2, 6, 12}}, {&IsrWorld::OnTime, {2, 6, 15}},
    {&IsrWorld::OnFence, {2, 5, 10}},        {&IsrWorld::OnReregister, {5, 15, 30}},
    {&IsrWorld::OnMove, {0, 2, 4}},          {&IsrWorld::OnRaiseEpoch, {5, 15, 30}},
    {&IsrWorld::OnCrash, {2, 4, 8}},         {&IsrWorld::OnLoseDisk, {1, 3, 5}},
    {&IsrWorld::OnDamage, {1, 3, 5}},        {&IsrWorld::OnPowerCut, {1, 1, 3}},
    {&IsrWorld::OnRestart, {5, 15, 30}},     {&IsrWorld::OnFailSync, {1, 3, 6}},
    {&IsrWorld::OnSetMinIsr, {1, 2, 4}},
};

IsrProfile IsrProfile::Named(std::string_view name, uint64_t seed) {
  IsrProfile profile;
  if (name == "min isr changed") profile.min_changes = 3;
  if (name.starts_with("disk lost")) profile.lost_disks = 2;
  if (name == "failed sync") profile.failed_syncs = 3;
  if (name == "slow flush") profile.slow_flushes = true;
  if (name == "late answer") profile.late_answers = true;
  if (name == "late answer") profile.failed_syncs = 2;
  if (name == "os") profile.durability = Durability::kOs;
  if (name.starts_with("damage")) profile.damages = 1;
  profile.torn_tails = profile.damages > 0 || name == "torn tail, disk lost";
  if (name == "torn tail, disk lost") profile.lost_disks = 1;
  if (name == "damage, long" || name == "disk lost, long" || name == "long") {
    profile.crashes = 3;
    profile.fences = 5;
    profile.steps = 300;
  }
  if (name == "hand-over" || name == "hand-over, piecemeal") {
    profile.crashes = 2;
    profile.fences = 6;
    profile.moves = 30;
    profile.steps = 200;
  }
  profile.piecemeal = name.ends_with("piecemeal");
  if (name != "any") return profile;
  const auto bit = [seed](int n) { return (seed >> n & 1) != 0; };
  if (seed % 5 == 4) {
    profile.brokers = 5;
    profile.min_isr = bit(0) ? 3 : 2;
    profile.steps = 220;
  } else {
    profile.min_isr = seed % 7 == 6 ? 1 : seed % 7 == 5 ? 3 : 2;
  }
  profile.durability = seed % 6 == 5 ? Durability::kOs : Durability::kFsync;
  profile.slow_flushes = bit(1);
  profile.late_answers = bit(2);
  profile.torn_tails = bit(3);
  profile.damages = bit(3) && bit(4) ? 2 : 0;
  profile.lost_disks = bit(5) ? 2 : 0;
  profile.min_changes = bit(6) ? 2 : 0;
  profile.failed_syncs = bit(2) || bit(4) ? 2 : 0;
  profile.power_cuts = bit(5) ? 0 : 1;
  return profile;
}

std::string_view IsrCounts::NameOf(int what) {
  constexpr std::string_view kNames[] = {"steps",
                                         "records committed",
                                         "... by a leader already replaced",
                                         "cuts by R3",
                                         "... of flushed records",
                                         "members added",
                                         "members dropped",
                                         "proposals refused",
                                         "leaders from the ELR",
                                         "empty ISRs",
                                         "doubtful members registered",
                                         "leaders elected while doubtful",
                                         "clean ELR members before doubtful ISR members",
                                         "doubtful members verified",
                                         "registrations with lost data",
                                         "healings",
                                         "healings that wait"};
  static_assert(std::size(kNames) == kEnd);
  return kNames[what];
}

void IsrCounts::Add(const IsrCounts& other) {
  for (size_t i = 0; i < of.size(); ++i) of[i] += other.of[i];
}

IsrWorld::IsrWorld(const IsrProfile& profile, uint64_t seed)
    : profile_(profile),
      random_(seed * 0x9e3779b97f4a7c15u + 0x1234567),
      metadata_(profile.brokers, profile.min_isr, Away()),
      max_lag_(1 + Below(3) * 8),
      least_min_isr_(profile.min_isr) {
  for (int i = 0; i < kEvents; ++i)
    weights_[static_cast<size_t>(i)] = kEventKinds[i].weights[Below(3)];
  if (profile.piecemeal) {
    weights_[kReplicate] = 2;
    weights_[kFrame] = weights_[kAcknowledge] = weights_[kPropose] = 40;
  }
  for (int b = 0; b < profile.brokers; ++b) {
    machines_.emplace_back(IsrMachine::Options{b, profile.durability, max_lag_});
    machine(b).Start(1, 0);
    machine(b).Enter(metadata_.now(), 0, now_);
  }
}

uint64_t IsrWorld::Draw() {  // SplitMix64
  uint64_t z = (random_ += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// Who is fenced when the stream is created.
std::set<int> IsrWorld::Away() {
  std::set<int> away;
  const bool some = OneIn(6);
  for (int b = 0; b < profile_.brokers; ++b) {
    if (some && OneIn(3)) away.insert(b);
  }
  return away;
}

std::optional<int> IsrWorld::AnyOf(const std::vector<int>& of) {
  if (of.empty()) return std::nullopt;
  return of[static_cast<size_t>(Below(static_cast<int>(of.size())))];
}

bool IsrWorld::Run() {
  try {
    for (int i = 1; i <= profile_.steps && !violation(); ++i) {
      Step();
      Look();
      if (i % kStepsBetweenHealings != 0 || violation()) continue;
      std::set<int> live;
      const bool all = OneIn(3);
      for (int b = 0; b < profile_.brokers; ++b) {
        if (all || !OneIn(3)) live.insert(b);
      }
      if (live.empty()) continue;
      IsrWorld healed(*this);  // nothing of it comes back but what it found
      healed.Heal(live);
      ++counts_.of[IsrCounts::kHealings];
      counts_.of[IsrCounts::kWaits] =
          std::max(counts_.of[IsrCounts::kWaits], healed.counts_.of[IsrCounts::kWaits]);
      if (!healed.violation()) continue;
      checker_.Fail(*healed.violation());
      trace_ = healed.trace_;
    }
  } catch (const CheckFailure& failure) {
    checker_.Fail(failure.what());
  }
  counts_.of[IsrCounts::kCommits] = checker_.committed().size();
  counts_.of[IsrCounts::kStaleCommits] = static_cast<uint64_t>(checker_.stale_commits());
  return !violation();
}

void IsrWorld::Step() {
  int total = 0;
  for (const int weight : weights_) total += weight;
  for (int attempts = 0; attempts < 200; ++attempts) {
    int drawn = Below(total);
    size_t event = 0;
    while (drawn >= weights_[event]) drawn -= weights_[event++];
    const Handler handler = kEventKinds[event].handler;
    if (!(this->*handler)()) continue;
    ++counts_.of[IsrCounts::kSteps];
    now_ = now_ + 1;
    if (trace_.size() > kKeptLines) trace_.pop_front();
    return;
  }
}

bool IsrWorld::OnDelta() {
  const auto b =
      AnyBroker([&](const IsrMachine& m) { return m.up() && m.seen() < metadata_.newest(); });
  if (Mutated("delta_reorder") && OneIn(8)) {
    const auto back = AnyBroker([](const IsrMachine& m) { return m.up() && m.seen() > 0; });
    if (back) return Enter(*back, machine(*back).seen() - 1), true;
  }
  if (!b) return false;
  Enter(*b, OneIn(5) ? metadata_.newest() : machine(*b).seen() + 1);  // a snapshot skips some
  return true;
}

bool IsrWorld::OnAppend() {
  const auto b =
      AnyBroker([](const IsrMachine& m) { return m.Acting() && m.log().size() < kLongestLog; });
  if (!b || records_ >= kMostRecords) return false;
  Say(BrokerName(*b), " appends ", machine(*b).epoch(), ".", records_ + 1);
  machine(*b).Append(++records_, now_);
  if (OneIn(2) && machine(*b).CanFlush()) {
    Look();
    FlushNow(*b);
  }
  return true;
}

bool IsrWorld::OnFlush() {
  if (profile_.slow_flushes && OneIn(2)) {
    const auto b = AnyBroker([](const IsrMachine& m) { return m.up() && m.flushing(); });
    if (!b) return false;
    machine(*b).EndFlush();
    Say(BrokerName(*b), "'s flush ends: ", machine(*b).flushed());
    return true;
  }
  const auto b = AnyBroker([](const IsrMachine& m) { return m.CanFlush(); });
  if (!b) return false;
  if (!profile_.slow_flushes) return FlushNow(*b), true;
  Say(BrokerName(*b), " begins a flush");
  machine(*b).StartFlush();
  return true;
}

bool IsrWorld::OnFrame() {
  const auto leader = AnyBroker([](const IsrMachine& m) { return m.Acting(); });
  if (!leader) return false;
  const auto to = AnyBroker([&](const IsrMachine& m) { return m.up() && !m.Acting(); });
  if (!to) return false;
  const size_t length = machine(*leader).log().size();
  size_t base = std::min(machine(*to).log().size(), length);
  if (OneIn(4) && length > 0) base = static_cast<size_t>(Below(static_cast<int>(length)));
  Send({*to, machine(*leader).FrameAt(base, OneIn(3) ? 2 : 1)}, 4);
  return true;
}

bool IsrWorld::OnAsk() {
  const auto b = AnyBroker([](const IsrMachine& m) { return m.MayAsk(); });
  if (!b) return false;
  Send({LeaderOf(*b), machine(*b).Ask()}, 2);
  return true;
}

bool IsrWorld::OnAcknowledge() {
  const auto b = AnyBroker([](const IsrMachine& m) { return m.up() && m.follower(); });
  if (!b) return false;
  const auto ack = machine(*b).Acknowledge(/*again=*/OneIn(4));
  if (ack) Send({LeaderOf(*b), *ack}, 4);
  return ack.has_value();
}

bool IsrWorld::OnReplicate() {
  const auto leader = AnyBroker([](const IsrMachine& m) { return m.Acting(); });
  if (!leader) return false;
  const auto to = AnyBroker([&](const IsrMachine& m) {
    return m.up() && m.follower() && m.epoch() == machine(*leader).epoch();
  });
  if (!to) return false;
  Replicate(*leader, *to);
  return true;
}

bool IsrWorld::OnDeliver() {
  if (bag_.empty()) return false;
  const auto at = bag_.begin() + Below(static_cast<int>(bag_.size()));
  const Message message = *at;
  const bool again = OneIn(6);
  if (!again) bag_.erase(at);
  Say(again ? "late, and kept: " : "late: ", Described(message));
  Receive(message);
  return true;
}

bool IsrWorld::OnDrop() {
  if (bag_.empty()) return false;
  bag_.erase(bag_.begin() + Below(static_cast<int>(bag_.size())));
  return true;
}

bool IsrWorld::OnPropose() {
  const auto b = AnyBroker([](const IsrMachine& m) { return m.Acting(); });
  if (!b) return false;
  Propose(*b, 4, true);
  return true;
}

bool IsrWorld::OnProposalEnds() {
  const auto b = AnyBroker([](const IsrMachine& m) { return m.Acting() && m.proposing(); });
  if (!b) return false;
  Say(BrokerName(*b), " gives a proposal up");
  machine(*b).ProposalEnded();
  return true;
}

bool IsrWorld::OnTime() {
  now_ = now_ + 1 + Below(static_cast<int>(max_lag_.count()) * 2);
  return true;
}

bool IsrWorld::OnFence() {
  if (spent_[kFence] >= profile_.fences) return false;
  std::set<int> who;
  std::set<int> down;
  for (int b = 0; b < profile_.brokers; ++b) {
    if (!metadata_.now().IsLive(BrokerName(b))) continue;
    if (!machine(b).up()) down.insert(b);
    if (OneIn(profile_.brokers)) who.insert(b);
  }
  if (!down.empty() && OneIn(2)) who = down;  // sessions that expire together
  if (who.empty()) return false;
  ++spent_[kFence];
  Fence(who);
  return true;
}

bool IsrWorld::OnReregister() {
  std::vector<int> fenced;
  for (int b = 0; b < profile_.brokers; ++b) {
    if (machine(b).up() && !metadata_.now().IsLive(BrokerName(b))) fenced.push_back(b);
  }
  const auto b = AnyOf(fenced);
  if (b) Register(*b, /*new_process=*/false);
  return b.has_value();
}

bool IsrWorld::OnMove() {
  const int to = Below(profile_.brokers);
  if (spent_[kMove] >= profile_.moves || !metadata_.MayMove(to)) return false;
  ++spent_[kMove];
  Say("the lead is moved to ", BrokerName(to));
  metadata_.Move(to);
  Counted(false);
  return true;
}

bool IsrWorld::OnRaiseEpoch() {
  const int leader = BrokerNumber(metadata_.now().partition.leader);
  if (leader < 0 || !machine(leader).up() || !machine(leader).resigned()) return false;
  Say(BrokerName(leader), " asks for a new epoch");
  metadata_.RaiseEpoch();
  Counted(false);
  return true;
}

// That a crash may leave of a log: what is durable, and any of what is not.
size_t IsrWorld::AnyLength(int b) {
  const auto length = static_cast<int>(machine(b).log().size());
  if (Mutated("trunc_not_durable")) return static_cast<size_t>(Below(length + 1));
  const auto durable = static_cast<int>(machine(b).durable().size());
  return static_cast<size_t>(durable + Below(length - durable + 1));
}

bool IsrWorld::OnCrash() {
  if (spent_[kCrash] >= profile_.crashes) return false;
  const auto b = AnyBroker([](const IsrMachine& m) { return m.up(); });
  if (!b) return false;
  ++spent_[kCrash];
  Crash(*b, AnyLength(*b));
  return true;
}

bool IsrWorld::OnLoseDisk() {
  if (spent_[kLoseDisk] >= profile_.lost_disks || !MayLoseData()) return false;
  const int b = Below(profile_.brokers);
  ++spent_[kLoseDisk];
  if (machine(b).up()) Crash(b, machine(b).durable().size());
  const auto length = static_cast<int>(machine(b).log().size());
  const int kept = OneIn(2) || length == 0 ? 0 : Below(length);
  Say(BrokerName(b), " loses its disk, or what is behind ", kept);
  machine(b).LoseDisk(static_cast<size_t>(kept));
  return true;
}

bool IsrWorld::OnDamage() {
  if (spent_[kDamage] >= profile_.damages || !MayLoseData()) return false;
  const auto b = AnyBroker([](const IsrMachine& m) { return !m.durable().empty(); });
  if (!b) return false;
  ++spent_[kDamage];
  if (machine(*b).up()) Crash(*b, machine(*b).durable().size());
  const int kept = Below(static_cast<int>(machine(*b).durable().size()));
  Say(BrokerName(*b), " loses what is behind ", kept, " and takes it for a torn tail");
  machine(*b).DamageTail(static_cast<size_t>(kept));
  return true;
}

bool IsrWorld::OnPowerCut() {
  if (spent_[kPowerCut] >= profile_.power_cuts) return false;
  ++spent_[kPowerCut];
  Say("a power cut");
  for (int b = 0; b < profile_.brokers; ++b) {
    if (!machine(b).up()) continue;
    Crash(b, AnyLength(b));
  }
  return true;
}

bool IsrWorld::OnRestart() {
  const auto b = AnyBroker([](const IsrMachine& m) { return !m.up(); });
  if (b) Restart(*b);
  return b.has_value();
}

bool IsrWorld::OnFailSync() {
  if (spent_[kFailSync] >= profile_.failed_syncs || profile_.durability == Durability::kOs)
    return false;
  const auto b = AnyBroker([](const IsrMachine& m) {
    return m.up() && m.flushed().value() < static_cast<int64_t>(m.log().size());
  });
  if (!b) return false;
  ++spent_[kFailSync];
  machine(*b).FailSync(metadata_.at(machine(*b).seen()), now_);
  Say(BrokerName(*b), "'s flush fails: its log ends at ", machine(*b).log().size());
  return true;
}

bool IsrWorld::OnSetMinIsr() {
  const int min_isr = 1 + Below(std::min(3, profile_.brokers));
  const int before = metadata_.now().min_isr;
  if (spent_[kSetMinIsr] >= profile_.min_changes || min_isr == before) return false;
  // R7b's promise: fewer disks damaged or lost than the least min ISR.
  if (profile_.damages > 0 && min_isr <= spent_[kDamage] + spent_[kLoseDisk]) return false;
  ++spent_[kSetMinIsr];
  Say("min ISR is ", min_isr);
  min_isr_raised_ = min_isr_raised_ || min_isr > before;
  least_min_isr_ = std::min(least_min_isr_, min_isr);
  metadata_.SetMinIsr(min_isr);
  Counted(false);
  return true;
}

}  // namespace bascule::isr
