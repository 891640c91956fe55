// The daemon's command line: Liftbridge's flags, and ours. Translates only; what settings mean is
// core/config's.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "core/config/config.h"

namespace bascule::daemon {

struct Flags {
  enum class Action {
    kRun,
    kCheck,       // load the configuration, say whether it is valid, exit
    kRecover,     // offline: make the broker of this data directory the only member of its cluster
    kHelp,        // print `text` to stdout
    kVersion,     // likewise
    kHelpConfig,  // likewise
    kUsageError,  // print `text` to stderr
  };
  Action action = Action::kRun;
  std::string text;   // ends with a line break; empty for kRun, kCheck and kRecover
  int exit_code = 0;  // for the actions that only print
  std::optional<std::string> config_file;
  std::map<std::string, config::FlagValue> overrides;  // for ConfigSources::flags
};

// Pure, apart from reading argv. Never throws, never exits. `version` is what --version prints.
Flags ParseFlags(int argc, const char* const* argv, std::string_view version);

// The process's environment ("NAME=value" entries, ending with a null pointer) as a map.
std::map<std::string, std::string> ReadEnvironment(const char* const* environment);

// The file to read: --config, else BASCULE_CONFIG, else none.
std::optional<std::string> ConfigFile(const Flags& flags,
                                      const std::map<std::string, std::string>& environment);

}  // namespace bascule::daemon
