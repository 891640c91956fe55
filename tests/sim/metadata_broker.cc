#include "tests/sim/metadata_broker.h"

#include <functional>
#include <utility>

#include "core/base/text.h"
#include "replication/meta/cluster/cluster_start.h"
#include "tests/sim/sim_seams.h"

namespace bascule {
namespace {

constexpr char kDirectory[] = "data";
constexpr char kClusterId[] = "cluster";

broker::BrokerOptions Clustered(broker::BrokerOptions options) {
  options.config.data_dir = kDirectory;
  options.config.cluster.enabled = true;
  options.config.cluster.insecure = true;
  options.metadata_store = SmallMetadataStore();
  return options;
}

}  // namespace

MetadataBroker::MetadataBroker(SimKernel& kernel, SimMachine& machine, FakeDiscoveryBus& bus,
                               int founders, broker::BrokerOptions options)
    : kernel_(kernel),
      machine_(machine),
      founders_(founders),
      options_(Clustered(std::move(options))),
      discovery_(bus),
      seams_(SeamsOf(kernel, machine, discovery_,
                     [this] { Die(absl::InternalError("it says so itself")); })),
      replicas_({machine.home}) {}

// All at once, as no broker does: a group of several from the start. Its directory is bound, so that
// none of them counts as emptied.
absl::Status MetadataBroker::Found() {
  raft::SnapshotMeta first{raft::Index(1), raft::Term(1), {}};
  raft_group::MemberBook members;
  for (int i = 1; i <= founders_; ++i) {
    const std::string server = Concat("b", i);
    first.configuration.voters.emplace_back(i);
    members[raft::NodeId(static_cast<uint64_t>(i))] = {server, server + ":9293"};
  }
  RETURN_IF_ERROR(WriteFileAtomically(machine_.disk, metadata::BindingFile(kDirectory),
                                      metadata::BindingText(kClusterId)));
  const raft_store::MetaIdentity identity{kClusterId, raft::NodeId(machine_.id.value())};
  return raft_store::RaftStore::Create(
             machine_.disk, JoinPath(kDirectory, "meta"), options_.metadata_store, identity, first,
             EncodeSnapshotBody(members, metadata::MetaTable().Snapshot()))
      .status();
}

absl::Status MetadataBroker::Open() {
  absl::Status opened = Start();
  if (opened.ok() && dead_) opened = *dead_;
  if (!opened.ok() && !dead_) Die(opened);
  return opened;
}

absl::Status MetadataBroker::Start() {
  ASSIGN_OR_RETURN(directory_, broker::DataDirectory::Open(machine_.disk, machine_.rng, kDirectory,
                                                           machine_.name));
  if (!raft_store::RaftStore::Exists(machine_.disk, JoinPath(kDirectory, "meta")))
    RETURN_IF_ERROR(Found());
  ASSIGN_OR_RETURN(const auto record,
                   metadata::RegistrationRecord::Open(machine_.disk, kDirectory));
  if (record->must_rejoin()) return absl::DataLossError("it takes itself for an older copy");
  node_ = std::make_unique<broker::MetadataNode>(
      seams_, options_, *directory_, [](const std::string&) {}, replicas_);
  node_->Start([this](const absl::Status& status) { OnMember(status); });
  return absl::OkStatus();
}

void MetadataBroker::OnMember(const absl::Status& status) {
  if (!status.ok()) return Die(status);
  ready_ = true;
  node_->registrar().Advertise(machine_.name + ".example", 9292);
  node_->registrar().Register(*this, node_->record(), [this](const absl::Status& registered) {
    if (!registered.ok()) Die(registered);
  });
}

void MetadataBroker::Die(const absl::Status& why) {
  kernel_.Note(machine_.name, " cannot go on: ", FromAbsl(why.message()));
  dead_ = why;
}

std::string MetadataBroker::Describe() const {
  const GroupStatus status = node_->group().Status();
  std::string fenced;
  for (const auto& [id, broker] : node_->frontend().table().brokers()) {
    if (broker.fenced) fenced += " " + id;
  }
  return Concat(" table ", std::hash<std::string>()(node_->frontend().table().Snapshot()),
                " fenced", fenced, " term ", status.role.term, " leader ", status.role.leader,
                " applied ", status.applied, " commit ", status.commit, " log ", status.first, "-",
                status.last, " streams ", node_->frontend().table().streams().size(), " brokers ",
                node_->frontend().table().brokers().size(), " ", node_->group().degraded());
}

}  // namespace bascule
