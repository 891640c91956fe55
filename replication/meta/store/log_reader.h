// The log as it stands on the disk, read whole at opening. Tells a torn tail, which is left out,
// from damage, which is refused; changes nothing.
#pragma once

#include <string>
#include <vector>

#include "core/base/status.h"
#include "replication/meta/store/store_directory.h"
#include "replication/meta/store/store_format.h"

namespace bascule::raft_store {

struct SegmentFile {
  uint64_t sequence = 0;
  raft::Index first;   // as in its header
  uint64_t bytes = 0;  // of the file
};

struct LogOnDisk {
  std::vector<SegmentFile> segments;  // that count, oldest first; never empty
  std::vector<raft::Entry> entries;   // that count, without a hole
  raft::Index first{1};               // of the first entry, or where the first one would stand
  raft::Term previous_term;           // of the entry before; 0: none, or not known
  raft::Index commit;
  SegmentHeader newest;             // of the last segment
  raft::Index newest_first;         // entries from here on stand in the last segment
  std::vector<uint64_t> leftovers;  // sequences of segments that do not count any more

  raft::Index last() const { return first + entries.size() - 1; }
  // 0 where it is not known.
  raft::Term TermAt(raft::Index index) const;
};

// `names`: of all files of the directory. `newest`: sequence of a segment that must be there.
// `snapshot`: damage to segments that hold nothing behind it is a warning; they are left out. Any
// other is DataLoss. A torn tail is told by a warning.
absl::StatusOr<LogOnDisk> ReadLog(StoreDirectory& files, const std::vector<std::string>& names,
                                  uint64_t newest, raft::Index snapshot,
                                  std::vector<std::string>& warnings);

}  // namespace bascule::raft_store
