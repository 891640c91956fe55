// What a RaftStore is made of; for its two source files.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "replication/meta/store/hard_state_file.h"
#include "replication/meta/store/log_files.h"
#include "replication/meta/store/raft_store.h"
#include "replication/meta/store/snapshot_files.h"
#include "replication/meta/store/store_directory.h"

namespace bascule::raft_store {

struct RaftStore::Parts {
  Parts(FileSystem& fs, std::string directory, const RaftStoreOptions& options);

  // Remembers a failure after which only opening again tells what the disk holds.
  absl::Status Judge(absl::Status status);
  absl::Status Usable() const;
  // Durable when OK; nothing to do when it is there already. Fails for good or not at all.
  absl::Status SaveHardState(raft::Term term, raft::NodeId vote);

  raft_store::StoreDirectory files;
  raft_store::SnapshotFiles snapshots;
  raft_store::LogFiles log;
  std::unique_ptr<raft_store::HardStateFile> hard_state;
  MetaIdentity identity;
  const uint64_t snapshot_bytes;  // at most
  uint64_t room_step;             // appends take room in such pieces
  std::string failure;
  // The newest snapshot while somebody still sends it.
  raft::SnapshotMeta loaded_meta;
  std::weak_ptr<const std::string> loaded_state;
};

}  // namespace bascule::raft_store
