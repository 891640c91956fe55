#include "tests/integration/cluster_world.h"

#include <algorithm>
#include <cstdlib>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "tests/integration/cluster_network.h"

namespace bascule::cluster_job {

std::string IdOf(int i) { return absl::StrCat("b", i + 1); }

// --- Cluster ---

Cluster::Cluster(ClusterOptions options) : options_(std::move(options)) {
  NatsServerOptions nats;
  if (options_.network != nullptr) nats.host = CutNetwork::TestHost();
  nats_ = StartNats(nats);
  std::vector<std::string> ids;
  for (int i = 0; i < options_.brokers; ++i) ids.push_back(IdOf(i));
  if (options_.tls) MakeCertificates(ids);
  for (int i = 0; i < options_.brokers; ++i) {
    if (options_.peers) {
      Add({"--raft-bootstrap-peers", absl::StrJoin(ids, ",")});
    } else {
      Add(i == 0 ? std::vector<std::string>{"--raft-bootstrap-seed"} : std::vector<std::string>{});
    }
  }
}

void Cluster::MakeCertificates(const std::vector<std::string>& ids) {
  std::vector<std::string> args = {"cluster", "certs", "--out", files_.Path("certs")};
  for (const std::string& id : ids) args.insert(args.end(), {"--server-id", id});
  const RunResult made = RunTool("bascule", args);
  REQUIRE_MESSAGE(made.exit.ok(), made.errors);
}

std::string Cluster::PeerAddress(int i) const {
  // Nobody else's port in a namespace of its own.
  if (options_.network != nullptr) return absl::StrCat(options_.network->PeerHost(i), ":9293");
  return absl::StrCat("127.0.0.1:", peer_ports_.at(static_cast<size_t>(i)));
}

std::string Cluster::Servers() const {
  std::vector<std::string> addresses;
  for (const auto& broker : brokers_) addresses.push_back(broker->address());
  return absl::StrJoin(addresses, ",");
}

MainBroker& Cluster::Add(std::vector<std::string> args, const std::string& nats_url) {
  const int i = size();
  peer_ports_.push_back(PickFreePort());
  const std::vector<std::string> common = ArgsOf(i);
  args.insert(args.end(), common.begin(), common.end());
  args.insert(args.end(), options_.args.begin(), options_.args.end());
  brokers_.push_back(
      std::make_unique<MainBroker>(nats_url.empty() ? nats_->url() : nats_url, std::move(args)));
  if (options_.network != nullptr) {
    brokers_.back()->PutAt(absl::StrCat(options_.network->ClientHost(i), ":9292"),
                           options_.network->Launcher(i));
  }
  return *brokers_.back();
}

std::vector<std::string> Cluster::ArgsOf(int i) const {
  std::vector<std::string> args = {"--server-id",      IdOf(i),       "--namespace", kNamespace,
                                   "--cluster-listen", PeerAddress(i)};
  if (!options_.tls) {
    args.push_back("--cluster-insecure");
    return args;
  }
  const std::string certs = files_.Path("certs");
  args.insert(args.end(), {"--cluster-tls-ca", certs + "/ca.pem", "--cluster-tls-cert",
                           absl::StrCat(certs, "/", IdOf(i), ".pem"), "--cluster-tls-key",
                           absl::StrCat(certs, "/", IdOf(i), ".key")});
  return args;
}

void Cluster::Start() {
  for (const auto& broker : brokers_) broker->Launch();
  for (const auto& broker : brokers_) broker->AwaitServing();
  AwaitAllLive();
  AwaitAllVote();
}

// The leader says so first, when it has applied it. The others survive its death as a majority from when they
// have applied it, which their logs say.
void Cluster::AwaitAllVote(std::chrono::milliseconds limit) {
  const std::string number = absl::StrCat(" ", size());
  const auto knows = [&number](const std::string& log) {
    const size_t last = log.rfind(" brokers vote: ");
    return last != std::string::npos && absl::EndsWith(log.substr(0, last), number);
  };
  const bool vote = Eventually(
      [&] {
        const auto status = StatusOf(at(0));
        return status && status->members_size() == size() &&
               std::all_of(status->members().begin(), status->members().end(),
                           [](const v1::ClusterMember& member) { return member.voter(); }) &&
               std::all_of(brokers_.begin(), brokers_.end(),
                           [&](const auto& broker) { return size() == 1 || knows(broker->Log()); });
      },
      limit);
  REQUIRE_MESSAGE(vote, "not every broker votes:\n", Tail());
}

void Cluster::AwaitAllLive(std::chrono::milliseconds limit) {
  const bool live = Eventually(
      [&] {
        return std::all_of(brokers_.begin(), brokers_.end(), [&](const auto& broker) {
          const auto metadata = MetadataOf(*broker);
          return metadata && LiveOf(*metadata).size() == brokers_.size();
        });
      },
      limit);
  REQUIRE_MESSAGE(live, "not every broker sees every other:\n", Tail());
}

int Cluster::Leader() {
  std::map<std::string, int> votes;
  for (const auto& broker : brokers_) {
    if (!broker->Running()) continue;
    const auto status = StatusOf(*broker, std::chrono::milliseconds(300));
    if (status && !status->leader().empty()) ++votes[status->leader()];
  }
  for (int i = 0; i < size(); ++i) {
    if (votes.contains(IdOf(i)) && votes[IdOf(i)] * 2 > size() && at(i).Running()) return i;
  }
  return -1;
}

int Cluster::AwaitLeader(std::chrono::milliseconds limit) {
  return AwaitLeaderOtherThan(-1, limit);
}

int Cluster::AwaitLeaderOtherThan(int old, std::chrono::milliseconds limit) {
  int leader = -1;
  const bool found = Eventually(
      [&] {
        leader = Leader();
        return leader >= 0 && leader != old;
      },
      limit);
  REQUIRE_MESSAGE(found, "no new metadata leader:\n", Tail());
  return leader;
}

std::string Cluster::AwaitSameTables(std::chrono::milliseconds limit) {
  std::vector<std::string> tables;
  const bool same = Eventually(
      [&] {
        tables.clear();
        for (const auto& broker : brokers_) tables.push_back(TableOf(*broker));
        return tables.front() != "?" &&
               std::all_of(tables.begin(), tables.end(),
                           [&](const auto& t) { return t == tables.front(); });
      },
      limit);
  REQUIRE_MESSAGE(same, "the brokers' tables differ:\n", absl::StrJoin(tables, "\n---\n"), "\n",
                  Tail());
  return tables.front();
}

std::string Cluster::Tail() const {
  std::string text;
  for (size_t i = 0; i < brokers_.size(); ++i)
    absl::StrAppend(&text, IdOf(static_cast<int>(i)), ": ", brokers_[i]->Tail(), "\n");
  return text;
}

// --- what one broker says ---

std::optional<v1::GetClusterStatusResponse> StatusOf(MainBroker& broker,
                                                     std::chrono::milliseconds limit) {
  v1::GetClusterStatusResponse status;
  grpc::ClientContext context;
  Bound(context, limit);
  if (!broker.own().GetClusterStatus(&context, {}, &status).ok()) return std::nullopt;
  return status;
}

std::optional<proto::FetchMetadataResponse> MetadataOf(MainBroker& broker,
                                                       std::chrono::milliseconds limit) {
  proto::FetchMetadataResponse metadata;
  grpc::ClientContext context;
  Bound(context, limit);
  if (!broker.api().FetchMetadata(&context, {}, &metadata).ok()) return std::nullopt;
  return metadata;
}

std::string TableOf(MainBroker& broker) {
  v1::ListStreamsResponse streams;
  grpc::ClientContext context;
  Bound(context, std::chrono::seconds(5));
  if (!broker.own().ListStreams(&context, {}, &streams).ok()) return "?";
  std::string table;
  for (const v1::Stream& stream : streams.streams()) {
    for (const v1::Partition& partition : stream.partitions()) {
      absl::StrAppend(&table, stream.name(), " ", stream.id(), " ", stream.subject(), " ",
                      partition.id(), " ", partition.leader().empty() ? "-" : partition.leader(),
                      " ", absl::StrJoin(partition.replicas(), ","), " ",
                      absl::StrJoin(partition.isr(), ","), "\n");
    }
  }
  return table;
}

std::set<std::string> LiveOf(const proto::FetchMetadataResponse& metadata) {
  std::set<std::string> ids;
  for (const proto::Broker& broker : metadata.brokers()) ids.insert(broker.id());
  return ids;
}

std::string LeaderOf(MainBroker& broker, const std::string& stream, int partition) {
  const auto metadata = MetadataOf(broker);
  if (!metadata) return "";
  for (const proto::StreamMetadata& one : metadata->streammetadata()) {
    if (one.name() != stream) continue;
    const auto it = one.partitions().find(partition);
    return it == one.partitions().end() ? "" : it->second.leader();
  }
  return "";
}

// --- what clients ask ---

grpc::Status CreateStream(proto::API::Stub& api, const std::string& name,
                          std::chrono::milliseconds limit, int partitions) {
  proto::CreateStreamRequest request;
  request.set_name(name);
  request.set_subject("cluster." + name);
  request.set_partitions(partitions);
  proto::CreateStreamResponse response;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + limit);
  return api.CreateStream(&context, request, &response);
}

grpc::Status DeleteStream(proto::API::Stub& api, const std::string& name,
                          std::chrono::milliseconds limit) {
  proto::DeleteStreamRequest request;
  request.set_name(name);
  proto::DeleteStreamResponse response;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + limit);
  return api.DeleteStream(&context, request, &response);
}

RunResult RunCli(const std::string& servers, std::vector<std::string> args) {
  args.insert(args.begin(), {"--server", servers});
  return RunTool("bascule", std::move(args));
}

std::chrono::seconds TestSeconds(const char* variable, int otherwise) {
  const char* text = std::getenv(variable);
  int seconds = otherwise;
  if (text != nullptr && !absl::SimpleAtoi(text, &seconds)) seconds = otherwise;
  return std::chrono::seconds(seconds);
}

std::string Distribution(std::vector<double> milliseconds) {
  if (milliseconds.empty()) return "n=0";
  std::sort(milliseconds.begin(), milliseconds.end());
  const auto at = [&](double share) {
    const auto last = static_cast<double>(milliseconds.size() - 1);
    return milliseconds[static_cast<size_t>(share * last + 0.5)];
  };
  return absl::StrFormat("n=%d p50=%.0f p95=%.0f max=%.0f ms", milliseconds.size(), at(0.5),
                         at(0.95), milliseconds.back());
}

double Max(const std::vector<double>& values) {
  return values.empty() ? 0 : *std::max_element(values.begin(), values.end());
}

}  // namespace bascule::cluster_job
