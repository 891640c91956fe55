#include "replication/meta/store/raft_store.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/limits.h"
#include "core/base/text.h"
#include "replication/meta/store/store_parts.h"

namespace bascule::raft_store {

using raft_store::Failed;

namespace {

// What Save is called with is the work of this process, not of the network: raft::Raft has judged
// it.
void CheckHardState(const raft_store::HardStateCopy& now, const raft::HardState& next) {
  BASCULE_CHECK_GE(next.term, now.term);
  // A vote is given once in a term.
  BASCULE_CHECK(next.term > now.term || next.vote == now.vote || now.vote == raft::NodeId());
}

void CheckEntries(const raft_store::LogFiles& log, raft::Index snapshot,
                  const std::vector<raft::Entry>& entries, raft::Term newest_term) {
  const raft::Index first = entries.front().index;
  BASCULE_CHECK_LE(first, log.last() + 1);
  // Nobody replaces what is committed.
  BASCULE_CHECK_GT(first, log.commit());
  BASCULE_CHECK_GT(first, snapshot);
  raft::Term term = log.TermAt(first - 1);
  for (size_t i = 0; i < entries.size(); ++i) {
    BASCULE_CHECK_EQ(entries[i].index, first + i);
    BASCULE_CHECK_GE(entries[i].term, term);
    term = entries[i].term;
  }
  BASCULE_CHECK_LE(term, newest_term);
}

}  // namespace

absl::Status RaftStore::Parts::Judge(absl::Status status) {
  if (!status.ok() && !absl::IsResourceExhausted(status)) failure = FromAbsl(status.message());
  return status;
}

absl::Status RaftStore::Parts::Usable() const {
  return failure.empty() ? absl::OkStatus() : absl::FailedPreconditionError(failure);
}

absl::Status RaftStore::Parts::SaveHardState(raft::Term term, raft::NodeId vote) {
  const raft_store::HardStateCopy& now = hard_state->current();
  const uint64_t segment = log.newest_segment();
  if (term == now.term && vote == now.vote && segment == now.segment) return absl::OkStatus();
  const absl::Status written =
      files.WithBallast([&] { return hard_state->Write(term, vote, segment); });
  return written.ok() ? written : Judge(Failed(written));
}

RaftStore::RaftStore(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
RaftStore::~RaftStore() = default;

absl::Status RaftStore::Save(const std::optional<raft::HardState>& hard_state,
                             const std::vector<raft::Entry>& entries, raft::Index commit,
                             RaftRoom room) {
  Parts& parts = *parts_;
  RETURN_IF_ERROR(parts.Usable());
  uint64_t bytes = 0;
  for (const raft::Entry& entry : entries) {
    if (entry.data.size() > limits::kMaxRaftEntryBytes) {
      return absl::InvalidArgumentError(Concat("metadata entry ", entry.index, " has ",
                                               entry.data.size(), " bytes, at most ",
                                               limits::kMaxRaftEntryBytes, " are stored"));
    }
    bytes += raft_store::kRecordHeaderBytes + entry.data.size();
  }
  const raft_store::HardStateCopy now = parts.hard_state->current();
  const raft::Term term = hard_state.has_value() ? hard_state->term : now.term;
  const raft::NodeId vote = hard_state.has_value() ? hard_state->vote : now.vote;
  if (hard_state.has_value()) CheckHardState(now, *hard_state);
  if (!entries.empty()) {
    const raft::SnapshotMeta snapshot = parts.snapshots.newest();
    CheckEntries(parts.log, snapshot.index, entries, std::max(term, snapshot.term));
    RETURN_IF_ERROR(parts.Judge(parts.log.Prepare(bytes, room)));
  }
  // The term before its entries: no log is ahead of the term that is known. A new segment before
  // its entries too: they cannot go missing with it unnoticed.
  RETURN_IF_ERROR(parts.SaveHardState(term, vote));
  return entries.empty() ? absl::OkStatus() : parts.Judge(parts.log.Append(entries, commit, room));
}

absl::Status RaftStore::SaveSnapshot(const raft::SnapshotMeta& meta, std::string_view state,
                                     bool received) {
  Parts& parts = *parts_;
  RETURN_IF_ERROR(parts.Usable());
  const raft::Configuration& members = meta.configuration;
  if (state.size() > parts.snapshot_bytes ||
      members.voters.size() + members.learners.size() > limits::kMaxRaftMembers) {
    return absl::InvalidArgumentError(
        Concat("metadata snapshot ", meta.index, " has ", state.size(), " bytes and ",
               members.voters.size() + members.learners.size(), " members, at most ",
               parts.snapshot_bytes, " and ", limits::kMaxRaftMembers, " are stored"));
  }
  if (meta.index <= parts.snapshots.newest().index) return absl::OkStatus();  // a late one
  const bool continued =
      meta.index <= parts.log.last() && parts.log.TermAt(meta.index) == meta.term;
  BASCULE_CHECK(received || continued);
  RETURN_IF_ERROR(parts.Judge(parts.snapshots.Save(meta, state)));
  if (!continued) {
    // A crash between the two finds a log that does not continue the snapshot, and does the same.
    const absl::Status begun = parts.Judge(parts.log.StartAnew(meta.index, meta.term, nullptr));
    if (absl::IsResourceExhausted(begun)) {
      const absl::Status withdrawn = parts.snapshots.Withdraw();
      return withdrawn.ok() ? begun : parts.Judge(Failed(withdrawn));
    }
    RETURN_IF_ERROR(begun);
    const raft_store::HardStateCopy now = parts.hard_state->current();
    RETURN_IF_ERROR(parts.SaveHardState(now.term, now.vote));
  }
  parts.snapshots.RemoveOld();
  return absl::OkStatus();
}

absl::Status RaftStore::Compact(raft::Index through) {
  Parts& parts = *parts_;
  RETURN_IF_ERROR(parts.Usable());
  RETURN_IF_ERROR(parts.log.RemoveThrough(std::min(through, parts.snapshots.oldest())));
  parts.files.MakeBallast();
  return absl::OkStatus();
}

absl::Status RaftStore::MarkEnd(raft::Index commit, raft::Term term) {
  RETURN_IF_ERROR(parts_->Usable());
  BASCULE_CHECK_LE(commit, parts_->log.last());
  // Else the next start would take for committed what another leader is about to replace.
  BASCULE_CHECK_EQ(parts_->log.TermAt(commit), term);
  return parts_->Judge(parts_->log.Mark(commit));
}

absl::StatusOr<std::pair<raft::SnapshotMeta, std::shared_ptr<const std::string>>>
RaftStore::LoadSnapshot() {
  Parts& parts = *parts_;
  if (auto state = parts.loaded_state.lock();
      state != nullptr && parts.loaded_meta == parts.snapshots.newest()) {
    return std::make_pair(parts.loaded_meta, std::move(state));
  }
  ASSIGN_OR_RETURN(auto snapshot, parts.snapshots.ReadNewest());
  auto state = std::make_shared<const std::string>(std::move(snapshot.second));
  parts.loaded_meta = std::move(snapshot.first);
  parts.loaded_state = state;
  return std::make_pair(parts.loaded_meta, std::move(state));
}

bool RaftStore::HasRoom() {
  parts_->files.MakeBallast();
  return parts_->files.HasRoom(parts_->room_step);
}

const MetaIdentity& RaftStore::identity() const { return parts_->identity; }

uint64_t RaftStore::bytes() const {
  return raft_store::EncodeIdentity(parts_->identity).size() + raft_store::kHardStateBytes +
         parts_->snapshots.bytes() + parts_->log.bytes() + parts_->files.ballast_bytes();
}

}  // namespace bascule::raft_store
