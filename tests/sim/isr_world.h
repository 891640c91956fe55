// A replicated partition under faults: brokers that crash, lose disks, fail to sync; a metadata log
// whose states reach each of them in order but late; messages that are delayed, reordered, repeated
// and lost. What a seed draws happens again with the same seed.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/base/text.h"
#include "tests/sim/isr_checker.h"
#include "tests/sim/isr_machine.h"
#include "tests/sim/isr_metadata.h"

namespace bascule::isr {

// Which faults a run may have, and how many of each.
struct IsrProfile {
  int brokers = 3;
  int min_isr = 2;
  Durability durability = Durability::kFsync;
  bool slow_flushes = false;
  bool torn_tails = false;  // a crash may leave a replica doubtful
  int crashes = 4;
  int fences = 7;
  int moves = 4;
  int lost_disks = 0;
  int damages = 0;  // noticed as a torn tail
  int min_changes = 0;
  int failed_syncs = 0;
  int power_cuts = 0;
  int steps = 150;
  // Answers are late more often, and restarts and failed syncs come between them.
  bool late_answers = false;
  // Record by record, and the ISR changes as soon as it may.
  bool piecemeal = false;

  // "crash", "any", ...; "any" is drawn from the seed.
  static IsrProfile Named(std::string_view name, uint64_t seed);
};

// What happened, so that a run in which nothing does is noticed.
struct IsrCounts {
  enum What {
    kSteps,
    kCommits,
    kStaleCommits,
    kCuts,
    kFlushedCuts,
    kExpansions,
    kShrinks,
    kRefused,
    kElrElections,
    kIsrEmpty,
    kDoubtful,
    kDoubtfulElected,
    kCleanBeforeDoubtful,
    kVerified,
    kLostDisks,
    kHealings,
    kWaits,
    kEnd
  };
  std::array<uint64_t, kEnd> of{};
  static std::string_view NameOf(int what);
  void Add(const IsrCounts& other);
};

class IsrWorld {
 public:
  IsrWorld(const IsrProfile& profile, uint64_t seed);

  // False: something is violated.
  bool Run();
  const std::optional<std::string>& violation() const { return checker_.violation(); }
  const IsrCounts& counts() const { return counts_; }
  void SwitchTrace(bool on) { tracing_ = on; }
  std::string Trace(size_t lines) const;

 private:
  struct ToMetadata {
    int leader = 0;
    IsrProposal proposal;
  };
  struct Message {
    int to = 0;  // a broker
    std::variant<Frame, ReconcileQuestion, Answered, Acknowledgement, ToMetadata> what;
  };
  enum Event {
    kDelta,
    kAppend,
    kFlush,
    kFrame,
    kAsk,
    kAcknowledge,
    kReplicate,
    kDeliver,
    kDrop,
    kPropose,
    kProposalEnds,
    kTime,
    kFence,
    kReregister,
    kMove,
    kRaiseEpoch,
    kCrash,
    kLoseDisk,
    kDamage,
    kPowerCut,
    kRestart,
    kFailSync,
    kSetMinIsr,
    kEvents
  };
  using Handler = bool (IsrWorld::*)();
  struct EventKind;
  static const EventKind kEventKinds[kEvents];

  // --- chance ---
  uint64_t Draw();
  int Below(int bound) { return static_cast<int>(Draw() % static_cast<uint64_t>(bound)); }
  bool OneIn(int n) { return Below(n) == 0; }
  std::optional<int> AnyOf(const std::vector<int>& of);
  std::set<int> Away();
  size_t AnyLength(int b);
  template <typename Predicate>
  std::optional<int> AnyBroker(const Predicate& is) {
    std::vector<int> fit;
    for (int b = 0; b < profile_.brokers; ++b) {
      if (is(machine(b))) fit.push_back(b);
    }
    return AnyOf(fit);
  }

  // --- events; false: not possible now ---
  void Step();
  bool OnDelta();
  bool OnAppend();
  bool OnFlush();
  bool OnFrame();
  bool OnAsk();
  bool OnAcknowledge();
  bool OnReplicate();
  bool OnDeliver();
  bool OnDrop();
  bool OnPropose();
  bool OnProposalEnds();
  bool OnTime();
  bool OnFence();
  bool OnReregister();
  bool OnMove();
  bool OnRaiseEpoch();
  bool OnCrash();
  bool OnLoseDisk();
  bool OnDamage();
  bool OnPowerCut();
  bool OnRestart();
  bool OnFailSync();
  bool OnSetMinIsr();

  // --- what they are made of (isr_world_steps.cc) ---
  IsrMachine& machine(int b) { return machines_[static_cast<size_t>(b)]; }
  int LeaderOf(int b) { return BrokerNumber(machine(b).leader_name()); }
  void Look();
  void Enter(int b, size_t index);
  void FlushNow(int b);
  void Crash(int b, size_t kept);
  void Restart(int b);
  void Register(int b, bool new_process);
  void Fence(const std::set<int>& brokers);
  void Counted(bool proposed);
  bool MayLoseData() const;
  void Send(Message message, int late_in_ten);
  void Receive(const Message& message);
  void Replicate(int leader, int follower);
  void Propose(int leader, int late_in_ten, bool may_be_lost);
  std::string Described(const Message& message);

  // --- isr_world_heal.cc ---
  void Heal(const std::set<int>& live);
  void CatchUp();
  bool HealingRound(const std::set<int>& live, std::optional<size_t>& target);

  template <typename... Parts>
  void Say(const Parts&... parts) {
    if (tracing_) trace_.push_back(Concat(parts...));
  }
  std::string State() const;

  const IsrProfile profile_;
  uint64_t random_;
  std::array<int, kEvents> weights_{};
  IsrMetadata metadata_;
  std::vector<IsrMachine> machines_;
  std::vector<Message> bag_;
  IsrChecker checker_;
  IsrCounts counts_;
  MonotonicTime now_;
  const Duration max_lag_;
  Incarnation incarnations_ = 1;
  uint64_t records_ = 0;
  std::array<int, kEvents> spent_{};  // faults so far
  int least_min_isr_;
  bool min_isr_raised_ = false;
  bool hanging_ = false;  // while it heals: the dead keep their sessions
  bool tracing_ = false;
  std::deque<std::string> trace_;
};

}  // namespace bascule::isr
