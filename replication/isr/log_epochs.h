// Where two logs of one partition part (R3 of replication/README.md). Two logs that hold records of
// the same leader epoch hold the same records up to the end of that epoch's shorter part, because
// an epoch has one leader, which writes each offset once, and whoever appends from it has cut
// itself to its log before. So the lists of epochs say all, and one question is enough: the
// comparison of whole lists is that of Kafka's KIP-279 (KIP-101's single epoch diverges after two
// quick failovers).
#pragma once

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

// The greatest offset below which both hold the same records. Between their starts and their ends;
// where they have no epoch in common, the later start (or an end before it). Both are valid.
Offset CommonEnd(const LogEpochs& mine, const LogEpochs& theirs);

}  // namespace bascule::isr
