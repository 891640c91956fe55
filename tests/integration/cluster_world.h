// A cluster of real brokers on one NATS, and what its tests look at: the parts of
// cluster_*_test.cc.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/integration/main_world.h"

namespace bascule::cluster_job {

using main_job::Bound;
using main_job::Has;
using main_job::kMiB;
using main_job::kPatience;
using main_job::MainBroker;
using main_job::RunTool;
using main_job::Seconds;
using main_job::StartNats;

inline constexpr char kNamespace[] = "cluster-test";

class CutNetwork;

struct ClusterOptions {
  int brokers = 3;
  bool tls = false;    // mutual, else cluster.insecure
  bool peers = false;  // all start the cluster together, else the first one is the seed
  std::vector<std::string> args{};      // further ones of every broker
  const CutNetwork* network = nullptr;  // where they run, each by itself; NATS is the test's
};

// Brokers b1, b2, ... at 0, 1, ... They die with the test. Processes are started and ended by one
// thread.
class Cluster {
 public:
  explicit Cluster(ClusterOptions options = {});

  // All of them; returns when every broker sees every other live, and all vote.
  void Start();
  // Adds a broker without starting it; `args` instead of those of the bootstrap. `nats_url`:
  // another NATS than the cluster's, where nobody is found.
  MainBroker& Add(std::vector<std::string> args = {}, const std::string& nats_url = "");
  void AwaitAllLive(std::chrono::milliseconds limit = kPatience);

  void AwaitAllVote(std::chrono::milliseconds limit = kPatience);

  int size() const { return static_cast<int>(brokers_.size()); }
  MainBroker& at(int i) { return *brokers_.at(static_cast<size_t>(i)); }
  std::string PeerAddress(int i) const;
  std::string Certificates() const { return files_.Path("certs"); }  // their directory
  std::string Servers() const;  // all brokers' addresses, for the command line
  NatsServer& nats() { return *nats_; }
  // Position of the metadata leader that a majority names; -1: there is none.
  int Leader();
  int AwaitLeader(std::chrono::milliseconds limit = kPatience);
  int AwaitLeaderOtherThan(int old, std::chrono::milliseconds limit = kPatience);
  // Until every broker says the same of all streams; the test ends when they do not. Returns it.
  std::string AwaitSameTables(std::chrono::milliseconds limit = kPatience);
  // The ends of all brokers' logs, for a failing test.
  std::string Tail() const;

 private:
  void MakeCertificates(const std::vector<std::string>& ids);
  std::vector<std::string> ArgsOf(int i) const;

  ClusterOptions options_;
  TempDir files_;
  std::unique_ptr<NatsServer> nats_;
  std::vector<int> peer_ports_;
  std::vector<std::unique_ptr<MainBroker>> brokers_;
};

std::string IdOf(int i);  // "b1" of 0
// By one broker, alone, within `limit`.
std::optional<v1::GetClusterStatusResponse> StatusOf(
    MainBroker& broker, std::chrono::milliseconds limit = std::chrono::seconds(2));
std::optional<proto::FetchMetadataResponse> MetadataOf(
    MainBroker& broker, std::chrono::milliseconds limit = std::chrono::seconds(2));
// What is the same on every broker: a line for each partition, "name id subject partition leader
// replicas isr"; "?" when the broker does not answer.
std::string TableOf(MainBroker& broker);
std::set<std::string> LiveOf(const proto::FetchMetadataResponse& metadata);
// The leader that this broker's FetchMetadata shows; empty: none, or no such partition.
std::string LeaderOf(MainBroker& broker, const std::string& stream, int partition = 0);

grpc::Status CreateStream(proto::API::Stub& api, const std::string& name,
                          std::chrono::milliseconds limit, int partitions = 1);
grpc::Status DeleteStream(proto::API::Stub& api, const std::string& name,
                          std::chrono::milliseconds limit);
// `bascule` against these servers.
RunResult RunCli(const std::string& servers, std::vector<std::string> args);

// Seconds that `variable` names, else `otherwise`: how long a load runs.
std::chrono::seconds TestSeconds(const char* variable, int otherwise);
// "n=.. p50=.. p95=.. max=.. ms"
std::string Distribution(std::vector<double> milliseconds);
double Max(const std::vector<double>& values);

}  // namespace bascule::cluster_job

// Every check in a test with a cluster `c` says what its brokers last wrote.
#define CLUSTER_CHECK(c, ...) CHECK_MESSAGE((__VA_ARGS__), (c).Tail())
#define CLUSTER_REQUIRE(c, ...) REQUIRE_MESSAGE((__VA_ARGS__), (c).Tail())
