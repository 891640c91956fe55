// The reconciler of a partition's life: every pair of what is desired and what is, with every event.
#include "replication/partition/partition_life.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/base/text.h"

namespace bascule::partition {
namespace {

using Event = LifeEvent::Kind;
using Phase = PartitionPhase;
using Role = PartitionRole;

constexpr LeaderEpoch kNow(5);
constexpr LeaderEpoch kNext(6);
constexpr std::array kRoles{Role::kGone, Role::kStopped, Role::kStandby, Role::kFollower,
                            Role::kLeader};

// A life as it may stand in `phase` when `role` is desired in epoch 5; only what is final drains or
// closes.
PartitionLife Standing(Phase phase, Role role) {
  PartitionLife life;
  life.phase = phase;
  if (phase >= Phase::kDraining && role > Role::kStopped) role = Role::kStopped;
  life.desire = {role, kNow};
  life.listed = phase > Phase::kListing;
  life.stands_by =
      role == Role::kStandby || (role == Role::kFollower && phase != Phase::kFollowing);
  if (phase == Phase::kFollowing) life.followed = kNow;
  if (phase == Phase::kOpen || phase == Phase::kLeading || phase == Phase::kFailed ||
      phase == Phase::kDraining)
    life.led = kNow;
  if (phase == Phase::kFailed || phase == Phase::kOpen) life.ended = kNow;
  life.listens = phase == Phase::kLeading;
  if (phase == Phase::kBroken) life.broken = absl::InternalError("broken");
  if (phase == Phase::kBroken || phase == Phase::kOpen) life.timer = life.timers = 1;
  life.epoch_asked = phase == Phase::kOpen;
  return life;
}

std::string Text(const LifeAction& action) {
  static constexpr const char* kNames[] = {
      "List",  "Recover", "TakeOver",   "Lead",     "Follow",       "Listen", "StandBy", "Rest",
      "Drain", "Close",   "ShowBroken", "SetTimer", "RequestEpoch", "Yield",  "Settle"};
  std::string text = kNames[static_cast<int>(action.kind)];
  const bool epoch = action.kind == LifeAction::Kind::kLead ||
                     action.kind == LifeAction::Kind::kFollow ||
                     action.kind == LifeAction::Kind::kYield;
  if (epoch) text += Concat(action.epoch);
  if (action.fresh) text += "Fresh";
  if (action.cut) text += Concat("@", action.cut->given);
  if (!action.status.ok()) text += "!";
  return text;
}

// "phase: what is done", in order.
std::string Text(const LifeStep& step) {
  std::string text = ToText(step.life.phase);
  for (const LifeAction& action : step.actions) text += " " + Text(action);
  return text;
}

LifeEvent Desired(Role role, LeaderEpoch epoch) {
  return {.kind = Event::kDesired, .desire = {role, epoch}};
}

struct Row {
  Phase phase;
  std::array<const char*, 5> after;  // by role, as in kRoles
};

void Check(const Row& row, const std::function<std::string(Role)>& result) {
  for (size_t i = 0; i < kRoles.size(); ++i) {
    INFO(ToText(row.phase), ", role ", i);
    CHECK(result(kRoles[i]) == row.after[i]);
  }
}

// Same in every role.
Row Always(Phase phase, const char* after) { return {phase, {after, after, after, after, after}}; }

void CheckReport(const Row& row, LifeEvent event) {
  Check(row, [&](Role role) { return Text(Step(Standing(row.phase, role), event)); });
}

const absl::Status kError = absl::InternalError("broken");

}  // namespace

TEST_CASE("every desire in every phase") {
  const Row rows[kPartitionPhases] = {
      {Phase::kUnlisted,
       {"closing Close", "closing Close", "unlisted StandBy Settle", "listing StandBy List",
        "listing List"}},
      {Phase::kListing,
       {"listing", "closing Close", "listing StandBy", "listing StandBy", "listing"}},
      {Phase::kListed,
       {"closing Close", "closing Close", "listed StandBy Settle", "recovering StandBy Recover",
        "recovering Recover"}},
      {Phase::kRecovering,
       {"recovering", "closing Close", "recovering StandBy", "recovering StandBy", "recovering"}},
      {Phase::kOpen,
       {"closing Close", "draining Drain", "open StandBy Settle",
        "following StandBy Follow6 Settle", "leading Lead6 Listen Settle"}},
      {Phase::kLeading,
       {"closing Close", "draining Drain", "open StandBy Settle",
        "following StandBy Follow6 Settle", "leading Lead6 Settle"}},
      {Phase::kFollowing,
       {"closing Close", "draining Drain", "open StandBy Settle", "following Follow6 Settle",
        "leading Lead6 Listen Settle"}},
      {Phase::kFailed, {"failed", "failed", "failed StandBy", "failed StandBy", "failed"}},
      {Phase::kBroken,
       {"closing Close", "closing Close", "listed StandBy Settle", "recovering StandBy Recover",
        "recovering Recover"}},
      Always(Phase::kDraining, "draining"),
      Always(Phase::kClosing, "closing"),
      Always(Phase::kClosed, "closed Settle"),
  };
  for (const Row& row : rows) {
    const Role before = row.phase >= Phase::kDraining ? Role::kStopped : Role::kLeader;
    Check(row,
          [&](Role role) { return Text(Step(Standing(row.phase, before), Desired(role, kNext))); });
  }
}

TEST_CASE("every report in the phase that waits for it") {
  constexpr const char* kBroken = "broken ShowBroken! SetTimer Settle!";
  constexpr const char* kYields = "broken ShowBroken! Yield5 SetTimer Settle!";
  CheckReport({Phase::kListing,
               {"closing Close", "closing Close", "listed Settle", "recovering Recover",
                "recovering Recover"}},
              {.kind = Event::kListed});
  CheckReport({Phase::kListing,
               {"closing Close", "closing Close", "unlisted SetTimer Settle", kBroken, kYields}},
              {.kind = Event::kListed, .status = kError});
  CheckReport({Phase::kRecovering,
               {"closing Close", "closing Close", "open TakeOver Settle",
                "following TakeOver Follow5 Settle", "leading TakeOver Lead5 Listen Settle"}},
              {.kind = Event::kRecovered});
  CheckReport({Phase::kRecovering,
               {"closing Close", "closing Close", "listed SetTimer Settle", kBroken, kYields}},
              {.kind = Event::kRecovered, .status = kError});
  const Row failed{
      Phase::kOpen,
      {"failed Rest", "failed Rest", "failed Rest", "failed Rest", "failed Yield5 Rest"}};
  for (const Phase phase : {Phase::kOpen, Phase::kLeading, Phase::kFollowing})
    CheckReport({phase, failed.after}, {.kind = Event::kLogFailed});
  CheckReport(Always(Phase::kDraining, "draining"), {.kind = Event::kLogFailed});
  CheckReport({Phase::kFailed,
               {"closing Close", "closing Close", "recovering Recover", "recovering Recover",
                "recovering Recover"}},
              {.kind = Event::kRested});
  CheckReport({Phase::kFailed,
               {"closing Close", "recovering Recover@3", "recovering Recover@3",
                "recovering Recover@3", "recovering Recover@3"}},
              {.kind = Event::kRested, .cut = log::KnownEnd{Offset(3), Offset(3)}});
  CheckReport({Phase::kOpen, {"open", "open", "open", "open", "open RequestEpoch"}},
              {.kind = Event::kTimer, .timer = 1});
  CheckReport(Always(Phase::kBroken, "recovering Recover"), {.kind = Event::kTimer, .timer = 1});
  CheckReport(Always(Phase::kDraining, "closing Close"), {.kind = Event::kDrained});
  CheckReport(Always(Phase::kClosing, "closed Settle"), {.kind = Event::kClosed});
}

TEST_CASE("a report that nobody waits for changes nothing, in any phase and role") {
  const std::map<Event, std::vector<Phase>> waited{
      {Event::kListed, {Phase::kListing}},
      {Event::kRecovered, {Phase::kRecovering}},
      {Event::kLogFailed, {Phase::kOpen, Phase::kLeading, Phase::kFollowing, Phase::kDraining}},
      {Event::kRested, {Phase::kFailed}},
      {Event::kDrained, {Phase::kDraining}},
      {Event::kClosed, {Phase::kClosing}},
      {Event::kListening, {}},
      {Event::kTimer, {}},  // of number 7, which is not armed
  };
  CHECK(waited.size() + 1 == kLifeEvents);
  for (const auto& [event, phases] : waited) {
    for (int p = 0; p < kPartitionPhases; ++p) {
      const auto phase = static_cast<Phase>(p);
      if (std::find(phases.begin(), phases.end(), phase) != phases.end()) continue;
      for (const Role role : kRoles) {
        const PartitionLife before = Standing(phase, role);
        const LifeStep step = Step(before, {.kind = event, .status = kError, .timer = 7});
        CHECK(Text(step) == ToText(phase));
        CHECK(step.life.ended == before.ended);
        CHECK(step.life.timer == before.timer);
        CHECK(step.life.cut == before.cut);
      }
    }
  }
}

TEST_CASE("who makes a partition waits for its ears, once, and only if it was opened in time") {
  PartitionLife life;
  life.fresh = true;
  LifeStep step = Step(life, Desired(Role::kLeader, kNow));
  step = Step(step.life, {.kind = Event::kListed});
  step = Step(step.life, {.kind = Event::kRecovered});
  CHECK(Text(step) == "leading TakeOver Lead5 ListenFresh");
  CHECK(Text(Step(step.life, {.kind = Event::kListening})) == "leading Settle");
  CHECK(Text(Step(step.life, {.kind = Event::kListening, .status = kError})) == "leading Settle!");
  // Led in another epoch meanwhile: it goes on listening, and its maker goes on waiting.
  CHECK(Text(Step(step.life, Desired(Role::kLeader, kNext))) == "leading Lead6");
  const LifeStep resigned = Step(step.life, Desired(Role::kStandby, kNext));
  CHECK(Text(resigned) == "open StandBy Settle");
  CHECK(Text(Step(resigned.life, {.kind = Event::kListening})) == "open");
  CHECK(Text(Step(resigned.life, Desired(Role::kLeader, LeaderEpoch(7)))) ==
        "leading Lead7 Listen Settle");
  step = Step(life, Desired(Role::kLeader, kNow));
  step = Step(step.life, {.kind = Event::kListed, .status = kError});
  step = Step(step.life, {.kind = Event::kTimer, .timer = step.life.timer});
  step = Step(step.life, {.kind = Event::kListed});
  CHECK(Text(Step(step.life, {.kind = Event::kRecovered})) ==
        "leading TakeOver Lead5 Listen Settle");
}

TEST_CASE(
    "R2a: an epoch that a failure ended is not led again; a newer one is asked for, each time") {
  LifeStep step{Standing(Phase::kLeading, Role::kLeader), {}};
  for (int round = 0; round < 2; ++round) {
    step = Step(step.life, {.kind = Event::kLogFailed});
    step = Step(step.life, {.kind = Event::kRested, .cut = log::KnownEnd{Offset(3), Offset(3)}});
    step = Step(step.life, {.kind = Event::kRecovered});
    CHECK(Text(step) == "open TakeOver SetTimer Settle");
    CHECK_FALSE(step.life.cut.has_value());
    CHECK(Text(Step(step.life, Desired(Role::kLeader, kNow))) == "open Settle");
  }
  // It failed again before the question was asked: the old timer is void, the new one asks.
  CHECK(Text(Step(step.life, {.kind = Event::kTimer, .timer = 1})) == "open");
  step = Step(step.life, {.kind = Event::kTimer, .timer = 2});
  CHECK(Text(step) == "open RequestEpoch");
  CHECK(Text(Step(step.life, {.kind = Event::kTimer, .timer = 2})) == "open");
  CHECK(Text(Step(step.life, Desired(Role::kLeader, kNext))) == "leading Lead6 Settle");
}

TEST_CASE("a failed log is cut before anything else, in whatever role, and after errors too") {
  LifeStep step{Standing(Phase::kOpen, Role::kStandby), {}};
  step = Step(step.life, {.kind = Event::kLogFailed});
  step = Step(step.life, {.kind = Event::kRested, .cut = log::KnownEnd{Offset(3), Offset(3)}});
  step = Step(step.life, {.kind = Event::kRecovered, .status = kError});
  CHECK(Text(step) == "broken SetTimer Settle");
  CHECK(Text(Step(step.life, Desired(Role::kStopped, kNext))) == "recovering Recover@3");
  CHECK(Text(Step(step.life, Desired(Role::kGone, kNext))) == "closing Close");
  CHECK(Text(Step(step.life, Desired(Role::kLeader, kNext))) == "recovering Recover@3");
  step = Step(step.life, {.kind = Event::kTimer, .timer = step.life.timer});
  CHECK(Text(step) == "recovering Recover@3");
  CHECK(Text(Step(step.life, Desired(Role::kStopped, kNext))) == "recovering");
  CHECK(Text(Step(step.life, {.kind = Event::kRecovered})) == "open TakeOver Settle");
}

TEST_CASE("what fails while it drains is cut before the broker stops") {
  LifeStep step{Standing(Phase::kDraining, Role::kStopped), {}};
  step = Step(step.life, {.kind = Event::kLogFailed});
  step = Step(step.life, {.kind = Event::kDrained});
  CHECK(Text(step) == "failed Rest");
  step = Step(step.life, {.kind = Event::kRested, .cut = log::KnownEnd{Offset(3), Offset(3)}});
  CHECK(Text(step) == "recovering Recover@3");
  CHECK(Text(Step(step.life, {.kind = Event::kRecovered})) == "closing Close");
  CHECK(Text(Step(step.life, {.kind = Event::kRecovered, .status = kError})) == "closing Close");
}

TEST_CASE("gone and stopped are final") {
  for (const Role final : {Role::kGone, Role::kStopped}) {
    for (const Role role : kRoles) {
      const LifeStep step = Step(Standing(Phase::kRecovering, final), Desired(role, kNext));
      CHECK(step.life.desire.role == final);
    }
  }
}

}  // namespace bascule::partition
