// The command line of basculed. The daemon is a program, not a library, so its file is compiled in
// here.
#include "../../cmd/basculed/flags.cc"

#include <doctest/doctest.h>

#include "tests/unit/config_loading.h"

namespace bascule::daemon {
namespace {

Flags Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "basculed");
  return ParseFlags(static_cast<int>(arguments.size()), arguments.data(), "1.2.3");
}

// "key=value" of the only override.
std::string Override(const std::vector<const char*>& arguments) {
  const Flags flags = Parse(arguments);
  CAPTURE(flags.text);
  REQUIRE(flags.action == Flags::Action::kRun);
  REQUIRE(flags.overrides.size() == 1);
  return flags.overrides.begin()->first + "=" + flags.overrides.begin()->second.value;
}

std::string UsageError(const std::vector<const char*>& arguments) {
  const Flags flags = Parse(arguments);
  CHECK(flags.action == Flags::Action::kUsageError);
  CHECK(flags.exit_code == 2);
  return flags.text.substr(0, flags.text.find('\n'));
}

TEST_CASE("config flags: nothing given") {
  const Flags flags = Parse({});
  CHECK(flags.action == Flags::Action::kRun);
  CHECK(flags.overrides.empty());
  CHECK_FALSE(flags.config_file.has_value());
}

TEST_CASE("config flags: Liftbridge's flags and ours set their settings") {
  CHECK(Override({"--server-id", "a"}) == "clustering.server.id=a");
  CHECK(Parse({"--set", "nats.password=a=b="}).overrides.at("nats.password").value == "a=b=");
  CHECK(Override({"--id=a"}) == "clustering.server.id=a");
  CHECK(Override({"--namespace", "n"}) == "clustering.namespace=n");
  CHECK(Override({"--ns", "n"}) == "clustering.namespace=n");
  CHECK(Override({"--nats-servers", "a,b", "-n", "c"}) == "nats.servers=a,b,c");
  CHECK(Override({"-e"}) == "nats.embedded=true");
  CHECK(Override({"--embedded-nats"}) == "nats.embedded=true");
  CHECK(Override({"--embedded-nats=false"}) == "nats.embedded=false");
  CHECK(Override({"--embedded-nats-config", "f"}) == "nats.embedded.config=f");
  CHECK(Override({"--nc", "f"}) == "nats.embedded.config=f");
  CHECK(Override({"--data-dir", "d"}) == "data.dir=d");
  CHECK(Override({"-d", "d"}) == "data.dir=d");
  CHECK(Override({"--port", "1"}) == "port=1");
  CHECK(Override({"-p", "1"}) == "port=1");
  CHECK(Override({"--tls-cert", "c"}) == "tls.cert=c");
  CHECK(Override({"--tls-key", "k"}) == "tls.key=k");
  CHECK(Override({"--level", "debug"}) == "logging.level=debug");
  CHECK(Override({"-l", "debug"}) == "logging.level=debug");
  CHECK(Override({"--listen", "h:1"}) == "listen=h:1");
  CHECK(Override({"--raft-bootstrap-seed"}) == "clustering.raft.bootstrap.seed=true");
  CHECK(Override({"--raft-bootstrap-peers", "a", "--raft-bootstrap-peers", "b"}) ==
        "clustering.raft.bootstrap.peers=a,b");
  CHECK(Override({"--cluster-listen", "h:1"}) == "cluster.listen=h:1");
  CHECK(Override({"--cluster-advertised", "h:1"}) == "cluster.advertised=h:1");
  CHECK(Override({"--cluster-join", "a:1,b", "--cluster-join", "c"}) == "cluster.join=a:1,b,c");
  CHECK(Override({"--cluster-tls-ca", "f"}) == "cluster.tls.ca=f");
  CHECK(Override({"--cluster-tls-cert", "f"}) == "cluster.tls.cert=f");
  CHECK(Override({"--cluster-tls-key", "f"}) == "cluster.tls.key=f");
  CHECK(Override({"--cluster-insecure"}) == "cluster.insecure=true");
  CHECK(Override({"--cluster-insecure=false"}) == "cluster.insecure=false");
  CHECK(Override({"--cluster-rack", "r"}) == "cluster.rack=r");
  CHECK(Override({"--set", "Streams.Durability=os"}) == "streams.durability=os");
  CHECK(Override({"--set", "nats.password=a=b,c"}) == "nats.password=a=b,c");
  CHECK(Parse({"-c", "f"}).config_file == "f");
  CHECK(Parse({"--config=f", "--check"}).action == Flags::Action::kCheck);
  CHECK(Parse({"--recover-quorum", "-d", "d"}).action == Flags::Action::kRecover);
  CHECK(Parse({"--recover-quorum", "-d", "d"}).overrides.at("data.dir").value == "d");
}

TEST_CASE("config flags: every key that a flag sets exists") {
  const Flags flags =
      Parse({"--id=a", "--ns=n", "-n", "a", "-e", "--nc=f", "-d", "d", "-p", "1", "--tls-cert=c",
             "--tls-key=k", "-l", "debug", "--listen=h:1", "--raft-bootstrap-seed"});
  CHECK(flags.overrides.size() == 12);
  config::ConfigSources sources;
  sources.flags = flags.overrides;
  CHECK(config::LoadConfig(sources).status().message() ==
        "--nats-servers: \"nats.servers\" names servers, but an embedded one is asked for; remove "
        "one of the two");
  const Flags cluster =
      Parse({"--id=a", "--raft-bootstrap-peers", "a,b", "--cluster-listen=h:1",
             "--cluster-advertised=h:2", "--cluster-join=b", "--cluster-rack=r",
             "--cluster-tls-ca=1", "--cluster-tls-cert=2", "--cluster-tls-key=3"});
  CHECK(cluster.overrides.size() == 9);
  sources.flags = cluster.overrides;
  CHECK(config::LoadConfig(sources).status().message() == "");
  sources.flags = Parse({"--cluster-insecure", "--cluster-listen=h:1"}).overrides;
  CHECK(config::LoadConfig(sources).status().message() == "");
}

TEST_CASE("config flags: mistakes") {
  CHECK(UsageError({"--prot", "1"}) ==
        "basculed: unknown flag \"--prot\"; did you mean \"--port\"?");
  CHECK(UsageError({"--datadir=x"}) ==
        "basculed: unknown flag \"--datadir\"; did you mean \"--data-dir\"?");
  CHECK(UsageError({"-z"}) == "basculed: unknown flag \"-z\"");
  CHECK(UsageError({"run"}) == "basculed: unexpected argument \"run\"; basculed takes flags only");
  CHECK(UsageError({"-n", "a", "b"}) ==
        "basculed: unexpected argument \"b\"; basculed takes flags only");
  CHECK(UsageError({"--port"}) == "basculed: --port needs a value");
  CHECK(UsageError({"-p", "1", "--port", "2"}) ==
        "basculed: --port is given more than once; keep one");
  CHECK(UsageError({"--set", "x"}) ==
        "basculed: --set takes KEY=VALUE, not \"x\"; for example --set "
        "streams.retention.max.age=72h");
  CHECK(UsageError({"--set", "=x"}).find("takes KEY=VALUE") != std::string::npos);
  CHECK(UsageError({"--set", "port=1", "-p", "2"}) ==
        "basculed: \"port\" is given twice, by --port and by --set; keep one");
  CHECK(UsageError({"--check", "--recover-quorum"}) ==
        "basculed: --check and --recover-quorum exclude each other; keep one");
  CHECK(Parse({"--prot"}).text.find("basculed --help lists the flags.\n") != std::string::npos);
}

TEST_CASE("config flags: help names every flag and shows examples") {
  for (const char* flag : {"--help", "-h"}) {
    const Flags flags = Parse({flag});
    CHECK(flags.action == Flags::Action::kHelp);
    CHECK(flags.exit_code == 0);
    for (const char* part : {"--config",
                             "--server-id",
                             "--ns",
                             "--nats-servers",
                             "-e,",
                             "--nc",
                             "--data-dir",
                             "-p,",
                             "--tls-cert",
                             "--tls-key",
                             "--level",
                             "--version",
                             "--help-config",
                             "--listen",
                             "--set",
                             "--check",
                             "--raft-bootstrap-seed",
                             "--raft-bootstrap-peers",
                             "--recover-quorum",
                             "--cluster-listen",
                             "--cluster-join",
                             "--cluster-insecure",
                             "Examples:"})
      CHECK(config::Holds(flags.text, part));
  }
}

TEST_CASE("config flags: version and reference") {
  CHECK(Parse({"--version"}).text == "basculed 1.2.3\n");
  CHECK(Parse({"-v"}).action == Flags::Action::kVersion);
  for (const char* flag : {"--help", "--help-config"}) {
    std::istringstream lines(Parse({flag}).text);
    for (std::string line; std::getline(lines, line);) CHECK_MESSAGE(line.size() <= 80, line);
  }
  CHECK(Parse({"--help-config"}).action == Flags::Action::kHelpConfig);
  CHECK(Parse({"--help-config"}).text == config::ConfigReference());
}

TEST_CASE("config flags: the file comes from the flag, else from BASCULE_CONFIG") {
  const char* const entries[] = {"BASCULE_CONFIG=/env.yaml", "A=b=c", "odd", nullptr};
  const config::Variables environment = ReadEnvironment(entries);
  CHECK(environment.at("A") == "b=c");
  CHECK(environment.count("odd") == 0);
  CHECK(ConfigFile(Parse({}), environment) == "/env.yaml");
  CHECK(ConfigFile(Parse({"-c", "flag.yaml"}), environment) == "flag.yaml");
  CHECK_FALSE(ConfigFile(Parse({}), {}).has_value());
  CHECK_FALSE(ConfigFile(Parse({}), {{"BASCULE_CONFIG", ""}}).has_value());
}

}  // namespace
}  // namespace bascule::daemon
