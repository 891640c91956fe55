#include "cmd/bascule/stream_query.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "cmd/bascule/client.h"

namespace bascule::cli {
namespace {

using StreamsByName = std::map<std::string, StreamReport>;

std::string Doing(const std::string& name) {
  return name.empty() ? "list the streams" : "describe stream " + name;
}

Outcome<v1::ListStreamsResponse> List(Client& client, Broker& broker, const std::string& name) {
  v1::ListStreamsRequest request;
  if (!name.empty()) request.add_names(name);
  v1::ListStreamsResponse response;
  auto context = client.NewContext();
  const grpc::Status status = broker.own->ListStreams(context.get(), request, &response);
  if (!status.ok()) return client.Explain(status, Doing(name), name);
  return response;
}

// Replaces the numbers of every partition that `leader` leads by what it says itself.
void MergeFrom(const v1::ListStreamsResponse& truth, const std::string& leader,
               StreamsByName& reports) {
  for (const v1::Stream& stream : truth.streams()) {
    const auto report = reports.find(stream.name());
    if (report == reports.end()) continue;
    for (v1::Partition& partition : *report->second.stream.mutable_partitions()) {
      const auto same = std::find_if(
          stream.partitions().begin(), stream.partitions().end(),
          [&](const v1::Partition& p) { return p.id() == partition.id() && p.leader() == leader; });
      if (same != stream.partitions().end()) partition = *same;
    }
  }
}

// `why`: how its leader could not be asked. Keeps what a partition says of itself.
void MarkUnreached(const std::string& leader, const std::string& why, StreamsByName& reports) {
  for (auto& [name, report] : reports) {
    for (v1::Partition& partition : *report.stream.mutable_partitions()) {
      if (partition.leader() != leader) continue;
      // With an error the asked broker has no numbers itself.
      partition.set_error(absl::StrCat(
          "its leader ", leader, " ", why,
          partition.error().empty() ? "; the numbers are those of a broker that follows it" : ""));
    }
  }
}

std::set<std::string> Leaders(const StreamsByName& reports) {
  std::set<std::string> leaders;
  for (const auto& [name, report] : reports) {
    for (const v1::Partition& partition : report.stream.partitions())
      if (!partition.leader().empty()) leaders.insert(partition.leader());
  }
  return leaders;
}

// Asks every leader but the broker that answered for its own numbers.
void AskLeaders(Client& client, const std::string& name,
                const proto::FetchMetadataResponse& metadata, StreamsByName& reports) {
  if (metadata.brokers().empty()) return;
  std::map<std::string, std::string> addresses;
  for (const proto::Broker& broker : metadata.brokers())
    addresses[broker.id()] = absl::StrCat(broker.host(), ":", broker.port());
  for (const std::string& leader : Leaders(reports)) {
    if (leader == metadata.brokers(0).id()) continue;  // the one that answered stands first
    const auto address = addresses.find(leader);
    if (address == addresses.end()) {
      MarkUnreached(leader, "is not among the live brokers", reports);
      continue;
    }
    const BrokerPtr dialled = client.TryDial(address->second);
    Outcome<v1::ListStreamsResponse> truth =
        dialled ? List(client, *dialled, name) : Outcome<v1::ListStreamsResponse>(Failure{});
    if (truth.ok()) {
      MergeFrom(*truth, leader, reports);
    } else {
      MarkUnreached(leader, absl::StrCat("cannot be reached at ", address->second), reports);
    }
  }
}

}  // namespace

Outcome<std::vector<StreamReport>> QueryStreams(Client& client, const std::string& name) {
  v1::ListStreamsResponse listed;
  v1::ListStreamsRequest request;
  if (!name.empty()) request.add_names(name);
  const auto failure = client.Ask(Doing(name), name, [&](Broker& broker, auto* context) {
    return broker.own->ListStreams(context, request, &listed);
  });
  if (failure) return *failure;
  Outcome<proto::FetchMetadataResponse> metadata = client.FetchMetadata(name);
  if (!metadata.ok()) return metadata.failure();

  StreamsByName reports;
  for (const v1::Stream& stream : listed.streams()) reports[stream.name()].stream = stream;
  for (const proto::StreamMetadata& stream : metadata->streammetadata()) {
    const auto report = reports.find(stream.name());
    if (report == reports.end()) continue;
    for (const auto& [id, partition] : stream.partitions()) {
      report->second.flags[id] = {partition.paused(), partition.readonly()};
    }
  }
  AskLeaders(client, name, *metadata, reports);
  std::vector<StreamReport> sorted;
  for (auto& [key, report] : reports) sorted.push_back(std::move(report));
  return sorted;
}

std::optional<Failure> QueryGaps(Client& client, const std::string& stream, int32_t partition,
                                 std::vector<PartitionGap>& gaps) {
  Outcome<PartitionLeader> leader = client.FindLeader(stream, partition);
  if (!leader.ok()) return leader.failure();
  v1::ListGapsRequest request;
  request.set_stream(stream);
  request.set_partition(partition);
  v1::ListGapsResponse response;
  do {
    request.set_from_offset(response.next_offset());
    auto context = client.NewContext();
    const grpc::Status status = leader->broker->own->ListGaps(context.get(), request, &response);
    if (!status.ok()) {
      return client.Explain(status,
                            absl::StrCat("list the gaps of partition ", partition, " of ", stream),
                            stream, leader->broker);
    }
    for (const v1::Gap& gap : response.gaps()) gaps.push_back({partition, gap});
  } while (response.next_offset() > request.from_offset());
  return std::nullopt;
}

}  // namespace bascule::cli
