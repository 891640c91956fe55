#include "core/config/environment.h"
#include "core/base/spelling.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/config/settings.h"
#include "core/config/yaml_reader.h"

namespace bascule::config {
namespace {

constexpr absl::string_view kPrefix = "BASCULE_";
constexpr absl::string_view kLiftbridgePrefix = "LIFTBRIDGE_";

// Variables of ours that are no settings of the daemon: its file, the address that the command line
// dials, and where tests and benchmarks find programs and sources.
constexpr std::array<absl::string_view, 5> kOthers{
    "BASCULE_CONFIG", "BASCULE_SERVER", "BASCULE_BIN", "BASCULE_BENCH_BIN", "BASCULE_SOURCE"};
constexpr absl::string_view kTestPrefix = "BASCULE_TEST_";

// Kubernetes puts the address of every service into the environment of every pod: a service named
// "bascule" makes BASCULE_PORT=tcp://10.0.0.1:9292, BASCULE_SERVICE_HOST and
// BASCULE_PORT_9292_TCP_ADDR. They are not meant for us.
bool IsServiceLink(const std::string& name, const std::string& value) {
  if (absl::StrContains(name, "_SERVICE_HOST") || absl::StrContains(name, "_SERVICE_PORT"))
    return true;
  const bool address = absl::StartsWith(value, "tcp://") || absl::StartsWith(value, "udp://") ||
                       absl::StartsWith(value, "sctp://");
  if (address && absl::EndsWith(name, "_PORT")) return true;
  const size_t port = name.find("_PORT_");
  if (port == std::string::npos) return false;
  const size_t digits = port + 6;
  const size_t end = name.find_first_not_of("0123456789", digits);
  if (end == digits || end == std::string::npos) return false;
  const std::string rest = name.substr(end);
  return absl::StartsWith(rest, "_TCP") || absl::StartsWith(rest, "_UDP") ||
         absl::StartsWith(rest, "_SCTP");
}

bool IsOther(const std::string& name) {
  return absl::StartsWith(name, kTestPrefix) ||
         std::find(kOthers.begin(), kOthers.end(), name) != kOthers.end();
}

// Variable name without its prefix -> setting. Liftbridge kept the dots of its keys; both spellings
// count.
std::string Suffix(absl::string_view name) {
  std::string suffix = absl::AsciiStrToUpper(name);
  std::replace(suffix.begin(), suffix.end(), '.', '_');
  return suffix;
}

class EnvironmentReader {
 public:
  EnvironmentReader(Config& config, Given& given, Faults& faults)
      : config_(config), given_(given), faults_(faults) {
    for (const Setting<Config>& row : BrokerSettings().rows()) {
      const std::string name = EnvironmentName(row.key);
      names_.push_back(name);
      rows_.emplace(name.substr(kPrefix.size()), &row);
    }
  }

  void Read(const std::map<std::string, std::string>& environment, absl::string_view prefix) {
    for (const auto& [name, value] : environment) {
      if (faults_.full()) return;
      if (!absl::StartsWith(name, prefix) || IsOther(name) || IsServiceLink(name, value)) continue;
      const auto row = rows_.find(Suffix(absl::string_view(name).substr(prefix.size())));
      if (row == rows_.end()) {
        if (prefix == kPrefix)
          faults_.Add({name}, absl::StrCat("the environment variable is no setting",
                                           DidYouMean(name, names_)));
        continue;
      }
      if (!value.empty()) ReadTextSetting(*row->second, value, name, config_, given_, faults_);
    }
  }

 private:
  Config& config_;
  Given& given_;
  Faults& faults_;
  std::vector<std::string> names_;
  std::map<std::string, const Setting<Config>*> rows_;
};

}  // namespace

std::string EnvironmentName(const std::string& key) { return absl::StrCat(kPrefix, Suffix(key)); }

void ReadEnvironmentSettings(const std::map<std::string, std::string>& environment, Config& config,
                             Given& given, Faults& faults) {
  EnvironmentReader reader(config, given, faults);
  reader.Read(environment, kLiftbridgePrefix);
  reader.Read(environment, kPrefix);
}

void ReadTextSetting(const Setting<Config>& row, const std::string& text, const std::string& source,
                     Config& config, Given& given, Faults& faults) {
  Value value = Value::Text(text);
  if (row.structured && !ReadYaml(text, source, /*with_lines=*/false, value, faults)) return;
  given[row.key] = {source};
  row.apply(value, {source}, config, faults);
}

}  // namespace bascule::config
