// Term and vote on the disk (and which segment of the log is the newest), twice, so that no single
// fault makes a member forget whom it voted for: every change writes the first copy and syncs, then
// the second. A crash tears at most one of them, and what a torn one said was not promised to
// anybody yet.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/env/file_system.h"
#include "replication/meta/store/store_directory.h"
#include "replication/meta/store/store_format.h"

namespace bascule::raft_store {

// One thread.
class HardStateFile {
 public:
  // Durable, in the place of what was there.
  static absl::StatusOr<HardStateFile> Create(StoreDirectory& files, const HardStateCopy& copy);
  // The copy that counts. A bad one is no error while the other is sound: a warning. Writes
  // nothing; Create with what it gives heals the file, and makes durable what stood in the page
  // cache only.
  static absl::StatusOr<HardStateCopy> Read(StoreDirectory& files,
                                            std::vector<std::string>& warnings);

  const HardStateCopy& current() const { return current_; }
  // Durable when OK, in place: needs no room. An error leaves it unknown which of the two counts.
  absl::Status Write(raft::Term term, raft::NodeId vote, uint64_t segment);

 private:
  HardStateFile(std::unique_ptr<File> file, const HardStateCopy& current)
      : file_(std::move(file)), current_(current) {}

  std::unique_ptr<File> file_;
  HardStateCopy current_;
};

}  // namespace bascule::raft_store
