#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "core/base/spelling.h"
#include "core/config/config.h"
#include "core/config/environment.h"
#include "core/config/faults.h"
#include "core/config/rules.h"
#include "core/config/section.h"
#include "core/config/settings.h"
#include "core/config/yaml_reader.h"

namespace bascule::config {
namespace {

void ReadFileSettings(const ConfigSources& sources, Config& config, Given& given, Faults& faults) {
  if (!sources.file_text) return;
  Value root;
  if (!ReadYaml(*sources.file_text, sources.file_name, /*with_lines=*/true, root, faults)) return;
  if (root.shape == Value::Shape::kEmpty) return;
  if (root.shape != Value::Shape::kSection)
    return faults.Add({sources.file_name, root.line},
                      "a configuration holds settings, one \"name: value\" per line");
  SectionReader<Config>(BrokerSettings(), sources.file_name, config, given, faults).Read(root);
}

void ReadFlagSettings(const ConfigSources& sources, Config& config, Given& given, Faults& faults) {
  for (const auto& [key, flag] : sources.flags) {
    if (faults.full()) return;
    const Setting<Config>* row = BrokerSettings().Find(absl::AsciiStrToLower(key));
    if (row) {
      ReadTextSetting(*row, flag.value, flag.flag, config, given, faults);
    } else {
      faults.Add({flag.flag}, absl::StrCat("unknown setting ", Quoted(key),
                                           DidYouMean(key, BrokerSettings().keys())));
    }
  }
}

}  // namespace

absl::StatusOr<Config> LoadConfig(const ConfigSources& sources) {
  Config config;
  Given given;
  Faults faults;
  ReadFileSettings(sources, config, given, faults);
  ReadEnvironmentSettings(sources.environment, config, given, faults);
  ReadFlagSettings(sources, config, given, faults);
  Complete(config, given, faults);
  if (!faults.empty()) return faults.ToStatus();
  return config;
}

uint64_t DiskReserve::Of(uint64_t total_bytes) const {
  return std::max(bytes, static_cast<uint64_t>(static_cast<double>(total_bytes) * (percent / 100)));
}

size_t Config::MaxRequestBytes() const {
  const size_t largest = static_cast<size_t>(max_message_bytes) + limits::kRecordOverheadBytes;
  return std::max(largest, limits::kDefaultRequestBytes);
}

}  // namespace bascule::config
