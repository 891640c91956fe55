// The only file that includes CLI11. One function per command declares its flags on a shared
// options struct, which the command's callback moves into the invocation once everything has been
// parsed.
#include "cmd/bascule/options.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "cmd/bascule/examples.h"
#include "cmd/bascule/option_rules.h"
#include "cmd/bascule/text.h"
#include "core/base/limits.h"
#include "core/base/spelling.h"
#include "core/base/text.h"
#include "core/base/wrap.h"

namespace bascule::cli {
namespace {

constexpr size_t kHelpWidth = 80;
constexpr size_t kMeaningColumn = 36;

// A value that CLI11 handed over as text, or the usage error that names the flag.
template <typename T>
T Need(const std::string& flag, absl::StatusOr<T> value) {
  if (!value.ok()) throw CLI::ValidationError(flag, std::string(value.status().message()));
  return *std::move(value);
}

void Need(const std::string& flag, const absl::Status& status) {
  if (!status.ok()) throw CLI::ValidationError(flag, std::string(status.message()));
}

// A rule that names its flags itself.
class RuleBroken : public CLI::ParseError {
 public:
  explicit RuleBroken(const absl::Status& status)
      : ParseError("RuleBroken", std::string(status.message()), CLI::ExitCodes::ValidationError) {}
};

void Need(const absl::Status& status) {
  if (!status.ok()) throw RuleBroken(status);
}

// A flag with one value, which `parse` turns from text into the target's type.
template <typename Parse, typename Target>
CLI::Option* Flag(CLI::App* app, const std::string& names, const char* type, Parse parse,
                  Target& target, const std::string& description) {
  const std::string flag = names.substr(names.rfind(',') + 1);
  const auto take = [flag, parse, &target](const std::string& text) {
    target = Need(flag, parse(text));
  };
  return app->add_option_function<std::string>(names, take, description)->type_name(type);
}

// A whole number from `least` to `most`.
template <typename T>
CLI::Option* IntegerFlag(CLI::App* app, const std::string& names, std::optional<T>& target,
                         int64_t least, const std::string& description) {
  return Flag(app, names, "N", IntegerParser<T>(least), target, description);
}
template <typename T>
CLI::Option* IntegerFlag(CLI::App* app, const std::string& names, T& target, int64_t least,
                         const std::string& description, int64_t most = kMostOf<T>) {
  return Flag(app, names, "N", IntegerParser<T>(least, most), target, description);
}

// A flag with a list of values, separated by commas where `delimiter` says so.
template <typename Take>
CLI::Option* ListFlag(CLI::App* app, const std::string& names, const char* type, char delimiter,
                      Take take, const std::string& description) {
  CLI::Option* option =
      app->add_option_function<std::vector<std::string>>(names, take, description);
  option->type_name(type)->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  return delimiter == 0 ? option : option->delimiter(delimiter);
}

CLI::Option* Word(CLI::App* app, const char* name, std::string& target, const char* description) {
  return app->add_option(name, target, description)->required()->type_name("");
}

void AckFlag(CLI::App* app, AckPolicy& target) {
  Flag(app, "--ack", "all|leader|none", ParseAck, target,
       "What to wait for: committed on all in-sync replicas (default), durable on the\n"
       "leader, or nothing");
}

// One subcommand that runs: its callback hands a copy of its options on.
template <typename Options>
struct Leaf {
  CLI::App* app;
  std::shared_ptr<Options> options;
};

template <typename Options>
Leaf<Options> AddCommand(CLI::App& parent, Invocation& invocation, const std::string& name,
                         const std::string& description, const char* examples) {
  CLI::App* app = parent.add_subcommand(name, description);
  app->footer(examples);
  auto options = std::make_shared<Options>();
  app->callback([&invocation, options] { invocation.command = *options; });
  return {app, options};
}

std::string ValueName(const StreamSetting& row) {
  switch (row.unit) {
    case SettingUnit::kBytes:
      return "SIZE";
    case SettingUnit::kCount:
      return "N";
    case SettingUnit::kMilliseconds:
      return "DURATION";
    case SettingUnit::kSwitch:
      return "on|off";
    case SettingUnit::kChoice:
      break;
  }
  return SettingType(row);
}

void AddSettingFlags(CLI::App* app, const char* group, StreamOverrides& set) {
  for (const StreamSetting& row : kStreamSettings) {
    const std::string flag = Concat("--", row.flag);
    const auto take = [&row, &set, flag](const std::string& text) {
      row.ask(set, Need(flag, ParseSetting(row, text)));
    };
    app->add_option_function<std::string>(flag, take, std::string(row.doc))
        ->type_name(ValueName(row))
        ->group(group);
  }
}

void AddStreamCommands(CLI::App& root, Invocation& invocation) {
  CLI::App* stream =
      root.add_subcommand("stream", "Create, list, describe, change and delete streams");
  stream->require_subcommand(1);
  stream->footer(kStreamExamples);

  auto create = AddCommand<StreamCreateOptions>(*stream, invocation, "create",
                                                "Create a stream that records a NATS subject",
                                                kStreamCreateExamples);
  CLI::App* app = create.app;
  StreamCreateOptions& options = *create.options;
  Word(app, "NAME", options.name, "Name of the stream");
  app->add_option("-s,--subject", options.subject, "NATS subject to record; may have wildcards")
      ->required()
      ->type_name("SUBJECT");
  IntegerFlag(app, "--partitions", options.partitions, 1, "Number of partitions (default 1)",
              limits::kMaxPartitionsPerStream);
  Flag(app, "--replication-factor", "N|all", ParseReplicationFactor, options.replication_factor,
       "Brokers that keep a copy (default: streams.replication.factor, or else 3 where three "
       "brokers live)");
  app->add_option("--group", options.group, "NATS queue group to listen in")->type_name("NAME");
  app->add_flag("--if-absent", options.if_absent,
                "Succeed when the stream exists, and say how it differs from what was asked");
  AddSettingFlags(app, "Settings (default: the broker's)", options.overrides);

  auto update = AddCommand<StreamUpdateOptions>(
      *stream, invocation, "update", "Change settings of a stream", kStreamUpdateExamples);
  Word(update.app, "NAME", update.options->name, "Name of the stream");
  AddSettingFlags(update.app, "Settings (default: as they are)", update.options->changes);
  update.app->callback([&invocation, options = update.options] {
    Need(Settle(*options));
    invocation.command = *options;
  });

  AddCommand<StreamListOptions>(*stream, invocation, "list", "List all streams",
                                kStreamListExamples);
  auto info = AddCommand<StreamInfoOptions>(*stream, invocation, "info",
                                            "Show one stream: positions, sizes, ages, gaps, damage",
                                            kStreamInfoExamples);
  Word(info.app, "NAME", info.options->name, "Name of the stream");
  auto gaps = AddCommand<StreamGapsOptions>(*stream, invocation, "gaps",
                                            "List when messages may have been missed, and why",
                                            kStreamGapsExamples);
  Word(gaps.app, "NAME", gaps.options->name, "Name of the stream");
  IntegerFlag(gaps.app, "-p,--partition", gaps.options->partition, 0, "Partition (default all)");
  auto remove = AddCommand<StreamDeleteOptions>(
      *stream, invocation, "delete", "Delete a stream and all it recorded", kStreamDeleteExamples);
  Word(remove.app, "NAME", remove.options->name, "Name of the stream");
  remove.app->add_flag("-y,--yes", remove.options->yes, "Do not ask");
}

void AddPublishCommand(CLI::App& root, Invocation& invocation) {
  auto command = AddCommand<PublishOptions>(
      root, invocation, "publish",
      "Publish a message, or every line of standard input, and print the offsets",
      kPublishExamples);
  CLI::App* app = command.app;
  auto options = command.options;
  app->add_option("STREAM", options->stream, "Stream to publish to")->type_name("");
  app->add_option("VALUE", options->value,
                  "The message; without it every line of standard input is one")
      ->type_name("");
  IntegerFlag(app, "-p,--partition", options->partition, 0, "Partition (default 0)");
  app->add_option("-s,--subject", options->subject,
                  "Publish to a NATS subject; every stream that listens there records it")
      ->type_name("SUBJECT");
  app->add_option("-k,--key", options->key, "Key of the message")->type_name("KEY");
  ListFlag(
      app, "-H,--header", "NAME=VALUE", 0,
      [options](const std::vector<std::string>& texts) {
        for (const std::string& text : texts) Need("--header", AddHeader(*options, text));
      },
      "Header; may be repeated");
  AckFlag(app, options->ack);
  IntegerFlag(app, "--window", options->window, 1,
              "Lines on their way without an ack (default 1000)");
  app->add_option("--correlation-id", options->correlation_id,
                  "Carried by the message and its ack; lines get ID-1, ID-2, ...")
      ->type_name("ID");
  IntegerFlag(app, "--expect-offset", options->expected_offset, 0,
              "Store only at this offset (streams with --optimistic-concurrency);\n"
              "lines expect it and those after it");
  app->add_flag("-q,--quiet", options->quiet, "Print no offsets");
  app->callback([&invocation, options] {
    Need(Settle(*options));
    invocation.command = *options;
  });
}

void AddSubscribeCommand(CLI::App& root, Invocation& invocation, Timestamp now) {
  auto command = AddCommand<SubscribeOptions>(root, invocation, "subscribe",
                                              "Print what a stream recorded", kSubscribeExamples);
  CLI::App* app = command.app;
  auto options = command.options;
  const auto parse_place = [now](const std::string& text) { return ParsePlace(text, now); };
  Word(app, "STREAM", options->stream, "Stream to read");
  IntegerFlag(app, "-p,--partition", options->partition, 0, "Partition (default 0)");
  Flag(app, "--from", "PLACE", parse_place, options->from,
       "new, earliest (default), latest, an offset, or a time: 2026-11-23T10:00:00Z,\n"
       "@1700000000, -10m; new implies --follow");
  Flag(app, "--until", "PLACE", parse_place, options->until,
       "Last message to print: latest (default), an offset, or a time");
  app->add_flag("-f,--follow", options->follow, "Go on with what is recorded from now on");
  app->add_flag("-r,--reverse", options->reverse, "Newest first, down to --until");
  IntegerFlag(app, "-n,--count", options->count, 1, "Stop after this many messages");
  Flag(app, "--format", "text|json|raw", ParseFormat, options->format,
       "text: offset, time, subject if it varies, key, headers, value;\n"
       "json: one object per line; raw: the values alone");
  app->add_flag_callback(
      "--no-newline", [options] { options->newline = false; }, "raw: nothing between the values");
  app->add_option("-o,--output", options->output,
                  "Write to a file; raw values stand back to back there")
      ->type_name("FILE");
  Flag(app, "--reconnect", "DURATION", ParsePeriod, options->reconnect,
       "How long --follow tries again when the broker goes away (default 1m)");
  app->callback([&invocation, options, app] {
    Need(Settle(*options, app->count("--from") > 0));
    if (invocation.json && app->count("--format") == 0) options->format = OutputFormat::kJson;
    if (!options->output.empty() && options->format == OutputFormat::kRaw) options->newline = false;
    invocation.command = *options;
  });
}

void AddClusterCerts(CLI::App& cluster, Invocation& invocation) {
  auto certs = AddCommand<ClusterCertsOptions>(cluster, invocation, "certs", kClusterCertsAbout,
                                               kClusterCertsExamples);
  CLI::App* app = certs.app;
  ClusterCertsOptions& options = *certs.options;
  ListFlag(
      app, "--server-id", "ID,...", ',',
      [&options](const std::vector<std::string>& ids) { options.server_ids = ids; },
      "Broker to make a certificate for; a list, or repeated")
      ->required();
  app->add_option("--out", options.out, "Directory for the files (default: this one)")
      ->type_name("DIR");
  app->add_option("--ca", options.ca, "Directory of the authority (default: that of --out)")
      ->type_name("DIR");
  ListFlag(
      app, "--host", "HOST,...", ',',
      [&options](const std::vector<std::string>& hosts) { options.hosts = hosts; },
      "Name or address to put into each; a list, or repeated");
  IntegerFlag(app, "--days", options.days, 1, "Until the new ones expire (default 3650)",
              kMaxCertificateDays);
  app->add_flag("--force", options.force,
                "Replace certificates that are there; never the authority");
}

void AddClusterCommands(CLI::App& root, Invocation& invocation) {
  CLI::App* cluster =
      root.add_subcommand("cluster", "Look at the cluster and its metadata group, and change it");
  cluster->require_subcommand(1);
  cluster->footer(kClusterExamples);
  AddCommand<ClusterStatusOptions>(*cluster, invocation, "status",
                                   "Members, leader, lag, and what is degraded",
                                   kClusterStatusExamples);
  auto add = AddCommand<ClusterAddOptions>(*cluster, invocation, "add",
                                           "Invite a broker that waits at a peer address",
                                           kClusterAddExamples);
  ClusterAddOptions& options = *add.options;
  add.app
      ->add_option_function<std::string>(
          "ADDRESS",
          [&options](const std::string& text) {
            options.address = Need("ADDRESS", ParsePeerAddress(text));
          },
          "Where its peer port is, host:port (default port 9293)")
      ->required()
      ->type_name("");
  auto remove = AddCommand<ClusterRemoveOptions>(
      *cluster, invocation, "remove", "Remove a broker for ever", kClusterRemoveExamples);
  Word(remove.app, "SERVER-ID", remove.options->server_id, "Which, as status lists it");
  remove.app->add_flag("--force", remove.options->force,
                       "Even when it lives or leads partitions; these get other leaders");
  auto transfer = AddCommand<ClusterTransferOptions>(*cluster, invocation, "transfer",
                                                     "Hand the leadership of the metadata over",
                                                     kClusterTransferExamples);
  transfer.app
      ->add_option("SERVER-ID", transfer.options->server_id,
                   "To which voter (default: the one that lags least)")
      ->type_name("");
  AddClusterCerts(*cluster, invocation);
}

void AddBenchCommands(CLI::App& root, Invocation& invocation) {
  CLI::App* bench = root.add_subcommand("bench", "Measure publishing and replaying");
  bench->require_subcommand(1);
  bench->footer(kBenchExamples);

  auto publish = AddCommand<BenchPublishOptions>(*bench, invocation, "publish",
                                                 "Publish made-up messages and measure the acks",
                                                 kBenchPublishExamples);
  CLI::App* app = publish.app;
  auto options = publish.options;
  app->add_option("STREAM", options->streams, "Streams to publish to, all at once")
      ->required()
      ->type_name("");
  app->add_flag("--create", options->create,
                "Create those that do not exist (subject: bench.<name>)");
  ListFlag(
      app, "--size", "SIZE,...", ',',
      [options](const std::vector<std::string>& texts) {
        options->sizes.clear();
        for (const std::string& text : texts) {
          options->sizes.push_back(Need("--size", ParseMessageSize(text)));
        }
      },
      "Bytes of a message (default 1K); a list makes one run for each");
  IntegerFlag(app, "-n,--count", options->count, 1, "Messages for each stream (default 100000)");
  IntegerFlag(app, "--window", options->window, 1,
              "Messages of a stream without an ack (default 1000)");
  IntegerFlag(app, "-p,--partition", options->partition, 0, "Partition (default 0)");
  AckFlag(app, options->ack);

  auto replay = AddCommand<BenchReplayOptions>(
      *bench, invocation, "replay", "Read streams from the beginning as fast as they come",
      kBenchReplayExamples);
  replay.app->add_option("STREAM", replay.options->streams, "Streams to read, all at once")
      ->required()
      ->type_name("");
  IntegerFlag(replay.app, "-p,--partition", replay.options->partition, 0, "Partition (default 0)");
  IntegerFlag(replay.app, "-n,--count", replay.options->count, 1,
              "Messages of each stream (default: all)");
}

void AddLogCommands(CLI::App& root, Invocation& invocation) {
  CLI::App* log =
      root.add_subcommand("log", "Look at a partition's files on disk, without a server");
  log->require_subcommand(1);
  log->footer(kLogExamples);
  const auto add = [&](const char* name, LogOptions::Action action, const char* description) {
    auto command = AddCommand<LogOptions>(*log, invocation, name, description, kLogExamples);
    command.options->action = action;
    Word(command.app, "DIR", command.options->directory,
         "Directory of a partition, stream or broker");
  };
  add("inspect", LogOptions::Action::kInspect, "Show segments, offsets, epochs, times and sizes");
  add("verify", LogOptions::Action::kVerify,
      "Check every byte; exit status 5 when something is damaged");
}

void AddGlobalFlags(CLI::App& app, Invocation& invocation) {
  ConnectionOptions& connection = invocation.connection;
  ListFlag(
      &app, "--server", "HOST:PORT,...", ',',
      [&connection](const std::vector<std::string>& texts) {
        connection.servers.clear();
        for (const std::string& text : texts) {
          connection.servers.push_back(Need("--server", ParseAddress(text)));
        }
      },
      "Broker to ask, or several separated by commas: the first that answers\n"
      "(default localhost:9292)")
      ->envname("BASCULE_SERVER");
  app.add_flag("--tls", connection.tls, "Use TLS with the system's authorities");
  app.add_option("--tls-ca", connection.tls_ca, "Authorities to trust (PEM); implies --tls")
      ->type_name("FILE");
  CLI::Option* cert =
      app.add_option("--tls-cert", connection.tls_cert, "Client certificate (PEM); implies --tls")
          ->type_name("FILE");
  CLI::Option* key =
      app.add_option("--tls-key", connection.tls_key, "Its private key (PEM)")->type_name("FILE");
  cert->needs(key);
  key->needs(cert);
  Flag(&app, "--timeout", "DURATION", ParseTimeout, connection.timeout,
       "How long to wait for an answer (default 5s)");
  app.add_flag("--json", invocation.json, "Print JSON: one object, or one per line for lists");
  app.set_version_flag("--version", std::string("bascule ") + BASCULE_VERSION);
}

// The commands as far as they were understood: "bascule stream create".
std::string Path(const CLI::App& app, const CLI::App** deepest) {
  std::string path = app.get_name();
  *deepest = &app;
  while (!(*deepest)->get_subcommands().empty()) {
    *deepest = (*deepest)->get_subcommands().back();
    path += " " + (*deepest)->get_name();
  }
  return path;
}

void PrintUsageError(const CLI::App& app, const CLI::ParseError& error, std::ostream& err) {
  const CLI::App* deepest = nullptr;
  const std::string path = Path(app, &deepest);
  std::string what = error.what();
  std::string hint = "see " + path + " --help";
  const std::vector<std::string> extras = app.remaining(true);
  if (!extras.empty()) {
    what = "\"" + EscapeText(extras.front()) + "\" is not understood here";
    std::vector<std::string> names;
    for (const CLI::App* known : deepest->get_subcommands({})) names.push_back(known->get_name());
    for (const CLI::Option* known : deepest->get_options()) {
      for (const std::string& name : known->get_lnames()) names.push_back("--" + name);
    }
    const std::string near = NearestName(extras.front(), names);
    if (!near.empty()) hint = "did you mean " + near + "? (" + hint + ")";
  }
  err << "bascule: " << EscapeText(what) << "; " << hint << '\n';
}

}  // namespace

ParsedCommandLine ParseCommandLine(int argc, const char* const* argv, Timestamp now,
                                   std::ostream& out, std::ostream& err) {
  Invocation invocation;
  CLI::App app(kAbout, "bascule");
  app.fallthrough();
  app.require_subcommand(1);
  app.set_help_flag("-h,--help", "Print this and exit");
  app.get_formatter()->column_width(kMeaningColumn);
  app.footer(std::string(kRootExamples) + "\n\n" + kExitCodesHelp);
  AddGlobalFlags(app, invocation);
  AddStreamCommands(app, invocation);
  AddPublishCommand(app, invocation);
  AddSubscribeCommand(app, invocation, now);
  CLI::App* server = app.add_subcommand("server", "Ask a broker about itself");
  server->require_subcommand(1);
  AddCommand<ServerInfoOptions>(*server, invocation, "info",
                                "Version, NATS, disk, counters, what is degraded",
                                kServerInfoExamples);
  AddClusterCommands(app, invocation);
  AddBenchCommands(app, invocation);
  AddLogCommands(app, invocation);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {
      std::ostringstream help;
      app.exit(error, help, err);
      out << WrapLines(help.str(), kHelpWidth, kMeaningColumn, "bascule");
      return {std::nullopt, ExitCode::kOk};
    }
    if (argc <= 1) {
      err << WrapLines(app.help(), kHelpWidth, kMeaningColumn, "bascule");
    } else {
      PrintUsageError(app, error, err);
    }
    return {std::nullopt, ExitCode::kUsage};
  }
  ConnectionOptions& connection = invocation.connection;
  if (connection.servers.empty())
    connection.servers.push_back(absl::StrCat("localhost:", kDefaultPort));
  if (!connection.tls_ca.empty() || !connection.tls_cert.empty()) connection.tls = true;
  return {std::move(invocation), ExitCode::kOk};
}

}  // namespace bascule::cli
