// Rounds: what was stepped becomes durable, is sent, applied and answered.
#include "replication/meta/group/raft_group.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/base/limits.h"
#include "core/base/logging.h"
#include "core/base/text.h"

namespace bascule::raft_group {
namespace {

using raft::Index;
using raft::NodeId;

// Snapshots that came in and are not taken yet; a further one is dropped, and sent again.
constexpr size_t kArrivedSnapshots = 4;
constexpr char kOutcomeUnknown[] =
    "leadership of the metadata group changed; whether the change was made is unknown";

}  // namespace

RaftGroup::RaftGroup(RaftGroupEnvironment environment, RaftGroupOptions options,
                     std::unique_ptr<raft_store::RaftStore> store, raft_store::StoredRaft& stored)
    : env_(std::move(environment)),
      options_(options),
      store_(std::move(store)),
      snapshot_(stored.raft.snapshot) {}

RaftGroup::~RaftGroup() = default;

absl::StatusOr<std::unique_ptr<RaftGroup>> RaftGroup::Start(
    RaftGroupEnvironment environment, RaftGroupOptions options,
    std::unique_ptr<raft_store::RaftStore> store, raft_store::StoredRaft stored) {
  for (const std::string& warning : stored.warnings) LogWarning(warning);
  std::unique_ptr<RaftGroup> group(
      new RaftGroup(std::move(environment), options, std::move(store), stored));
  RETURN_IF_ERROR(group->Restore(std::move(stored)));
  return group;
}

absl::Status RaftGroup::Restore(raft_store::StoredRaft stored) {
  raft::Options options;
  options.id = stored.identity.node;
  options.election_ticks = options_.election_ticks;
  options.heartbeat_ticks = options_.heartbeat_ticks;
  options.max_append_bytes = limits::kMaxRaftAppendBytes;
  options.random = [this](uint64_t bound) { return env_.rng.Below(bound); };
  const Index applied = stored.raft.snapshot.index;
  if (applied != Index()) {
    ASSIGN_OR_RETURN(SnapshotBody body, DecodeSnapshotBody(stored.state));
    members_ = std::move(body.members);
    RETURN_IF_ERROR(env_.state.Restore(applied, body.state));
  }
  ASSIGN_OR_RETURN(raft_, raft::Raft::Restore(std::move(options), std::move(stored.raft)));
  configuration_ = raft_->configuration();
  // Nothing fails from here on: who could not start is not called. Nobody is listened to before TellMembers.
  if (env_.transport != nullptr) env_.transport->Handle(PeerService::kRaft, *this);
  TellMembers(applied);
  // A group of one need not wait for a timeout.
  const raft::Configuration& configuration = raft_->configuration();
  if (configuration.voters == std::vector<NodeId>{stored.identity.node}) {
    Round();  // what is committed is applied first: it may hold changes of the members
    raft_->Campaign();
  }
  ScheduleRound();
  tick_timer_.Repeat(options_.tick, [this] { OnTick(); });
  return absl::OkStatus();
}

// --- inputs ---

void RaftGroup::OnPeerMessage(const PeerIdentity& from, std::string message) {
  Receive(from, message, nullptr);
}

void RaftGroup::OnPeerBulk(const PeerIdentity& from, std::string header, std::string body,
                           Respond respond) {
  Receive(from, header, std::make_shared<const std::string>(std::move(body)));
  respond(std::string());
}

void RaftGroup::OnPeerCall(const PeerIdentity& /*from*/, std::string /*request*/,
                           Duration /*timeout*/, Respond respond) {
  respond(absl::UnimplementedError("the metadata group's messages are no requests"));
}

// Foreign threads. What does not fit is dropped: Raft sends it again.
void RaftGroup::Receive(const PeerIdentity& from, std::string_view message,
                        std::shared_ptr<const std::string> snapshot) {
  absl::StatusOr<raft::Message> decoded = DecodeRaftMessage(NodeId(from.id.value()), message);
  if (!decoded.ok()) {
    return LogWarning("metadata group: ", from.server_id, " at ", from.address, " sent ",
                      FromAbsl(decoded.status().message()));
  }
  const size_t bytes = message.size() + (snapshot ? snapshot->size() : 0);
  if (inbox_bytes_.fetch_add(bytes) + bytes > limits::kRaftInboxBytes) {
    inbox_bytes_.fetch_sub(bytes);
    return;
  }
  const bool taken = env_.home.TryPost(lifetime_.Guard(
      [this, bytes, snapshot = std::move(snapshot), message = *std::move(decoded)]() mutable {
        inbox_bytes_.fetch_sub(bytes);
        Step(std::move(message), std::move(snapshot));
      }));
  if (!taken) inbox_bytes_.fetch_sub(bytes);
}

void RaftGroup::Step(raft::Message message, std::shared_ptr<const std::string> snapshot) {
  BASCULE_CHECK(env_.home.OnThisThread());
  if (!alive() || stalled_) return;
  if (message.to != raft_->status().id) return;  // for the data directory that was here before
  const bool brings_snapshot = message.type == raft::MessageType::kSnapshot;
  if (brings_snapshot && (!snapshot || !message.snapshot)) return;
  // The core may take it, or another one that came before: the bytes of both are kept till then.
  if (brings_snapshot) {
    if (arrived_.size() >= kArrivedSnapshots) return;
    arrived_.push_back({*message.snapshot, std::move(snapshot)});
  }
  if (const absl::Status stepped = raft_->Step(std::move(message)); !stepped.ok()) {
    LogWarning("metadata group: refused: ", FromAbsl(stepped.message()));
    // A leader counts on entries that are not here: this log is older than what was promised from it.
    if (absl::IsDataLoss(stepped)) return Die(absl::OutOfRangeError(stepped.message()));
    // What was agreed upon is gone elsewhere. Nobody goes on as if it were not.
    if (absl::IsFailedPrecondition(stepped)) {
      return Die(absl::FailedPreconditionError(Concat(
          FromAbsl(stepped.message()),
          ". Stop all brokers, put back the newer metadata, or run basculed --recover-quorum on "
          "the "
          "broker whose metadata is the newest, move data/meta away on the others, and start them "
          "again")));
    }
  }
  ScheduleRound();
}

void RaftGroup::Propose(std::string command, absl::AnyInvocable<void(absl::Status)> done) {
  BASCULE_CHECK(env_.home.OnThisThread());
  if (!alive()) return done(absl::UnavailableError("the metadata group is stopped here"));
  if (command.size() > limits::kMaxRaftCommandBytes) {
    return done(absl::ResourceExhaustedError(
        Concat("a change of metadata of ", command.size(), " bytes: at most ",
               limits::kMaxRaftCommandBytes, " can be sent to other brokers")));
  }
  if (!degraded_.empty() && (stalled_ || env_.state.Grows(command)))
    return done(absl::UnavailableError(degraded_));
  const auto place = raft_->Propose(std::move(command));
  if (!place.ok()) return done(absl::UnavailableError(place.status().message()));
  proposals_[place->first] = {place->second, std::move(done)};
  ScheduleRound();
}

void RaftGroup::AddMember(const GroupMember& member, Done done) {
  BASCULE_CHECK(env_.home.OnThisThread());
  const NodeId id(member.id.value());
  raft::ConfChange change{
      member.voter ? raft::ConfChangeType::kAddVoter : raft::ConfChangeType::kAddLearner, id,
      EncodeMemberNames({member.server_id, member.address})};
  ProposeChange(change, std::move(done));
}

// A leader does not remove itself: the others might not learn that it was committed, and need its
// vote. It hands over, and whoever asks asks the next leader.
void RaftGroup::RemoveMember(PeerId id, Done done) {
  BASCULE_CHECK(env_.home.OnThisThread());
  if (id.value() == raft_->status().id.value() && raft_->role() == raft::Role::kLeader) {
    return TransferLeadership(PeerId(), [done =
                                             std::move(done)](const absl::Status& moved) mutable {
      done(moved.ok() ? absl::UnavailableError("the metadata leader handed over; ask the next one")
                      : moved);
    });
  }
  ProposeChange({raft::ConfChangeType::kRemove, NodeId(id.value()), ""}, std::move(done));
}

void RaftGroup::ProposeChange(const raft::ConfChange& change, Done done) {
  if (!alive()) return done(absl::UnavailableError("the metadata group is stopped here"));
  if (!degraded_.empty()) return done(absl::UnavailableError(degraded_));
  const auto place = raft_->ProposeConfChange(change);
  if (!place.ok()) return done(place.status());
  proposals_[place->first] = {place->second, std::move(done)};
  ScheduleRound();
}

void RaftGroup::OnLeaderLost(PeerId leader) {
  BASCULE_CHECK(env_.home.OnThisThread());
  if (alive() && !stalled_) raft_->OnLeaderLost(NodeId(leader.value()));
}

void RaftGroup::ScheduleRound() {
  if (std::exchange(round_posted_, true)) return;
  env_.home.Post(lifetime_.Guard([this] {
    round_posted_ = false;
    Round();
  }));
}

void RaftGroup::OnTick() {
  BASCULE_CHECK(env_.home.OnThisThread());
  ++ticks_;
  CheckRoom();
  if (!stalled_) raft_->Tick();
  TickReads();
  if (transfer_ && --transfer_->ticks_left <= 0) {
    auto transfer = *std::exchange(transfer_, std::nullopt);
    transfer.done(absl::UnavailableError("the metadata leader could not hand over in time"));
  }
  Round();
}

// --- rounds ---

void RaftGroup::Round() {
  BASCULE_CHECK(env_.home.OnThisThread());
  if (!alive()) return;
  AskReads();
  if (stalled_) {
    if (!Finish(*stalled_)) return;
    stalled_.reset();
    degraded_.clear();
    no_room_ = false;  // CheckRoom says again if it is nearly full
    LogInfo("metadata group: there is room on the disk again");
  }
  while (raft_->HasReady()) {
    raft::Ready ready = raft_->TakeReady();
    Dispatch(std::move(ready.early));
    if (!Finish(ready)) {
      if (!dead_) stalled_ = std::move(ready);
      break;
    }
    AskReads();
  }
  if (!stalled_) arrived_.clear();  // what the core has not taken by now it will not take
  if (!dead_) TellRole();
  if (!dead_ && !stalled_) MaybeSnapshot();
}

// The rest of a Ready, from its disk writes on.
bool RaftGroup::Finish(raft::Ready& ready) {
  if (const absl::Status saved = Save(ready); !saved.ok()) {
    OnSaveFailed(saved);
    return false;
  }
  Dispatch(std::move(ready.messages));
  if (ready.snapshot && !InstallSnapshot(*ready.snapshot)) return false;
  for (const raft::Entry& entry : ready.committed) {
    Apply(entry);
    if (dead_) return false;
  }
  raft_->Advance();
  BASCULE_CHECK(configuration_ == raft_->configuration());
  AnswerReads(ready.reads);
  for (const std::string& context : ready.failed_reads) {
    if (auto failed = asked_.extract(context)) {
      for (Barrier& barrier : failed.mapped()) barriers_.push_back(std::move(barrier));
    }
  }
  ReleaseReads();
  return true;
}

absl::Status RaftGroup::Save(const raft::Ready& ready) {
  const Index commit = raft_->log().committed();
  if (ready.snapshot) {
    const Arrived* arrived = FindArrived(*ready.snapshot);
    if (arrived == nullptr)
      return absl::InternalError("a metadata snapshot was taken without its bytes");
    // The term first: no log is ahead of the term that is known.
    RETURN_IF_ERROR(store_->Save(ready.hard_state, {}, commit));
    RETURN_IF_ERROR(store_->SaveSnapshot(*ready.snapshot, *arrived->bytes, true));
    snapshot_ = *ready.snapshot;
    bytes_since_snapshot_ = 0;
  }
  if (!ready.hard_state && ready.entries.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(
      store_->Save(ready.hard_state, ready.entries, commit, raft_store::RaftRoom::kBallast));
  for (const raft::Entry& entry : ready.entries) bytes_since_snapshot_ += raft::Bytes(entry);
  ScheduleMarkEnd();
  return absl::OkStatus();
}

const RaftGroup::Arrived* RaftGroup::FindArrived(const raft::SnapshotMeta& meta) const {
  for (const Arrived& arrived : arrived_) {
    if (arrived.meta == meta) return &arrived;
  }
  return nullptr;
}

void RaftGroup::OnSaveFailed(const absl::Status& why) {
  if (!absl::IsResourceExhausted(why)) {
    return Die(absl::Status(
        why.code(), Concat("the metadata log cannot be written: ", FromAbsl(why.message()))));
  }
  if (stalled_) return;
  degraded_ = Concat("the metadata log has no room: ", FromAbsl(why.message()),
                     "; commands are taken again when there is space");
  LogError(degraded_);
  FailProposals(absl::UnknownError(kOutcomeUnknown));
}

void RaftGroup::Apply(const raft::Entry& entry) {
  if (entry.type == raft::EntryType::kConfChange) return ApplyConfChange(entry);
  absl::Status result;
  if (!entry.data.empty()) result = env_.state.Apply(entry.index, entry.data);
  if (absl::IsUnimplemented(result)) return Die(result);
  Answer(entry, result);
}

// The core puts it in force in Advance. The state hears of it here, between the commands before and
// behind it, as on every other member.
void RaftGroup::ApplyConfChange(const raft::Entry& entry) {
  const std::optional<raft::ConfChange> change = raft::DecodeConfChange(entry.data);
  if (!change) return Answer(entry, absl::InvalidArgumentError("not a change of the members"));
  if (change->type == raft::ConfChangeType::kRemove) {
    members_.erase(change->node);
  } else if (const auto names = DecodeMemberNames(change->context); names.ok()) {
    members_[change->node] = *names;
  }
  raft::Apply(*change, configuration_);
  TellMembers(entry.index);
  Answer(entry, absl::OkStatus());
  const bool removed =
      change->type == raft::ConfChangeType::kRemove && change->node == raft_->status().id;
  if (removed && env_.transport != nullptr) EndAsRemoved();
}

// Not at once: those who have not learned of it yet may still need this member's vote.
void RaftGroup::EndAsRemoved() {
  removal_timer_.Start(kLinger, [this] {
    Die(absl::FailedPreconditionError(
        "this broker was removed from its cluster; to join again move its data directory away and "
        "start it"));
  });
}

// Of what was proposed at this place only the same term's is this one.
void RaftGroup::Answer(const raft::Entry& entry, const absl::Status& result) {
  const auto found = proposals_.find(entry.index);
  if (found == proposals_.end()) return;
  Proposal proposal = std::move(found->second);
  proposals_.erase(found);
  proposal.done(proposal.term == entry.term
                    ? result
                    : absl::UnavailableError("another metadata leader's command took its place"));
}

void RaftGroup::TellRole() {
  const raft::RaftStatus status = raft_->status();
  MetadataRole role;
  role.term = status.term.value();
  role.leader = PeerId(status.leader.value());
  role.leading = status.role == raft::Role::kLeader &&
                 raft_->log().TermAt(status.applied) == status.term && !stalled_;
  if (role.leading && !told_.leading) {
    LogInfo("metadata group: this broker leads it in term ", role.term);
  }
  const bool lost =
      status.role != raft::Role::kLeader || (told_.leading && role.term != told_.term);
  if (lost) FailProposals(absl::UnknownError(kOutcomeUnknown));
  if (status.role != raft::Role::kLeader) FinishTransfer();
  if (role != told_) {
    told_ = role;
    env_.home.Post(lifetime_.Guard([this, role] {
      if (observer_) observer_(role);
    }));
  }
}

void RaftGroup::FailProposals(const absl::Status& why) {
  for (auto& [index, proposal] : std::exchange(proposals_, {})) proposal.done(why);
}

void RaftGroup::Die(const absl::Status& why) {
  if (std::exchange(dead_, true)) return;
  CancelTimers();
  degraded_ = FromAbsl(why.message());
  FailProposals(absl::UnknownError(degraded_));
  if (auto transfer = std::exchange(transfer_, std::nullopt))
    transfer->done(absl::UnavailableError(degraded_));
  if (env_.fatal) env_.fatal(why);
}

void RaftGroup::OnRoleChange(absl::AnyInvocable<void(const MetadataRole&)> observer) {
  BASCULE_CHECK(env_.home.OnThisThread());
  observer_ = std::move(observer);
  env_.home.Post(lifetime_.Guard([this] {
    if (observer_) observer_(told_);
  }));
}

}  // namespace bascule::raft_group
