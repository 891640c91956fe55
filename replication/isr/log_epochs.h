// Where two logs of one partition part (R3 of replication/README.md). Two logs that hold records of
// the same leader epoch hold the same records up to the end of that epoch's shorter part, because
// an epoch has one leader, which writes each offset once, and whoever appends from it has cut
// itself to its log before. So the lists of epochs say all, and one question is enough: the
// comparison of whole lists is that of Kafka's KIP-279 (KIP-101's single epoch diverges after two
// quick failovers).
#pragma once

#include <optional>
#include <vector>

#include "core/base/types.h"

namespace bascule::isr {

// What a log holds, by leader epochs.
struct LogEpochs {
  Offset start;
  Offset end;
  std::vector<EpochStart> epochs;  // ascending in both; only those that have records
  bool operator==(const LogEpochs&) const = default;

  // Ascending, within the log: what a peer sends need not be so.
  bool Valid() const;
  LeaderEpoch last() const { return epochs.empty() ? LeaderEpoch() : epochs.back().epoch; }
};

// The greatest offset below which both hold the same records, as far as they reach back: it may be
// before the start of either. Nullopt: they have no epoch in common, and nothing is known to be the
// same: not what stands before the later start either, since what the other held there is gone. Both
// are valid.
std::optional<Offset> CommonEnd(const LogEpochs& mine, const LogEpochs& theirs);

}  // namespace bascule::isr
