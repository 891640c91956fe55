#include "core/stream/settings.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "core/base/quantity.h"
#include "core/base/text.h"

namespace bascule {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kCentury = std::chrono::hours(24 * 36525);

std::string_view FieldOf(const StreamSetting& row) {
  return row.liftbridge.empty() ? row.name : row.liftbridge;
}

std::string Meaning(const StreamSetting& row) {
  std::string unit = "a number";
  if (row.unit == SettingUnit::kBytes) unit = "a number of bytes";
  if (row.unit == SettingUnit::kMilliseconds) unit = "milliseconds";
  return row.zero.empty() ? unit : Concat(unit, " (0 = ", row.zero, ")");
}

absl::Status Validate(const StreamSetting& row, int64_t value) {
  if (row.unit == SettingUnit::kChoice) {
    if (!SettingText(row, value).empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(Concat("Invalid ", FieldOf(row), " number ", value,
                                             ": it must be 0 (", row.words[0], ") or 1 (",
                                             row.words[1], ")"));
  }
  if (value >= 0) return absl::OkStatus();
  return absl::InvalidArgumentError(Concat("Invalid ", FieldOf(row), " ", value, ": it must be ",
                                           Meaning(row), " and not negative"));
}

milliseconds SegmentAge(milliseconds segment_age, milliseconds retention_age) {
  if (retention_age.count() == 0) return segment_age;
  return segment_age.count() == 0 ? retention_age : std::min(segment_age, retention_age);
}

int64_t SegmentBytes(int64_t asked, int64_t by_default) {
  if (asked == 0) asked = by_default;
  if (asked == 0) asked = limits::kDefaultSegmentBytes;
  return std::clamp(asked, static_cast<int64_t>(limits::kMinSegmentBytes),
                    static_cast<int64_t>(limits::kMaxSegmentBytes));
}

}  // namespace

StreamSettings::StreamSettings() {
  for (const StreamSetting& row : kStreamSettings) row.set(*this, row.initial);
}

const StreamSetting* FindSetting(int number) {
  for (const StreamSetting& row : kStreamSettings)
    if (row.number == number) return &row;
  return nullptr;
}

absl::StatusOr<int64_t> ParseSetting(const StreamSetting& row, std::string_view text) {
  switch (row.unit) {
    case SettingUnit::kBytes:
      return ParseSizeBetween(text, row.least, row.most, row.zero);
    case SettingUnit::kCount:
      return ParseWhole(text, row.least, row.most);
    case SettingUnit::kMilliseconds: {
      ASSIGN_OR_RETURN(const milliseconds period, ParseMillis(text, row.zero));
      return period.count();
    }
    case SettingUnit::kSwitch: {
      ASSIGN_OR_RETURN(const bool on, ParseSwitch(text));
      return on ? 1 : 0;
    }
    case SettingUnit::kChoice:
      break;
  }
  for (size_t i = 0; i < row.words.size(); ++i)
    if (absl::EqualsIgnoreCase(ToAbsl(text), ToAbsl(row.words[i]))) return static_cast<int64_t>(i);
  return absl::InvalidArgumentError(Concat("must be ", SettingForm(row), ", not ", Quoted(text)));
}

std::string SettingText(const StreamSetting& row, int64_t value) {
  switch (row.unit) {
    case SettingUnit::kBytes:
      return SizeText(value);
    case SettingUnit::kCount:
      return Concat(value);
    case SettingUnit::kMilliseconds:
      return PeriodText(milliseconds(value));
    case SettingUnit::kSwitch:
      return value == 0 ? "false" : "true";
    case SettingUnit::kChoice:
      break;
  }
  const bool known = value >= 0 && value < static_cast<int64_t>(row.words.size());
  return known ? std::string(row.words[static_cast<size_t>(value)]) : std::string();
}

std::string SettingType(const StreamSetting& row) {
  switch (row.unit) {
    case SettingUnit::kBytes:
      return "size";
    case SettingUnit::kCount:
      return "number";
    case SettingUnit::kMilliseconds:
      return "duration";
    case SettingUnit::kSwitch:
      return "bool";
    case SettingUnit::kChoice:
      break;
  }
  return Concat(row.words[0], "|", row.words[1]);
}

std::string SettingForm(const StreamSetting& row) {
  switch (row.unit) {
    case SettingUnit::kBytes:
      return "a number of bytes";
    case SettingUnit::kCount:
      return "a whole number";
    case SettingUnit::kMilliseconds:
      return "a duration such as \"5m\"";
    case SettingUnit::kSwitch:
      return "true or false";
    case SettingUnit::kChoice:
      break;
  }
  return Concat("\"", row.words[0], "\" or \"", row.words[1], "\"");
}

absl::Status ValidateOverrides(const StreamOverrides& overrides) {
  for (const StreamSetting& row : kStreamSettings) {
    const std::optional<int64_t> value = row.asked(overrides);
    if (value) RETURN_IF_ERROR(Validate(row, *value));
  }
  return absl::OkStatus();
}

absl::Status CheckMinIsr(const StreamOverrides& overrides, int32_t replicas) {
  const int32_t min_isr = overrides.min_isr.value_or(0);
  if (min_isr <= replicas) return absl::OkStatus();
  return absl::InvalidArgumentError(Concat("Invalid minIsr ", min_isr, ", replicationFactor ",
                                           replicas, ": nothing would ever be committed"));
}

int32_t MinIsr(int32_t setting, size_t replicas) {
  return setting > 0 ? setting : static_cast<int32_t>(replicas / 2 + 1);
}

void Merge(const StreamOverrides& from, StreamOverrides& into) {
  for (const StreamSetting& row : kStreamSettings)
    if (const std::optional<int64_t> value = row.asked(from)) row.ask(into, *value);
}

StreamOverrides OpenBindings(const StreamOverrides& overrides, const StreamSettings& defaults,
                             uint32_t level) {
  StreamOverrides open;
  for (const StreamSetting& row : kStreamSettings) {
    if (row.scope == SettingScope::kBinding && row.level <= level && !row.asked(overrides))
      row.ask(open, row.get(defaults));
  }
  return open;
}

const StreamSetting* FindNewer(const StreamOverrides& overrides, uint32_t level) {
  for (const StreamSetting& row : kStreamSettings)
    if (row.level > level && row.asked(overrides)) return &row;
  return nullptr;
}

const StreamSetting* FindFixed(const StreamOverrides& overrides) {
  for (const StreamSetting& row : kStreamSettings)
    if (row.fixed && row.asked(overrides)) return &row;
  return nullptr;
}

StreamSettings Resolve(const StreamOverrides& overrides, const StreamSettings& defaults) {
  StreamSettings s = defaults;
  for (const StreamSetting& row : kStreamSettings)
    if (const std::optional<int64_t> value = row.asked(overrides)) row.set(s, *value);
  if (s.cleaner_interval.count() == 0) s.cleaner_interval = defaults.cleaner_interval;
  if (s.cleaner_interval.count() == 0) s.cleaner_interval = StreamSettings().cleaner_interval;
  s.cleaner_interval = std::min(s.cleaner_interval, kCentury);
  s.retention_max_age = std::min(s.retention_max_age, kCentury);
  s.segment_max_age = std::min(SegmentAge(s.segment_max_age, s.retention_max_age), kCentury);
  s.segment_max_bytes = SegmentBytes(s.segment_max_bytes, defaults.segment_max_bytes);
  return s;
}

}  // namespace bascule
