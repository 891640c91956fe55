#include "replication/meta/table/command_register_broker.h"

#include <algorithm>
#include <map>
#include <utility>

#include "core/base/text.h"
#include "replication/meta/table/commands.pb.h"
#include "replication/meta/table/meta_codec.h"
#include "replication/meta/table/table_state.h"

namespace bascule::metadata {
namespace {

// Replaced processes that are remembered, so that a registration of theirs that comes late is
// refused. Part of what the commands mean.
constexpr size_t kRetiredIncarnations = 16;

bool IsOtherDisk(const RegisteredBroker& known, const BrokerRegistration& registration) {
  return known.node != PeerId() && known.node != registration.node;
}

// Refused, not taken for lost at once: a command of a process that died may come late, and must take
// nothing from the one that came after it. Who is told so and lives comes again, with lost_all.
absl::Status CheckGeneration(const TableState& table, const RegisteredBroker& known,
                             const BrokerRegistration& registration) {
  if (table.feature_level() < kGenerationsLevel || registration.generation == 0)
    return absl::OkStatus();
  const bool same_process = known.incarnation == registration.incarnation;
  if (same_process || (IsOtherDisk(known, registration) && !registration.kept_all))
    return absl::OkStatus();
  if (registration.generation > known.generation) return absl::OkStatus();
  return absl::OutOfRangeError(Concat(
      "the data directory of broker ", registration.id, " is an older copy: it has generation ",
      registration.generation, ", the cluster has seen ", known.generation, " of it"));
}

absl::Status CheckRegistration(const TableState& table, const BrokerRegistration& registration) {
  if (registration.id.empty()) return absl::InvalidArgumentError("a broker has a server id");
  if (registration.feature_level < table.feature_level()) {
    return absl::FailedPreconditionError(Concat("broker ", registration.id, " has feature level ",
                                                registration.feature_level, ", the cluster needs ",
                                                table.feature_level(),
                                                "; install a newer version of the program on it"));
  }
  const bool member =
      std::any_of(table.members().begin(), table.members().end(),
                  [&registration](const GroupMember& m) { return m.id == registration.node; });
  if (registration.node != PeerId() && !table.members().empty() && !member) {
    return absl::FailedPreconditionError(Concat("broker ", registration.id, " (data directory ",
                                                registration.node,
                                                ") is no member of the cluster: it was removed; "
                                                "to join again move its data/meta away"));
  }
  const RegisteredBroker* known = table.FindBroker(registration.id);
  if (known == nullptr) return absl::OkStatus();
  const std::vector<uint64_t>& retired = table.FindClient(registration.id)->retired;
  if (std::find(retired.begin(), retired.end(), registration.incarnation) != retired.end()) {
    return absl::FailedPreconditionError(
        Concat("this process of broker ", registration.id, " was replaced by a newer one"));
  }
  if (IsOtherDisk(*known, registration) && !known->fenced) {
    return absl::AlreadyExistsError(
        Concat("server id ", registration.id, " is in use by the broker at ", known->peer_address,
               " with another data directory; stop that one, or give this one an id of its own"));
  }
  return CheckGeneration(table, *known, registration);
}

void Retire(const RegisteredBroker& broker, TableState::Client& client) {
  if (broker.incarnation != 0) client.retired.push_back(broker.incarnation);
  if (client.retired.size() > kRetiredIncarnations) client.retired.erase(client.retired.begin());
  client.answered = 0;
  client.results.clear();
}

CommandOutcome RegisterBroker(TableState& table, MetadataIndex index,
                              const meta::Command& command) {
  const BrokerRegistration registration = FromProto(command.register_broker());
  if (absl::Status refused = CheckRegistration(table, registration); !refused.ok())
    return {std::move(refused), {}};
  RegisteredBroker& broker = table.EnsureBroker(registration.id);
  TableState::Client& client = table.EnsureClient(registration.id);
  const bool other_disk = IsOtherDisk(broker, registration);
  const bool other_process = broker.incarnation != registration.incarnation;
  if (other_process) Retire(broker, client);
  // A table of an older feature level is the same on versions that know of no generations.
  const bool says = table.feature_level() >= kGenerationsLevel && registration.generation != 0;
  const uint64_t kept_generation = other_disk && !registration.kept_all ? 0 : broker.generation;
  const uint64_t generation =
      std::max(kept_generation, says ? registration.generation : uint64_t{0});
  broker = {registration.id,   registration.node,          registration.incarnation,
            registration.host, registration.port,          registration.peer_address,
            registration.rack, registration.feature_level, /*fenced=*/false,
            generation};
  const absl::btree_set<PartitionKey> lost(registration.lost.begin(), registration.lost.end());
  // A table of an older feature level is the same on versions that know of no doubt.
  std::map<PartitionKey, ReplicaDoubt> doubtful;
  if (table.feature_level() >= kReplicasLevel) {
    for (const DoubtfulReplica& replica : registration.doubtful)
      doubtful[replica.partition] = {registration.id, replica.epoch, replica.end};
  }
  const bool all_gone = registration.lost_all || (other_disk && !registration.kept_all);
  // A process registers again until it hears that it is: what it was given since cannot be lost. A table of an
  // older feature level is the same on versions that take it for lost.
  const bool was_told = !other_process && table.feature_level() >= kReplicasLevel;
  CommandOutcome outcome;
  for (const PartitionKey& key : table.ReplicasOf(registration.id)) {
    BrokerChange change;
    if (other_process) change.restarted = registration.id;                             // R2a
    if (!was_told && (all_gone || lost.contains(key))) change.lost = registration.id;  // R6b
    const auto doubt = doubtful.find(key);
    // R7b. Of a process that registers again what it said first has been dealt with.
    if (other_process && doubt != doubtful.end()) change.doubt = doubt->second;
    table.Change(change, index, key, outcome.deltas);
  }
  return outcome;
}

}  // namespace

const MetaCommand kRegisterBrokerCommand{meta::Command::kRegisterBrokerFieldNumber,
                                         "register a broker",
                                         /*feature_level=*/0, /*grows=*/false, RegisterBroker};

std::string EncodeRegisterBroker(const BrokerRegistration& registration) {
  meta::Command command;
  ToProto(registration, *command.mutable_register_broker());
  return command.SerializeAsString();
}

void ToProto(const BrokerRegistration& in, meta::RegisterBroker& out) {
  out.set_broker(in.id);
  out.set_incarnation(in.incarnation);
  out.set_node(in.node.value());
  out.set_host(in.host);
  out.set_port(in.port);
  out.set_peer_address(in.peer_address);
  out.set_rack(in.rack);
  out.set_feature_level(in.feature_level);
  out.set_lost_all(in.lost_all);
  out.set_kept_all(in.kept_all);
  out.set_generation(in.generation);
  for (const PartitionKey& key : in.lost) ToProto(key, *out.add_lost());
  for (const DoubtfulReplica& replica : in.doubtful) {
    meta::RegisterBroker::Doubt& doubt = *out.add_doubtful();
    ToProto(replica.partition, *doubt.mutable_partition());
    doubt.set_epoch(replica.epoch.value());
    doubt.set_end(replica.end.value());
  }
}

BrokerRegistration FromProto(const meta::RegisterBroker& in) {
  BrokerRegistration out;
  out.id = in.broker();
  out.node = PeerId(in.node());
  out.incarnation = in.incarnation();
  out.host = in.host();
  out.port = in.port();
  out.peer_address = in.peer_address();
  out.rack = in.rack();
  out.feature_level = in.feature_level();
  out.lost_all = in.lost_all();
  out.kept_all = in.kept_all();
  out.generation = in.generation();
  for (const meta::PartitionKey& lost : in.lost()) out.lost.push_back(FromProto(lost));
  for (const meta::RegisterBroker::Doubt& doubt : in.doubtful()) {
    out.doubtful.push_back(
        {FromProto(doubt.partition()), LeaderEpoch(doubt.epoch()), Offset(doubt.end())});
  }
  return out;
}

}  // namespace bascule::metadata
