#include "replication/partition/partition_life.h"

#include <utility>

#include "core/base/check.h"

namespace bascule::partition {
namespace {

using Kind = LifeAction::Kind;
using Phase = PartitionPhase;
using Role = PartitionRole;

class Stepper {
 public:
  explicit Stepper(PartitionLife life) : life_(std::move(life)) {}

  LifeStep Run(const LifeEvent& event) && {
    Take(event);
    return {std::move(life_), std::move(actions_)};
  }

 private:
  void Take(const LifeEvent& event);
  void OnDesired(const PartitionDesire& desire);
  void OnRecovered(const absl::Status& status);
  void OnLogFailed();
  void OnTimer(uint64_t timer);
  // At rest: what brings the phase nearer to the desire; nothing left to do settles.
  void Decide();
  void Close();
  void ForLeader();
  void ForFollower();
  void Lead();
  void Follow();
  void Try();
  void Break(const absl::Status& why);
  void SetTimer();
  void Yield();
  void Settle(const absl::Status& status) { Do(Kind::kSettle).status = status; }
  // A command: nothing else until its report.
  LifeAction& Begin(Phase phase, Kind kind) {
    life_.phase = phase;
    return Do(kind);
  }
  LifeAction& Do(Kind kind) {
    actions_.push_back({.kind = kind});
    return actions_.back();
  }
  bool Final() const { return life_.desire.role <= Role::kStopped; }
  bool Stopping() const { return life_.desire.role == Role::kStopped; }
  bool Open() const {
    return life_.phase == Phase::kOpen || life_.phase == Phase::kLeading ||
           life_.phase == Phase::kFollowing;
  }

  PartitionLife life_;
  std::vector<LifeAction> actions_;
};

void Stepper::Take(const LifeEvent& event) {
  switch (event.kind) {
    case LifeEvent::Kind::kDesired:
      return OnDesired(event.desire);
    case LifeEvent::Kind::kListed:
      if (life_.phase != Phase::kListing) return;
      if (!event.status.ok()) return Break(event.status);
      life_.listed = true;
      life_.phase = Phase::kListed;
      return Decide();
    case LifeEvent::Kind::kRecovered:
      return OnRecovered(event.status);
    case LifeEvent::Kind::kLogFailed:
      return OnLogFailed();
    case LifeEvent::Kind::kRested:
      if (life_.phase != Phase::kFailed) return;
      life_.cut = event.cut;
      // Also when the broker stops: the next process would take what the page cache shows for true.
      if (life_.desire.role == Role::kGone || (Stopping() && !life_.cut)) return Close();
      Begin(Phase::kRecovering, Kind::kRecover).cut = life_.cut;
      return;
    case LifeEvent::Kind::kDrained:
      if (life_.phase != Phase::kDraining) return;
      if (!std::exchange(life_.failed_draining, false)) return Close();
      Begin(Phase::kFailed, Kind::kRest);
      return;
    case LifeEvent::Kind::kClosed:
      if (life_.phase != Phase::kClosing) return;
      life_.phase = Phase::kClosed;
      return Settle(absl::OkStatus());
    case LifeEvent::Kind::kListening:
      if (!std::exchange(life_.awaits_feed, false)) return;
      if (Final()) return;  // whoever waits, waits for the end
      if (!event.status.ok() || !IsBusy(life_.phase)) Settle(event.status);
      return;
    case LifeEvent::Kind::kTimer:
      return OnTimer(event.timer);
  }
}

void Stepper::OnDesired(const PartitionDesire& desire) {
  if (!Final()) life_.desire = desire;
  const bool follows = life_.desire.role == Role::kFollower;
  const bool ends_role =
      life_.desire.role == Role::kStandby || (follows && life_.phase != Phase::kFollowing);
  // At once, whatever else is under way: a newer epoch has spoken (R2).
  if (ends_role && !life_.stands_by) {
    Do(Kind::kStandBy);
    life_.stands_by = true;
    life_.listens = life_.awaits_feed = life_.fresh = false;
    if (life_.phase == Phase::kLeading || life_.phase == Phase::kFollowing)
      life_.phase = Phase::kOpen;
  }
  // Asked for anew: not only when the timer says so.
  if (life_.phase == Phase::kBroken && (follows || life_.desire.role == Role::kLeader))
    return Try();
  Decide();
}

void Stepper::OnRecovered(const absl::Status& status) {
  if (life_.phase != Phase::kRecovering) return;
  if (Final()) return Close();
  if (!status.ok()) return Break(status);
  Do(Kind::kTakeOver);
  life_.cut.reset();
  life_.phase = Phase::kOpen;
  Decide();
}

void Stepper::OnLogFailed() {
  if (life_.phase == Phase::kDraining) life_.failed_draining = true;
  if (!Open()) return;
  life_.ended = life_.led;
  life_.epoch_asked = false;
  life_.timer = 0;
  Yield();
  Begin(Phase::kFailed, Kind::kRest);
}

void Stepper::OnTimer(uint64_t timer) {
  if (timer == 0 || timer != life_.timer) return;
  life_.timer = 0;
  if (life_.phase == Phase::kBroken) return Try();
  if (life_.phase == Phase::kOpen && life_.desire.role == Role::kLeader) {
    Do(Kind::kRequestEpoch);
  } else {
    life_.epoch_asked = false;
  }
}

void Stepper::Decide() {
  if (life_.phase == Phase::kClosed) return Settle(absl::OkStatus());
  // A stop does not wait for what only reads, or may be done again by the next start.
  const bool abandons = Stopping() && !life_.cut &&
                        (life_.phase == Phase::kListing || life_.phase == Phase::kRecovering);
  if (abandons) return Close();
  if (IsBusy(life_.phase)) return;
  switch (life_.desire.role) {
    case Role::kGone:
      return Close();
    case Role::kStopped:
      if (life_.phase == Phase::kBroken && life_.cut) return Try();  // once more, then it closes
      if (!Open()) return Close();
      life_.timer = 0;
      Begin(Phase::kDraining, Kind::kDrain);
      return;
    case Role::kStandby:
      // A failed log is cut whoever leads: this replica may be asked for it any time.
      if (life_.phase == Phase::kBroken && !life_.cut) {
        life_.phase = life_.listed ? Phase::kListed : Phase::kUnlisted;
        life_.timer = 0;
      }
      return Settle(absl::OkStatus());
    case Role::kFollower:
      return ForFollower();
    case Role::kLeader:
      return ForLeader();
  }
}

void Stepper::ForFollower() {
  switch (life_.phase) {
    case Phase::kUnlisted:
    case Phase::kListed:
      return Try();
    case Phase::kBroken:
      return Settle(life_.broken);
    case Phase::kOpen:
      return Follow();
    case Phase::kFollowing:
      if (life_.desire.epoch != life_.followed) return Follow();
      return Settle(absl::OkStatus());
    default:
      BASCULE_CHECK(false);  // busy or closed, or led: the step before has ended that
  }
}

void Stepper::ForLeader() {
  switch (life_.phase) {
    case Phase::kUnlisted:
    case Phase::kListed:
      return Try();
    case Phase::kBroken:
      return Settle(life_.broken);
    case Phase::kFollowing:
    case Phase::kOpen:
      if (!life_.ended || life_.desire.epoch > *life_.ended) return Lead();
      if (!std::exchange(life_.epoch_asked, true)) SetTimer();
      return Settle(absl::OkStatus());
    case Phase::kLeading:
      if (life_.desire.epoch != life_.led) return Lead();
      if (!life_.awaits_feed) Settle(absl::OkStatus());
      return;
    default:
      BASCULE_CHECK(false);  // busy or closed
  }
}

void Stepper::Lead() {
  Do(Kind::kLead).epoch = life_.desire.epoch;
  life_.phase = Phase::kLeading;
  life_.led = life_.desire.epoch;
  life_.stands_by = false;
  life_.timer = 0;
  if (!std::exchange(life_.listens, true)) {
    Do(Kind::kListen).fresh = life_.fresh;
    life_.awaits_feed = std::exchange(life_.fresh, false);
  }
  if (!life_.awaits_feed) Settle(absl::OkStatus());
}

void Stepper::Follow() {
  Do(Kind::kFollow).epoch = life_.desire.epoch;
  life_.phase = Phase::kFollowing;
  life_.followed = life_.desire.epoch;
  life_.stands_by = life_.fresh = false;
  life_.timer = 0;
  Settle(absl::OkStatus());
}

void Stepper::Try() {
  life_.timer = 0;
  if (!life_.listed) {
    Begin(Phase::kListing, Kind::kList);
  } else {
    Begin(Phase::kRecovering, Kind::kRecover).cut = life_.cut;
  }
}

void Stepper::Break(const absl::Status& why) {
  life_.phase = Phase::kBroken;
  life_.broken = why;
  life_.fresh = false;  // late: what was published since the creation may be missing
  if (life_.desire.role == Role::kLeader || life_.desire.role == Role::kFollower) {
    Do(Kind::kShowBroken).status = why;
    life_.stands_by = false;
  }
  Yield();
  if (!Final()) SetTimer();
  Decide();
}

void Stepper::SetTimer() {
  life_.timer = ++life_.timers;
  Do(Kind::kSetTimer).timer = life_.timer;
}

// Opening, or cutting and verifying a log takes its time, and what failed once may fail again.
void Stepper::Yield() {
  if (life_.desire.role == Role::kLeader) Do(Kind::kYield).epoch = life_.desire.epoch;
}

void Stepper::Close() {
  BASCULE_CHECK(Final());
  life_.timer = 0;
  life_.listens = life_.awaits_feed = false;
  Begin(Phase::kClosing, Kind::kClose);
}

}  // namespace

LifeStep Step(PartitionLife life, const LifeEvent& event) {
  return Stepper(std::move(life)).Run(event);
}

bool IsBusy(PartitionPhase phase) {
  switch (phase) {
    case Phase::kListing:
    case Phase::kRecovering:
    case Phase::kFailed:
    case Phase::kDraining:
    case Phase::kClosing:
      return true;
    default:
      return false;
  }
}

const char* ToText(PartitionPhase phase) {
  static constexpr const char* kNames[kPartitionPhases] = {
      "unlisted",  "listing", "listed", "recovering", "open",    "leading",
      "following", "failed",  "broken", "draining",   "closing", "closed"};
  return kNames[static_cast<int>(phase)];
}

}  // namespace bascule::partition
