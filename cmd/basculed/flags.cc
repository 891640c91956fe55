#include "flags.h"  // its own folder: the tests compile this file too, with other roots

#include <CLI/CLI.hpp>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/spelling.h"
#include "core/base/wrap.h"
#include "core/config/value.h"

namespace bascule::daemon {
namespace {

constexpr int kUsageExit = 2;
constexpr size_t kHelpWidth = 80;
constexpr size_t kMeaningColumn = 30;

constexpr char kDescription[] =
    "basculed records NATS subjects into durable, replayable streams and serves them over gRPC.";

constexpr char kExamples[] =
    R"(Examples:
  basculed
      Record what clients ask for, with a NATS server on this machine and data in /var/lib/bascule.
  basculed --config /etc/bascule/basculed.yaml
      Settings from a file; flags and environment variables win over it.
  basculed --nats-servers nats://a:4222,nats://b:4222 --data-dir /data/bascule --port 9292
      Three settings as flags.
  basculed --embedded-nats --data-dir ./data
      No NATS server around: run one inside.
  basculed --set streams.retention.max.age=72h --set streams.durability=os
      Any setting has a key; --help-config lists them all.
  BASCULE_NATS_PASSWORD=secret basculed --set nats.user=recorder
      Any setting can be an environment variable: BASCULE_ and the key, underscores for dots.
  basculed --config basculed.yaml --check
      Say whether the configuration is valid, with every mistake in it, and exit.
  basculed --server-id b2 --cluster-listen 10.0.0.2:9293 --cluster-join 10.0.0.1)"
    R"( --cluster-tls-ca ca.pem --cluster-tls-cert b2.pem --cluster-tls-key b2.key
      Join the cluster of another broker; `bascule cluster certs` makes the files.
  basculed --config basculed.yaml --recover-quorum
      When a majority of the voting brokers is lost for good: on one stopped survivor, once.
)";

// What CLI11 fills in; turned into Flags when all of it is read.
struct Raw {
  std::string config;
  std::vector<std::pair<std::string, std::string>> settings;  // by key, each with its flag below
  std::map<std::string, std::string> flag_of;                 // key -> "--port"
  std::vector<std::string> servers, peers, join, sets;
  bool embedded = false, seed = false, insecure = false;
  bool version = false, help = false, help_config = false, check = false, recover = false;
};

// A flag that sets one setting to its argument.
void AddSetting(CLI::App& app, Raw& raw, const std::string& names, const std::string& flag,
                const std::string& key, const std::string& argument, const std::string& doc) {
  raw.flag_of[key] = flag;
  app.add_option_function<std::string>(
         names, [&raw, key](const std::string& value) { raw.settings.emplace_back(key, value); },
         doc)
      ->type_name(argument)
      ->group("Settings");
}

// A flag with a list of values, with commas or repeated.
void AddList(CLI::App& app, Raw& raw, std::vector<std::string>& values, const std::string& names,
             const std::string& flag, const std::string& key, const std::string& argument,
             const std::string& doc) {
  raw.flag_of[key] = flag;
  app.add_option(names, values, doc)
      ->type_name(argument)
      ->allow_extra_args(false)
      ->group("Settings");
}

// A flag that turns a setting on, or off with "=false".
void AddSwitch(CLI::App& app, Raw& raw, bool& value, const std::string& names,
               const std::string& flag, const std::string& key, const std::string& doc) {
  raw.flag_of[key] = flag;
  app.add_flag(names, value, doc)->group("Settings");
}

void AddCluster(CLI::App& app, Raw& raw) {
  AddSwitch(app, raw, raw.seed, "--raft-bootstrap-seed", "--raft-bootstrap-seed",
            "clustering.raft.bootstrap.seed", "start the cluster when no member of it answers");
  AddList(app, raw, raw.peers, "--raft-bootstrap-peers", "--raft-bootstrap-peers",
          "clustering.raft.bootstrap.peers", "ID",
          "the brokers that start the cluster together; a list with commas, or repeated");
  AddSetting(app, raw, "--cluster-listen", "--cluster-listen", "cluster.listen", "HOST:PORT",
             "address for the connections of other brokers");
  AddSetting(app, raw, "--cluster-advertised", "--cluster-advertised", "cluster.advertised",
             "HOST:PORT", "address that other brokers dial");
  AddList(app, raw, raw.join, "--cluster-join", "--cluster-join", "cluster.join", "HOST[:PORT]",
          "members to join the cluster at; a list with commas, or repeated");
  AddSetting(app, raw, "--cluster-tls-ca", "--cluster-tls-ca", "cluster.tls.ca", "FILE",
             "authority that signed the brokers' certificates");
  AddSetting(app, raw, "--cluster-tls-cert", "--cluster-tls-cert", "cluster.tls.cert", "FILE",
             "certificate that this broker shows to the others");
  AddSetting(app, raw, "--cluster-tls-key", "--cluster-tls-key", "cluster.tls.key", "FILE",
             "private key of that certificate");
  AddSwitch(app, raw, raw.insecure, "--cluster-insecure", "--cluster-insecure", "cluster.insecure",
            "connect the brokers without TLS");
  AddSetting(app, raw, "--cluster-rack", "--cluster-rack", "cluster.rack", "NAME",
             "rack or zone of this broker");
}

void AddSettings(CLI::App& app, Raw& raw) {
  AddSetting(app, raw, "--listen", "--listen", "listen", "HOST:PORT", "address to serve gRPC on");
  AddSetting(app, raw, "-p,--port", "--port", "port", "PORT",
             "port to serve gRPC on when \"listen\" is not set, and the one clients are told");
  AddSetting(app, raw, "-d,--data-dir", "--data-dir", "data.dir", "DIR",
             "where everything is stored");
  AddSetting(app, raw, "-l,--level", "--level", "logging.level", "LEVEL",
             "least severe log lines written: debug, info, warn or error");
  AddSetting(app, raw, "--server-id,--id", "--server-id", "clustering.server.id", "ID",
             "name of this broker, distinct in its cluster");
  AddSetting(app, raw, "--namespace,--ns", "--namespace", "clustering.namespace", "NAME",
             "name of the cluster");
  AddList(app, raw, raw.servers, "-n,--nats-servers", "--nats-servers", "nats.servers", "URL",
          "NATS servers; a list with commas, or repeated");
  AddSwitch(app, raw, raw.embedded, "-e,--embedded-nats", "--embedded-nats", "nats.embedded",
            "run a nats-server of our own, which ends with the broker");
  AddSetting(app, raw, "--embedded-nats-config,--nc", "--embedded-nats-config",
             "nats.embedded.config", "FILE", "configuration of that nats-server");
  AddSetting(app, raw, "--tls-cert", "--tls-cert", "tls.cert", "FILE",
             "certificate of the gRPC server");
  AddSetting(app, raw, "--tls-key", "--tls-key", "tls.key", "FILE",
             "private key of the gRPC server");
  AddCluster(app, raw);
  app.add_option("--set", raw.sets, "any setting by its key (see --help-config); repeatable")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false)
      ->group("Settings");
}

void AddActions(CLI::App& app, Raw& raw) {
  app.add_option("-c,--config", raw.config, "configuration file (YAML)")->type_name("FILE");
  app.add_flag("--check", raw.check, "validate the configuration and exit");
  app.add_flag("--recover-quorum", raw.recover,
               "with the broker stopped, and most voting brokers lost for good: make this one the\n"
               "only member of its cluster, print what is to be done with the others, and exit");
  app.add_flag("--help-config", raw.help_config, "list every setting, its default and meaning");
  app.add_flag("-v,--version", raw.version, "print the version");
  app.add_flag("-h,--help", raw.help, "print this help");
}

Flags Print(Flags::Action action, std::string text, int exit_code = 0) {
  Flags flags;
  flags.action = action;
  flags.text = std::move(text);
  flags.exit_code = exit_code;
  return flags;
}

Flags Refuse(const std::string& why) {
  return Print(Flags::Action::kUsageError,
               absl::StrCat("basculed: ", why, "\nbasculed --help lists the flags.\n"), kUsageExit);
}

std::vector<std::string> FlagNames(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  return names;
}

// CLI11's text starts with the flag's name; the rest of it counts arguments.
Flags RefuseMismatch(const std::string& text) {
  const std::string name = text.substr(0, text.find(':'));
  const bool missing = absl::StrContains(text, "missing");
  return Refuse(
      absl::StrCat(name, missing ? " needs a value" : " is given more than once; keep one"));
}

// The first argument that no flag took.
Flags RefuseExtra(const CLI::App& app, const std::string& argument) {
  if (!absl::StartsWith(argument, "-"))
    return Refuse(
        absl::StrCat("unexpected argument ", Quoted(argument), "; basculed takes flags only"));
  std::string name = argument.substr(0, argument.find('='));
  if (name == "-") name = argument;
  return Refuse(absl::StrCat("unknown flag ", Quoted(name), DidYouMean(name, FlagNames(app))));
}

// "--set key=value" onto the overrides; an error text when it cannot be.
std::string ApplySet(const std::string& text, Flags& flags) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0)
    return absl::StrCat("--set takes KEY=VALUE, not ", Quoted(text),
                        "; for example --set streams.retention.max.age=72h");
  const std::string key = absl::AsciiStrToLower(text.substr(0, equals));
  const auto given = flags.overrides.find(key);
  if (given != flags.overrides.end())
    return absl::StrCat(Quoted(key), " is given twice, by ", given->second.flag,
                        " and by --set; keep one");
  flags.overrides[key] = {"--set", text.substr(equals + 1)};
  return "";
}

Flags Translate(const CLI::App& app, const Raw& raw) {
  if (raw.check && raw.recover)
    return Refuse("--check and --recover-quorum exclude each other; keep one");
  Flags flags;
  if (raw.check) flags.action = Flags::Action::kCheck;
  if (raw.recover) flags.action = Flags::Action::kRecover;
  if (app.count("--config") > 0) flags.config_file = raw.config;
  const auto set = [&](const std::string& key, std::string value) {
    flags.overrides[key] = {raw.flag_of.at(key), std::move(value)};
  };
  const auto set_list = [&](const std::string& key, const std::vector<std::string>& values) {
    if (!values.empty()) set(key, absl::StrJoin(values, ","));
  };
  const auto set_switch = [&](const std::string& key, bool value) {
    if (app.count(raw.flag_of.at(key)) > 0) set(key, value ? "true" : "false");
  };
  for (const auto& [key, value] : raw.settings) set(key, value);
  set_list("nats.servers", raw.servers);
  set_list("clustering.raft.bootstrap.peers", raw.peers);
  set_list("cluster.join", raw.join);
  set_switch("nats.embedded", raw.embedded);
  set_switch("clustering.raft.bootstrap.seed", raw.seed);
  set_switch("cluster.insecure", raw.insecure);
  for (const std::string& text : raw.sets)
    if (const std::string why = ApplySet(text, flags); !why.empty()) return Refuse(why);
  return flags;
}

}  // namespace

Flags ParseFlags(int argc, const char* const* argv, std::string_view version) {
  Raw raw;
  CLI::App app(kDescription, "basculed");
  app.set_help_flag();
  app.allow_extras();
  AddActions(app, raw);
  AddSettings(app, raw);
  app.footer(kExamples);
  app.get_formatter()->column_width(kMeaningColumn);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ArgumentMismatch& error) {
    return RefuseMismatch(error.what());
  } catch (const std::exception& error) {
    return Refuse(error.what());
  }
  if (raw.help) {
    const std::string help = app.help();
    return Print(Flags::Action::kHelp,
                 WrapLines(absl::StrCat(absl::StripAsciiWhitespace(help), "\n"), kHelpWidth,
                           kMeaningColumn, "basculed"));
  }
  if (raw.version)
    return Print(Flags::Action::kVersion, absl::StrCat("basculed ", std::string(version), "\n"));
  if (raw.help_config) return Print(Flags::Action::kHelpConfig, config::ConfigReference());
  if (const std::vector<std::string> extra = app.remaining(); !extra.empty())
    return RefuseExtra(app, extra.front());
  return Translate(app, raw);
}

std::map<std::string, std::string> ReadEnvironment(const char* const* environment) {
  std::map<std::string, std::string> variables;
  for (; environment != nullptr && *environment != nullptr; ++environment) {
    const std::string entry = *environment;
    const size_t equals = entry.find('=');
    if (equals != std::string::npos)
      variables.emplace(entry.substr(0, equals), entry.substr(equals + 1));
  }
  return variables;
}

std::optional<std::string> ConfigFile(const Flags& flags,
                                      const std::map<std::string, std::string>& environment) {
  if (flags.config_file) return flags.config_file;
  const auto variable = environment.find("BASCULE_CONFIG");
  if (variable == environment.end() || variable->second.empty()) return std::nullopt;
  return variable->second;
}

}  // namespace bascule::daemon
