#include "replication/meta/cluster/leader_work.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/base/logging.h"
#include "replication/meta/table/command_init_cluster.h"
#include "replication/meta/table/command_note_generations.h"
#include "replication/meta/table/command_raise_feature_level.h"

namespace bascule::metadata {
namespace {

constexpr int kMissedHeartbeats = 3;
// What brokers say of their directories meanwhile goes into one command.
constexpr std::chrono::seconds kGenerationsTogether{5};

// A member that registered from another address than the group dials.
std::optional<GroupMember> MovedMember(const GroupStatus& status, const MetaTable& table) {
  for (const GroupMemberStatus& known : status.members) {
    const RegisteredBroker* broker = table.FindBroker(known.member.server_id);
    const bool moved = broker != nullptr && broker->node == known.member.id && !broker->fenced &&
                       !broker->peer_address.empty() &&
                       broker->peer_address != known.member.address;
    if (!moved) continue;
    GroupMember member = known.member;
    member.address = broker->peer_address;
    return member;
  }
  return std::nullopt;
}

// Those who may vote: whose registration is refused ends, and its vote would be missed.
GroupStatus WithoutStrangers(GroupStatus status, const MetaTable& table) {
  std::erase_if(status.members, [&table](const GroupMemberStatus& known) {
    const RegisteredBroker* broker = table.FindBroker(known.member.server_id);
    const bool registered = broker != nullptr && broker->node == known.member.id && !broker->fenced;
    return !known.member.voter && !registered;
  });
  return status;
}

}  // namespace

LeaderWork::LeaderWork(Executor& home, Clock& clock, PeerTransport* peers, MetadataLog& log,
                       MetadataGroup& group, const MetaTable& table, BrokerSelf self,
                       LeaderWorkOptions options)
    : home_(home),
      clock_(clock),
      peers_(peers),
      log_(log),
      group_(group),
      table_(table),
      self_(std::move(self)),
      options_(options),
      sessions_(options.session_timeout) {}

void LeaderWork::Start() {
  BASCULE_CHECK(home_.OnThisThread());
  awake_ = clock_.Monotonic();
  OnTableChange();
  OnRoleChange(log_.role());
  Round();
  rounds_.Repeat(options_.heartbeat, [this] { Round(); });
}

void LeaderWork::Stop() {
  rounds_.Cancel();
  lines_timer_.Cancel();
  lifetime_.End();
}

void LeaderWork::OnRoleChange(const MetadataRole& role) {
  BASCULE_CHECK(home_.OnThisThread());
  const MonotonicTime now = clock_.Monotonic();
  const bool begins = role.leading && (!role_.leading || role_.term != role.term);
  // Who leads again has not lost itself.
  if (role_.leader != PeerId() && role.leader != role_.leader) {
    predecessor_ = role_.leader == self_.node ? PeerId() : role_.leader;
    predecessor_lost_ = now;
  }
  role_ = role;
  if (!begins) return LookAtLines();
  std::string predecessor;
  for (const auto& [id, broker] : table_.brokers()) {
    if (predecessor_ != PeerId() && broker.node == predecessor_) predecessor = id;
  }
  sessions_.Begin(predecessor, predecessor_lost_);
  silence_.Begin();
  // Whoever is registered has its time from now on, not from the next round on.
  sessions_.Expired(table_.brokers(), now);
  // Whose connection broke long enough ago is not waited for again.
  LookAtLines();
}

bool LeaderWork::IsAlive(const std::string& server_id) const {
  BASCULE_CHECK(home_.OnThisThread());
  const RegisteredBroker* broker = table_.FindBroker(server_id);
  if (broker != nullptr && !broker->fenced) return true;
  if (sessions_.Holds(server_id, clock_.Monotonic())) return true;
  const GroupStatus status = group_.Status();
  return std::any_of(status.members.begin(), status.members.end(), [&](const auto& m) {
    return m.member.server_id == server_id && (m.active || m.member.id == status.self);
  });
}

bool LeaderWork::IsSilent(const std::string& server_id) const {
  BASCULE_CHECK(home_.OnThisThread());
  return sessions_.SilentFor(server_id, clock_.Monotonic()) >
         options_.heartbeat * kMissedHeartbeats;
}

// --- sessions ---

void LeaderWork::OnPeerMessage(const PeerIdentity& from, std::string message) {
  absl::StatusOr<Heartbeat> heartbeat = DecodeHeartbeat(message);
  if (!heartbeat.ok() || heartbeat->session.broker != from.server_id) return;
  (void)home_.TryPost(lifetime_.Guard([this, heard = *std::move(heartbeat)] {
    if (!role_.leading) return;
    sessions_.Heard(heard.session, table_, clock_.Monotonic());
    sessions_.Note(heard.session, heard.report);
    lines_.OnHeard(heard.session, clock_.Monotonic());
  }));
}

void LeaderWork::OnPeerCall(const PeerIdentity&, std::string, Duration, Respond respond) {
  respond(absl::UnimplementedError("sessions take no calls"));
}

void LeaderWork::OnPeerBulk(const PeerIdentity&, std::string, std::string, Respond respond) {
  respond(absl::UnimplementedError("sessions take nothing in bulk"));
}

void LeaderWork::Round() {
  BASCULE_CHECK(home_.OnThisThread());
  const MonotonicTime now = clock_.Monotonic();
  NotePause(now);
  SendHeartbeat();
  if (role_.leading) Lead(now);
}

void LeaderWork::SendHeartbeat() {
  const bool remote = role_.leader != PeerId() && role_.leader != self_.node;
  if (!remote || peers_ == nullptr) return;
  peers_->Send(role_.leader, PeerService::kSession,
               EncodeHeartbeat({{self_.id, self_.incarnation}, Report()}));
}

// --- the leader's rounds ---

void LeaderWork::Lead(MonotonicTime now) {
  const GroupStatus status = group_.Status();
  sessions_.Heard({self_.id, self_.incarnation}, table_, now);
  sessions_.Note({self_.id, self_.incarnation}, Report());
  silence_.Note(status, now);
  InitCluster(status);
  FenceGone(now);
  NoteGenerations(now);
  RaiseFeatureLevel();
  ChangeMembers(status, now);
}

void LeaderWork::InitCluster(const GroupStatus& status) {
  if (!table_.cluster_id().empty() || status.cluster_id.empty()) return;
  ProposeOnce(EncodeInitCluster(status.cluster_id), "the cluster's id");
}

// With one broker there is nobody to remember it elsewhere.
void LeaderWork::NoteGenerations(MonotonicTime now) {
  const bool together = table_.brokers().size() > 1;
  if (!together || table_.feature_level() < kNoteGenerationsCommand.feature_level || proposing_)
    return;
  if (Between(noted_generations_, now) < kGenerationsTogether) return;
  const std::vector<DirectoryGeneration> further = sessions_.NewGenerations(table_.brokers());
  if (further.empty()) return;
  noted_generations_ = now;
  ProposeOnce(EncodeNoteGenerations(further), "the data directories' generations");
}

void LeaderWork::RaiseFeatureLevel() {
  uint32_t level = kFeatureLevel;
  for (const auto& [id, broker] : table_.brokers()) level = std::min(level, broker.feature_level);
  if (table_.brokers().empty() || level <= table_.feature_level()) return;
  ProposeOnce(EncodeRaiseFeatureLevel(level), Concat("feature level ", level));
}

// One at a time: the next round looks again.
void LeaderWork::ProposeOnce(std::string command, std::string what) {
  if (std::exchange(proposing_, true)) return;
  log_.Propose(std::move(command),
               lifetime_.Guard([this, what = std::move(what)](const absl::Status& s) {
                 proposing_ = false;
                 if (!s.ok()) return LogWarning(what, ": ", FromAbsl(s.message()));
                 // Somebody may have gone meanwhile. Not from inside the log's own call.
                 lines_timer_.Start(Duration(0), [this] { LookAtLines(); });
               }));
}

void LeaderWork::ChangeMembers(const GroupStatus& status, MonotonicTime now) {
  if (changing_) return;
  const VoterRules rules{options_.max_voters, options_.voter_patience};
  std::optional<GroupMember> change = MovedMember(status, table_);
  if (change) {
    LogInfo("broker ", change->server_id, " is reached at ", change->address, " from now on");
  } else {
    change = NextVoterChange(WithoutStrangers(status, table_), rules, silence_, now);
    if (!change) return;
    LogInfo("broker ", change->server_id, change->voter ? " votes from now on" : " votes no more");
  }
  changing_ = true;
  group_.AddMember(*change,
                   lifetime_.Guard([this, id = change->server_id](const absl::Status& changed) {
                     changing_ = false;
                     // Another change may be under way; the next round looks again.
                     if (!changed.ok() && !absl::IsFailedPrecondition(changed))
                       LogWarning("broker ", id, " keeps its part: ", FromAbsl(changed.message()));
                   }));
}

}  // namespace bascule::metadata
