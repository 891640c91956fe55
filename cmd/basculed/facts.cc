#include "cmd/basculed/facts.h"

#include <utility>

#include "absl/strings/str_format.h"
#include "core/base/limits.h"
#include "core/base/logging.h"
#include "core/base/text.h"
#include "replication/peer/certificates.h"

namespace bascule::daemon {

std::string ApiCertificateName(const config::Config& config) {
  return Concat("the API's certificate ", config.tls.cert);
}

BrokerFacts::BrokerFacts(const config::Config& config, FileSystem& fs, Clock& clock,
                         const nats::NatsBus& bus, const broker::Broker& broker)
    : config_(config), fs_(fs), clock_(clock), started_(clock.Wall()), bus_(bus), broker_(broker) {}

void BrokerFacts::SetAddresses(std::string listen, std::string advertised) {
  listen_ = std::move(listen);
  advertised_ = std::move(advertised);
}

// Of the API's own certificate.
std::vector<std::string> BrokerFacts::CertificateWarnings() const {
  if (config_.tls.cert.empty() || api_ == nullptr) return {};
  std::vector<std::string> out = peer::ExpiryWarnings(
      ApiCertificateName(config_), api_->certificate(), clock_.Wall(), kRenewApiCertificate);
  if (std::string trouble = api_->tls_trouble(); !trouble.empty())
    out.push_back(std::move(trouble));
  return out;
}

ServerFacts BrokerFacts::Facts() {
  ServerFacts facts;
  facts.version = BASCULE_VERSION;
  facts.server_id = broker_.directory().server_id();
  facts.cluster_namespace = config_.cluster_namespace;
  facts.incarnation = absl::StrFormat("%016x", broker_.directory().incarnation());
  facts.started = started_;
  facts.data_dir = broker_.directory().path();
  facts.listen = listen_;
  facts.advertised = advertised_;
  facts.nats_connected = bus_.connected();
  facts.nats_server = bus_.server_url();
  facts.nats_max_payload = bus_.max_payload();
  facts.max_message_bytes = config_.max_message_bytes;
  if (const auto space = fs_.Space(broker_.directory().path()); space.ok()) {
    facts.disk_available = space->available_bytes;
    facts.disk_total = space->total_bytes;
    facts.disk_reserve = config_.disk_reserve.Of(space->total_bytes);
  }
  facts.counters = bus_.ReadCounters();
  facts.counters.merge(broker_.metadata().ReadCounters());
  facts.degraded = broker_.Degraded();
  const LogSink::Losses log = LogLosses();
  facts.counters["log_lines_dropped"] = log.dropped;
  if (log.stuck) {
    facts.degraded.push_back(
        Concat("nothing reads this process's standard error: log lines are kept up to ",
               limits::kLogQueueBytes, " bytes and then dropped (", log.dropped, " so far)"));
  }
  for (std::string& sentence : CertificateWarnings()) facts.degraded.push_back(std::move(sentence));
  if (!facts.nats_connected) {
    facts.degraded.push_back(
        "not connected to NATS: nothing is recorded until the connection is back");
  }
  if (facts.nats_connected && facts.nats_max_payload < facts.max_message_bytes) {
    facts.degraded.push_back(Concat("NATS takes payloads up to ", facts.nats_max_payload,
                                    " bytes, less than the ", facts.max_message_bytes,
                                    " configured here: raise max_payload there"));
  }
  if (broker_.partitions().disk_full()) {
    facts.degraded.push_back(
        "free disk space is below the reserve: messages are refused until there is space");
  }
  if (config_.stream_defaults.durability == Durability::kOs) {
    facts.degraded.push_back(
        "streams.durability is \"os\": acknowledged messages are lost when the machine crashes");
  }
  return facts;
}

}  // namespace bascule::daemon
