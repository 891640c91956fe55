#include "core/api/bascule_service.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/api/call_deadline.h"
#include "core/api/cluster_calls.h"
#include "core/api/grpc_status.h"
#include "core/api/partition_survey.h"
#include "core/api/replica_view.h"
#include "core/api/stream_request.h"
#include "core/base/text.h"
#include "core/stream/difference.h"
#include "core/stream/overlap.h"

namespace bascule::api {
namespace {

// Gap records of one answer.
constexpr size_t kGapsPerPage = 1000;

void FillPartition(const PartitionDescription& partition,
                   const absl::StatusOr<PartitionStatus>& status, v1::Partition& out) {
  out.set_id(partition.id.value());
  out.set_leader(partition.leader);
  for (const std::string& replica : partition.replicas) out.add_replicas(replica);
  for (const std::string& member : partition.isr) out.add_isr(member);
  out.set_leader_epoch(partition.leader_epoch.value());
  if (!status.ok()) {
    out.set_oldest_offset(-1);
    out.set_newest_offset(-1);
    out.set_high_watermark(-1);
    out.set_flushed_offset(-1);
    out.set_error(std::string(status.status().message()));
    return;
  }
  const bool empty = status->log_start == status->log_end;
  out.set_oldest_offset(empty ? -1 : status->log_start.value());
  out.set_newest_offset(ToWire(status->log_end));
  out.set_high_watermark(ToWire(status->high_watermark));
  out.set_flushed_offset(ToWire(status->flushed_end));
  out.set_bytes(status->bytes);
  out.set_segments(status->segments);
  out.set_first_received(status->first_received.value());
  out.set_latest_received(status->latest_received.value());
  out.set_messages_received(status->messages_received);
  out.set_messages_refused(status->messages_refused);
  out.set_gap_records(status->gap_records);
  out.set_messages_in_gaps(status->messages_in_gaps);
  out.set_lost_records(status->lost_records);
  out.set_degraded(status->degraded);
}

// Ids of the brokers that live.
std::set<std::string> LiveBrokers(const ApiState& state) {
  std::set<std::string> live;
  for (const BrokerDescription& broker : state.ports.admin.Brokers()) live.insert(broker.id);
  return live;
}

void FillStream(const SurveyedStream& surveyed, const std::set<std::string>& live,
                v1::Stream& out) {
  const StreamDescription& stream = surveyed.entry->stream;
  out.set_name(stream.name);
  out.set_subject(stream.subject);
  out.set_group(stream.group);
  out.set_id(stream.id.value());
  out.set_created(stream.created.value());
  FillSettings(surveyed.entry->settings, *out.mutable_settings());
  for (size_t i = 0; i < stream.partitions.size(); ++i) {
    const absl::StatusOr<PartitionStatus>& status = surveyed.partitions[i];
    v1::Partition& partition = *out.add_partitions();
    FillPartition(stream.partitions[i], status, partition);
    FillReplicas(stream.partitions[i], surveyed.entry->settings.min_isr, live,
                 status.ok() ? &*status : nullptr, partition);
  }
  if (!stream.partitions.empty()) {
    out.set_replication_factor(static_cast<int32_t>(stream.partitions.front().replicas.size()));
  }
}

// What a stream shows that answers the same plain messages as another one does. None such is made
// any more, but older versions did.
using Entries = std::vector<std::shared_ptr<const CatalogEntry>>;

Entries ThoseThatAnswer(const StreamCatalog& catalog) {
  Entries answering = catalog.All();
  std::erase_if(answering, [](const auto& entry) {
    return entry->settings.reply_acks != ReplyAcks::kJetStream;
  });
  return answering;
}

std::string AckOverlapWarning(const Entries& answering, const CatalogEntry& entry) {
  if (entry.settings.reply_acks != ReplyAcks::kJetStream) return {};
  for (const auto& other : answering) {
    if (other->stream.name == entry.stream.name) continue;
    if (!HearSameMessages(entry.stream, other->stream)) continue;
    return Concat("stream ", other->stream.name, " answers messages of this stream's subject too ",
                  "(reply acks: jetstream), and publishers take whichever ack comes first: delete "
                  "one of the two and make it anew without reply acks or with another subject");
  }
  return {};
}

void Warn(const std::string& warning, v1::Stream& out) {
  if (warning.empty()) return;
  for (v1::Partition& partition : *out.mutable_partitions()) {
    std::string& degraded = *partition.mutable_degraded();
    degraded += degraded.empty() ? warning : Concat("; ", warning);
  }
}

// What "create if absent" answers when the name is taken.
absl::Status DescribeExisting(const ApiState& state, const StreamSpec& asked,
                              v1::CreateStreamResponse& response) {
  const auto here = state.ports.catalog.Find(asked.name);
  if (here == nullptr) {
    return absl::UnavailableError(
        Concat("stream ", asked.name, " is just being created or deleted: try again"));
  }
  const int brokers = static_cast<int>(state.ports.admin.Brokers().size());
  for (std::string& sentence : Differences(here->stream, here->settings, asked, brokers))
    response.add_differences(std::move(sentence));
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<PartitionPort>> FindPartition(const StreamCatalog& catalog,
                                                             const v1::ListGapsRequest& request) {
  RETURN_IF_ERROR(catalog.Current());
  const auto entry = catalog.Find(request.stream());
  if (entry == nullptr) return absl::NotFoundError(Concat("no such stream: ", request.stream()));
  const auto& partitions = entry->stream.partitions;
  const auto index = static_cast<size_t>(request.partition());
  if (request.partition() < 0 || index >= partitions.size()) {
    return absl::NotFoundError(
        Concat("stream ", request.stream(), " has no partition ", request.partition()));
  }
  if (index >= entry->partitions.size() || entry->partitions[index] == nullptr)
    return StandsElsewhere(partitions[index]);
  return entry->partitions[index];
}

void FillGaps(const GapPage& page, v1::ListGapsResponse& out) {
  for (const StoredGap& stored : page.gaps) {
    v1::Gap& gap = *out.add_gaps();
    gap.set_offset(stored.offset.value());
    gap.set_from(stored.gap.from.value());
    gap.set_to(stored.gap.to.value());
    gap.set_reason(static_cast<v1::GapReason>(stored.gap.reason));
    gap.set_messages(stored.gap.count);
  }
  out.set_next_offset(page.next ? page.next->value() : -1);
}

}  // namespace

grpc::ServerUnaryReactor* BasculeService::CreateStream(grpc::CallbackServerContext* context,
                                                       const v1::CreateStreamRequest* request,
                                                       v1::CreateStreamResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  auto spec = ToSpec(*request);
  if (!spec.ok()) {
    reactor->Finish(ToGrpc(spec.status()));
    return reactor;
  }
  state_.ports.admin.CreateStream(
      *spec, MetadataTimeout(*context, state_.ports.clock),
      [this, spec = *spec, request, response, reactor](absl::Status status) {
        response->set_created(status.ok());
        if (absl::IsAlreadyExists(status) && request->if_absent()) {
          status = DescribeExisting(state_, spec, *response);
        }
        reactor->Finish(ToGrpc(status));
      });
  return reactor;
}

grpc::ServerUnaryReactor* BasculeService::ListStreams(grpc::CallbackServerContext* context,
                                                      const v1::ListStreamsRequest* request,
                                                      v1::ListStreamsResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  if (const absl::Status current = state_.ports.catalog.Current(); !current.ok()) {
    reactor->Finish(ToGrpc(current));
    return reactor;
  }
  Entries entries;
  if (request->names().empty()) entries = state_.ports.catalog.All();
  for (const std::string& name : request->names()) {
    auto entry = state_.ports.catalog.Find(name);
    if (entry == nullptr) {
      reactor->Finish(ToGrpc(absl::NotFoundError(Concat("no such stream: ", name))));
      return reactor;
    }
    entries.push_back(std::move(entry));
  }
  // Each is held against all others: for a few that are asked for by name.
  constexpr int kNamesCompared = 16;
  const bool named = request->names_size() > 0 && request->names_size() <= kNamesCompared;
  SurveyPartitions(std::move(entries),
                   [this, named, response, reactor](std::vector<SurveyedStream> surveyed) {
                     const std::set<std::string> live = LiveBrokers(state_);
                     Entries answering;
                     if (named) answering = ThoseThatAnswer(state_.ports.catalog);
                     for (const SurveyedStream& stream : surveyed) {
                       v1::Stream& out = *response->add_streams();
                       FillStream(stream, live, out);
                       if (named) Warn(AckOverlapWarning(answering, *stream.entry), out);
                     }
                     reactor->Finish(grpc::Status::OK);
                   });
  return reactor;
}

grpc::ServerUnaryReactor* BasculeService::GetServerInfo(grpc::CallbackServerContext* context,
                                                        const v1::GetServerInfoRequest*,
                                                        v1::GetServerInfoResponse* response) {
  const ServerFacts facts = state_.ports.facts.Facts();
  response->set_version(facts.version);
  response->set_server_id(facts.server_id);
  response->set_namespace_(facts.cluster_namespace);
  response->set_incarnation(facts.incarnation);
  response->set_started(facts.started.value());
  response->set_data_dir(facts.data_dir);
  response->set_listen(facts.listen);
  response->set_advertised(facts.advertised);
  response->set_nats_connected(facts.nats_connected);
  response->set_nats_server(facts.nats_server);
  response->set_nats_max_payload(facts.nats_max_payload);
  response->set_max_message_bytes(facts.max_message_bytes);
  response->set_disk_available(facts.disk_available);
  response->set_disk_total(facts.disk_total);
  response->set_disk_reserve(facts.disk_reserve);
  uint64_t partitions = 0;
  const auto streams = state_.ports.catalog.All();
  for (const auto& entry : streams)
    for (const auto& partition : entry->partitions) partitions += partition != nullptr;
  response->set_streams(streams.size());
  response->set_partitions(partitions);
  auto& counters = *response->mutable_counters();
  for (const auto& [name, value] : facts.counters) counters[name] = value;
  for (const auto& [name, value] : state_.connection_counters()) counters[name] = value;
  counters["api_subscriptions_refused"] = state_.subscriptions_refused;
  counters["api_async_overflows"] = state_.async_overflows;
  for (const std::string& sentence : facts.degraded) response->add_degraded(sentence);
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerUnaryReactor* BasculeService::UpdateStream(grpc::CallbackServerContext* context,
                                                       const v1::UpdateStreamRequest* request,
                                                       v1::UpdateStreamResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  auto changes = ToChanges(*request);
  if (!changes.ok()) {
    reactor->Finish(ToGrpc(changes.status()));
    return reactor;
  }
  state_.ports.admin.UpdateStream(request->name(), *std::move(changes),
                                  MetadataTimeout(*context, state_.ports.clock),
                                  [this, request, response, reactor](const absl::Status& status) {
                                    // Deleted meanwhile, it has no settings any more.
                                    const auto entry = state_.ports.catalog.Find(request->name());
                                    if (status.ok() && entry != nullptr)
                                      FillSettings(entry->settings, *response->mutable_settings());
                                    reactor->Finish(ToGrpc(status));
                                  });
  return reactor;
}

grpc::ServerUnaryReactor* BasculeService::ListGaps(grpc::CallbackServerContext* context,
                                                   const v1::ListGapsRequest* request,
                                                   v1::ListGapsResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const auto port = FindPartition(state_.ports.catalog, *request);
  if (!port.ok()) {
    reactor->Finish(ToGrpc(port.status()));
    return reactor;
  }
  const Offset from(std::max<int64_t>(request->from_offset(), 0));
  (*port)->ListGaps(from, kGapsPerPage, [response, reactor](const absl::StatusOr<GapPage>& page) {
    if (page.ok()) FillGaps(*page, *response);
    reactor->Finish(ToGrpc(page.status()));
  });
  return reactor;
}

grpc::ServerUnaryReactor* BasculeService::GetClusterStatus(grpc::CallbackServerContext* context,
                                                           const v1::GetClusterStatusRequest*,
                                                           v1::GetClusterStatusResponse* response) {
  return BeginGetClusterStatus(state_, *context, *response);
}

grpc::ServerUnaryReactor* BasculeService::AddMember(grpc::CallbackServerContext* context,
                                                    const v1::AddMemberRequest* request,
                                                    v1::AddMemberResponse*) {
  return BeginAddMember(state_, *context, *request);
}

grpc::ServerUnaryReactor* BasculeService::RemoveMember(grpc::CallbackServerContext* context,
                                                       const v1::RemoveMemberRequest* request,
                                                       v1::RemoveMemberResponse*) {
  return BeginRemoveMember(state_, *context, *request);
}

grpc::ServerUnaryReactor* BasculeService::TransferLeadership(
    grpc::CallbackServerContext* context, const v1::TransferLeadershipRequest* request,
    v1::TransferLeadershipResponse*) {
  return BeginTransferLeadership(state_, *context, *request);
}

}  // namespace bascule::api
