// A follower in one leader epoch: a pure state machine that first brings its log in line with the
// leader's (R3 to R3c), then appends, acknowledges and shows what the leader says is committed. No
// clock, disk, network or thread. A new epoch, a restart or a reopened log is a new one of these.
//
//   asking ── answer: nothing to cut ───────────────────────────────► following
//     │ ▲└─── answer: cut, or begin anew ──► cutting ── OnCut ───────────▲
//     │ └──── answer that would cut the present epoch, once
//     └────── R9, or that answer again ──► diverged: stop, alarm, keep the bytes
#pragma once

#include <optional>
#include <string>

#include "core/base/types.h"
#include "replication/isr/reconciliation.h"

namespace bascule::isr {

class FollowerReplica {
 public:
  enum class Phase { kAsking, kCutting, kFollowing, kDiverged };
  struct Options {
    std::string self;
    Incarnation incarnation = 0;
    LeaderEpoch epoch;
    Durability durability = Durability::kFsync;
    uint64_t first_question = 1;  // greater than any number that this process has used
  };

  // `high_watermark`: the one this replica knew, a hint: clamped to the log (R10).
  FollowerReplica(Options options, Offset log_end, Offset flushed_end, Offset high_watermark);

  Phase phase() const { return phase_; }
  LeaderEpoch epoch() const { return options_.epoch; }
  Offset log_end() const { return log_end_; }
  Offset high_watermark() const { return high_watermark_; }
  // The number of the newest question; below `first_question`: none was asked.
  uint64_t last_question() const { return next_question_ - 1; }
  void CheckInvariants() const;

  // --- asking ---
  // With a number of its own: an answer to an earlier one is none any more (R3a). `log`: ours now.
  ReconcileQuestion Ask(const LogEpochs& log);
  enum class Todo {
    kNothing,    // not an answer to our last question
    kFollow,     // in line: following from now on
    kCut,        // cut the log to `offset`, durably, then OnCut
    kBeginAnew,  // give up the whole log, begin an empty one at `offset`, durably, then OnCut
    kAskAgain,   // it would cut what this epoch has brought: Ask once more
    kStop,       // diverged: `why` for the operator
  };
  struct Verdict {
    Todo todo = Todo::kNothing;
    Offset offset{};
    std::string why{};
  };
  Verdict OnAnswer(const ReconcileAnswer& answer);
  // The cut is durable, and flush tickets taken before it are void (R3b). The log's positions now:
  // that the cut is durable does not say that what it left is.
  void OnCut(Offset log_end, Offset flushed_end);

  // --- following ---
  enum class FrameVerdict {
    kAppend,     // its base is our log end
    kOld,        // of an older epoch: refused, with ours (R2)
    kNewer,      // of a newer epoch: nothing of it is used; its delta will come (R2)
    kNotYet,     // R3 is not done (R3c)
    kHave,       // all of it is in our log already
    kElsewhere,  // neither our log end nor before it: the stream between has a hole
  };
  FrameVerdict OnFrame(LeaderEpoch epoch, Offset base, Offset end) const;
  // `kAppend` was carried out. Returns what may be read from now on, when that moved (R10).
  std::optional<Offset> OnAppended(Offset log_end);
  // A flush came back whose ticket is still good; in any phase.
  void OnFlushed(Offset flushed_end);
  // What to tell the leader (R4); nullopt before R3 is done, or when it was said already.
  std::optional<Acknowledgement> Acknowledge();
  // The next Acknowledge says it again: the line to the leader is a new one.
  void ForgetAcknowledged() { acknowledged_.reset(); }
  // What the leader of `epoch` calls committed. Returns what may be read from now on, when that
  // moved (R10).
  std::optional<Offset> OnHighWatermark(LeaderEpoch epoch, Offset high_watermark);

 private:
  Offset OwnPosition() const {
    return options_.durability == Durability::kFsync ? flushed_end_ : log_end_;
  }
  std::optional<Offset> ShowCommitted();

  const Options options_;
  Phase phase_ = Phase::kAsking;
  uint64_t next_question_;
  LogEpochs asked_;  // with the last question
  bool asked_again_ = false;
  bool anew_ = false;  // what is being cut is all
  Offset log_end_;
  Offset flushed_end_;
  Offset high_watermark_;  // never past log_end_
  Offset leaders_;         // the greatest that this epoch's leader has told
  std::optional<Offset> acknowledged_;
};

}  // namespace bascule::isr
