// What goes out and comes in: messages, snapshots, reads; the disk's room, and the end.
#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/base/limits.h"
#include "core/base/logging.h"
#include "core/base/text.h"
#include "replication/meta/group/raft_group.h"

namespace bascule::raft_group {
namespace {

using raft::Index;
using raft::NodeId;

constexpr std::chrono::milliseconds kMarkAfter{50};
constexpr std::chrono::seconds kSnapshotTimeout{60};
// Of election timeouts: a read that nobody confirmed is asked again after one, given up after four.
constexpr int kReadTries = 4;
constexpr int kTransferTries = 2;
constexpr int kRoomCheckTicks = 20;

}  // namespace

void RaftGroup::Dispatch(std::vector<raft::Message> messages) {
  if (env_.transport == nullptr) return;
  for (const raft::Message& message : messages) {
    if (message.type == raft::MessageType::kSnapshot) {
      DispatchSnapshot(message);
    } else {
      env_.transport->Send(PeerId(message.to.value()), PeerService::kRaft,
                           EncodeRaftMessage(message));
    }
  }
}

void RaftGroup::DispatchSnapshot(const raft::Message& message) {
  const NodeId to = message.to;
  auto report = lifetime_.Bind([this, to](bool arrived) {
    if (!alive()) return;
    raft_->ReportSnapshot(to, arrived);
    ScheduleRound();
  });
  auto snapshot = store_->LoadSnapshot();
  if (!snapshot.ok() || snapshot->first != *message.snapshot) {
    LogWarning("metadata group: no snapshot for node ", to, ": ",
               snapshot.ok() ? std::string_view("a newer one is there")
                             : FromAbsl(snapshot.status().message()));
    return report(false);
  }
  LogInfo("metadata group: sending a snapshot of ", snapshot->second->size(), " bytes to node ",
          to);
  env_.transport->SendBulk(
      PeerId(to.value()), PeerService::kRaft, EncodeRaftMessage(message), snapshot->second,
      kSnapshotTimeout,
      [report = std::move(report)](const absl::StatusOr<std::string>& answer) mutable {
        report(answer.ok());
      });
}

// Its bytes are durable; the state becomes it.
bool RaftGroup::InstallSnapshot(const raft::SnapshotMeta& meta) {
  absl::StatusOr<SnapshotBody> body = DecodeSnapshotBody(*FindArrived(meta)->bytes);
  absl::Status restored = body.status();
  if (restored.ok()) {
    members_ = std::move(body->members);
    restored = env_.state.Restore(meta.index, body->state);
  }
  if (!restored.ok()) {
    Die(restored);
    return false;
  }
  LogInfo("metadata group: took over the leader's snapshot at ", meta.index);
  configuration_ = meta.configuration;
  TellMembers(meta.index);
  return true;
}

void RaftGroup::MaybeSnapshot() {
  const Index applied = raft_->applied();
  // One that could not be kept is made again after as many entries, not in each round.
  const Index before = std::max(snapshot_.index, snapshot_tried_);
  const bool due = applied - before >= options_.snapshot_entries ||
                   bytes_since_snapshot_ >= options_.snapshot_bytes;
  if (!due || applied <= snapshot_.index) return;
  raft::SnapshotMeta meta{applied, *raft_->log().TermAt(applied), raft_->configuration()};
  const absl::Status saved =
      store_->SaveSnapshot(meta, EncodeSnapshotBody(members_, env_.state.Snapshot()), false);
  snapshot_tried_ = applied;
  if (!saved.ok()) {
    // No room, or larger than what could be sent to anybody.
    if (!absl::IsResourceExhausted(saved) && !absl::IsInvalidArgument(saved)) return Die(saved);
    LogError("metadata snapshot failed, the log goes on growing: ", FromAbsl(saved.message()));
    bytes_since_snapshot_ = 0;  // try again after as much
    return;
  }
  bytes_since_snapshot_ = 0;
  snapshot_ = meta;
  const uint64_t trailing = std::min(options_.trailing_entries, applied.value());
  const Index through = applied - trailing;
  raft_->Compact(through, meta);
  if (const absl::Status compacted = store_->Compact(through); !compacted.ok())
    LogWarning("metadata log: old segments stay: ", FromAbsl(compacted.message()));
}

// An idle log's end is marked, once nothing was written for a moment. Between rounds only: before a
// round the core may have taken entries of a new leader, and their commit, and what the store holds
// in their place was never committed.
void RaftGroup::ScheduleMarkEnd() {
  mark_timer_.Start(kMarkAfter, [this] {
    if (stalled_) return;
    if (raft_->HasReady()) return ScheduleMarkEnd();
    const absl::Status marked = MarkEnd();
    if (!marked.ok() && !absl::IsResourceExhausted(marked)) Die(marked);
  });
}

absl::Status RaftGroup::MarkEnd() {
  const Index commit = raft_->log().committed();
  return store_->MarkEnd(commit, *raft_->log().TermAt(commit));
}

// --- reads ---

void RaftGroup::ReadBarrier(absl::AnyInvocable<void(absl::Status)> done) {
  BASCULE_CHECK(env_.home.OnThisThread());
  if (!alive()) return done(absl::UnavailableError("the metadata group is stopped here"));
  barriers_.push_back({std::move(done), 0});
  ScheduleRound();
}

// All that wait share one question.
void RaftGroup::AskReads() {
  if (barriers_.empty() || stalled_) return;
  std::string context =
      Concat(raft_->status().id, ".", env_.rng.Next(), ".", ++next_read_);  // unique in the group
  if (!raft_->ReadIndex(context).ok()) return;  // no leader: asked again at the next tick
  asked_[std::move(context)] = std::exchange(barriers_, {});
}

void RaftGroup::AnswerReads(const std::vector<raft::ReadState>& reads) {
  for (const raft::ReadState& read : reads) {
    auto asked = asked_.extract(read.context);
    if (!asked) continue;  // given up meanwhile
    for (Barrier& barrier : asked.mapped()) reading_.emplace(read.index, std::move(barrier));
  }
}

void RaftGroup::ReleaseReads() {
  while (!reading_.empty() && reading_.begin()->first <= raft_->applied()) {
    Barrier barrier = std::move(reading_.begin()->second);
    reading_.erase(reading_.begin());
    barrier.done(absl::OkStatus());
  }
}

void RaftGroup::TickReads() {
  const int patience = 2 * options_.election_ticks;
  for (auto it = asked_.begin(); it != asked_.end();) {
    if (++it->second.front().ticks % patience != 0) {
      ++it;
      continue;
    }
    const int waited = it->second.front().ticks;
    for (Barrier& barrier : it->second) {
      barrier.ticks = waited;
      barriers_.push_back(std::move(barrier));
    }
    it = asked_.erase(it);
  }
  std::vector<Barrier> waiting;
  for (Barrier& barrier : std::exchange(barriers_, {})) {
    if (++barrier.ticks <= kReadTries * patience) {
      waiting.push_back(std::move(barrier));
    } else {
      barrier.done(absl::UnavailableError("no metadata leader confirmed the read in time"));
    }
  }
  std::move(waiting.begin(), waiting.end(), std::back_inserter(barriers_));
}

// --- room, leadership, the end ---

// A leader hands over before its disk is full, not after.
void RaftGroup::CheckRoom() {
  if (ticks_ % kRoomCheckTicks != 0) return;
  const bool no_room = !store_->HasRoom();
  if (no_room == no_room_) return;
  no_room_ = no_room;
  if (!no_room) {
    if (!stalled_) degraded_.clear();
    return;
  }
  if (stalled_) return;
  degraded_ =
      "the disk of the metadata log is nearly full: nothing new is made until there is space; "
      "streams can be deleted and their retention lowered";
  LogError(degraded_);
  if (const NodeId heir = BestHeir(); heir != NodeId()) (void)raft_->TransferLeadership(heir);
}

NodeId RaftGroup::BestHeir() const {
  const raft::RaftStatus status = raft_->status();
  NodeId heir;
  Index furthest;
  for (const raft::MemberStatus& member : status.members) {
    if (!member.voter || !member.recent_active || member.id == status.id) continue;
    if (heir != NodeId() && member.match <= furthest) continue;
    heir = member.id;
    furthest = member.match;
  }
  return status.role == raft::Role::kLeader ? heir : NodeId();
}

void RaftGroup::TransferLeadership(PeerId to, Done done) {
  BASCULE_CHECK(env_.home.OnThisThread());
  if (!alive()) return done(absl::UnavailableError("the metadata group is stopped here"));
  const NodeId heir = to == PeerId() ? BestHeir() : NodeId(to.value());
  if (heir == NodeId()) {
    return done(raft_->role() == raft::Role::kLeader
                    ? absl::FailedPreconditionError(
                          "no other voter of the metadata group answers: there is nobody to lead")
                    : absl::UnavailableError("not the metadata leader"));
  }
  if (heir == raft_->status().id && raft_->role() == raft::Role::kLeader)
    return done(absl::OkStatus());
  if (const absl::Status begun = raft_->TransferLeadership(heir); !begun.ok()) return done(begun);
  if (transfer_) transfer_->done(absl::UnavailableError("another hand-over took its place"));
  transfer_ = Transfer{std::move(done), kTransferTries * options_.election_ticks};
  ScheduleRound();
}

void RaftGroup::FinishTransfer() {
  if (!transfer_) return;
  auto transfer = *std::exchange(transfer_, std::nullopt);
  transfer.done(absl::OkStatus());
}

void RaftGroup::CancelTimers() {
  tick_timer_.Cancel();
  mark_timer_.Cancel();
  removal_timer_.Cancel();
}

void RaftGroup::Stop(absl::AnyInvocable<void()> done) {
  BASCULE_CHECK(env_.home.OnThisThread());
  auto end = [this, done = std::move(done)]() mutable {
    if (alive() && !stalled_ && !raft_->HasReady()) (void)MarkEnd();
    stopped_ = true;
    CancelTimers();
    FailProposals(absl::UnknownError("the broker stopped; the outcome is unknown"));
    done();
  };
  if (!alive() || BestHeir() == NodeId()) return end();
  TransferLeadership(PeerId(), [end = std::move(end)](const absl::Status&) mutable { end(); });
}

// --- members ---

std::vector<GroupMember> RaftGroup::members() const {
  std::vector<GroupMember> members;
  for (const std::vector<NodeId>* ids : {&configuration_.voters, &configuration_.learners}) {
    for (const NodeId id : *ids) {
      const auto names = members_.find(id);
      GroupMember member;
      member.id = PeerId(id.value());
      member.voter = ids == &configuration_.voters;
      if (names != members_.end()) {
        member.server_id = names->second.server_id;
        member.address = names->second.address;
      }
      members.push_back(std::move(member));
    }
  }
  std::sort(members.begin(), members.end(),
            [](const GroupMember& a, const GroupMember& b) { return a.id < b.id; });
  return members;
}

// Not at once: the message that tells it of its removal has not left yet.
void RaftGroup::Forget(PeerId id) {
  env_.home.After(kLinger, lifetime_.Guard([this, id] {
    if (!configuration_.Contains(NodeId(id.value()))) env_.transport->RemovePeer(id);
  }));
}

void RaftGroup::Expect(const GroupMember& member) {
  BASCULE_CHECK(env_.home.OnThisThread());
  if (env_.transport == nullptr || member.id.value() == raft_->status().id.value() ||
      member.id == PeerId() || peers_.contains(member.id))
    return;
  LogInfo("metadata group: broker ", member.server_id, " at ", member.address,
          " has joined the cluster, others say; it may talk to this one");
  peers_.insert(member.id);
  env_.transport->AddPeer(member.id, member.server_id, member.address);
}

void RaftGroup::TellMembers(MetadataIndex index) {
  const std::vector<GroupMember> now = members();
  if (env_.transport != nullptr) {
    std::set<PeerId> peers;
    for (const GroupMember& member : now) {
      if (member.id.value() == raft_->status().id.value()) continue;
      peers.insert(member.id);
      env_.transport->AddPeer(member.id, member.server_id, member.address);
    }
    for (const PeerId id : peers_) {
      if (!peers.contains(id)) Forget(id);
    }
    peers_ = std::move(peers);
  }
  LogVoters(now);
  env_.state.ApplyMembers(index, now);
}

// On every member, once it goes by it itself: only then does a group survive the loss of the others that the
// leader's word alone would promise.
void RaftGroup::LogVoters(const std::vector<GroupMember>& members) {
  std::string names;
  size_t count = 0;
  for (const GroupMember& member : members) {
    if (!member.voter) continue;
    names += Concat(++count == 1 ? "" : ", ", member.server_id);
  }
  const bool alone = voters_.empty() && count <= 1;  // a broker of its own: nothing to be said
  if (std::exchange(voters_, names) == names || alone) return;
  LogInfo("metadata group: ", count, count == 1 ? " broker votes: " : " brokers vote: ", names);
}

std::optional<DurableMark> RaftGroup::Durable() const {
  BASCULE_CHECK(env_.home.OnThisThread());
  if (dead_ || stalled_ || raft_->HasReady()) return std::nullopt;
  const raft::RaftLog& log = raft_->log();
  return DurableMark{raft_->term(), std::min(log.committed(), log.stable())};
}

GroupStatus RaftGroup::Status() const {
  const raft::RaftStatus status = raft_->status();
  GroupStatus out;
  out.role = told_;
  out.cluster_id = store_->identity().cluster_id;
  out.self = PeerId(status.id.value());
  out.commit = status.commit;
  out.applied = status.applied;
  out.first = status.first;
  out.last = status.last;
  out.snapshot = snapshot_.index;
  out.log_bytes = store_->bytes();
  out.stalled = stalled_.has_value();
  for (const GroupMember& member : members()) {
    GroupMemberStatus entry;
    entry.member = member;
    for (const raft::MemberStatus& known : status.members) {
      if (known.id.value() != member.id.value()) continue;
      entry.match = known.match;
      entry.active = known.recent_active;
    }
    out.members.push_back(std::move(entry));
  }
  return out;
}

}  // namespace bascule::raft_group
