#include "core/config/rules.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace bascule {
namespace {

bool IsGiven(const Given& given, const std::string& key) { return given.count(key) > 0; }

Place PlaceOf(const Given& given, const std::string& key) {
  const auto found = given.find(key);
  return found == given.end() ? Place{"configuration"} : found->second;
}

bool IsEveryInterface(const std::string& host) { return host == "0.0.0.0" || host == "::"; }

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

}  // namespace

void Complete(Config& config, const Given& given, Faults& faults) {
  CompleteAddresses(config, given);
  CheckServerTls(config, given, faults);
  CheckNats(config, given, faults);
}

}  // namespace bascule
