#include "flags.h"  // its own folder: the tests compile this file too, with other roots

#include <CLI/CLI.hpp>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/config/suggest.h"
#include "core/config/value.h"

namespace bascule {
namespace {

constexpr int kUsageExit = 2;

constexpr char kDescription[] =
    "basculed records NATS subjects into durable, replayable streams and serves them over gRPC.";

constexpr char kExamples[] = R"(Examples:
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
)";

// What CLI11 fills in; turned into Flags when all of it is read.
struct Raw {
  std::string config;
  std::vector<std::pair<std::string, std::string>> settings;  // by key, each with its flag below
  std::map<std::string, std::string> flag_of;                 // key -> "--port"
  std::vector<std::string> servers, peers, sets;
  bool embedded = false, seed = false, version = false, help = false, help_config = false,
       check = false;
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

void AddLists(CLI::App& app, Raw& raw) {
  raw.flag_of["nats.servers"] = "--nats-servers";
  app.add_option("-n,--nats-servers", raw.servers, "NATS servers; a list with commas, or repeated")
      ->type_name("URL")
      ->allow_extra_args(false)
      ->group("Settings");
  raw.flag_of["nats.embedded"] = "--embedded-nats";
  app.add_flag("-e,--embedded-nats", raw.embedded,
               "run a nats-server of our own, which ends with the broker")
      ->group("Settings");
  raw.flag_of["clustering.raft.bootstrap.seed"] = "--raft-bootstrap-seed";
  app.add_flag("--raft-bootstrap-seed", raw.seed,
               "accepted: a single broker is the seed of its cluster")
      ->group("Settings");
  raw.flag_of["clustering.raft.bootstrap.peers"] = "--raft-bootstrap-peers";
  app.add_option("--raft-bootstrap-peers", raw.peers,
                 "refused by this version, which runs one broker")
      ->type_name("ID")
      ->allow_extra_args(false)
      ->group("Settings");
  app.add_option("--set", raw.sets, "any setting by its key (see --help-config); repeatable")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false)
      ->group("Settings");
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
  AddLists(app, raw);
  AddSetting(app, raw, "--embedded-nats-config,--nc", "--embedded-nats-config",
             "nats.embedded.config", "FILE", "configuration of that nats-server");
  AddSetting(app, raw, "--tls-cert", "--tls-cert", "tls.cert", "FILE",
             "certificate of the gRPC server");
  AddSetting(app, raw, "--tls-key", "--tls-key", "tls.key", "FILE",
             "private key of the gRPC server");
}

void AddActions(CLI::App& app, Raw& raw) {
  app.add_option("-c,--config", raw.config, "configuration file (YAML)")->type_name("FILE");
  app.add_flag("--check", raw.check, "validate the configuration and exit");
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

Flags Translate(const CLI::App& app, const Raw& raw, bool embedded_given, bool seed_given) {
  Flags flags;
  if (raw.check) flags.action = Flags::Action::kCheck;
  if (app.count("--config") > 0) flags.config_file = raw.config;
  const auto set = [&](const std::string& key, std::string value) {
    flags.overrides[key] = {raw.flag_of.at(key), std::move(value)};
  };
  for (const auto& [key, value] : raw.settings) set(key, value);
  if (!raw.servers.empty()) set("nats.servers", absl::StrJoin(raw.servers, ","));
  if (!raw.peers.empty()) set("clustering.raft.bootstrap.peers", absl::StrJoin(raw.peers, ","));
  if (embedded_given) set("nats.embedded", raw.embedded ? "true" : "false");
  if (seed_given) set("clustering.raft.bootstrap.seed", raw.seed ? "true" : "false");
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
  try {
    app.parse(argc, argv);
  } catch (const CLI::ArgumentMismatch& error) {
    return RefuseMismatch(error.what());
  } catch (const std::exception& error) {
    return Refuse(error.what());
  }
  if (raw.help) {
    const std::string help = app.help();
    return Print(Flags::Action::kHelp, absl::StrCat(absl::StripAsciiWhitespace(help), "\n"));
  }
  if (raw.version)
    return Print(Flags::Action::kVersion, absl::StrCat("basculed ", std::string(version), "\n"));
  if (raw.help_config) return Print(Flags::Action::kHelpConfig, ConfigReference());
  if (const std::vector<std::string> extra = app.remaining(); !extra.empty())
    return RefuseExtra(app, extra.front());
  return Translate(app, raw, app.count("--embedded-nats") > 0,
                   app.count("--raft-bootstrap-seed") > 0);
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

}  // namespace bascule
