// What a member of the metadata group keeps on disk: who it is, term and vote, the log, snapshots.
// Layout in FORMAT.md beside it. On the metadata thread; every call blocks on the disk.
//
//   meta/identity                    cluster id, node id       written once
//   meta/hardstate                   term and vote, twice      synced one after the other
//   meta/log-<sequence>              records, zeros behind     one write and one sync per Save
//   meta/snapshot-<index>-<term>     two are kept, and the log from the older one on
//
// What opening accepts: a torn tail of the newest segment (records that were never acknowledged),
// one bad copy of the hard state, a newest snapshot that is damaged while the one before it and the
// log from there on are whole, leftovers of a crash. Everything else refuses to open, DataLoss,
// with a text that names the file and says how the broker joins again as a new member.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/base/limits.h"
#include "core/base/status.h"
#include "core/env/file_system.h"
#include "replication/meta/raft/restored.h"

namespace bascule::raft_store {

struct MetaIdentity {
  std::string cluster_id;  // empty: this directory was never part of a cluster
  raft::NodeId node;
};

// What Open found, ready for raft::Raft::Restore. `state` are the newest snapshot's bytes.
struct StoredRaft {
  MetaIdentity identity;
  raft::Restored raft;
  std::string state;
  std::vector<std::string> warnings;  // a sentence each, for the log
};

struct RaftStoreOptions {
  uint64_t segment_bytes = uint64_t{16} << 20;
  // Free space below which appends are refused (ResourceExhausted, nothing was written), but for
  // those of RaftRoom::kBallast. Those, snapshots, new segments and opening have the ballast
  // besides, a file of half the size (at least a segment) that is given up for them; votes need no
  // room. 0: neither.
  uint64_t reserve_bytes = uint64_t{16} << 20;
  // The state in a snapshot; a larger one is refused (InvalidArgument).
  uint64_t snapshot_bytes = limits::kMaxRaftSnapshotBytes;
};

// How far an append may go on a full disk.
enum class RaftRoom {
  kReserve,  // what the reserve leaves
  kBallast,  // all there is, the ballast too: what frees room must get through, and what others agreed on
};

class RaftStore {
 public:
  // NotFound when `directory` holds no identity. DataLoss: damage (see above). ResourceExhausted:
  // the disk is full, and the ballast did not suffice. FailedPrecondition: written by a newer
  // version.
  static absl::StatusOr<std::unique_ptr<RaftStore>> Open(FileSystem& fs, std::string directory,
                                                         RaftStoreOptions options,
                                                         StoredRaft& stored);
  // A new directory. With a snapshot: the first member of a new cluster (or one whose metadata was
  // kept otherwise until now); without: a joiner, which knows nothing yet. The identity is written
  // last: a crash before leaves no member.
  static absl::StatusOr<std::unique_ptr<RaftStore>> Create(FileSystem& fs, std::string directory,
                                                           RaftStoreOptions options,
                                                           const MetaIdentity& identity,
                                                           const raft::SnapshotMeta& snapshot,
                                                           std::string_view state);
  static bool Exists(FileSystem& fs, const std::string& directory);
  ~RaftStore();

  // Durable when it returns OK; one sync for all entries. Entries replace those from the first
  // one's index on. `commit` goes along with the entries, so that a restart knows no less of it
  // than when they were written.
  //   ResourceExhausted: the disk is full; none of the entries is kept (term and vote may be), it
  //     may be tried again later. Never without entries.
  //   InvalidArgument: an entry is too large (limits::kMaxRaftEntryBytes); nothing was written.
  //   anything else: a write or sync failed; the process must end and open again. Until then every
  //     call answers FailedPrecondition.
  absl::Status Save(const std::optional<raft::HardState>& hard_state,
                    const std::vector<raft::Entry>& entries, raft::Index commit,
                    RaftRoom room = RaftRoom::kReserve);
  // Durable when OK. `received`: from a leader; a log that does not continue it is dropped, else
  // the log must hold its last entry. One that is not newer than what is there changes nothing.
  // Codes as Save.
  absl::Status SaveSnapshot(const raft::SnapshotMeta& meta, std::string_view state, bool received);
  // Entries up to `through` may go (their snapshot is durable): whole segments are removed, as far
  // as the older snapshot's log is not touched. An error leaves them for the next time.
  absl::Status Compact(raft::Index through);
  // An idle log's end is marked, so that damage to its last records is told from a torn tail.
  // Cheap; called some tens of milliseconds after the last Save, and at the end. `commit`: committed,
  // and no further than what was saved is the log that holds it; its term is `term`.
  absl::Status MarkEnd(raft::Index commit, raft::Term term);
  // The newest snapshot, as it is sent to others.
  absl::StatusOr<std::pair<raft::SnapshotMeta, std::shared_ptr<const std::string>>> LoadSnapshot();
  // Whether there is room for appends again after ResourceExhausted.
  bool HasRoom();

  const MetaIdentity& identity() const;
  uint64_t bytes() const;  // of all files

 private:
  struct Parts;
  explicit RaftStore(std::unique_ptr<Parts> parts);
  const std::unique_ptr<Parts> parts_;
};

}  // namespace bascule::raft_store
