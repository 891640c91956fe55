// Texts that derive from the table: the reference of --help-config and the configuration in force.
#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "core/base/wrap.h"
#include "core/config/config.h"
#include "core/config/environment.h"
#include "core/config/settings.h"

namespace bascule::config {
namespace {

using Row = Setting<Config>;

constexpr size_t kWidth = 80;
constexpr size_t kDefaultColumn = 57;
constexpr char kIndent[] = "      ";

constexpr char kIntroduction[] =
    "Settings of basculed. In the YAML file they may be nested, dotted or mixed, in any case:\n"
    "  streams: {retention: {max.age: 72h}}   is   streams.retention.max.age: 72h\n"
    "As an environment variable: BASCULE_STREAMS_RETENTION_MAX_AGE=72h (LIFTBRIDGE_... works "
    "too).\n"
    "As a flag: --set streams.retention.max.age=72h. Flags win over the environment, that over "
    "the file. Durations: 250ms, 5m, 1h30m (a bare number counts nanoseconds). Sizes: 1048576, "
    "64MiB.\n";

void AppendColumns(const std::string& key, const std::string& type, const std::string& value,
                   std::string& out) {
  std::string line = absl::StrFormat("  %-38s %-15s %s", key, type, value);
  absl::StripTrailingAsciiWhitespace(&line);
  absl::StrAppend(&out, line, "\n");
}

std::string ShownDefault(const Row& row) {
  const std::string value = row.show(Config());
  return value.empty() ? "(none)" : value;
}

}  // namespace

std::string ConfigReference() {
  std::string out = kIntroduction;
  absl::StrAppend(&out, "\n");
  AppendColumns("KEY", "TYPE", "DEFAULT", out);
  for (const Row& row : BrokerSettings().rows()) {
    if (row.state != Row::State::kWorks) continue;
    AppendColumns(row.key, row.type, ShownDefault(row), out);
    absl::StrAppend(&out, kIndent, row.doc, "\n");
  }
  absl::StrAppend(&out, "\nSettings of Liftbridge that are accepted with any value:\n");
  for (const Row& row : BrokerSettings().rows()) {
    if (row.state != Row::State::kMet) continue;
    AppendColumns(row.key, row.type, "", out);
    absl::StrAppend(&out, kIndent, row.doc, "\n");
  }
  absl::StrAppend(&out,
                  "\nSettings of Liftbridge that this version refuses, except for the value "
                  "shown:\n");
  for (const Row& row : BrokerSettings().rows())
    if (row.state == Row::State::kNotBuilt)
      AppendColumns(row.key, row.type, row.show(Config()), out);
  return WrapLines(out, kWidth, kDefaultColumn, "basculed");
}

std::string DescribeConfig(const Config& config) {
  std::string out;
  for (const Row& row : BrokerSettings().rows()) {
    if (row.state != Row::State::kWorks) continue;
    std::string value = row.show(config);
    if (row.secret && !value.empty()) value = "***";
    absl::StrAppend(&out, row.key, ":", value.empty() ? "" : " ", value, "\n");
  }
  return out;
}

}  // namespace bascule::config
