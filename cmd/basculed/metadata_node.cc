#include "cmd/basculed/metadata_node.h"

#include <unistd.h>

#include <algorithm>
#include <future>
#include <utility>

#include "core/base/limits.h"
#include "core/base/logging.h"
#include "core/base/text.h"
#include "replication/meta/table/legacy_metadata.h"

namespace bascule {
namespace {

constexpr int kClusterIdLength = 16;
constexpr int kTicksPerHeartbeat = 2;

// Runs `call(done)` on the metadata thread and waits until done was called.
template <typename Result, typename Call>
Result Await(Executor& home, Call call) {
  auto promise = std::make_shared<std::promise<Result>>();
  std::future<Result> result = promise->get_future();
  home.Post([promise, call = std::move(call)]() mutable {
    call([promise](Result value) { promise->set_value(std::move(value)); });
  });
  return result.get();
}

std::string ThisProcess() {
  char host[256] = {};
  const bool named = gethostname(host, sizeof(host) - 1) == 0;
  return Concat("process ", getpid(), " on ", named ? host : "a machine without a name");
}

std::string EmptyState() { return MetaTable().Snapshot(); }

RaftGroupOptions GroupOptions(const ClusterSettings& cluster) {
  RaftGroupOptions options;
  options.tick = cluster.heartbeat / kTicksPerHeartbeat;
  options.heartbeat_ticks = kTicksPerHeartbeat;
  options.election_ticks = static_cast<int>(cluster.election_timeout / options.tick);
  options.snapshot_entries = static_cast<uint64_t>(cluster.snapshot_entries);
  return options;
}

}  // namespace

MetadataNode::MetadataNode(MetadataNodeEnvironment environment)
    : env_(std::move(environment)), meta_(JoinPath(env_.directory.path(), "meta")) {
  self_.id = env_.directory.server_id();
  self_.incarnation = env_.directory.incarnation();
  self_.rack = env_.config.cluster.rack;
  self_.began = env_.clock.Monotonic();
}

MetadataNode::~MetadataNode() { *alive_ = false; }

absl::Status MetadataNode::Start() {
  ASSIGN_OR_RETURN(record_, RegistrationRecord::Open(env_.fs, env_.directory.path()));
  if (record_->must_rejoin()) RETURN_IF_ERROR(LeaveOldPart());
  RETURN_IF_ERROR(OpenStore());
  had_metadata_ = had_metadata_ || store_ != nullptr;
  if (env_.config.cluster.enabled) RETURN_IF_ERROR(StartPeers());
  StartLookout();
  if (!store_) RETURN_IF_ERROR(Upgrade());
  const bool empty = !store_ || stored_.raft.snapshot.index == MetadataIndex();
  if (empty) RETURN_IF_ERROR(FindCluster());
  RETURN_IF_ERROR(BindDirectory());
  if (peers_) peers_->SetCluster(cluster_id_);
  RETURN_IF_ERROR(ForgetKnownCluster(env_.fs, env_.directory.path()));
  // Who has just joined was let in as the only one of its id.
  if (had_metadata_ || !peers_) RETURN_IF_ERROR(LookBefore());
  return StartGroup();
}

absl::Status MetadataNode::OpenStore() {
  stored_ = StoredRaft();
  if (RaftStore::Exists(env_.fs, meta_)) {
    ASSIGN_OR_RETURN(store_, RaftStore::Open(env_.fs, meta_, RaftStoreOptions{}, stored_));
    cluster_id_ = stored_.identity.cluster_id;
    self_.node = PeerId(stored_.identity.node.value());
  }
  while (self_.node == PeerId()) self_.node = PeerId(env_.rng.Next());
  return absl::OkStatus();
}

// The directory is an older copy: as a member it has forgotten votes and entries that others count
// upon. It joins again as a new one; what it held of the metadata stays beside.
absl::Status MetadataNode::LeaveOldPart() {
  const std::string aside = meta_ + ".older-copy";
  if (!env_.config.cluster.enabled) {
    return absl::FailedPreconditionError(
        Concat(env_.directory.path(),
               " is an older copy of what a cluster knows of this broker and has "
               "to join it again: set cluster.listen as before and start it"));
  }
  if (RaftStore::Exists(env_.fs, meta_)) {
    RETURN_IF_ERROR(env_.fs.RemoveTree(aside));
    RETURN_IF_ERROR(env_.fs.Rename(meta_, aside));
    RETURN_IF_ERROR(env_.fs.SyncDir(env_.directory.path()));
  }
  LogWarning(env_.directory.path(),
             " is an older copy: this broker joins its cluster as a new member, "
             "and what it holds of streams counts as lost; its metadata of before is in ",
             aside);
  had_metadata_ = true;
  rejoining_ = true;
  return record_->Rejoined();
}

absl::Status MetadataNode::StartPeers() {
  const ClusterSettings& cluster = env_.config.cluster;
  PeerOptions options;
  options.self.id = self_.node;
  options.self.server_id = self_.id;
  options.self.incarnation = self_.incarnation;
  options.self.feature_level = kFeatureLevel;
  if (cluster.advertised.port != 0) options.self.address = ToText(cluster.advertised);
  options.cluster_id = cluster_id_;
  options.cluster_namespace = env_.config.cluster_namespace;
  options.listen = ToText(cluster.listen);
  options.tls = {cluster.tls.ca, cluster.tls.cert, cluster.tls.key,
                 JoinPath(env_.directory.path(), "peer.pem")};
  options.insecure = cluster.insecure;
  options.max_connections = env_.descriptors.peers() / 2;
  peers_ = std::make_unique<GrpcPeerTransport>(options, env_.clock, env_.fs, env_.home,
                                               static_cast<PeerEvents&>(*this));
  RETURN_IF_ERROR(peers_->Start());
  self_.peer_address = cluster.advertised.port != 0
                           ? ToText(cluster.advertised)
                           : ToText(Address{cluster.advertised.host, peers_->BoundPort()});
  LogInfo("peers connect to ", self_.peer_address);
  return absl::OkStatus();
}

// What versions before clusters kept becomes the first snapshot.
absl::Status MetadataNode::Upgrade() {
  const absl::StatusOr<LegacyMetadata> legacy = ReadLocalMetadata(env_.fs, meta_);
  if (absl::IsNotFound(legacy.status())) return absl::OkStatus();
  RETURN_IF_ERROR(legacy.status());
  had_metadata_ = true;
  LogInfo("the metadata in ", meta_, " becomes that of a metadata group");
  RETURN_IF_ERROR(Found(legacy->applied, legacy->snapshot));
  for (const char* name : {"log", "snapshot"}) {
    const std::string path = JoinPath(meta_, name);
    if (env_.fs.Exists(path)) RETURN_IF_ERROR(env_.fs.Remove(path));
  }
  return absl::OkStatus();
}

absl::Status MetadataNode::Found(MetadataIndex applied, const std::string& state) {
  const raft::NodeId node(self_.node.value());
  const MetaIdentity identity{RandomToken(env_.rng, kClusterIdLength), node};
  const GroupMember member{self_.node, self_.id, self_.peer_address, true};
  const raft::SnapshotMeta snapshot{std::max(applied, MetadataIndex(1)), raft::Term(1),
                                    raft::Configuration{{node}, {}}};
  RETURN_IF_ERROR(RaftStore::Create(env_.fs, meta_, RaftStoreOptions{}, identity, snapshot,
                                    RaftGroup::InitialSnapshot(member, state))
                      .status());
  if (peers_)
    LogInfo("started the cluster ", identity.cluster_id, " of namespace ",
            env_.config.cluster_namespace);
  return OpenStore();
}

absl::Status MetadataNode::FindCluster() {
  ASSIGN_OR_RETURN(const std::optional<KnownCluster> known,
                   ReadKnownCluster(env_.fs, env_.directory.path(), env_.config.cluster_namespace));
  if (!peers_) {
    // An absent metadata log beside existing data is lost, not new: with a new one stream ids would
    // be given out again, and one stream would serve, or remove, another's records.
    ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> streams,
                     env_.fs.List(JoinPath(env_.directory.path(), "streams")));
    if (streams.empty() && known) {
      return absl::FailedPreconditionError(Concat(
          env_.directory.path(), " is to be part of the cluster ", known->cluster_id, " (says ",
          known->file, "), but this broker is configured as no cluster member: set ",
          "cluster.listen and cluster.join, or move the whole directory away to start empty"));
    }
    if (streams.empty()) return Found(MetadataIndex(), EmptyState());
    return absl::FailedPreconditionError(
        Concat(meta_, " is missing, but ", env_.directory.path(), " holds the data of ",
               streams.size(), " streams; restore meta from a backup, or move the whole directory ",
               "away to start empty"));
  }
  ClusterJoinerOptions options;
  options.cluster_namespace = env_.config.cluster_namespace;
  options.server_id = self_.id;
  options.node = self_.node;
  options.address = self_.peer_address;
  options.feature_level = kFeatureLevel;
  // Else a member already, which has received nothing yet; or one of before, and there is a cluster.
  if (!store_ && !rejoining_) {
    options.seed = env_.config.cluster.bootstrap_seed;
    const auto& peers = env_.config.cluster.bootstrap_peers;
    options.peers = {peers.begin(), peers.end()};
  }
  for (const Address& address : env_.config.cluster.join)
    options.addresses.push_back(ToText(address));
  options.known = known;
  if (store_) options.known = KnownCluster{cluster_id_, "this data directory", meta_};
  options.note = [this](const KnownCluster& cluster) {
    return NoteKnownCluster(env_.fs, env_.directory.path(), env_.config.cluster_namespace, cluster);
  };
  options.note_file = KnownClusterFile(env_.directory.path());
  options.bus_asked = [this] { return query_ != nullptr && query_->asked(); };
  absl::StatusOr<JoinOutcome> outcome = Await<absl::StatusOr<JoinOutcome>>(
      env_.home, [this, options = std::move(options)](auto done) mutable {
        join_ = std::make_unique<ClusterJoiner>(env_.home, env_.clock, *peers_, std::move(options));
        env_.discovery.AnswerQueries([this](std::string_view) { return join_->Answer(); });
        query_ = env_.discovery.Ask(
            join_->Question(), [this](std::string_view answer) { join_->OnDiscovered(answer); });
        join_->Start(std::move(done));
        AnswerEarly();
      });
  query_.reset();
  RETURN_IF_ERROR(outcome.status());
  if (outcome->start_new) {
    RETURN_IF_ERROR(Found(MetadataIndex(), EmptyState()));
  } else if (!store_) {
    RETURN_IF_ERROR(RaftStore::Create(env_.fs, meta_, RaftStoreOptions{},
                                      {outcome->cluster_id, raft::NodeId(self_.node.value())}, {},
                                      "")
                        .status());
    RETURN_IF_ERROR(OpenStore());
    LogInfo("joined the cluster ", cluster_id_, " of namespace ", env_.config.cluster_namespace);
  }
  peers_->SetCluster(cluster_id_);
  for (const GroupMember& member : outcome->members) {
    if (member.id != self_.node) peers_->AddPeer(member.id, member.server_id, member.address);
  }
  return absl::OkStatus();
}

// The data directory belongs to one cluster: stream ids mean nothing in another. One that is bound
// to none yet holds nothing that the cluster was promised.
absl::Status MetadataNode::BindDirectory() {
  const std::string path = JoinPath(env_.directory.path(), "cluster");
  constexpr size_t kMaxBytes = 4096;
  const auto file = env_.fs.Open(path, OpenMode::kRead);
  if (absl::IsNotFound(file.status())) {
    ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> streams,
                     env_.fs.List(JoinPath(env_.directory.path(), "streams")));
    if (!streams.empty() && !had_metadata_) {
      return absl::FailedPreconditionError(
          Concat(env_.directory.path(), " holds the data of ", streams.size(),
                 " streams, but nothing says of which cluster: restore ", meta_,
                 " from a backup, or move the whole directory away to join with an empty one"));
    }
    // Owed before the directory counts as the cluster's: from then on it is taken to have kept all.
    if (streams.empty()) RETURN_IF_ERROR(record_->OweAll());
    return WriteFileAtomically(env_.fs, path, Concat(cluster_id_, "\n"));
  }
  RETURN_IF_ERROR(file.status());
  ASSIGN_OR_RETURN(const std::string text, ReadWhole(**file, kMaxBytes));
  if (text == Concat(cluster_id_, "\n")) return absl::OkStatus();
  return absl::FailedPreconditionError(
      Concat(env_.directory.path(), " holds streams of another cluster (", path,
             " names it), this one is ", cluster_id_,
             "; move the whole directory away to join with an empty one"));
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
  const absl::Status started = Await<absl::Status>(env_.home, [this](auto done) {
    PeerTransport* peers = peers_.get();
    frontend_ = std::make_unique<MetaFrontend>(env_.home, env_.clock, peers, self_);
    const auto fatal = [this](const absl::Status& why) {
      if (absl::IsOutOfRange(why)) NoteOlder(why);
      LogError(FromAbsl(why.message()));
      env_.fatal();
    };
    registrar_ = std::make_unique<BrokerRegistrar>(env_.home, *frontend_, self_,
                                                   /*alone=*/peers == nullptr);
    registrar_->SetFatal(fatal);
    auto group =
        RaftGroup::Start({env_.home, env_.rng, peers, frontend_->state(), fatal},
                         GroupOptions(env_.config.cluster), std::move(store_), std::move(stored_));
    if (!group.ok()) return done(group.status());
    group_ = *std::move(group);
    frontend_->SetLog(*group_);
    LeaderWorkOptions options;
    options.session_timeout = env_.config.cluster.session_timeout;
    options.max_voters = env_.config.cluster.max_voters;
    leader_work_ = std::make_unique<LeaderWork>(env_.home, env_.clock, peers, *group_, *group_,
                                                frontend_->table(), self_, options);
    control_ =
        std::make_unique<ClusterControl>(env_.home, env_.clock, peers, *group_, *group_, *frontend_,
                                         *leader_work_, self_, env_.config.cluster_namespace);
    frontend_->SetClusterRequests(*control_);
    leader_work_->SetReport([this] { return BrokerReport{registrar_->generation(), Trouble()}; });
    frontend_->SetStreamDefaults(env_.config.stream_defaults);
    frontend_->SetSilence([this](const std::string& id) { return leader_work_->IsUnfit(id); });
    frontend_->SetCapacity([this](const std::string& broker, size_t partitions) {
      return broker == self_.id ? env_.descriptors.CheckPartitions(partitions) : absl::OkStatus();
    });
    frontend_->AddRoleObserver([this](const MetadataRole& role) {
      leader_work_->OnRoleChange(role);
      Refresh();
    });
    if (peers != nullptr) {
      peers->Handle(PeerService::kMetadata, frontend_->peer_handler());
      peers->Handle(PeerService::kSession, *leader_work_);
    }
    leader_work_->Start();
    AnswerEarly();
    KeepFresh();
    done(absl::OkStatus());
  });
  return started;
}

void MetadataNode::StartLookout() {
  ClusterLookoutOptions options;
  options.cluster_namespace = env_.config.cluster_namespace;
  options.self = self_;
  options.place = ThisProcess();
  for (const Address& address : env_.config.cluster.join)
    options.addresses.push_back(ToText(address));
  lookout_ = std::make_unique<ClusterLookout>(env_.home, env_.clock, env_.discovery, peers_.get(),
                                              std::move(options), [this](const absl::Status& why) {
                                                LogError(FromAbsl(why.message()));
                                                env_.fatal();
                                              });
}

// Nothing is done under our id while another process uses it.
absl::Status MetadataNode::LookBefore() {
  IntroAnswer own;
  own.cluster_namespace = env_.config.cluster_namespace;
  own.cluster_id = cluster_id_;
  own.server_id = self_.id;
  own.node = self_.node;
  own.incarnation = self_.incarnation;
  own.address = self_.peer_address;
  return Await<absl::Status>(env_.home, [this, own = std::move(own)](auto done) mutable {
    lookout_->LookBefore(std::move(own), std::move(done));
  });
}

// The cluster dials this broker where it was before: after its configuration changed, or because it
// was alone when it was made. The leader writes the new address down; where no leader is heard of,
// for nobody reaches us, any member passes it on. Said again until it is so.

void MetadataNode::Stop() {
  if (lookout_) {
    (void)Await<absl::Status>(env_.home, [this](auto done) {
      lookout_->Stop();
      if (!group_) return done(absl::OkStatus());
      group_->Stop([done = std::move(done)]() mutable { done(absl::OkStatus()); });
    });
  }
  if (peers_) peers_->Stop();
}

}  // namespace bascule
