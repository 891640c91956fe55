#include <doctest/doctest.h>

#include <set>

#include "core/config/environment.h"
#include "core/config/settings.h"
#include "tests/unit/config_loading.h"

namespace bascule::config {
namespace {

TEST_CASE("config environment: names derive from keys, one to one") {
  CHECK(EnvironmentName("streams.retention.max.age") == "BASCULE_STREAMS_RETENTION_MAX_AGE");
  std::set<std::string> names;
  for (const std::string& key : BrokerSettings().keys())
    CHECK(names.insert(EnvironmentName(key)).second);
}

TEST_CASE("config environment: settings without a file") {
  const auto config = LoadVariables({{"BASCULE_NATS_SERVERS", "nats://a, nats://b"},
                                     {"BASCULE_NATS_PASSWORD", "pw"},
                                     {"BASCULE_NATS_USER", "u"},
                                     {"LIFTBRIDGE_LOGGING_LEVEL", "debug"},
                                     {"LIFTBRIDGE_DATA.DIR", "/d"},
                                     {"PATH", "/bin"},
                                     {"HOME", ""}});
  REQUIRE_MESSAGE(config.ok(), config.status().message());
  CHECK(config->nats.servers == std::vector<std::string>{"nats://a", "nats://b"});
  CHECK(config->nats.password == "pw");
  CHECK(config->log_level == LogLevel::kDebug);
  CHECK(config->data_dir == "/d");
}

TEST_CASE("config environment: our name wins over Liftbridge's") {
  CHECK(LoadVariables({{"BASCULE_HOST", "ours"}, {"LIFTBRIDGE_HOST", "theirs"}})->advertised.host ==
        "ours");
}

TEST_CASE("config environment: errors name the variable") {
  CHECK(VariableFaults({{"BASCULE_PORT", "x"}}) ==
        "BASCULE_PORT: \"port\" must be a whole number from 0 to 65535, not \"x\"");
  CHECK(VariableFaults({{"LIFTBRIDGE_TELEMETRY_ENABLED", "true"}}) ==
        "LIFTBRIDGE_TELEMETRY_ENABLED: \"telemetry.enabled\" belongs to telemetry (it reports to "
        "nobody), which this "
        "version does not have; remove it or set it to false");
  CHECK(VariableFaults({{"BASCULE_NATS_SERVER", "h"}}) ==
        "BASCULE_NATS_SERVER: the environment variable is no setting; did you mean "
        "\"BASCULE_NATS_SERVERS\"?");
  CHECK(VariableFaults({{"BASCULE_QQQQQQQQQQQ", "1"}}) ==
        "BASCULE_QQQQQQQQQQQ: the environment variable is no setting");
  CHECK(VariableFaults({{"BASCULE_TLS_KEY", "k"}}) ==
        "BASCULE_TLS_KEY: \"tls.key\" is set but \"tls.cert\" is not; set both or neither");
}

TEST_CASE("config environment: an empty variable is not set") {
  CHECK(LoadVariables({{"BASCULE_PORT", ""}, {"BASCULE_NATS_EMBEDDED", ""}}).ok());
}

TEST_CASE("config environment: variables that are no settings") {
  CHECK(LoadVariables({{"BASCULE_CONFIG", "/etc/b.yaml"},
                       {"BASCULE_BIN", "/b"},
                       {"BASCULE_SERVER", "h:1"},
                       {"BASCULE_TEST_SEED", "1"}})
            .ok());
  CHECK(LoadVariables({{"LIFTBRIDGE_SOMETHING", "1"}}).ok());
}

TEST_CASE("config environment: Kubernetes' addresses of a service named bascule are not for us") {
  const auto config = LoadVariables({{"BASCULE_PORT", "tcp://10.0.0.1:9292"},
                                     {"BASCULE_SERVICE_HOST", "10.0.0.1"},
                                     {"BASCULE_SERVICE_PORT", "9292"},
                                     {"BASCULE_SERVICE_PORT_GRPC", "9292"},
                                     {"BASCULE_PORT_9292_TCP", "tcp://10.0.0.1:9292"},
                                     {"BASCULE_PORT_9292_TCP_ADDR", "10.0.0.1"},
                                     {"BASCULE_WEB_PORT", "tcp://10.0.0.1:80"},
                                     {"LIFTBRIDGE_PORT", "tcp://10.0.0.1:9292"}});
  REQUIRE_MESSAGE(config.ok(), config.status().message());
  CHECK(config->advertised.port == 9292);
  CHECK_FALSE(LoadVariables({{"BASCULE_PORT_X_TCP", "1"}}).ok());
}

}  // namespace
}  // namespace bascule::config
