#include "core/config/kind.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/base/quantity.h"

namespace bascule::config {
namespace {

// A kind whose values are one text each.
template <typename T>
Kind<T> OneTextKind(std::string name, const std::string& wanted,
                    std::function<absl::StatusOr<T>(const std::string&)> parse,
                    std::function<std::string(const T&)> show) {
  return {std::move(name),
          [wanted, parse = std::move(parse)](const Value& value) -> absl::StatusOr<T> {
            ASSIGN_OR_RETURN(const std::string text, OneText(value, wanted));
            return parse(text);
          },
          std::move(show)};
}

// A kind of a few words, any case.
template <typename T>
Kind<T> ChoiceKind(std::vector<std::pair<std::string, T>> choices) {
  std::vector<std::string> names, quoted;
  for (const auto& choice : choices) {
    names.push_back(choice.first);
    quoted.push_back(Quoted(choice.first));
  }
  const std::string wanted = absl::StrJoin(quoted, " or ");
  const std::string name = absl::StrJoin(names, "|");
  return OneTextKind<T>(
      name, wanted,
      [choices, wanted](const std::string& text) -> absl::StatusOr<T> {
        for (const auto& [word, value] : choices)
          if (absl::EqualsIgnoreCase(word, text)) return value;
        return absl::InvalidArgumentError(absl::StrCat("must be ", wanted, ", not ", Quoted(text)));
      },
      [choices](const T& value) {
        for (const auto& [word, known] : choices)
          if (known == value) return word;
        return std::string();
      });
}

// A bare number counts nanoseconds, as Liftbridge's configuration has it.
absl::StatusOr<Duration> PeriodOf(const std::string& text) {
  int64_t bare = 0;
  if (absl::SimpleAtoi(text, &bare)) return Duration(bare);
  return ParsePeriod(text);
}

absl::StatusOr<std::chrono::milliseconds> MillisOf(const std::string& text,
                                                   const std::string& zero) {
  ASSIGN_OR_RETURN(const Duration period, PeriodOf(text));
  absl::StatusOr<std::chrono::milliseconds> whole = CheckMillis(period, text, zero);
  const bool bare = !text.empty() && absl::ascii_isdigit(text.back()) && period.count() > 0;
  if (whole.ok() || !bare) return whole;
  return absl::InvalidArgumentError(absl::StrCat(
      whole.status().message(), "; a bare number counts nanoseconds, so write its unit: 168h"));
}

}  // namespace

absl::StatusOr<std::string> OneText(const Value& value, const std::string& wanted) {
  switch (value.shape) {
    case Value::Shape::kText:
      return value.text;
    case Value::Shape::kEmpty:
      return absl::InvalidArgumentError("has no value; give it one or remove the line");
    case Value::Shape::kList:
      return absl::InvalidArgumentError(absl::StrCat("must be ", wanted, ", not a list"));
    case Value::Shape::kSection:
      break;
  }
  return absl::InvalidArgumentError(absl::StrCat("must be ", wanted, ", not a group of settings"));
}

Kind<bool> SwitchKind() {
  return OneTextKind<bool>(
      "bool", "true or false", [](const std::string& text) { return ParseSwitch(text); },
      [](const bool& value) { return std::string(value ? "true" : "false"); });
}

Kind<int64_t> WholeKind(int64_t min, int64_t max) {
  return OneTextKind<int64_t>(
      "number", "a whole number",
      [=](const std::string& text) { return ParseWhole(text, min, max); },
      [](const int64_t& value) { return absl::StrCat(value); });
}

Kind<int32_t> CountKind(int32_t min, int32_t max) {
  return OneTextKind<int32_t>(
      "number", "a whole number",
      [=](const std::string& text) -> absl::StatusOr<int32_t> {
        ASSIGN_OR_RETURN(const int64_t number, ParseWhole(text, min, max));
        return static_cast<int32_t>(number);
      },
      [](const int32_t& value) { return absl::StrCat(value); });
}

Kind<int64_t> SizeKind(int64_t min, int64_t max, const std::string& zero) {
  const auto parse = [=](const std::string& text) {
    return ParseSizeBetween(text, min, max, zero);
  };
  return OneTextKind<int64_t>("size", "a number of bytes", parse,
                              [](const int64_t& value) { return SizeText(value); });
}

Kind<std::chrono::milliseconds> PeriodKind(const std::string& zero) {
  return OneTextKind<std::chrono::milliseconds>(
      "duration", "a duration such as \"5m\"",
      [zero](const std::string& text) { return MillisOf(text, zero); },
      [](const std::chrono::milliseconds& value) { return PeriodText(value); });
}

Kind<std::chrono::milliseconds> PeriodBetweenKind(std::chrono::milliseconds min,
                                                  std::chrono::milliseconds max) {
  Kind<std::chrono::milliseconds> kind = PeriodKind();
  kind.parse = [=](const Value& value) -> absl::StatusOr<std::chrono::milliseconds> {
    ASSIGN_OR_RETURN(const std::string text, OneText(value, "a duration such as \"2s\""));
    ASSIGN_OR_RETURN(const Duration period, PeriodOf(text));
    if (period >= min && period <= max)
      return std::chrono::duration_cast<std::chrono::milliseconds>(period);
    return absl::InvalidArgumentError(absl::StrCat("must be from ", PeriodText(min), " to ",
                                                   PeriodText(max), ", not ", Quoted(text)));
  };
  return kind;
}

Kind<std::string> TextKind(TextRule rule) {
  return OneTextKind<std::string>(
      "text", "one text",
      [rule = std::move(rule)](const std::string& text) -> absl::StatusOr<std::string> {
        for (const char c : text)
          if (absl::ascii_iscntrl(c))
            return absl::InvalidArgumentError(
                "holds a line break or another control character; remove it");
        if (rule) RETURN_IF_ERROR(rule(text));
        return text;
      },
      [](const std::string& value) { return value; });
}

Kind<std::string> PathKind(TextRule rule) {
  Kind<std::string> kind = TextKind(std::move(rule));
  kind.name = "path";
  return kind;
}

absl::Status CheckNotEmpty(const std::string& text) {
  if (!text.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "must not be empty; give it a value or remove it for the default");
}

Kind<std::vector<std::string>> ListKind() {
  const auto parse = [](const Value& value) -> absl::StatusOr<std::vector<std::string>> {
    if (value.shape != Value::Shape::kList) {
      ASSIGN_OR_RETURN(const std::string text, OneText(value, "a list"));
      std::vector<std::string> items = absl::StrSplit(text, ',', absl::SkipWhitespace());
      for (std::string& item : items) absl::StripAsciiWhitespace(&item);
      return items;
    }
    std::vector<std::string> items;
    for (const Value& item : value.items) {
      if (item.shape != Value::Shape::kText)
        return absl::InvalidArgumentError(
            absl::StrCat("must be a list of single texts; item ", items.size() + 1, " is not one"));
      items.push_back(item.text);
    }
    return items;
  };
  return {"list", parse, [](const std::vector<std::string>& items) {
            return absl::StrCat("[", absl::StrJoin(items, ", "), "]");
          }};
}

Kind<LogLevel> LogLevelKind() {
  return ChoiceKind<LogLevel>({{"debug", LogLevel::kDebug},
                               {"info", LogLevel::kInfo},
                               {"warn", LogLevel::kWarning},
                               {"error", LogLevel::kError}});
}

Kind<int64_t> StreamSettingKind(const StreamSetting& row) {
  const auto parse = [&row](const std::string& text) -> absl::StatusOr<int64_t> {
    if (row.unit != SettingUnit::kMilliseconds) return ParseSetting(row, text);
    ASSIGN_OR_RETURN(const auto period, MillisOf(text, std::string(row.zero)));
    return period.count();
  };
  return OneTextKind<int64_t>(SettingType(row), SettingForm(row), parse,
                              [&row](const int64_t& value) { return SettingText(row, value); });
}

}  // namespace bascule::config
