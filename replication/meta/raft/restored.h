// What a member was restarted with.
#pragma once

#include <vector>

#include "replication/meta/raft/types.h"

namespace bascule::raft {

// `entries` follow the snapshot without a hole; what is at or below snapshot.index is applied.
struct Restored {
  HardState hard_state;
  SnapshotMeta snapshot;
  std::vector<Entry> entries;
};

}  // namespace bascule::raft
