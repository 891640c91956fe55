// What a partition leader knows and decides about commitment: a pure state machine. Events in
// (appended, flushed, acknowledged, a delta from the metadata log), high watermark out; no clock,
// disk, network or thread. The rules (R...) are those of replication/README.md. A single broker
// runs the same code with an ISR of itself.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/types.h"

namespace bascule::isr {

class LeaderReplica {
 public:
  struct Member {
    std::string broker;
    // Everything below it is durable there (under `os`: appended). Unknown (nullopt) until the
    // member acknowledges in this epoch (R4a).
    std::optional<Offset> acknowledged;
    bool in_committed_isr = true;
  };

  // `self` leads `epoch`; `isr` is the committed in-sync set and contains it. The high watermark
  // starts at the one this replica knew (R5c). 1 <= min_isr.
  LeaderReplica(std::string self, LeaderEpoch epoch, const std::vector<std::string>& isr,
                int min_isr, Durability durability, Offset log_end, Offset flushed_end,
                Offset high_watermark);

  // Positions against one another; what members told is not ours to vouch for.
  void CheckInvariants() const;

  LeaderEpoch epoch() const { return epoch_; }
  Offset high_watermark() const { return high_watermark_; }

  // Each returns the new high watermark when it moved.
  std::optional<Offset> SetMinIsr(int min_isr);  // 1 <= min_isr; what is committed stays so
  std::optional<Offset> OnAppended(Offset log_end);
  std::optional<Offset> OnFlushed(Offset flushed_end);
  // Ignored unless `broker` is a member and `epoch` is this one (R2, R4a).
  std::optional<Offset> OnAcknowledged(const std::string& broker, LeaderEpoch epoch,
                                       Offset position);

 private:
  // R5: the least acknowledged position over the widest ISR, our own included. R5a: only while the
  // committed ISR has min ISR members. Never back.
  std::optional<Offset> Advance();
  Offset OwnPosition() const { return durability_ == Durability::kFsync ? flushed_end_ : log_end_; }

  const std::string self_;
  const LeaderEpoch epoch_;
  int min_isr_;
  const Durability durability_;
  std::vector<Member> members_;  // the widest ISR without self
  Offset log_end_;
  Offset flushed_end_;
  Offset high_watermark_;
};

}  // namespace bascule::isr
