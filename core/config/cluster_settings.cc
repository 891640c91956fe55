// Settings of the cluster: Liftbridge's keys of its metadata group, and ours for the connections
// between brokers.
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "core/config/kind.h"
#include "core/config/settings.h"

namespace bascule::config {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Rows = std::vector<Setting<Config>>;

constexpr int32_t kMostVoters = 1000;
constexpr int64_t kLeastSnapshotEntries = 16;
constexpr int64_t kMostSnapshotEntries = 1'000'000;

template <typename T>
void Add(Rows& rows, const std::string& key, const Kind<T>& kind, T ClusterSettings::*setting,
         const std::string& doc) {
  rows.push_back(Works<Config>(
      key, kind, [setting](auto& config) -> auto& { return config.cluster.*setting; }, doc));
}

void AddRaft(Rows& rows) {
  using S = ClusterSettings;
  Add(rows, "clustering.raft.bootstrap.seed", SwitchKind(), &S::bootstrap_seed,
      "Start the cluster when no member of it answers; for one of its brokers. A broker that is "
      "alone needs it not.");
  Add(rows, "clustering.raft.bootstrap.peers", ServerIdsKind(), &S::bootstrap_peers,
      "Server ids of all brokers that start the cluster together, this one's among them; the same "
      "on each. A majority of them must be up.");
  Add(rows, "clustering.raft.max.quorum.size", CountKind(0, kMostVoters), &S::max_voters,
      "Brokers that vote on metadata; further ones receive it and take the place of a voter that "
      "goes. 0 = all vote.");
  Add(rows, "clustering.raft.snapshot.threshold",
      WholeKind(kLeastSnapshotEntries, kMostSnapshotEntries), &S::snapshot_entries,
      "Changes of metadata after which they are folded into a snapshot.");
  rows.push_back(NotBuilt<Config>("clustering.raft.snapshot.retain", WholeKind(0), {"2"},
                                  "another number of kept metadata snapshots"));
  rows.push_back(NotBuilt<Config>("clustering.raft.cache.size", WholeKind(0), {"512"},
                                  "tuning of the metadata cache (it sizes itself)"));
}

void AddConnections(Rows& rows) {
  using S = ClusterSettings;
  Add(rows, "cluster.listen", AddressKind(), &S::listen,
      "Address for the connections of other brokers; port 0 = any free port. Setting it, "
      "cluster.join or clustering.raft.bootstrap.peers makes the broker part of a cluster.");
  Add(rows, "cluster.advertised", DialAddressKind(), &S::advertised,
      "Address that other brokers dial. Without it: that of cluster.listen, with \"host\" for "
      "every interface.");
  Add(rows, "cluster.join", PeerAddressesKind(), &S::join,
      "Peer addresses of members to join the cluster at; any that answers is enough. Members on "
      "the same NATS and namespace are found without.");
  const auto path = [&rows](const std::string& key, std::string ClusterTls::*file,
                            const std::string& doc) {
    rows.push_back(Works<Config>(
        key, PathKind(), [file](auto& config) -> auto& { return config.cluster.tls.*file; }, doc));
  };
  path("cluster.tls.ca", &ClusterTls::ca,
       "Authority that signed the certificates of all brokers of the cluster, PEM; bascule cluster "
       "certs makes one.");
  path("cluster.tls.cert", &ClusterTls::cert,
       "Certificate that this broker shows to the others, PEM; it names the server id.");
  path("cluster.tls.key", &ClusterTls::key, "Private key of that certificate, PEM.");
  Add(rows, "cluster.insecure", SwitchKind(), &S::insecure,
      "Connect the brokers without TLS: whoever reaches the port can take part. For trusted "
      "networks and experiments.");
  Add(rows, "cluster.rack", TextKind(CheckRack), &S::rack,
      "Rack or zone of this broker; replicas of a partition are spread over them.");
}

void AddTimes(Rows& rows) {
  using S = ClusterSettings;
  Add(rows, "cluster.session.timeout", PeriodBetweenKind(milliseconds(500), seconds(60)),
      &S::session_timeout,
      "Silence after which a broker counts as gone and its partitions get other leaders. One "
      "whose process has ended counts as gone 300 ms after its connections broke.");
  Add(rows, "cluster.raft.heartbeat", PeriodBetweenKind(milliseconds(10), seconds(5)),
      &S::heartbeat, "How often the metadata leader shows that it is there.");
  Add(rows, "cluster.raft.election.timeout", PeriodBetweenKind(milliseconds(50), seconds(60)),
      &S::election_timeout,
      "Silence of the metadata leader after which another is elected; at least three heartbeats.");
}

}  // namespace

Rows MakeClusterRows() {
  Rows rows;
  AddRaft(rows);
  AddConnections(rows);
  AddTimes(rows);
  return rows;
}

}  // namespace bascule::config
