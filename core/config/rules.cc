#include "core/config/rules.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/config/kind.h"

namespace bascule::config {
namespace {

bool IsGiven(const Given& given, const std::string& key) { return given.count(key) > 0; }

Place PlaceOf(const Given& given, const std::string& key) {
  const auto found = given.find(key);
  return found == given.end() ? Place{"configuration"} : found->second;
}

// Who sets "listen" only is dialled there; who sets "host" and "port" only listens there, as in
// Liftbridge.
void CompleteAddresses(Config& config, const Given& given) {
  const bool host = IsGiven(given, "host");
  if (!IsGiven(given, "listen")) {
    if (host) config.listen.host = config.advertised.host;
    config.listen.port = config.advertised.port;
    return;
  }
  if (!IsGiven(given, "port")) config.advertised.port = config.listen.port;
  // The default, localhost, is right for every interface too: it works for clients on this machine
  // and behind port forwarding, which a guessed host name does not.
  if (!host && !IsEveryInterface(config.listen.host)) config.advertised.host = config.listen.host;
}

void RequireBoth(const std::string& a_key, const std::string& a, const std::string& b_key,
                 const std::string& b, const Given& given, Faults& faults) {
  if (a.empty() == b.empty()) return;
  const std::string& there = a.empty() ? b_key : a_key;
  const std::string& missing = a.empty() ? a_key : b_key;
  faults.Add(PlaceOf(given, there), absl::StrCat("\"", there, "\" is set but \"", missing,
                                                 "\" is not; set both or neither"));
}

void CheckServerTls(const Config& config, const Given& given, Faults& faults) {
  const ServerTls& tls = config.tls;
  RequireBoth("tls.cert", tls.cert, "tls.key", tls.key, given, faults);
  if (tls.client_auth && tls.cert.empty() && tls.key.empty())
    faults.Add(PlaceOf(given, "tls.client.auth.enabled"),
               "\"tls.client.auth.enabled\" needs TLS; set \"tls.cert\" and \"tls.key\" too");
  if (!tls.client_auth && !tls.client_ca.empty())
    faults.Add(
        PlaceOf(given, "tls.client.auth.ca"),
        "\"tls.client.auth.ca\" has no effect unless \"tls.client.auth.enabled\" is true; set "
        "that too or remove it");
  if (!tls.client_auth && !config.admin.identities.empty())
    faults.Add(PlaceOf(given, "admin.identities"),
               "\"admin.identities\" has no effect unless \"tls.client.auth.enabled\" is true: "
               "set that too or remove it");
}

void CheckNatsLogin(const NatsSettings& nats, const Given& given, Faults& faults) {
  const std::vector<std::pair<std::string, const std::string*>> ways = {
      {"nats.user", &nats.user},
      {"nats.token", &nats.token},
      {"nats.creds", &nats.creds},
      {"nats.nkey.seed", &nats.nkey_seed}};
  std::string first;
  for (const auto& [key, value] : ways) {
    if (value->empty()) continue;
    if (first.empty()) {
      first = key;
      continue;
    }
    faults.Add(PlaceOf(given, key),
               absl::StrCat("\"", key, "\" and \"", first, "\" (", ToText(PlaceOf(given, first)),
                            ") are two ways to log in to NATS; keep one"));
  }
  if (!nats.password.empty() && nats.user.empty())
    faults.Add(PlaceOf(given, "nats.password"),
               "\"nats.password\" is set but \"nats.user\" is not; set both or neither");
}

void CheckNats(Config& config, const Given& given, Faults& faults) {
  NatsSettings& nats = config.nats;
  CheckNatsLogin(nats, given, faults);
  RequireBoth("nats.tls.cert", nats.tls.cert, "nats.tls.key", nats.tls.key, given, faults);
  // Liftbridge: a configuration file for the embedded server asks for it.
  if (!IsGiven(given, "nats.embedded") && !nats.embedded.config.empty())
    nats.embedded.enabled = true;
  if (nats.embedded.enabled && IsGiven(given, "nats.servers"))
    faults.Add(
        PlaceOf(given, "nats.servers"),
        "\"nats.servers\" names servers, but an embedded one is asked for; remove one of the "
        "two");
  // An explicit false keeps them for another day; without it somebody expects a server.
  if (nats.embedded.enabled || IsGiven(given, "nats.embedded")) return;
  for (const std::string key : {"nats.embedded.port", "nats.embedded.binary"})
    if (IsGiven(given, key))
      faults.Add(PlaceOf(given, key), absl::StrCat("\"", key,
                                                   "\" has no effect unless \"nats.embedded\" is "
                                                   "true; set that too or remove it"));
}

// The setting that makes this broker a member of a cluster; empty when none does.
std::string ClusterKey(const ClusterSettings& cluster, const Given& given) {
  if (IsGiven(given, "cluster.listen")) return "cluster.listen";
  if (!cluster.join.empty()) return "cluster.join";
  if (!cluster.bootstrap_peers.empty()) return "clustering.raft.bootstrap.peers";
  return "";
}

// Settings that nobody gives to a broker that is to stay alone.
void CheckAlone(const ClusterSettings& cluster, const Given& given, Faults& faults) {
  const std::vector<std::pair<std::string, bool>> pointless = {
      {"cluster.advertised", !cluster.advertised.host.empty()},
      {"cluster.tls.ca", !cluster.tls.ca.empty()},
      {"cluster.tls.cert", !cluster.tls.cert.empty()},
      {"cluster.tls.key", !cluster.tls.key.empty()},
      {"cluster.insecure", cluster.insecure}};
  for (const auto& [key, is_set] : pointless)
    if (is_set)
      faults.Add(PlaceOf(given, key),
                 absl::StrCat("\"", key,
                              "\" has no effect on a broker that is alone; set "
                              "\"cluster.listen\" or \"cluster.join\" too or remove it"));
}

void CheckClusterTls(const ClusterSettings& cluster, const std::string& why, const Given& given,
                     Faults& faults) {
  const std::vector<std::pair<std::string, const std::string*>> parts = {
      {"cluster.tls.ca", &cluster.tls.ca},
      {"cluster.tls.cert", &cluster.tls.cert},
      {"cluster.tls.key", &cluster.tls.key}};
  std::string there, missing;
  for (const auto& [key, value] : parts) {
    std::string& first = value->empty() ? missing : there;
    if (first.empty()) first = key;
  }
  if (there.empty() && !cluster.insecure) {
    faults.Add(PlaceOf(given, why),
               absl::StrCat("\"", why,
                            "\" makes this broker part of a cluster, whose connections need TLS; "
                            "set \"cluster.tls.ca\", \"cluster.tls.cert\" and "
                            "\"cluster.tls.key\" (bascule cluster certs makes the files), or "
                            "\"cluster.insecure\" to true where the network is trusted"));
  } else if (!there.empty() && cluster.insecure) {
    faults.Add(PlaceOf(given, "cluster.insecure"),
               absl::StrCat("\"cluster.insecure\" and \"", there, "\" (",
                            ToText(PlaceOf(given, there)), ") contradict each other; keep one"));
  } else if (!there.empty() && !missing.empty()) {
    faults.Add(PlaceOf(given, there), absl::StrCat("\"", there, "\" is set but \"", missing,
                                                   "\" is not; set all of \"cluster.tls.ca\", "
                                                   "\"cluster.tls.cert\" and \"cluster.tls.key\""));
  }
}

void CheckBootstrap(const Config& config, const Given& given, Faults& faults) {
  const std::vector<std::string>& peers = config.cluster.bootstrap_peers;
  if (peers.empty()) return;
  const std::string key = "clustering.raft.bootstrap.peers";
  const Place place = PlaceOf(given, key);
  if (config.cluster.bootstrap_seed)
    faults.Add(place, absl::StrCat("\"", key, "\" and \"clustering.raft.bootstrap.seed\" (",
                                   ToText(PlaceOf(given, "clustering.raft.bootstrap.seed")),
                                   ") are two ways to start a cluster; keep one"));
  if (config.server_id.empty()) {
    faults.Add(place, absl::StrCat("\"", key,
                                   "\" needs \"clustering.server.id\", which says which of them "
                                   "this broker is; set that too"));
  } else if (std::find(peers.begin(), peers.end(), config.server_id) == peers.end()) {
    faults.Add(place,
               absl::StrCat("\"", key, "\" does not name this broker, ", Quoted(config.server_id),
                            "; list every first member, the same on each"));
  }
}

// What other brokers dial, and with it what clients dial where nothing better was said.
void CompletePeerAddress(Config& config, const std::string& why, const Given& given,
                         Faults& faults) {
  ClusterSettings& cluster = config.cluster;
  if (cluster.advertised.host.empty()) {
    cluster.advertised = cluster.listen;
    if (IsEveryInterface(cluster.listen.host)) cluster.advertised.host = config.advertised.host;
    const bool guessed = IsEveryInterface(cluster.listen.host) && !IsGiven(given, "host") &&
                         IsEveryInterface(config.listen.host);
    if (guessed)
      return faults.Add(PlaceOf(given, why),
                        "other brokers need an address of this one; set \"cluster.advertised\" to "
                        "a host and port that they can dial, or \"cluster.listen\" to such a one");
  }
  if (!IsGiven(given, "host") && IsEveryInterface(config.listen.host))
    config.advertised.host = cluster.advertised.host;
}

void CompleteCluster(Config& config, const Given& given, Faults& faults) {
  ClusterSettings& cluster = config.cluster;
  if (cluster.election_timeout < 3 * cluster.heartbeat)
    faults.Add(PlaceOf(given, IsGiven(given, "cluster.raft.election.timeout")
                                  ? "cluster.raft.election.timeout"
                                  : "cluster.raft.heartbeat"),
               "\"cluster.raft.election.timeout\" must be at least three times "
               "\"cluster.raft.heartbeat\", so that one lost message starts no election");
  const std::string why = ClusterKey(cluster, given);
  cluster.enabled = !why.empty();
  if (!cluster.enabled) return CheckAlone(cluster, given, faults);
  CheckClusterTls(cluster, why, given, faults);
  CheckBootstrap(config, given, faults);
  CompletePeerAddress(config, why, given, faults);
}

}  // namespace

void Complete(Config& config, const Given& given, Faults& faults) {
  CompleteAddresses(config, given);
  CheckServerTls(config, given, faults);
  CheckNats(config, given, faults);
  CompleteCluster(config, given, faults);
}

}  // namespace bascule::config
