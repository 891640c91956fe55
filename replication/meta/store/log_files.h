// The log's segments, and the writing end of the newest. Records are only ever appended: an entry
// that replaces others is a later record of a lower or equal index, so that nothing is cut off on
// the way and what was replaced cannot come back behind it.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"
#include "core/env/file_system.h"
#include "replication/meta/store/log_reader.h"
#include "replication/meta/store/raft_store.h"
#include "replication/meta/store/store_directory.h"
#include "replication/meta/store/store_format.h"
#include "replication/meta/store/term_runs.h"

namespace bascule::raft_store {

// One thread. Every call: ResourceExhausted when there was no room and nothing has changed; after
// any other error only opening again tells what the disk holds.
class LogFiles {
 public:
  LogFiles(StoreDirectory& files, uint64_t segment_bytes)
      : files_(files), segment_bytes_(segment_bytes) {}

  // Goes on behind what was read. The newest segment is written anew: what was read may stand in
  // the page cache only, and after a failed sync another one of the same file proves nothing.
  absl::Status Continue(const LogOnDisk& disk);
  // An empty log behind the entry (last, term); what was there does not count any more. `disk`:
  // what was read instead of Continue, if anything.
  absl::Status StartAnew(raft::Index last, raft::Term term, const LogOnDisk* disk);

  // Room for a group of `bytes`, in a new segment if need be. ResourceExhausted: the reserve would
  // be touched (`room`: the ballast too, and it does not suffice).
  absl::Status Prepare(uint64_t bytes, RaftRoom room);
  // Durable when OK, by one write and one sync. Each record with the commit index then known.
  absl::Status Append(const std::vector<raft::Entry>& entries, raft::Index commit, RaftRoom room);
  // A record that says where the log ends; nothing when one says so already.
  absl::Status Mark(raft::Index commit);
  // Removes segments all of whose entries are at or below `through`.
  absl::Status RemoveThrough(raft::Index through);

  uint64_t newest_segment() const { return segments_.back().sequence; }
  raft::Index last() const { return terms_.last(); }
  raft::Index commit() const { return commit_; }
  raft::Term TermAt(raft::Index index) const { return terms_.At(index); }
  uint64_t bytes() const;

 private:
  uint64_t RoundUp(uint64_t bytes) const;
  void AppendTo(std::string& group, Record record) const;
  absl::StatusOr<std::unique_ptr<File>> MakeSegment(const SegmentHeader& header,
                                                    std::string_view records);
  void GoOnIn(std::unique_ptr<File> file, const SegmentHeader& header, FilePosition end);
  absl::Status Roll();
  absl::Status WriteGroup(const std::string& records);
  absl::Status TakeBack(const absl::Status& error);

  StoreDirectory& files_;
  const uint64_t segment_bytes_;
  std::vector<SegmentFile> segments_;  // oldest first; the last is the one that is written
  std::unique_ptr<File> file_;         // of the last
  FilePosition end_;                   // of its records, all durable; zeros follow
  TermRuns terms_;
  raft::Index commit_;
  bool marked_ = false;  // the last record, or the header, says that all before it is durable
};

}  // namespace bascule::raft_store
