// A partition's life on this broker, as a reconciler: one pure step from what is desired (by the
// metadata table, or because the broker stops) and what is (as last reported by the shard and the
// pools) to what is done next. No clock, disk, thread or lock; PartitionSet carries the actions out
// and feeds the reports back. Drawn in replication/README.md.
//
// Phases marked * have one command under way, whose report ends them: until then nothing else is
// begun, so that no two of opening, cutting, closing and removing ever overlap. What the shard is
// only told (kTakeOver, kLead, kFollow, kListen, kStandBy, kShowBroken) needs no report: it is told in order.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/base/status.h"
#include "core/base/types.h"
#include "core/log/recovery.h"

namespace bascule::partition {

// What this broker's replica should be.
enum class PartitionRole {
  kGone,      // deleted, or moved away: closed, its directory removed. Final
  kStopped,   // the broker stops: closed, its directory kept. Final
  kStandby,   // a replica of a partition that nobody leads
  kFollower,  // of another broker in that epoch
  kLeader,    // in that epoch
};

struct PartitionDesire {
  PartitionRole role = PartitionRole::kStandby;
  LeaderEpoch epoch;
};

enum class PartitionPhase {
  kUnlisted,    // not known to be in recovery.points
  kListing,     // * being written there, durably
  kListed,      // its log may be opened
  kRecovering,  // * RecoverLog: the first time, or after a failure with the cut
  kOpen,        // the shard has a sound log and no role
  kLeading,     // the shard leads `led`
  kFollowing,   // the shard follows the leader of `followed`: brings its log in line, then appends
  kFailed,      // * the log is trusted no more; waits until no pool works on its files
  kBroken,      // could not be listed or opened: `broken` says why; tried again
  kDraining,    // * what was heard is being appended, synced, acked
  kClosing,     // * the shard lets go; waits for the pools
  kClosed,      // the end
};
inline constexpr int kPartitionPhases = 12;

struct PartitionLife {
  PartitionPhase phase = PartitionPhase::kUnlisted;
  PartitionDesire desire;
  // Made while the broker serves, and not led before: whoever made it waits until it listens.
  bool fresh = false;
  bool listed = false;
  LeaderEpoch led;       // the newest epoch led here
  LeaderEpoch followed;  // the newest epoch followed here
  // By a failure, as all before it: never led again by this process (R2a).
  std::optional<LeaderEpoch> ended;
  bool epoch_asked = false;  // a newer one than `ended` has been asked for, or the timer will
  // A log failed: how far it had come. Until a recovery has cut there.
  std::optional<log::KnownEnd> cut;
  bool failed_draining = false;
  bool stands_by = false;    // the shard has been told so, and no other role since
  bool listens = false;      // the tap is open, or being opened
  bool awaits_feed = false;  // and whoever made the partition waits for it
  absl::Status broken;
  uint64_t timer = 0;   // the one that counts; 0: none
  uint64_t timers = 0;  // ever set
};

struct LifeEvent {
  enum class Kind {
    kDesired,    // desire
    kListed,     // status
    kRecovered,  // status; the log is kept by the driver for kTakeOver
    kLogFailed,  // the shard's log has lost its trust; once per log, in any role
    kRested,     // cut: unless the log is sound
    kDrained,
    kClosed,
    kListening,  // status, of the tap that a fresh partition opened (or patience is over)
    kTimer,      // timer
  };
  Kind kind;
  PartitionDesire desire{};
  absl::Status status{};
  std::optional<log::KnownEnd> cut{};
  uint64_t timer = 0;
};
inline constexpr int kLifeEvents = 9;

struct LifeAction {
  enum class Kind {
    kList,          // -> kListed
    kRecover,       // cut -> kRecovered
    kTakeOver,      // the recovered log goes to the shard
    kLead,          // epoch
    kFollow,        // epoch
    kListen,        // fresh -> kListening, if fresh
    kStandBy,       // no role any more: tap closed, reads ended, publishers who wait are told (R14)
    kRest,          // -> kRested
    kDrain,         // -> kDrained
    kClose,         // -> kClosed
    kShowBroken,    // status
    kSetTimer,      // timer -> kTimer
    kRequestEpoch,  // -> some day a kDesired
    kYield,         // epoch: another in-sync replica is to lead -> a kDesired, if one lives
    kSettle,        // status: to whoever waits for this partition
  };
  Kind kind;
  LeaderEpoch epoch{};
  bool fresh = false;
  absl::Status status{};
  std::optional<log::KnownEnd> cut{};
  uint64_t timer = 0;
};

struct LifeStep {
  PartitionLife life;
  std::vector<LifeAction> actions;  // in this order
};

// Total: a report that no command waits for any more (a recovery that outlived a stop, an old
// timer) changes nothing.
LifeStep Step(PartitionLife life, const LifeEvent& event);

// Whether a command is under way.
bool IsBusy(PartitionPhase phase);
const char* ToText(PartitionPhase phase);

}  // namespace bascule::partition
