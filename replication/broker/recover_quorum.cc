#include "replication/broker/recover_quorum.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "core/base/text.h"
#include "replication/meta/cluster/registration_record.h"
#include "replication/meta/group/raft_codec.h"
#include "replication/meta/store/raft_store.h"
#include "replication/meta/table/meta_table.h"

namespace bascule::broker {
namespace {

constexpr uint64_t kIndexLeap = 1'000'000'000;

// The state that the whole log leads to, and the members' names on the way.
struct Replay {
  metadata::MetaTable table;
  raft_group::MemberBook members;
};

// Apply asks who is a member: it is told where the log says so, as in the living group.
void TellMembers(Replay& replay, MetadataIndex index, const raft::Configuration& configuration) {
  std::vector<GroupMember> members;
  for (const bool voter : {true, false}) {
    for (const raft::NodeId id : voter ? configuration.voters : configuration.learners) {
      const raft_group::MemberNames& names = replay.members[id];
      members.push_back({PeerId(id.value()), names.server_id, names.address, voter});
    }
  }
  replay.table.ApplyMembers(index, members);
}

absl::StatusOr<Replay> ReplayAll(const raft_store::StoredRaft& stored) {
  Replay replay;
  raft::Configuration configuration = stored.raft.snapshot.configuration;
  ASSIGN_OR_RETURN(raft_group::SnapshotBody body, raft_group::DecodeSnapshotBody(stored.state));
  RETURN_IF_ERROR(replay.table.Restore(stored.raft.snapshot.index, body.state));
  replay.members = std::move(body.members);
  TellMembers(replay, stored.raft.snapshot.index, configuration);
  for (const raft::Entry& entry : stored.raft.entries) {
    if (entry.type == raft::EntryType::kNormal) {
      if (entry.data.empty()) continue;
      const absl::Status applied = replay.table.Apply(entry.index, entry.data).result;
      if (absl::IsUnimplemented(applied)) return applied;
      continue;
    }
    const auto change = raft::DecodeConfChange(entry.data);
    if (!change) continue;
    if (change->type == raft::ConfChangeType::kRemove) {
      replay.members.erase(change->node);
    } else if (const auto names = raft_group::DecodeMemberNames(change->context); names.ok()) {
      replay.members[change->node] = *names;
    }
    raft::Apply(*change, configuration);
    TellMembers(replay, entry.index, configuration);
  }
  return replay;
}

}  // namespace

absl::StatusOr<std::string> RecoverQuorum(FileSystem& fs, const std::string& data_directory) {
  ASSIGN_OR_RETURN(const std::unique_ptr<FileLock> lock, fs.Lock(JoinPath(data_directory, "LOCK")));
  const std::string meta = JoinPath(data_directory, "meta");
  raft_store::StoredRaft stored;
  ASSIGN_OR_RETURN(const std::unique_ptr<raft_store::RaftStore> store,
                   raft_store::RaftStore::Open(fs, meta, raft_store::RaftStoreOptions{}, stored));
  const raft::NodeId self = stored.identity.node;
  const raft::Restored& raft = stored.raft;
  if (raft.snapshot.index == MetadataIndex()) {
    return absl::FailedPreconditionError(
        Concat(meta, " has received nothing of its cluster yet; recover from another broker"));
  }
  ASSIGN_OR_RETURN(Replay replay, ReplayAll(stored));
  const auto own = replay.members.find(self);
  const raft_group::MemberNames names =
      own == replay.members.end() ? raft_group::MemberNames{} : own->second;
  const MetadataIndex last = raft.snapshot.index + raft.entries.size();
  ASSIGN_OR_RETURN(const auto record, metadata::RegistrationRecord::Open(fs, data_directory));
  // Commands that this broker never received, or that are not in the copy any more that this one is, may
  // have made streams, whose ids must not come again.
  const metadata::DirectoryPositions& known = record->positions();
  const bool own_positions = known.member.value() == self.value();
  const MetadataIndex next = std::max(last, own_positions ? known.logged : last) + kIndexLeap;
  const raft::Term term(std::max(raft.hard_state.term.value(), own_positions ? known.term : 0) + 1);
  replay.table.SkipTo(next);
  replay.table.ApplyMembers(next, {{PeerId(self.value()), names.server_id, names.address, true}});
  const raft::SnapshotMeta snapshot{next, term, {{self}, {}}};
  // Before anything is changed, so that a kill in between only means: once more. What this directory
  // holds is what the cluster goes on with, an older copy or not; one that holds nothing lost it all.
  RETURN_IF_ERROR(record->Rejoined());
  const auto streams = fs.List(JoinPath(data_directory, "streams"));
  if (streams.ok() && !streams->empty()) RETURN_IF_ERROR(record->Paid());
  // First the term: messages of the members that were are all of an older one.
  RETURN_IF_ERROR(
      store->Save(raft::HardState{snapshot.term, raft::NodeId(), raft.hard_state.commit}, {},
                  raft.hard_state.commit));
  RETURN_IF_ERROR(store->SaveSnapshot(
      snapshot, raft_group::EncodeSnapshotBody({{self, names}}, replay.table.Snapshot()), true));
  return Concat("broker ", names.server_id, " is the only member of the metadata group of cluster ",
                stored.identity.cluster_id, " now, at index ", snapshot.index, ", with ",
                replay.table.streams().size(),
                " streams. Start it; on every other broker move data/meta away before its next "
                "start: it joins again.\n");
}

}  // namespace bascule::broker
