#include "core/api/metadata_view.h"

#include <algorithm>

#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "api.pb.h"
#include "core/api/grpc_status.h"

namespace bascule::api {
namespace {

// The host part of "host:port"; empty for every-interface addresses, which nobody can dial.
std::string HostOf(std::string_view listen) {
  const size_t colon = listen.rfind(':');
  std::string_view host = listen.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  if (colon == std::string_view::npos || host == "0.0.0.0" || host == "::") return "";
  return std::string(host);
}

void FillStream(const SurveyedStream& surveyed, proto::StreamMetadata& out) {
  const StreamDescription& stream = surveyed.entry->stream;
  out.set_name(stream.name);
  out.set_subject(stream.subject);
  out.set_creationtimestamp(stream.created.value());
  for (size_t i = 0; i < stream.partitions.size(); ++i) {
    const PartitionDescription& partition = stream.partitions[i];
    FillPartition(partition, surveyed.partitions[i],
                  (*out.mutable_partitions())[partition.id.value()]);
  }
}

void FillStreams(const proto::FetchMetadataRequest& request,
                 const std::vector<SurveyedStream>& surveyed,
                 proto::FetchMetadataResponse& response) {
  if (request.streams().empty()) {
    for (const SurveyedStream& stream : surveyed)
      FillStream(stream, *response.add_streammetadata());
    return;
  }
  std::unordered_map<std::string_view, const SurveyedStream*> by_name;
  for (const SurveyedStream& stream : surveyed) by_name[stream.entry->stream.name] = &stream;
  for (const std::string& name : request.streams()) {
    proto::StreamMetadata& out = *response.add_streammetadata();
    const auto found = by_name.find(name);
    if (found != by_name.end()) {
      FillStream(*found->second, out);
    } else {
      out.set_name(name);
      out.set_error(proto::StreamMetadata::UNKNOWN_STREAM);
    }
  }
}

// Clients look the addresses of in-sync replicas up among the brokers of the answer, and some fail where one is
// missing: a broker that was fenced, or registered and does not listen yet, while this was put together. The others
// are told, unless that is nobody.
void KeepReachable(const std::unordered_set<std::string>& brokers,
                   proto::PartitionMetadata& partition) {
  auto& isr = *partition.mutable_isr();
  const auto reachable = std::stable_partition(
      isr.begin(), isr.end(), [&](const std::string& id) { return brokers.contains(id); });
  if (reachable != isr.begin()) isr.erase(reachable, isr.end());
}

void KeepReachable(proto::FetchMetadataResponse& response) {
  std::unordered_set<std::string> brokers;
  for (const proto::Broker& broker : response.brokers()) brokers.insert(broker.id());
  for (proto::StreamMetadata& stream : *response.mutable_streammetadata())
    for (auto& [id, partition] : *stream.mutable_partitions()) KeepReachable(brokers, partition);
}

void FillBrokersAndGroups(const ApiState& state, const proto::FetchMetadataRequest& request,
                          proto::FetchMetadataResponse& response) {
  for (BrokerDescription& broker : state.ports.admin.Brokers()) {
    const BrokerDescription shown = Advertised(std::move(broker), state);
    proto::Broker& out = *response.add_brokers();
    out.set_id(shown.id);
    out.set_host(shown.host);
    out.set_port(shown.port);
    out.set_partitioncount(shown.partition_count);
    out.set_leadercount(shown.leader_count);
  }
  // No version without consumer groups knows any.
  for (const std::string& id : request.groups()) {
    proto::ConsumerGroupMetadata& out = *response.add_groupmetadata();
    out.set_groupid(id);
    out.set_error(proto::ConsumerGroupMetadata::UNKNOWN_GROUP);
  }
}

std::vector<std::shared_ptr<const CatalogEntry>> Asked(const StreamCatalog& catalog,
                                                       const proto::FetchMetadataRequest& request) {
  if (request.streams().empty()) return catalog.All();
  std::unordered_set<std::string_view> seen;
  std::vector<std::shared_ptr<const CatalogEntry>> entries;
  for (const std::string& name : request.streams()) {
    if (!seen.insert(name).second) continue;
    if (auto entry = catalog.Find(name)) entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace

void FillPartition(const PartitionDescription& partition,
                   const absl::StatusOr<PartitionStatus>& status, proto::PartitionMetadata& out) {
  out.set_id(partition.id.value());
  out.set_leader(partition.leader);
  for (const std::string& replica : partition.replicas) out.add_replicas(replica);
  for (const std::string& member : partition.isr) out.add_isr(member);
  // Offsets of messages: a client that reads until the newest must get there, and a gap record at
  // the end of the log is not delivered.
  out.set_highwatermark(
      status.ok() ? ToWire(std::min(status->high_watermark, status->last_message_end)) : -1);
  out.set_newestoffset(status.ok() ? ToWire(status->last_message_end) : -1);
  proto::PartitionEventTimestamps& received = *out.mutable_messagesreceivedtimestamps();
  if (status.ok()) {
    received.set_firsttimestamp(status->first_received.value());
    received.set_latesttimestamp(status->latest_received.value());
  }
  out.mutable_pausetimestamps();
  out.mutable_readonlytimestamps();
}

BrokerDescription Advertised(BrokerDescription broker, const ApiState& state) {
  if (broker.id != state.options.server_id) return broker;
  const ApiOptions& options = state.options;
  if (!options.advertised_host.empty()) broker.host = options.advertised_host;
  if (broker.host.empty()) broker.host = HostOf(options.listen);
  if (broker.host.empty()) broker.host = "localhost";
  if (options.advertised_port != 0) broker.port = options.advertised_port;
  if (broker.port == 0) broker.port = state.bound_port;
  return broker;
}

grpc::ServerUnaryReactor* BeginFetchMetadata(ApiState& state, grpc::CallbackServerContext& context,
                                             const proto::FetchMetadataRequest& request,
                                             proto::FetchMetadataResponse& response) {
  grpc::ServerUnaryReactor* reactor = context.DefaultReactor();
  if (const absl::Status current = state.ports.catalog.Current(); !current.ok()) {
    reactor->Finish(ToGrpc(current));
    return reactor;
  }
  SurveyPartitions(Asked(state.ports.catalog, request),
                   [&state, &request, &response, reactor](std::vector<SurveyedStream> surveyed) {
                     FillBrokersAndGroups(state, request, response);
                     FillStreams(request, surveyed, response);
                     KeepReachable(response);
                     reactor->Finish(grpc::Status::OK);
                   });
  return reactor;
}

grpc::ServerUnaryReactor* BeginFetchPartitionMetadata(
    ApiState& state, grpc::CallbackServerContext& context,
    const proto::FetchPartitionMetadataRequest& request,
    proto::FetchPartitionMetadataResponse& response) {
  grpc::ServerUnaryReactor* reactor = context.DefaultReactor();
  const auto entry = state.ports.catalog.Find(request.stream());
  const auto number = static_cast<size_t>(request.partition());
  if (entry == nullptr || request.partition() < 0 || number >= entry->stream.partitions.size() ||
      number >= entry->partitions.size()) {
    reactor->Finish(
        ToGrpc(state.ports.catalog.Missing(absl::NotFoundError("partition not found"))));
    return reactor;
  }
  const absl::Status not_leader =
      absl::FailedPreconditionError("The request should be sent to partition leader");
  if (entry->partitions[number] == nullptr ||
      entry->stream.partitions[number].leader != state.options.server_id) {
    reactor->Finish(ToGrpc(not_leader));
    return reactor;
  }
  // A copy, not the entry: a partition's callback must not hold the partition.
  entry->partitions[number]->Describe([partition = entry->stream.partitions[number], not_leader,
                                       &response, reactor](absl::StatusOr<PartitionStatus> status) {
    if (!status.ok()) return reactor->Finish(ToGrpc(status.status()));
    if (!status->leader) return reactor->Finish(ToGrpc(not_leader));
    FillPartition(partition, status, *response.mutable_metadata());
    reactor->Finish(grpc::Status::OK);
  });
  return reactor;
}

}  // namespace bascule::api
