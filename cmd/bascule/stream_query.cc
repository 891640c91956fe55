#include "cmd/bascule/stream_query.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "cmd/bascule/client.h"

namespace bascule::cli {
namespace {

using StreamsByName = std::map<std::string, StreamReport>;

Outcome<v1::ListStreamsResponse> List(Client& client, Broker& broker, const std::string& name) {
  v1::ListStreamsRequest request;
  if (!name.empty()) request.add_names(name);
  v1::ListStreamsResponse response;
  auto context = client.NewContext();
  const grpc::Status status = broker.own->ListStreams(context.get(), request, &response);
  if (!status.ok()) {
    return client.Explain(status, name.empty() ? "list the streams" : "describe stream " + name,
                          name);
  }
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

void MarkUnreached(const std::string& leader, const std::string& address, StreamsByName& reports) {
  for (auto& [name, report] : reports) {
    for (v1::Partition& partition : *report.stream.mutable_partitions()) {
      if (partition.leader() != leader || !partition.error().empty()) continue;
      partition.set_error(absl::StrCat("its leader ", leader, " cannot be reached at ", address,
                                       "; the numbers are those of a broker that follows it"));
    }
  }
}

bool LeadsAny(const std::string& broker, const StreamsByName& reports) {
  for (const auto& [name, report] : reports) {
    for (const v1::Partition& partition : report.stream.partitions()) {
      if (partition.leader() == broker) return true;
    }
  }
  return false;
}

}  // namespace

Outcome<std::vector<StreamReport>> QueryStreams(Client& client, const std::string& name) {
  Outcome<BrokerPtr> broker = client.Connect();
  if (!broker.ok()) return broker.failure();
  Outcome<v1::ListStreamsResponse> listed = List(client, **broker, name);
  if (!listed.ok()) return listed.failure();
  Outcome<proto::FetchMetadataResponse> metadata = client.FetchMetadata(name);
  if (!metadata.ok()) return metadata.failure();

  StreamsByName reports;
  for (const v1::Stream& stream : listed->streams()) reports[stream.name()].stream = stream;
  for (const proto::StreamMetadata& stream : metadata->streammetadata()) {
    const auto report = reports.find(stream.name());
    if (report == reports.end()) continue;
    for (const auto& [id, partition] : stream.partitions()) {
      report->second.flags[id] = {partition.paused(), partition.readonly()};
    }
  }
  // The first broker of the list is the one that answered.
  for (int i = 1; i < metadata->brokers_size(); ++i) {
    const proto::Broker& peer = metadata->brokers(i);
    if (!LeadsAny(peer.id(), reports)) continue;
    const std::string address = absl::StrCat(peer.host(), ":", peer.port());
    const BrokerPtr dialled = client.TryDial(address);
    Outcome<v1::ListStreamsResponse> truth =
        dialled ? List(client, *dialled, name) : Outcome<v1::ListStreamsResponse>(Failure{});
    if (truth.ok()) {
      MergeFrom(*truth, peer.id(), reports);
    } else {
      MarkUnreached(peer.id(), address, reports);
    }
  }
  std::vector<StreamReport> sorted;
  for (auto& [key, report] : reports) sorted.push_back(std::move(report));
  return sorted;
}

}  // namespace bascule::cli
