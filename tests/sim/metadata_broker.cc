#include "tests/sim/metadata_broker.h"

#include <functional>
#include <utility>

#include "core/base/text.h"
#include "replication/meta/group/raft_codec.h"

namespace bascule {
namespace {

constexpr char kDirectory[] = "data/meta";

}  // namespace

absl::Status MetadataBroker::Found(const RaftStoreOptions& options) {
  raft::SnapshotMeta first{raft::Index(1), raft::Term(1), {}};
  MemberBook members;
  for (int i = 1; i <= founders_; ++i) {
    const std::string server = Concat("b", i);
    first.configuration.voters.emplace_back(i);
    members[raft::NodeId(static_cast<uint64_t>(i))] = {server, server + ":9293"};
  }
  RETURN_IF_ERROR(machine_.disk.CreateDirectories(kDirectory));
  const MetaIdentity identity{"cluster", raft::NodeId(machine_.id.value())};
  return RaftStore::Create(machine_.disk, kDirectory, options, identity, first,
                           EncodeSnapshotBody(members, MetaTable().Snapshot()))
      .status();
}

absl::Status MetadataBroker::Open() {
  RaftStoreOptions options;
  options.segment_bytes = 16 * 1024;
  options.reserve_bytes = 4 * 1024;
  StoredRaft stored;
  absl::Status opened;
  if (!RaftStore::Exists(machine_.disk, kDirectory)) opened = Found(options);
  if (opened.ok()) {
    auto store = RaftStore::Open(machine_.disk, kDirectory, options, stored);
    opened = store.ok() ? Build(*std::move(store), std::move(stored)) : store.status();
  }
  if (!opened.ok()) Die(opened);
  return opened;
}

absl::Status MetadataBroker::Build(std::unique_ptr<RaftStore> store, StoredRaft stored) {
  ASSIGN_OR_RETURN(record_, RegistrationRecord::Open(machine_.disk, "data"));
  const BrokerSelf self{machine_.name, machine_.id, incarnation_, machine_.address(), ""};
  PeerTransport* const peers = machine_.transport.get();
  SimExecutor& home = *machine_.home;
  frontend_ = std::make_unique<MetaFrontend>(home, kernel_.clock(), peers, self);
  RaftGroupEnvironment environment{home, machine_.rng, peers, frontend_->state(),
                                   [this](const absl::Status& why) { Die(why); }};
  ASSIGN_OR_RETURN(group_, RaftGroup::Start(std::move(environment), options_, std::move(store),
                                            std::move(stored)));
  frontend_->SetLog(*group_);
  registrar_ = std::make_unique<BrokerRegistrar>(home, *frontend_, self, /*alone=*/false);
  leader_work_ = std::make_unique<LeaderWork>(home, kernel_.clock(), peers, *group_, *group_,
                                              frontend_->table(), self, LeaderWorkOptions());
  frontend_->AddRoleObserver(
      [this](const MetadataRole& role) { leader_work_->OnRoleChange(role); });
  leader_work_->SetReport([this] { return BrokerReport{registrar_->generation(), ""}; });
  registrar_->SetFatal([this](const absl::Status& why) { Die(why); });
  peers->Handle(PeerService::kMetadata, frontend_->peer_handler());
  peers->Handle(PeerService::kSession, *leader_work_);
  registrar_->Advertise(machine_.name + ".example", 9292);
  home.Post([this] {
    registrar_->Register(*this, *record_, [this](const absl::Status& status) {
      if (!status.ok()) Die(status);
    });
    leader_work_->Start();
  });
  return absl::OkStatus();
}

void MetadataBroker::Die(const absl::Status& why) {
  kernel_.Note(machine_.name, " cannot go on: ", FromAbsl(why.message()));
  dead_ = why;
}

std::string MetadataBroker::Describe() const {
  const GroupStatus status = group_->Status();
  std::string fenced;
  for (const auto& [id, broker] : frontend_->table().brokers()) {
    if (broker.fenced) fenced += " " + id;
  }
  return Concat(" table ", std::hash<std::string>()(frontend_->table().Snapshot()), " fenced",
                fenced, " term ", status.role.term, " leader ", status.role.leader, " applied ",
                status.applied, " commit ", status.commit, " log ", status.first, "-", status.last,
                " streams ", frontend_->table().streams().size(), " brokers ",
                frontend_->table().brokers().size(), " ", group_->degraded());
}

}  // namespace bascule
