#include "core/stream/difference.h"

#include <optional>

#include "core/base/text.h"

namespace bascule {
namespace {

std::string Show(const std::string& value) { return Concat("\"", value, "\""); }
std::string Show(int32_t value) { return Concat(value); }

std::string Sentence(std::string_view name, std::string_view here, std::string_view asked) {
  return Concat(name, ": ", here, " here, ", asked, " asked");
}

}  // namespace

std::vector<std::string> Differences(const StreamDescription& stream, const StreamSettings& now,
                                     const StreamSpec& asked, int brokers) {
  std::vector<std::string> found;
  const auto compare = [&found](std::string_view name, const auto& here, const auto& wanted) {
    if (!(here == wanted)) found.push_back(Sentence(name, Show(here), Show(wanted)));
  };
  compare("subject", stream.subject, asked.subject);
  compare("group", stream.group, asked.group);
  const int32_t partitions = asked.partitions == 0 ? 1 : asked.partitions;
  compare("partitions", static_cast<int32_t>(stream.partitions.size()), partitions);
  const int32_t factor = asked.replication_factor == -1 ? brokers : asked.replication_factor;
  const size_t replicas = stream.partitions.empty() ? 0 : stream.partitions.front().replicas.size();
  if (factor != 0) compare("replication_factor", static_cast<int32_t>(replicas), factor);
  // What the creator asked for, or else what it came to.
  for (const StreamSetting& row : kStreamSettings) {
    const std::optional<int64_t> wanted = row.asked(asked.overrides);
    const int64_t here = row.asked(stream.overrides).value_or(row.get(now));
    if (wanted && *wanted != here)
      found.push_back(Sentence(row.name, SettingText(row, here), SettingText(row, *wanted)));
  }
  return found;
}

}  // namespace bascule
