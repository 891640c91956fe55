// What the broker knows of itself, gathered from its parts. Any thread.
#pragma once

#include <string>
#include <string_view>

#include "core/api/api_server.h"
#include "core/config/config.h"
#include "core/env/clock.h"
#include "core/ports/server_facts.h"
#include "nats_bridge/nats_bus.h"
#include "replication/broker/broker.h"

namespace bascule::daemon {

// The API's own certificate in sentences, and what is to be done about its dates.
std::string ApiCertificateName(const config::Config& config);
inline constexpr std::string_view kRenewApiCertificate =
    "put a new one and its key in its place (tls.cert, tls.key)";

class BrokerFacts final : public ServerFactsSource {
 public:
  // `broker` has started.
  BrokerFacts(const config::Config& config, FileSystem& fs, Clock& clock, const nats::NatsBus& bus,
              const broker::Broker& broker);
  void SetApi(const api::ApiServer& api) { api_ = &api; }  // once, before it serves
  void SetAddresses(std::string listen, std::string advertised);
  ServerFacts Facts() override;

 private:
  std::vector<std::string> CertificateWarnings() const;

  const config::Config& config_;
  FileSystem& fs_;
  Clock& clock_;
  const Timestamp started_;
  const nats::NatsBus& bus_;
  const broker::Broker& broker_;
  const api::ApiServer* api_ = nullptr;
  std::string listen_;  // set once, before the API serves
  std::string advertised_;
};

}  // namespace bascule::daemon
