// The only file that includes CLI11. One function per command declares its flags on a shared
// options struct, which the command's callback moves into the invocation once everything has been
// parsed.
#include "cmd/bascule/options.h"

#include <CLI/CLI.hpp>
#include <limits>
#include <memory>

#include "absl/strings/str_cat.h"
#include "cmd/bascule/examples.h"
#include "cmd/bascule/option_rules.h"
#include "cmd/bascule/text.h"

namespace bascule::cli {
namespace {

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

int64_t NeedInteger(const std::string& flag, const std::string& text, int64_t least, int64_t most) {
  const int64_t value = Need(flag, ParseInteger(text));
  if (value < least || value > most) {
    throw CLI::ValidationError(
        flag, most == std::numeric_limits<int64_t>::max()
                  ? absl::StrCat(value, " is too small; at least ", least)
                  : absl::StrCat(value, " is out of range; ", least, " to ", most));
  }
  return value;
}

constexpr int64_t kAnyInt64 = std::numeric_limits<int64_t>::max();
constexpr int64_t kAnyInt32 = std::numeric_limits<int32_t>::max();

// A flag whose text goes through `take(flag, text)`.
template <typename Take>
CLI::Option* Flag(CLI::App* app, const std::string& names, const char* type, Take take,
                  const std::string& description) {
  const std::string flag = names.substr(names.rfind(',') + 1);
  return app
      ->add_option_function<std::string>(
          names, [flag, take](const std::string& text) { take(flag, text); }, description)
      ->type_name(type);
}

template <typename T>
CLI::Option* IntegerFlag(CLI::App* app, const std::string& names, T& target, int64_t least,
                         const std::string& description) {
  return Flag(
      app, names, "N",
      [&target, least](const std::string& flag, const std::string& text) {
        target = static_cast<T>(
            NeedInteger(flag, text, least, sizeof(T) == sizeof(int32_t) ? kAnyInt32 : kAnyInt64));
      },
      description);
}

CLI::Option* MillisFlag(CLI::App* app, const std::string& name,
                        std::optional<std::chrono::milliseconds>& target,
                        const std::string& description) {
  return Flag(
      app, name, "DURATION",
      [&target](const std::string& flag, const std::string& text) {
        const Duration span = Need(flag, ParseDuration(text));
        const auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(span);
        if (millis != span) {
          throw CLI::ValidationError(flag, "\"" + text + "\" is finer than a millisecond");
        }
        target = millis;
      },
      description);
}

CLI::Option* SizeFlag(CLI::App* app, const std::string& name, std::optional<int64_t>& target,
                      const std::string& description) {
  return Flag(
      app, name, "SIZE",
      [&target](const std::string& flag, const std::string& text) {
        target = Need(flag, ParseSize(text));
      },
      description);
}

CLI::Option* AckFlag(CLI::App* app, AckPolicy& target) {
  return Flag(
      app, "--ack", "all|leader|none",
      [&target](const std::string& flag, const std::string& text) {
        target = Need(flag, ParseAck(text));
      },
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

void AddSettingFlags(CLI::App* app, StreamOverrides& set) {
  const auto group = [&](CLI::Option* option) {
    option->group("Settings (default: the broker's)");
  };
  group(MillisFlag(app, "--retention-max-age", set.retention_max_age,
                   "Drop segments older than this; 0 keeps them for ever"));
  group(SizeFlag(app, "--retention-max-bytes", set.retention_max_bytes,
                 "Size of each partition to keep at most; 0 = no limit"));
  group(Flag(
      app, "--retention-max-messages", "N",
      [&set](const std::string& flag, const std::string& text) {
        set.retention_max_messages = NeedInteger(flag, text, 0, kAnyInt64);
      },
      "Messages of each partition to keep at most; 0 = no limit"));
  group(MillisFlag(app, "--cleaner-interval", set.cleaner_interval,
                   "How often retention is applied"));
  group(SizeFlag(app, "--segment-max-bytes", set.segment_max_bytes,
                 "Size at which a new segment begins"));
  group(MillisFlag(app, "--segment-max-age", set.segment_max_age,
                   "Age at which a new segment begins; 0 = never"));
  group(Flag(
      app, "--min-isr", "N",
      [&set](const std::string& flag, const std::string& text) {
        set.min_isr = static_cast<int32_t>(NeedInteger(flag, text, 0, kAnyInt32));
      },
      "Replicas that must hold a message before it is committed; 0 = a majority"));
  group(Flag(
      app, "--optimistic-concurrency", "on|off",
      [&set](const std::string& flag, const std::string& text) {
        set.optimistic_concurrency_control = Need(flag, ParseSwitch(text));
      },
      "Refuse a message whose expected offset is not the next one"));
  group(Flag(
      app, "--durability", "fsync|os",
      [&set](const std::string& flag, const std::string& text) {
        set.durability = Need(flag, ParseDurability(text));
      },
      "What an ack means: on disk, or in the operating system's page cache"));
  group(Flag(
      app, "--leader-acks", "local|committed",
      [&set](const std::string& flag, const std::string& text) {
        set.leader_acks = Need(flag, ParseLeaderAcks(text));
      },
      "What a LEADER ack waits for: the leader's disk, or the commit as ALL does"));
  group(Flag(
      app, "--reply-acks", "off|jetstream",
      [&set](const std::string& flag, const std::string& text) {
        set.reply_acks = Need(flag, ParseReplyAcks(text));
      },
      "Answer a plain NATS message's reply subject with a JetStream PubAck"));
  group(Flag(
      app, "--record-internal-subjects", "on|off",
      [&set](const std::string& flag, const std::string& text) {
        set.record_internal_subjects = Need(flag, ParseSwitch(text));
      },
      "Let a wildcard subject record inboxes and system subjects too"));
}

void AddStreamCommands(CLI::App& root, Invocation& invocation) {
  CLI::App* stream = root.add_subcommand("stream", "Create, list, describe and delete streams");
  stream->require_subcommand(1);
  stream->footer(kStreamExamples);

  auto create = AddCommand<StreamCreateOptions>(*stream, invocation, "create",
                                                "Create a stream that records a NATS subject",
                                                kStreamCreateExamples);
  CLI::App* app = create.app;
  StreamCreateOptions& options = *create.options;
  app->add_option("NAME", options.name, "Name of the stream")->required()->type_name("");
  app->add_option("-s,--subject", options.subject, "NATS subject to record; may have wildcards")
      ->required()
      ->type_name("SUBJECT");
  IntegerFlag(app, "--partitions", options.partitions, 1, "Number of partitions (default 1)");
  Flag(
      app, "--replication-factor", "N|all",
      [&options](const std::string& flag, const std::string& text) {
        options.replication_factor =
            text == "all" ? -1 : static_cast<int32_t>(NeedInteger(flag, text, 1, kAnyInt32));
      },
      "Brokers that keep a copy (default 1)");
  app->add_option("--group", options.group, "NATS queue group to listen in")->type_name("NAME");
  app->add_flag("--if-absent", options.if_absent,
                "Succeed when the stream exists, and say how it differs from what was asked");
  AddSettingFlags(app, options.overrides);

  AddCommand<StreamListOptions>(*stream, invocation, "list", "List all streams",
                                kStreamListExamples);
  auto info = AddCommand<StreamInfoOptions>(*stream, invocation, "info",
                                            "Show one stream: positions, sizes, ages, gaps, damage",
                                            kStreamInfoExamples);
  info.app->add_option("NAME", info.options->name, "Name of the stream")->required()->type_name("");
  auto remove = AddCommand<StreamDeleteOptions>(
      *stream, invocation, "delete", "Delete a stream and all it recorded", kStreamDeleteExamples);
  remove.app->add_option("NAME", remove.options->name, "Name of the stream")
      ->required()
      ->type_name("");
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
  app->add_option_function<std::vector<std::string>>(
         "-H,--header",
         [options](const std::vector<std::string>& texts) {
           for (const std::string& text : texts) Need("--header", AddHeader(*options, text));
         },
         "Header; may be repeated")
      ->type_name("NAME=VALUE")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
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
  app->add_option("STREAM", options->stream, "Stream to read")->required()->type_name("");
  Flag(
      app, "-p,--partition", "N",
      [options](const std::string& flag, const std::string& text) {
        options->partition = static_cast<int32_t>(NeedInteger(flag, text, 0, kAnyInt32));
      },
      "Partition (default 0)");
  Flag(
      app, "--from", "PLACE",
      [options, now](const std::string& flag, const std::string& text) {
        options->from = Need(flag, ParsePlace(text, now));
      },
      "new, earliest (default), latest, an offset, or a time: 2026-11-23T10:00:00Z,\n"
      "@1700000000, -10m; new implies --follow");
  Flag(
      app, "--until", "PLACE",
      [options, now](const std::string& flag, const std::string& text) {
        options->until = Need(flag, ParsePlace(text, now));
      },
      "Last message to print: latest (default), an offset, or a time");
  app->add_flag("-f,--follow", options->follow, "Go on with what is recorded from now on");
  app->add_flag("-r,--reverse", options->reverse, "Newest first, down to --until");
  Flag(
      app, "-n,--count", "N",
      [options](const std::string& flag, const std::string& text) {
        options->count = static_cast<uint64_t>(NeedInteger(flag, text, 1, kAnyInt64));
      },
      "Stop after this many messages");
  Flag(
      app, "--format", "text|json|raw",
      [options](const std::string& flag, const std::string& text) {
        if (text != "text" && text != "json" && text != "raw") {
          throw CLI::ValidationError(flag, "\"" + text + "\" is not text, json or raw");
        }
        options->format = text == "text"   ? OutputFormat::kText
                          : text == "json" ? OutputFormat::kJson
                                           : OutputFormat::kRaw;
      },
      "text: offset, time, subject if it varies, key, headers, value;\n"
      "json: one object per line; raw: the values alone");
  app->add_flag_callback(
      "--no-newline", [options] { options->newline = false; }, "raw: nothing between the values");
  app->add_option("-o,--output", options->output,
                  "Write to a file; raw values stand back to back there")
      ->type_name("FILE");
  Flag(
      app, "--reconnect", "DURATION",
      [options](const std::string& flag, const std::string& text) {
        options->reconnect = Need(flag, ParseDuration(text));
      },
      "How long --follow tries again when the broker goes away (default 1m)");
  app->callback([&invocation, options, app] {
    Need(Settle(*options, app->count("--from") > 0));
    if (invocation.json && app->count("--format") == 0) options->format = OutputFormat::kJson;
    if (!options->output.empty() && options->format == OutputFormat::kRaw) options->newline = false;
    invocation.command = *options;
  });
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
  app->add_option_function<std::vector<std::string>>(
         "--size",
         [options](const std::vector<std::string>& texts) {
           options->sizes.clear();
           for (const std::string& text : texts) {
             options->sizes.push_back(Need("--size", ParseSize(text)));
             if (options->sizes.back() > static_cast<int64_t>(limits::kMaxMessageBytes)) {
               throw CLI::ValidationError("--size",
                                          text + " is more than any broker stores (64 MiB)");
             }
           }
         },
         "Bytes of a message (default 1K); a list makes one run for each")
      ->type_name("SIZE,...")
      ->delimiter(',')
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
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
  Flag(
      replay.app, "-n,--count", "N",
      [target = replay.options](const std::string& flag, const std::string& text) {
        target->count = static_cast<uint64_t>(NeedInteger(flag, text, 1, kAnyInt64));
      },
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
    command.app
        ->add_option("DIR", command.options->directory,
                     "Directory of a partition, stream or broker")
        ->required()
        ->type_name("");
  };
  add("inspect", LogOptions::Action::kInspect, "Show segments, offsets, epochs, times and sizes");
  add("verify", LogOptions::Action::kVerify,
      "Check every byte; exit status 5 when something is damaged");
}

void AddGlobalFlags(CLI::App& app, Invocation& invocation) {
  ConnectionOptions& connection = invocation.connection;
  app.add_option_function<std::vector<std::string>>(
         "--server",
         [&connection](const std::vector<std::string>& texts) {
           connection.servers.clear();
           for (const std::string& text : texts) {
             connection.servers.push_back(Need("--server", ParseAddress(text)));
           }
         },
         "Broker to ask, or several separated by commas: the first that answers\n"
         "(default localhost:9292)")
      ->type_name("HOST:PORT,...")
      ->envname("BASCULE_SERVER")
      ->delimiter(',')
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
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
  Flag(
      &app, "--timeout", "DURATION",
      [&connection](const std::string& flag, const std::string& text) {
        connection.timeout = Need(flag, ParseDuration(text));
        if (connection.timeout <= Duration(0))
          throw CLI::ValidationError(flag, "must be more than 0");
      },
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
  err << "bascule: " << what << "; " << hint << '\n';
}

}  // namespace

ParsedCommandLine ParseCommandLine(int argc, const char* const* argv, Timestamp now,
                                   std::ostream& out, std::ostream& err) {
  Invocation invocation;
  CLI::App app(kAbout, "bascule");
  app.fallthrough();
  app.require_subcommand(1);
  app.set_help_flag("-h,--help", "Print this and exit");
  app.get_formatter()->column_width(36);
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
  AddBenchCommands(app, invocation);
  AddLogCommands(app, invocation);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {
      app.exit(error, out, err);
      return {std::nullopt, ExitCode::kOk};
    }
    if (argc <= 1) {
      err << app.help();
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
