// What a partition leader knows and decides about commitment: a pure state machine. Events in
// (appended, flushed, acknowledged, a delta from the metadata log), high watermark and proposals of
// ISR changes out; no clock, disk, network or thread. The rules (R...) are those of
// replication/README.md. A single broker runs the same code with an ISR of itself.
//
//   widest ISR = committed ISR  ∪  every set proposed since its version (their outcome is unknown)
//   high watermark = least position over the widest ISR, while the committed one has min ISR members
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/types.h"
#include "replication/isr/partition_view.h"
#include "replication/isr/reconciliation.h"

namespace bascule::isr {

class LeaderReplica {
 public:
  struct Options {
    std::string self;
    LeaderEpoch epoch;
    Durability durability = Durability::kFsync;
    Duration max_lag{};                      // R8: a member that is not level for longer falls out
    Duration max_silence = Duration::max();  // R8: one that owes an acknowledgement for longer, too
  };
  struct Positions {
    Offset log_end;
    Offset flushed_end;
    Offset high_watermark;  // the one that this replica knew (R5c)
  };

  // `view`: the one that made it the leader; `self` is in its ISR. The acknowledgements of others
  // begin anew (R4a).
  LeaderReplica(Options options, const PartitionView& view, Positions positions, MonotonicTime now);

  // Positions against one another; what members told is not ours to vouch for.
  void CheckInvariants() const;

  LeaderEpoch epoch() const { return options_.epoch; }
  Offset high_watermark() const { return high_watermark_; }

  // Each returns the new high watermark when it moved.

  // A delta of this epoch: other members, incarnations or min ISR. A newer version settles what was
  // proposed before it (R5b); one that is not newer changes what a version does not count
  // (incarnations, who lives, doubt).
  std::optional<Offset> OnView(const PartitionView& view, MonotonicTime now);
  std::optional<Offset> OnAppended(Offset log_end, MonotonicTime now);
  std::optional<Offset> OnFlushed(Offset flushed_end);
  // Ignored unless it is of this epoch (R2), of the incarnation that is registered (R4a) and within
  // our log.
  std::optional<Offset> OnAcknowledged(const Acknowledgement& ack, MonotonicTime now);

  // What the ISR should be now, if it is to change, a member is to be verified, or the outcome of an
  // earlier proposal has to be found out: then the present ISR is proposed (R5b). What it returns
  // counts as proposed. One at a time: nullopt until ProposalEnded or a newer version.
  std::optional<IsrProposal> Propose(MonotonicTime now);
  // It was refused, or nobody knows what became of it. Its set goes on counting.
  void ProposalEnded();

  // R3: from our log as it is, flushed or not. Nullopt: not of this epoch, or of an incarnation that
  // is not registered.
  std::optional<ReconcileAnswer> Answer(const ReconcileQuestion& question,
                                        const LogEpochs& own) const;

  // How a replica stands, for people; nullopt: no replica of this partition.
  struct Standing {
    std::optional<Offset> acknowledged;  // in this epoch
    MonotonicTime level;                 // when it was last known to be level
    bool in_isr = false;
    bool doubtful = false;
  };
  std::optional<Standing> StandingOf(const std::string& broker) const;

 private:
  struct Follower {
    ReplicaView view;
    bool proposed = false;  // in a set whose outcome is unknown
    // Everything below it is durable there (under `os`: appended). Unknown (nullopt) until it
    // acknowledges in this epoch (R4a).
    std::optional<Offset> acknowledged;
    Offset end_at_last_ack;  // our log end when it last acknowledged (R8)
    MonotonicTime last_ack;  // then
    MonotonicTime level;     // it had reached our log end of this time
  };

  std::optional<Offset> Advance();
  Offset OwnPosition() const {
    return options_.durability == Durability::kFsync ? flushed_end_ : log_end_;
  }
  Follower* Find(const std::string& broker);
  const Follower* Find(const std::string& broker) const;
  int CommittedMembers() const;
  void TakeOver(const PartitionView& view, MonotonicTime now);
  bool MayJoin(const Follower& follower) const;
  bool Lags(const Follower& follower, MonotonicTime now) const;

  const Options options_;
  uint64_t version_ = 0;
  int min_isr_ = 1;
  Incarnation own_incarnation_ = 0;
  std::vector<Follower> followers_;  // every replica but ours
  bool proposal_under_way_ = false;
  bool outcome_unknown_ = false;  // of a proposal since version_
  Offset log_end_;
  Offset flushed_end_;
  Offset high_watermark_;
  const Offset epoch_start_;  // the log end with which we were elected (R8)
};

}  // namespace bascule::isr
