// Giving up the end of a log (R3 of replication/README.md): what was written there is another
// history than the leader's. Two steps on the disk, between which the owner makes the recovery
// point of the shorter log durable: until then a crash must leave the whole log, afterwards what is
// missing must not count as lost. What each crash leaves:
//
//   before the point is durable          the log as it was
//   point durable, log.bounds lowered    the log as it was, longer than anything vouches for
//   newer segments being removed         the newest go first: a whole beginning of the log
//   the last segment being cut           it ends where it did, or at the cut; sealed or not
//
// Internal to core/log; blocks.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/env/file_system.h"
#include "core/log/log_bounds.h"
#include "core/log/segment.h"

namespace bascule::log {

struct CutPlan {
  std::shared_ptr<File> file;  // of the segment that is the last one then
  Segment segment;             // it, as it will be: active, its facts and index those up to the cut
  std::vector<std::string> removed;  // paths of newer segments, the newest first
  Offset end() const { return segment.end(); }
};

// Finds the last batch of `segment` that ends at or before `to`, which is in it or its end. After
// OK everything up to there is durable: `unsynced` are the older files that may not be, and the
// directory's entries. DataLoss: something up to `to` is damaged.
absl::StatusOr<CutPlan> PlanCut(FileSystem& fs, const std::string& directory, Segment segment,
                                Offset to, const std::vector<std::shared_ptr<File>>& unsynced);

// After OK the log ends at the plan's end, whatever crashes. `bounds`: as they are on the disk;
// lowered where they would vouch for more. An error: the log is anything between the two, and is to
// be recovered anew.
absl::Status CarryOut(FileSystem& fs, const std::string& directory, PartitionKey key,
                      const CutPlan& plan, LogBounds& bounds);

}  // namespace bascule::log
