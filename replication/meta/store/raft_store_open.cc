#include <algorithm>

#include "core/base/limits.h"
#include "core/base/text.h"
#include "replication/meta/store/store_parts.h"

namespace bascule::raft_store {
namespace {

using raft_store::HardStateCopy;
using raft_store::HardStateFile;
using raft_store::LogOnDisk;
using raft_store::SnapshotFiles;
using raft_store::SnapshotName;
using raft_store::Soundness;
using raft_store::StoreDirectory;
using raft_store::Unusable;

const std::string& IdentityName() {
  static const std::string name(raft_store::kIdentityName);
  return name;
}

// Enough for opening on a full disk too, which writes the newest segment anew.
uint64_t BallastBytes(const RaftStoreOptions& options) {
  if (options.reserve_bytes == 0) return 0;
  return std::max(options.reserve_bytes / 2,
                  options.segment_bytes + 2 * raft_store::kHardStateBytes);
}

bool IsOurs(std::string_view name) {
  if (name.ends_with(".tmp")) name.remove_suffix(4);
  return name == raft_store::kIdentityName || name == raft_store::kHardStateName ||
         name == raft_store::kBallastName || raft_store::ParseSegmentName(name).has_value() ||
         raft_store::ParseSnapshotName(name).has_value();
}

absl::StatusOr<MetaIdentity> ReadIdentity(StoreDirectory& files) {
  ASSIGN_OR_RETURN(const std::string bytes, files.Read(IdentityName()));
  MetaIdentity identity;
  switch (raft_store::DecodeIdentity(bytes, identity)) {
    case Soundness::kSound:
      return identity;
    case Soundness::kNewer:
      return raft_store::WrittenByNewer(files.PathOf(IdentityName()));
    case Soundness::kDamaged:
      break;
  }
  return Unusable(files.path(), files.PathOf(IdentityName()), "is damaged");
}

bool Reaches(const LogOnDisk& log, raft::Index index, raft::Term term) {
  return index + 1 >= log.first && index <= log.last() && log.TermAt(index) == term;
}

// Whether the log continues the snapshot it is opened with. If it does not, then either it ends
// before the snapshot or it has another history there: a leader's snapshot was stored, and a crash
// came before the log was dropped. Any other log does not belong here.
absl::StatusOr<bool> Continues(StoreDirectory& files, const LogOnDisk& log,
                               const SnapshotFiles::Found& snapshot) {
  const raft::SnapshotMeta& base = snapshot.meta;
  const bool reaches = Reaches(log, base.index, base.term);
  if (snapshot.damaged.has_value()) {
    const SnapshotName& damaged = *snapshot.damaged;
    if (reaches && base.index.value() > 0 && Reaches(log, damaged.index, damaged.term)) return true;
    return Unusable(files.path(), files.PathOf(ToFileName(damaged)),
                    "is damaged, and there is no older snapshot with all that follows it");
  }
  const std::string path = files.PathOf(raft_store::SegmentFileName(log.segments.front().sequence));
  if (log.first > base.index + 1) {
    return Unusable(files.path(), path,
                    Concat("is the first of the log and begins with entry ", log.first,
                           ", but the newest snapshot ends at ", base.index));
  }
  if (!reaches && log.first == base.index + 1) {
    return Unusable(files.path(), path, "does not continue the newest snapshot");
  }
  return reaches;
}

// All that is on the disk, judged.
struct OnDisk {
  MetaIdentity identity;
  HardStateCopy hard_state;
  std::vector<std::string> names;
  SnapshotFiles::Found snapshot;
  LogOnDisk log;
  bool continues = false;  // the log continues the snapshot
};

absl::Status ReadAll(StoreDirectory& files, SnapshotFiles& snapshots, OnDisk& disk,
                     std::vector<std::string>& warnings) {
  ASSIGN_OR_RETURN(disk.identity, ReadIdentity(files));
  ASSIGN_OR_RETURN(disk.hard_state, HardStateFile::Read(files, warnings));
  ASSIGN_OR_RETURN(disk.names, files.Names());
  ASSIGN_OR_RETURN(disk.snapshot, snapshots.Load(disk.names, warnings));
  ASSIGN_OR_RETURN(disk.log, raft_store::ReadLog(files, disk.names, disk.hard_state.segment,
                                                 disk.snapshot.meta.index, warnings));
  // A leader's snapshot is stored before its term is; nobody was given a vote in that term yet.
  HardStateCopy& hard_state = disk.hard_state;
  const raft::SnapshotMeta& base = disk.snapshot.meta;
  if (hard_state.term < base.term) {
    hard_state = {hard_state.sequence, base.term, raft::NodeId(), hard_state.segment};
  }
  ASSIGN_OR_RETURN(disk.continues, Continues(files, disk.log, disk.snapshot));
  const raft::Term last = disk.log.TermAt(disk.log.last());
  if (disk.continues && last > hard_state.term) {
    return Unusable(files.path(), files.PathOf(raft_store::kHardStateName),
                    Concat("is older than the log: it says term ", hard_state.term,
                           ", the log has entries of term ", last));
  }
  if (!disk.continues) {
    warnings.push_back(Concat(files.path(), ": dropped the log up to entry ", disk.log.last(),
                              ": a leader's snapshot up to ", base.index, " takes its place"));
  }
  return absl::OkStatus();
}

// So that all that is handed out is on the disk.
absl::StatusOr<HardStateFile> WriteAnew(StoreDirectory& files, SnapshotFiles& snapshots,
                                        raft_store::LogFiles& log, const OnDisk& disk) {
  RETURN_IF_ERROR(files.Publish(IdentityName(), {raft_store::EncodeIdentity(disk.identity)}));
  // Snapshots were synced before they got their names. The name may be lost, which matters only
  // when the snapshot before it and the log do not say the same.
  const raft::SnapshotMeta& base = disk.snapshot.meta;
  const raft::SnapshotMeta previous = snapshots.previous();
  const bool replaceable = disk.continues && previous.index.value() > 0 &&
                           Reaches(disk.log, previous.index, previous.term);
  if (base.index.value() > 0 && !replaceable) {
    const absl::Status saved = snapshots.Save(base, disk.snapshot.state);
    if (!saved.ok() && !absl::IsResourceExhausted(saved)) return saved;
  }
  RETURN_IF_ERROR(disk.continues ? log.Continue(disk.log)
                                 : log.StartAnew(base.index, base.term, &disk.log));
  HardStateCopy copy = disk.hard_state;
  ++copy.sequence;
  copy.segment = log.newest_segment();
  ASSIGN_OR_RETURN(HardStateFile hard_state, HardStateFile::Create(files, copy));
  for (const std::string& name : disk.names) {
    if (IsOurs(name) && name.ends_with(".tmp")) files.Remove(name).IgnoreError();
  }
  if (!disk.snapshot.damaged.has_value()) snapshots.RemoveOld();
  files.MakeBallast();
  return hard_state;
}

// What a member begins with.
void HandOut(OnDisk& disk, StoredRaft& stored) {
  const raft::Index base = disk.snapshot.meta.index;
  raft::Index commit = disk.snapshot.damaged.has_value() ? disk.snapshot.damaged->index : base;
  if (disk.continues) {
    commit = std::max(commit, std::min(disk.log.commit, disk.log.last()));
    for (raft::Entry& entry : disk.log.entries) {
      if (entry.index > base) stored.raft.entries.push_back(std::move(entry));
    }
  }
  stored.identity = std::move(disk.identity);
  stored.raft.hard_state = {disk.hard_state.term, disk.hard_state.vote, commit};
  stored.raft.snapshot = std::move(disk.snapshot.meta);
  stored.state = std::move(disk.snapshot.state);
}

}  // namespace

RaftStore::Parts::Parts(FileSystem& fs, std::string directory, const RaftStoreOptions& options)
    : files(fs, std::move(directory), options.reserve_bytes, BallastBytes(options)),
      snapshots(files),
      log(files, options.segment_bytes),
      snapshot_bytes(options.snapshot_bytes),
      room_step(std::min<uint64_t>(options.segment_bytes, limits::kRaftPreallocateBytes)) {}

bool RaftStore::Exists(FileSystem& fs, const std::string& directory) {
  return fs.Exists(JoinPath(directory, raft_store::kIdentityName));
}

absl::StatusOr<std::unique_ptr<RaftStore>> RaftStore::Create(FileSystem& fs, std::string directory,
                                                             RaftStoreOptions options,
                                                             const MetaIdentity& identity,
                                                             const raft::SnapshotMeta& snapshot,
                                                             std::string_view state) {
  if (Exists(fs, directory)) {
    return absl::AlreadyExistsError(Concat(directory, " holds a member of a cluster already"));
  }
  if (identity.cluster_id.size() > limits::kMaxClusterIdBytes) {
    return absl::InvalidArgumentError(Concat("a cluster id has at most ",
                                             limits::kMaxClusterIdBytes, " bytes, this one has ",
                                             identity.cluster_id.size()));
  }
  RETURN_IF_ERROR(fs.CreateDirectories(directory));
  auto parts = std::make_unique<Parts>(fs, std::move(directory), options);
  StoreDirectory& files = parts->files;
  // Without an identity nothing here ever counted. The removals are durable with the first file.
  ASSIGN_OR_RETURN(const std::vector<std::string> names, files.Names());
  for (const std::string& name : names) {
    if (IsOurs(name)) RETURN_IF_ERROR(files.Remove(name));
  }
  if (snapshot.index.value() > 0) RETURN_IF_ERROR(parts->snapshots.Save(snapshot, state));
  RETURN_IF_ERROR(parts->log.StartAnew(snapshot.index, snapshot.term, nullptr));
  const HardStateCopy copy{1, snapshot.term, raft::NodeId(), parts->log.newest_segment()};
  ASSIGN_OR_RETURN(HardStateFile hard_state, HardStateFile::Create(files, copy));
  parts->hard_state = std::make_unique<HardStateFile>(std::move(hard_state));
  RETURN_IF_ERROR(files.Publish(IdentityName(), {raft_store::EncodeIdentity(identity)}));
  parts->identity = identity;
  files.MakeBallast();
  return std::unique_ptr<RaftStore>(new RaftStore(std::move(parts)));
}

// First everything is read and judged; then it is written anew, because what was read may stand in
// the page cache only: the last process was killed before its sync, or its sync failed.
absl::StatusOr<std::unique_ptr<RaftStore>> RaftStore::Open(FileSystem& fs, std::string directory,
                                                           RaftStoreOptions options,
                                                           StoredRaft& stored) {
  if (!Exists(fs, directory)) {
    return absl::NotFoundError(Concat(directory, " holds no member of a cluster"));
  }
  stored = StoredRaft();
  auto parts = std::make_unique<Parts>(fs, std::move(directory), options);
  OnDisk disk;
  RETURN_IF_ERROR(ReadAll(parts->files, parts->snapshots, disk, stored.warnings));
  ASSIGN_OR_RETURN(HardStateFile hard_state,
                   WriteAnew(parts->files, parts->snapshots, parts->log, disk));
  parts->hard_state = std::make_unique<HardStateFile>(std::move(hard_state));
  parts->identity = disk.identity;
  HandOut(disk, stored);
  return std::unique_ptr<RaftStore>(new RaftStore(std::move(parts)));
}

}  // namespace bascule::raft_store
