// The snapshots of one store. Two are kept: should the newest be damaged, the one before it and the
// log from there on say the same.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "replication/meta/store/store_directory.h"
#include "replication/meta/store/store_format.h"

namespace bascule::raft_store {

// One thread.
class SnapshotFiles {
 public:
  explicit SnapshotFiles(StoreDirectory& files) : files_(files) {}

  // What opening found among `names`.
  struct Found {
    raft::SnapshotMeta meta;  // of the newest sound one; index 0: none
    std::string state;
    // Newer than that one, and damaged: only a log that reaches past it can stand in for it.
    std::optional<SnapshotName> damaged;
  };
  // Reads all of them; changes nothing on the disk.
  absl::StatusOr<Found> Load(const std::vector<std::string>& names,
                             std::vector<std::string>& warnings);

  // Durable when OK. ResourceExhausted: no room, nothing has changed.
  absl::Status Save(const raft::SnapshotMeta& meta, std::string_view state);
  // Takes the newest away again, durably.
  absl::Status Withdraw();
  // Removes all but two sound ones. Failing to is no error: they go another time.
  void RemoveOld();
  absl::StatusOr<std::pair<raft::SnapshotMeta, std::string>> ReadNewest();

  // index 0: none.
  raft::SnapshotMeta newest() const {
    return kept_.empty() ? raft::SnapshotMeta() : kept_.back().meta;
  }
  // The one before it.
  raft::SnapshotMeta previous() const {
    return kept_.size() < 2 ? raft::SnapshotMeta() : kept_[kept_.size() - 2].meta;
  }
  // Of the oldest one that is kept; the log has to reach back to it. 0: none.
  raft::Index oldest() const { return kept_.empty() ? raft::Index() : kept_.front().meta.index; }
  uint64_t bytes() const;

 private:
  struct Kept {
    raft::SnapshotMeta meta;
    uint64_t bytes;
  };
  absl::StatusOr<Soundness> ReadOne(const SnapshotName& name, raft::SnapshotMeta& meta,
                                    std::string& state);

  StoreDirectory& files_;
  std::vector<Kept> kept_;             // sound ones, oldest first
  std::vector<SnapshotName> damaged_;  // go when a new one is there
};

}  // namespace bascule::raft_store
