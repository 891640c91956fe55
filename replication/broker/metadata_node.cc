#include "replication/broker/metadata_node.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "core/base/limits.h"
#include "core/base/logging.h"
#include "core/base/text.h"
#include "core/log/recovery_points.h"
#include "replication/meta/group/raft_codec.h"

namespace bascule::broker {
namespace {

constexpr int kClusterIdLength = 16;
constexpr int kTicksPerHeartbeat = 2;

std::string EmptyState() { return metadata::MetaTable().Snapshot(); }

raft_group::RaftGroupOptions GroupOptions(const BrokerOptions& broker) {
  const config::ClusterSettings& cluster = broker.config.cluster;
  raft_group::RaftGroupOptions options;
  options.tick = cluster.heartbeat / kTicksPerHeartbeat;
  options.heartbeat_ticks = kTicksPerHeartbeat;
  options.election_ticks = static_cast<int>(cluster.election_timeout / options.tick);
  options.snapshot_entries = static_cast<uint64_t>(cluster.snapshot_entries);
  options.trailing_entries = broker.trailing_entries;
  return options;
}

// Whose the metadata is, as the group has heard last; empty: it does not say.
absl::StatusOr<std::string> OwnerOf(const raft_store::StoredRaft& stored) {
  if (stored.raft.snapshot.index == MetadataIndex()) return std::string();
  ASSIGN_OR_RETURN(const raft_group::SnapshotBody body,
                   raft_group::DecodeSnapshotBody(stored.state));
  const auto named = body.members.find(stored.identity.node);
  std::string owner = named == body.members.end() ? std::string() : named->second.server_id;
  for (const raft::Entry& entry : stored.raft.entries) {
    if (entry.type != raft::EntryType::kConfChange) continue;
    const auto change = raft::DecodeConfChange(entry.data);
    if (!change || change->node != stored.identity.node) continue;
    const auto names = raft_group::DecodeMemberNames(change->context);
    if (names.ok() && !names->server_id.empty()) owner = names->server_id;
  }
  return owner;
}

absl::StatusOr<std::string> OwnerOf(const metadata::LegacyMetadata& legacy) {
  metadata::MetaTable table;
  RETURN_IF_ERROR(table.Restore(legacy.applied, legacy.snapshot));
  return table.brokers().size() == 1 ? table.brokers().begin()->first : std::string();
}

}  // namespace

MetadataNode::MetadataNode(const MetadataSeams& seams, const BrokerOptions& options,
                           const DataDirectory& directory,
                           std::function<void(const std::string&)> past, ReplicaTraffic& replicas)
    : seams_(seams),
      options_(options),
      directory_(directory),
      say_past_(std::move(past)),
      replicas_(replicas),
      meta_(JoinPath(directory.path(), "meta")) {
  self_.id = directory_.server_id();
  self_.incarnation = directory_.incarnation();
  self_.rack = options_.config.cluster.rack;
  self_.began = seams_.clock.Monotonic();
}

void MetadataNode::Start(Done done) {
  started_ = std::move(done);
  if (const absl::Status prepared = Prepare(); !prepared.ok()) return End(prepared);
  if (plan_.way == metadata::StartWay::kJoin) return FindCluster();
  Enter();
}

void MetadataNode::End(const absl::Status& status) { std::exchange(started_, nullptr)(status); }

absl::Status MetadataNode::Prepare() {
  ASSIGN_OR_RETURN(record_, metadata::RegistrationRecord::Open(seams_.fs, directory_.path()));
  ASSIGN_OR_RETURN(found_, Look());
  ASSIGN_OR_RETURN(plan_, metadata::PlanStart(found_, options_.config.cluster.enabled));
  RETURN_IF_ERROR(CheckOwner());
  // Taken in anew, this broker would lose its place, and its metadata could not be given back any more.
  ASSIGN_OR_RETURN(const auto bound, metadata::ReadBinding(seams_.fs, directory_.path()));
  RETURN_IF_ERROR(CheckBinding(found_, plan_.had_metadata, bound));
  if (plan_.leave_old_part) {
    LogWarning(directory_.path(),
               " is an older copy: this broker joins its cluster as a new member, "
               "and what it holds of streams counts as lost");
  }
  while (self_.node == PeerId()) self_.node = PeerId(seams_.rng.Next());
  if (options_.config.cluster.enabled) RETURN_IF_ERROR(StartPeers());
  StartLookout();
  if (plan_.way == metadata::StartWay::kUpgrade) return Upgrade();
  if (plan_.way == metadata::StartWay::kFound) return Found(MetadataIndex(), EmptyState());
  return absl::OkStatus();
}

// Opens the store of a member that is to go on as one.
absl::StatusOr<metadata::FoundDirectory> MetadataNode::Look() {
  metadata::FoundDirectory found;
  found.path = directory_.path();
  found.older_copy = record_->must_rejoin();
  ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> streams,
                   seams_.fs.List(JoinPath(found.path, "streams")));
  found.streams = streams.size();
  if (!found.older_copy && raft_store::RaftStore::Exists(seams_.fs, meta_)) {
    RETURN_IF_ERROR(OpenStore());
    RETURN_IF_ERROR(CheckMetadata(streams));
    found.member = true;
    found.received = stored_.raft.snapshot.index != MetadataIndex();
  }
  if (!found.older_copy && !found.member) {
    absl::StatusOr<metadata::LegacyMetadata> legacy = metadata::ReadLocalMetadata(seams_.fs, meta_);
    if (!legacy.ok() && !absl::IsNotFound(legacy.status())) return legacy.status();
    found.legacy = legacy.ok();
    if (legacy.ok()) legacy_ = *std::move(legacy);
  }
  if (!found.received) {
    ASSIGN_OR_RETURN(found.known, metadata::ReadKnownCluster(seams_.fs, found.path,
                                                             options_.config.cluster_namespace));
  }
  return found;
}

// An older copy under the rest of the directory has forgotten a vote, or entries that others count upon; alone it
// would give ids of streams again, and one stream would serve another's records: an id is the index of the command
// that made the stream. A member may have directories that its log, begun anew, has not come to yet.
absl::Status MetadataNode::CheckMetadata(const std::vector<DirectoryEntry>& streams) const {
  const metadata::DirectoryPositions& known = record_->positions();
  const raft::Restored& raft = stored_.raft;
  const MetadataIndex last = raft.snapshot.index + raft.entries.size();
  MetadataIndex logged = known.member == self_.node ? known.logged : MetadataIndex();
  const uint64_t term = known.member == self_.node ? known.term : 0;
  const auto points = log::LoadRecoveryPoints(seams_.fs, directory_.path());
  if (points.ok() && points->member == self_.node.value())
    logged = std::max(logged, points->applied);
  if (!options_.config.cluster.enabled) {
    for (const DirectoryEntry& stream : streams) {
      uint64_t id = 0;
      if (absl::SimpleAtoi(stream.name, &id)) logged = std::max(logged, MetadataIndex(id));
    }
  }
  if (raft.hard_state.term.value() >= term && last >= logged) return absl::OkStatus();
  return absl::DataLossError(Concat(
      meta_, " is older than the rest of ", directory_.path(), ": it ends at index ", last,
      " in term ", raft.hard_state.term, ", and had come to index ", logged, " in term ",
      std::max(term, raft.hard_state.term.value()),
      " (put back from a copy, without the rest?). Put back the newer one",
      options_.config.cluster.enabled
          ? Concat(", or, while a majority of the cluster is up without this broker, move ", meta_,
                   " away and start it again: it joins as a new member and fetches everything")
          : Concat(", or the whole directory of one copy"),
      "; without either go on without what was changed since, on the broker that has the newest "
      "metadata (basculed --recover-quorum): streams made since are gone, their data stays"));
}

// Under another id this broker would lead nothing of what its directory holds, for good.
absl::Status MetadataNode::CheckOwner() const {
  std::string owner;
  if (found_.member) {
    ASSIGN_OR_RETURN(owner, OwnerOf(stored_));
  } else if (found_.legacy) {
    ASSIGN_OR_RETURN(owner, OwnerOf(legacy_));
  }
  if (owner.empty() || owner == self_.id) return absl::OkStatus();
  const std::string identity = JoinPath(directory_.path(), "server");
  return absl::FailedPreconditionError(Concat(
      identity, " says that the directory belongs to broker ", self_.id, ", but the metadata in ",
      meta_, " is that of broker ", owner, ": remove ", identity, " and start once with --id ",
      owner, "; where that broker lives elsewhere, put this one's own metadata back instead"));
}

absl::Status MetadataNode::OpenStore() {
  stored_ = raft_store::StoredRaft();
  ASSIGN_OR_RETURN(store_,
                   raft_store::RaftStore::Open(seams_.fs, meta_, options_.metadata_store, stored_));
  cluster_id_ = stored_.identity.cluster_id;
  self_.node = PeerId(stored_.identity.node.value());
  return absl::OkStatus();
}

// The directory is an older copy: as a member it has forgotten votes and entries that others count
// upon. Its part in the group is not opened again; it stays where it is until the cluster has taken
// its vote away and this broker in as a new member, for without that a group may need it. Then it
// stays beside.
absl::Status MetadataNode::LeaveOldPart() {
  const std::string aside = meta_ + ".older-copy";
  if (raft_store::RaftStore::Exists(seams_.fs, meta_)) {
    RETURN_IF_ERROR(seams_.fs.RemoveTree(aside));
    RETURN_IF_ERROR(seams_.fs.Rename(meta_, aside));
    RETURN_IF_ERROR(seams_.fs.SyncDir(directory_.path()));
  }
  LogInfo("the metadata of the older copy is in ", aside);
  return record_->Rejoined();
}

absl::Status MetadataNode::StartPeers() {
  const PeerIdentity self{self_.node, self_.id, "", self_.incarnation, metadata::kFeatureLevel};
  ASSIGN_OR_RETURN(OpenedPeerPort opened,
                   seams_.open_peer_port(self, cluster_id_, static_cast<PeerEvents&>(*this)));
  peers_ = std::move(opened.port);
  peers_->CarryReplicas(replicas_);
  self_.peer_address = std::move(opened.address);
  LogInfo("peers connect to ", self_.peer_address);
  return absl::OkStatus();
}

// What versions before clusters kept becomes the first snapshot.
absl::Status MetadataNode::Upgrade() {
  LogInfo("the metadata in ", meta_, " becomes that of a metadata group");
  const metadata::LegacyMetadata legacy = std::exchange(legacy_, {});
  RETURN_IF_ERROR(Found(legacy.applied, legacy.snapshot));
  for (const char* name : {"log", "snapshot"}) {
    const std::string path = JoinPath(meta_, name);
    if (seams_.fs.Exists(path)) RETURN_IF_ERROR(seams_.fs.Remove(path));
  }
  return absl::OkStatus();
}

absl::Status MetadataNode::Found(MetadataIndex applied, const std::string& state) {
  const raft::NodeId node(self_.node.value());
  const raft_store::MetaIdentity identity{RandomToken(seams_.rng, kClusterIdLength), node};
  const GroupMember member{self_.node, self_.id, self_.peer_address, true};
  const raft::SnapshotMeta snapshot{std::max(applied, MetadataIndex(1)), raft::Term(1),
                                    raft::Configuration{{node}, {}}};
  RETURN_IF_ERROR(
      raft_store::RaftStore::Create(seams_.fs, meta_, options_.metadata_store, identity, snapshot,
                                    raft_group::RaftGroup::InitialSnapshot(member, state))
          .status());
  if (peers_)
    LogInfo("started the cluster ", identity.cluster_id, " of namespace ",
            options_.config.cluster_namespace);
  return OpenStore();
}

metadata::ClusterJoinerOptions MetadataNode::JoinerOptions() {
  const config::Config& config = options_.config;
  metadata::ClusterJoinerOptions options;
  options.cluster_namespace = config.cluster_namespace;
  options.server_id = self_.id;
  options.node = self_.node;
  options.address = self_.peer_address;
  options.feature_level = metadata::kFeatureLevel;
  if (plan_.may_start) {
    options.seed = config.cluster.bootstrap_seed;
    const auto& peers = config.cluster.bootstrap_peers;
    options.peers = {peers.begin(), peers.end()};
  }
  for (const config::Address& address : config.cluster.join)
    options.addresses.push_back(ToText(address));
  options.known = found_.known;
  if (store_) options.known = metadata::KnownCluster{cluster_id_, "this data directory", meta_};
  options.note = [this](const metadata::KnownCluster& cluster) {
    return metadata::NoteKnownCluster(seams_.fs, directory_.path(),
                                      options_.config.cluster_namespace, cluster);
  };
  options.older_copy = plan_.leave_old_part;
  options.note_file = metadata::KnownClusterFile(directory_.path());
  options.bus_asked = [this] { return query_ != nullptr && query_->asked(); };
  return options;
}

void MetadataNode::FindCluster() {
  join_ = std::make_unique<metadata::ClusterJoiner>(seams_.home, seams_.clock, *peers_,
                                                    JoinerOptions());
  seams_.discovery.AnswerQueries([this](std::string_view) { return join_->Answer(); });
  query_ = seams_.discovery.Ask(join_->Question(),
                                [this](std::string_view answer) { join_->OnDiscovered(answer); });
  // Not from inside the joiner.
  join_->Start(lifetime_.Bind([this](const absl::StatusOr<metadata::JoinOutcome>& outcome) {
    query_.reset();
    const absl::Status found = outcome.ok() ? OnFoundCluster(*outcome) : outcome.status();
    if (!found.ok()) return End(found);
    Enter();
  }));
  AnswerEarly();
}

absl::Status MetadataNode::OnFoundCluster(const metadata::JoinOutcome& outcome) {
  if (outcome.start_new) {
    RETURN_IF_ERROR(Found(MetadataIndex(), EmptyState()));
  } else if (!store_) {
    if (plan_.leave_old_part) RETURN_IF_ERROR(LeaveOldPart());
    RETURN_IF_ERROR(raft_store::RaftStore::Create(
                        seams_.fs, meta_, options_.metadata_store,
                        {outcome.cluster_id, raft::NodeId(self_.node.value())}, {}, "")
                        .status());
    RETURN_IF_ERROR(OpenStore());
    LogInfo("joined the cluster ", cluster_id_, " of namespace ",
            options_.config.cluster_namespace);
  }
  peers_->SetCluster(cluster_id_);
  for (const GroupMember& member : outcome.members) {
    if (member.id != self_.node) peers_->AddPeer(member.id, member.server_id, member.address);
  }
  return absl::OkStatus();
}

absl::Status MetadataNode::BindDirectory() {
  ASSIGN_OR_RETURN(const auto bound, metadata::ReadBinding(seams_.fs, directory_.path()));
  ASSIGN_OR_RETURN(const metadata::Binding binding,
                   BindingOf(found_, plan_.had_metadata, cluster_id_, bound));
  if (binding == metadata::Binding::kBound) return absl::OkStatus();
  // Owed before the directory counts as the cluster's: from then on it is taken to have kept all.
  if (binding == metadata::Binding::kBindEmpty) RETURN_IF_ERROR(record_->OweAll());
  return WriteFileAtomically(seams_.fs, metadata::BindingFile(directory_.path()),
                             metadata::BindingText(cluster_id_));
}

// Its metadata is there: the group can be started.
void MetadataNode::Enter() {
  if (const absl::Status bound = BindDirectory(); !bound.ok()) return End(bound);
  if (peers_) peers_->SetCluster(cluster_id_);
  if (const absl::Status forgotten = metadata::ForgetKnownCluster(seams_.fs, directory_.path());
      !forgotten.ok())
    return End(forgotten);
  if (plan_.look_before) return LookBefore();
  End(StartGroup());
}

// Nothing is done under our id while another process uses it.
void MetadataNode::LookBefore() {
  metadata::IntroAnswer own;
  own.cluster_namespace = options_.config.cluster_namespace;
  own.cluster_id = cluster_id_;
  own.server_id = self_.id;
  own.node = self_.node;
  own.incarnation = self_.incarnation;
  own.address = self_.peer_address;
  lookout_->LookBefore(std::move(own), lifetime_.Bind([this](const absl::Status& status) {
    End(status.ok() ? StartGroup() : status);
  }));
}

// The group's log shows it before a registration can. Durable before the process ends.
void MetadataNode::NoteOlder(const absl::Status& why) {
  if (const absl::Status noted = record_->NoteOlder(record_->generation(), /*rejoin=*/true);
      !noted.ok()) {
    return LogError(FromAbsl(noted.message()));
  }
  LogError("the data directory of broker ", self_.id, " is an older copy (",
           FromAbsl(why.message()),
           "; restored from a backup or a snapshot?). What it holds counts as lost and is not led "
           "again. Started again, this broker joins as a new member");
}

absl::Status MetadataNode::StartGroup() {
  PeerTransport* peers = peers_.get();
  frontend_ = std::make_unique<metadata::MetaFrontend>(seams_.home, seams_.clock, peers, self_);
  const auto fatal = [this](const absl::Status& why) {
    const bool gave_up = record_->must_rejoin();
    if (absl::IsOutOfRange(why)) NoteOlder(why);
    if (gave_up) {
      LogError("this broker gave its vote up: started again, it joins its cluster as a new member");
    } else {
      LogError(FromAbsl(why.message()));
    }
    seams_.fatal();
  };
  registrar_ = std::make_unique<metadata::BrokerRegistrar>(seams_.home, *frontend_, self_,
                                                           /*alone=*/peers == nullptr);
  registrar_->SetFatal(fatal);
  ASSIGN_OR_RETURN(group_, raft_group::RaftGroup::Start(
                               {seams_.home, seams_.rng, peers, frontend_->state(), fatal},
                               GroupOptions(options_), std::move(store_), std::move(stored_)));
  removal_.emplace(cluster_id_, self_.node);
  frontend_->SetLog(*group_);
  registrar_->SetLog(*group_);
  StartLeaderWork();
  frontend_->SetStreamDefaults(options_.config.stream_defaults, options_.config.replication_factor);
  frontend_->SetSilence([this](const std::string& id) { return leader_work_->IsUnfit(id); });
  frontend_->SetCapacity([this](const std::string& broker, size_t partitions) {
    return broker == self_.id ? seams_.capacity(partitions) : absl::OkStatus();
  });
  frontend_->AddRoleObserver(lifetime_.Guard([this](const MetadataRole& role) {
    leader_work_->OnRoleChange(role);
    Refresh();
  }));
  if (peers != nullptr) {
    peers->Handle(PeerService::kMetadata, frontend_->peer_handler());
    peers->Handle(PeerService::kSession, *leader_work_);
  }
  leader_work_->Start();
  for (const auto& [id, peer] : std::exchange(early_peers_, {})) leader_work_->OnPeerUp(peer);
  AnswerEarly();
  KeepFresh();
  return absl::OkStatus();
}

void MetadataNode::StartLeaderWork() {
  metadata::LeaderWorkOptions options;
  options.session_timeout = options_.config.cluster.session_timeout;
  options.max_voters = options_.config.cluster.max_voters;
  leader_work_ =
      std::make_unique<metadata::LeaderWork>(seams_.home, seams_.clock, peers_.get(), *group_,
                                             *group_, frontend_->table(), self_, options);
  control_ = std::make_unique<metadata::ClusterControl>(seams_.home, seams_.clock, peers_.get(),
                                                        *group_, *group_, *frontend_, *leader_work_,
                                                        self_, options_.config.cluster_namespace);
  frontend_->SetClusterRequests(*control_);
  frontend_->state().AddObserver(lifetime_.Guard([this] { leader_work_->OnTableChange(); }));
  leader_work_->SetReport([this] {
    return metadata::BrokerReport{registrar_->generation(), Trouble()};
  });
}

void MetadataNode::StartLookout() {
  metadata::ClusterLookoutOptions options;
  options.cluster_namespace = options_.config.cluster_namespace;
  options.self = self_;
  options.place = options_.place;
  for (const config::Address& address : options_.config.cluster.join)
    options.addresses.push_back(ToText(address));
  lookout_ = std::make_unique<metadata::ClusterLookout>(seams_.home, seams_.clock, seams_.discovery,
                                                        peers_.get(), std::move(options),
                                                        [this](const absl::Status& why) {
                                                          LogError(FromAbsl(why.message()));
                                                          seams_.fatal();
                                                        });
}

void MetadataNode::Stop(absl::AnyInvocable<void()> done) {
  fresh_.Cancel();
  query_.reset();
  early_.clear();
  if (join_) join_->Stop();
  if (registrar_) registrar_->Stop();
  if (lookout_) lookout_->Stop();
  // Till the group has handed over the leader does its work.
  auto end = [this, done = std::move(done)]() mutable {
    if (leader_work_) leader_work_->Stop();
    lifetime_.End();
    done();
  };
  if (!group_) return end();
  group_->Stop(std::move(end));
}

metadata::DirectoryPositions MetadataNode::Positions() const {
  metadata::DirectoryPositions positions;
  if (!group_) return positions;
  const std::optional<raft_group::DurableMark> mark = group_->Durable();
  if (!mark) return positions;
  positions.member = self_.node;
  positions.term = mark->term.value();
  positions.logged = mark->index;
  return positions;
}

void MetadataNode::Disconnect() {
  if (peers_) peers_->Stop();
}

}  // namespace bascule::broker
