#include "core/config/quantity.h"

#include <array>
#include <limits>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "core/base/limits.h"
#include "core/config/value.h"

namespace bascule {
namespace {

struct Unit {
  absl::string_view name;
  int64_t size;
};

// Longer names stand before their own beginnings; printing uses them from the largest down.
constexpr std::array<Unit, 8> kTimeUnits{{{"ns", 1},
                                          {"us", 1'000},
                                          {"\u00b5s", 1'000},
                                          {"\u03bcs", 1'000},
                                          {"ms", 1'000'000},
                                          {"s", 1'000'000'000},
                                          {"m", 60'000'000'000},
                                          {"h", 3'600'000'000'000}}};

constexpr int64_t kTiB = static_cast<int64_t>(limits::kGiB) * 1024;
constexpr std::array<Unit, 9> kByteUnits{{{"TiB", kTiB},
                                          {"GiB", limits::kGiB},
                                          {"MiB", limits::kMiB},
                                          {"KiB", limits::kKiB},
                                          {"TB", 1'000'000'000'000},
                                          {"GB", 1'000'000'000},
                                          {"MB", 1'000'000},
                                          {"KB", 1'000},
                                          {"B", 1}}};

// Takes digits with an optional fraction off the front of `text`, as thousand-millionths; empty
// when there are none or they are too many to count.
struct Decimal {
  int64_t whole = 0;
  int64_t billionths = 0;
};
std::optional<Decimal> TakeDecimal(absl::string_view& text) {
  Decimal decimal;
  size_t at = 0;
  for (; at < text.size() && absl::ascii_isdigit(text[at]); ++at) {
    if (__builtin_mul_overflow(decimal.whole, 10, &decimal.whole)) return std::nullopt;
    if (__builtin_add_overflow(decimal.whole, text[at] - '0', &decimal.whole)) return std::nullopt;
  }
  size_t digits = at;
  if (at < text.size() && text[at] == '.') {
    int64_t weight = 100'000'000;
    for (++at; at < text.size() && absl::ascii_isdigit(text[at]); ++at, ++digits, weight /= 10)
      decimal.billionths += (text[at] - '0') * weight;
  }
  if (digits == 0) return std::nullopt;
  text.remove_prefix(at);
  return decimal;
}

// decimal * unit, empty when it does not fit.
std::optional<int64_t> Scale(const Decimal& decimal, int64_t unit) {
  const __int128 value = static_cast<__int128>(decimal.whole) * unit +
                         static_cast<__int128>(decimal.billionths) * unit / 1'000'000'000;
  if (value > std::numeric_limits<int64_t>::max()) return std::nullopt;
  return static_cast<int64_t>(value);
}

absl::Status Wrong(absl::string_view text, absl::string_view wanted) {
  return absl::InvalidArgumentError(absl::StrCat("must be ", wanted, ", not ", Quoted(text)));
}

constexpr absl::string_view kPeriodWanted =
    "a duration such as \"250ms\", \"5m\" or \"1h30m\" (units ns, us, ms, s, m, h; a bare number "
    "counts nanoseconds)";
constexpr absl::string_view kSizeWanted =
    "a number of bytes such as 1048576, \"64MiB\" or \"1.5GiB\" (units KiB, MiB, GiB, TiB of 1024; "
    "KB, MB, GB, TB "
    "of 1000)";

}  // namespace

absl::StatusOr<bool> ParseSwitch(absl::string_view text) {
  for (const absl::string_view yes : {"true", "yes", "on", "1"})
    if (absl::EqualsIgnoreCase(text, yes)) return true;
  for (const absl::string_view no : {"false", "no", "off", "0"})
    if (absl::EqualsIgnoreCase(text, no)) return false;
  return Wrong(text, "true or false");
}

absl::StatusOr<int64_t> ParseWhole(absl::string_view text, int64_t min, int64_t max) {
  int64_t number = 0;
  if (absl::SimpleAtoi(text, &number) && number >= min && number <= max) return number;
  const std::string wanted = max == std::numeric_limits<int64_t>::max()
                                 ? absl::StrCat("a whole number from ", min, " up")
                                 : absl::StrCat("a whole number from ", min, " to ", max);
  return Wrong(text, wanted);
}

absl::StatusOr<Duration> ParsePeriod(absl::string_view text) {
  int64_t bare = 0;
  if (absl::SimpleAtoi(text, &bare)) return Duration(bare);
  absl::string_view rest = text;
  const bool negative = !rest.empty() && rest[0] == '-';
  if (!rest.empty() && (rest[0] == '-' || rest[0] == '+')) rest.remove_prefix(1);
  int64_t total = 0;
  if (rest.empty()) return Wrong(text, kPeriodWanted);
  while (!rest.empty()) {
    const std::optional<Decimal> decimal = TakeDecimal(rest);
    if (!decimal) return Wrong(text, kPeriodWanted);
    const Unit* unit = nullptr;
    for (const Unit& candidate : kTimeUnits)
      if (!unit && absl::StartsWith(rest, candidate.name)) unit = &candidate;
    if (!unit && absl::StartsWith(rest, "d"))
      return absl::InvalidArgumentError(
          absl::StrCat("has no unit for days; write hours: ", Quoted("168h"), " is a week"));
    if (!unit) return Wrong(text, kPeriodWanted);
    rest.remove_prefix(unit->name.size());
    const std::optional<int64_t> part = Scale(*decimal, unit->size);
    if (!part || __builtin_add_overflow(total, *part, &total))
      return absl::InvalidArgumentError(
          absl::StrCat("is too long: ", Quoted(text), "; the longest is about 292 years"));
  }
  return Duration(negative ? -total : total);
}

absl::StatusOr<int64_t> ParseSize(absl::string_view text) {
  int64_t bare = 0;
  if (absl::SimpleAtoi(text, &bare)) return bare;
  absl::string_view rest = text;
  const std::optional<Decimal> decimal = TakeDecimal(rest);
  if (!decimal) return Wrong(text, kSizeWanted);
  rest = absl::StripLeadingAsciiWhitespace(rest);
  for (const Unit& unit : kByteUnits) {
    if (!absl::EqualsIgnoreCase(rest, unit.name)) continue;
    if (const std::optional<int64_t> bytes = Scale(*decimal, unit.size)) return *bytes;
    return absl::InvalidArgumentError(absl::StrCat("is too large: ", Quoted(text)));
  }
  if (rest.size() == 1 && absl::StrContains("KMGTkmgt", rest)) {
    const char letter = absl::ascii_toupper(rest[0]);
    const std::string prefix(1, letter);
    return absl::InvalidArgumentError(absl::StrCat("is ambiguous: ", Quoted(text), "; write ",
                                                   prefix, "iB (of 1024) or ", prefix,
                                                   "B (of 1000)"));
  }
  return Wrong(text, kSizeWanted);
}

std::string PeriodText(Duration period) {
  int64_t left = period.count();
  if (left == 0) return "0s";
  std::string text;
  // The least 64-bit number has no positive twin.
  if (left == std::numeric_limits<int64_t>::min()) return absl::StrCat(left);
  if (left < 0) text = "-";
  left = left < 0 ? -left : left;
  for (auto unit = kTimeUnits.rbegin(); unit != kTimeUnits.rend(); ++unit) {
    if (left < unit->size || (unit->size == 1'000 && unit->name != "us")) continue;
    absl::StrAppend(&text, left / unit->size, unit->name);
    left %= unit->size;
  }
  return text;
}

std::string SizeText(int64_t bytes) {
  for (const Unit& unit : kByteUnits) {
    const bool binary = unit.name.size() == 3;
    if (binary && bytes >= unit.size && bytes % unit.size == 0)
      return absl::StrCat(bytes / unit.size, unit.name);
  }
  return absl::StrCat(bytes);
}

}  // namespace bascule
