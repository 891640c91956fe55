// Random runs of the reconciler of a partition's life against a model of shard and pools.
#include <doctest/doctest.h>

#include <functional>
#include <optional>
#include <utility>

#include "replication/partition/partition_life.h"
#include "tests/support/sim_executor.h"

namespace bascule::partition {
namespace {

using Event = LifeEvent::Kind;
using Phase = PartitionPhase;
using Role = PartitionRole;

const absl::Status kFailure = absl::InternalError("broken");

// Shard, pools and metadata as far as a life sees them, in random order and with random failures.
class LifeModel {
 public:
  explicit LifeModel(uint64_t seed)
      : scheduler(clock, seed),
        rng(seed),
        home_(scheduler.NewExecutor("home")),
        shard_(scheduler.NewExecutor("shard")),
        pool_(scheduler.NewExecutor(
            "pool", {.order = TaskOrder::kAny, .max_delay = std::chrono::milliseconds(20)})) {
    life.fresh = rng.Below(2) == 0;
  }

  void Want(Role role) {
    if (role >= Role::kStandby) epoch_ = epoch_ + 1;
    ++waiting;
    Feed({.kind = Event::kDesired, .desire = {role, epoch_}});
  }
  // Of the shard's log, if it has a sound one.
  void FailLog() {
    shard_.Post([this] {
      if (!log_ || log_failed_ || closed) return;
      log_failed_ = uncut = true;
      if (leads) failed_epoch_ = *leads;
      leads.reset();
      Work();
      home_.Post([this] { Feed({.kind = Event::kLogFailed}); });
    });
  }

  SimClock clock;
  SimScheduler scheduler;
  SimRng rng;
  PartitionLife life;
  bool errors = true;
  int waiting = 0;  // for kSettle
  std::optional<LeaderEpoch> leads;
  bool listens = false;
  bool closed = false;
  bool uncut = false;  // a log failed, and no recovery has cut it
  LeaderEpoch epoch() const { return epoch_; }

 private:
  void Feed(const LifeEvent& event) {
    LifeStep step = Step(life, event);
    life = step.life;
    for (const LifeAction& action : step.actions) CarryOut(action);
    CHECK(IsBusy(life.phase) == command_);
  }
  void Begin() {
    CHECK_FALSE(command_);
    command_ = true;
  }
  void Report(LifeEvent event) {
    home_.Post([this, event = std::move(event)] {
      // A stop does not wait for what only reads; its late report is nobody's.
      const bool late = event.kind <= Event::kRecovered && life.phase >= Phase::kClosing;
      if (!late) command_ = false;
      Feed(event);
    });
  }
  absl::Status MaybeError() { return errors && rng.Below(4) == 0 ? kFailure : absl::OkStatus(); }
  void Work() {
    for (uint64_t n = rng.Below(3); n > 0; --n) {
      ++work_;
      pool_.Post([this] { shard_.Post([this] { --work_; }); });
    }
  }
  void WhenAtRest(std::function<void()> then) {
    if (work_ == 0) return then();
    shard_.After(std::chrono::milliseconds(1), [this, then] { WhenAtRest(then); });
  }
  void Recover(std::optional<log::KnownEnd> cut) {
    Begin();
    CHECK(work_ == 0);
    CHECK(cut.has_value() == uncut);
    pool_.Post([this] {
      const absl::Status status = MaybeError();
      if (status.ok()) uncut = false;
      Report({.kind = Event::kRecovered, .status = status});
    });
  }
  void CarryOut(const LifeAction& action);
  void End(LifeAction::Kind kind);
  void Lead(LeaderEpoch epoch) {
    REQUIRE(log_);
    CHECK(epoch > failed_epoch_);
    if (!log_failed_) leads = epoch;
  }

  SimExecutor& home_;
  SimExecutor& shard_;
  SimExecutor& pool_;
  LeaderEpoch epoch_;
  LeaderEpoch failed_epoch_;
  bool command_ = false;
  bool log_ = false;
  bool log_failed_ = false;
  int work_ = 0;
};

// What ends with the log at rest.
void LifeModel::End(LifeAction::Kind kind) {
  using Kind = LifeAction::Kind;
  // A stop leaves alone what listing and recovery are doing.
  kind == Kind::kClose ? void(command_ = true) : Begin();
  shard_.Post([this, kind] {
    if (kind == Kind::kDrain) Work();
    if (kind == Kind::kClose) {
      closed = true;
      leads.reset();
      listens = false;
    }
    LifeEvent event{.kind = kind == Kind::kDrain ? Event::kDrained : Event::kClosed};
    if (kind == Kind::kRest)
      event = {.kind = Event::kRested, .cut = log::KnownEnd{Offset(3), Offset(3)}};
    WhenAtRest([this, event] { Report(event); });
  });
}

void LifeModel::CarryOut(const LifeAction& action) {
  using Kind = LifeAction::Kind;
  switch (action.kind) {
    case Kind::kList:
      Begin();
      return pool_.Post([this] { Report({.kind = Event::kListed, .status = MaybeError()}); });
    case Kind::kRecover:
      return Recover(action.cut);
    case Kind::kTakeOver:
      return shard_.Post([this] {
        log_ = true;
        log_failed_ = false;
      });
    case Kind::kLead:
      return shard_.Post([this, epoch = action.epoch] { Lead(epoch); });
    case Kind::kFollow:
      return shard_.Post([this] {
        REQUIRE(log_);
        CHECK_FALSE(leads);
        CHECK_FALSE(listens);
      });
    case Kind::kListen:
      return shard_.Post([this, fresh = action.fresh] {
        CHECK_FALSE(listens);
        listens = true;
        if (!fresh) return;
        shard_.After(std::chrono::milliseconds(rng.Below(50)), [this] {
          home_.Post([this] { Feed({.kind = Event::kListening, .status = MaybeError()}); });
        });
      });
    case Kind::kStandBy:
      return shard_.Post([this] {
        leads.reset();
        listens = false;
      });
    case Kind::kRest:
    case Kind::kDrain:
    case Kind::kClose:
      return End(action.kind);
    case Kind::kShowBroken:
      CHECK_FALSE(action.status.ok());
      return;
    case Kind::kSetTimer:
      return home_.After(std::chrono::seconds(1), [this, timer = action.timer] {
        Feed({.kind = Event::kTimer, .timer = timer});
      });
    case Kind::kRequestEpoch:
      return home_.After(std::chrono::milliseconds(rng.Below(50)), [this] {
        if (life.desire.role == Role::kLeader) Want(Role::kLeader);
      });
    case Kind::kYield:
      CHECK(life.desire.role == Role::kLeader);
      CHECK(action.epoch == life.desire.epoch);
      return home_.After(std::chrono::milliseconds(rng.Below(50)), [this, epoch = action.epoch] {
        const bool still = life.desire.role == Role::kLeader && life.desire.epoch == epoch;
        if (errors && still && rng.Below(2) == 0) Want(Role::kFollower);
      });
    case Kind::kSettle:
      waiting = 0;
      return;
  }
}

}  // namespace

TEST_CASE("a life comes to rest where it is desired, whatever fails in whatever order") {
  for (uint64_t seed = 1; seed <= 600; ++seed) {
    INFO("seed ", seed);
    LifeModel model(seed);
    for (uint64_t steps = Between(model.rng, 1, 60); steps > 0; --steps) {
      switch (model.rng.Below(5)) {
        case 0:
          model.Want(static_cast<Role>(Between(model.rng, 2, 4)));
          break;
        case 1:
          model.FailLog();
          break;
        case 2:
          model.scheduler.RunFor(std::chrono::microseconds(model.rng.Below(3'000'000)));
          break;
        default:
          for (uint64_t n = model.rng.Below(6); n > 0; --n) model.scheduler.Step();
      }
    }
    const uint64_t end = model.rng.Below(3);
    model.errors = end == 2 && model.rng.Below(2) == 0;
    const bool errors = model.errors;
    if (end == 0) model.Want(Role::kLeader);
    if (end == 1) model.Want(Role::kGone);
    if (end == 2) model.Want(Role::kStopped);
    model.scheduler.RunFor(std::chrono::seconds(30));
    CHECK(model.waiting == 0);
    if (end == 0) {
      CHECK(model.life.phase == Phase::kLeading);
      CHECK(model.leads == model.epoch());
      CHECK(model.listens);
      CHECK_FALSE(model.uncut);
    } else {
      CHECK(model.life.phase == Phase::kClosed);
      CHECK(model.closed);
      CHECK_FALSE(model.listens);
      if (end == 2 && !errors) CHECK_FALSE(model.uncut);
    }
  }
}

}  // namespace bascule::partition
