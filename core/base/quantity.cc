#include "core/base/quantity.h"

#include <array>
#include <limits>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "core/base/limits.h"
#include "core/base/text.h"

namespace bascule {
namespace {

struct Unit {
  std::string_view name;
  int64_t size;
};

// Longer names stand before their own beginnings.
constexpr std::array<Unit, 10> kTimeUnits{{{"ns", 1},
                                           {"us", 1'000},
                                           {"\u00b5s", 1'000},
                                           {"\u03bcs", 1'000},
                                           {"ms", 1'000'000},
                                           {"s", 1'000'000'000},
                                           {"m", 60'000'000'000},
                                           {"h", 3'600'000'000'000},
                                           {"d", 86'400'000'000'000},
                                           {"w", 604'800'000'000'000}}};
// Printing uses these, from the largest down.
constexpr std::array<Unit, 6> kShownTimeUnits{{{"h", 3'600'000'000'000},
                                               {"m", 60'000'000'000},
                                               {"s", 1'000'000'000},
                                               {"ms", 1'000'000},
                                               {"us", 1'000},
                                               {"ns", 1}}};

constexpr int64_t kTiB = static_cast<int64_t>(limits::kGiB) * 1024;
constexpr std::array<Unit, 4> kBinaryUnits{
    {{"TiB", kTiB}, {"GiB", limits::kGiB}, {"MiB", limits::kMiB}, {"KiB", limits::kKiB}}};
constexpr std::array<Unit, 4> kDecimalUnits{
    {{"TB", 1'000'000'000'000}, {"GB", 1'000'000'000}, {"MB", 1'000'000}, {"KB", 1'000}}};

constexpr std::string_view kPeriodWanted =
    "a duration such as 250ms, 1h30m or 7d (units ns, us, ms, s, m, h, d, w)";
constexpr std::string_view kSizeWanted =
    "a size such as 65536, 64K or 1.5GiB (K, M, G, T and KiB, MiB, GiB, TiB of 1024; KB, MB, GB, "
    "TB of 1000)";
constexpr size_t kShownBytes = 80;

absl::Status Wrong(std::string_view text, std::string_view wanted) {
  return absl::InvalidArgumentError(Concat("must be ", wanted, ", not ", Quoted(text)));
}

// Digits with an optional fraction, as thousand-millionths.
struct Decimal {
  int64_t whole = 0;
  int64_t billionths = 0;
};

// Takes them off the front of `text`; nullopt when there are none or they are too many to count.
std::optional<Decimal> TakeDecimal(std::string_view& text) {
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

// decimal * unit, nullopt when it does not fit.
std::optional<int64_t> Scale(const Decimal& decimal, int64_t unit) {
  const __int128 value = static_cast<__int128>(decimal.whole) * unit +
                         static_cast<__int128>(decimal.billionths) * unit / 1'000'000'000;
  if (value > std::numeric_limits<int64_t>::max()) return std::nullopt;
  return static_cast<int64_t>(value);
}

// Bytes in a unit of that name; 0: there is none.
int64_t BytesIn(std::string_view name) {
  if (name.empty() || absl::EqualsIgnoreCase(ToAbsl(name), "B")) return 1;
  for (const Unit& unit : kDecimalUnits)
    if (absl::EqualsIgnoreCase(ToAbsl(name), ToAbsl(unit.name))) return unit.size;
  for (const Unit& unit : kBinaryUnits) {
    // "KiB", "Ki", "K".
    if (absl::EqualsIgnoreCase(ToAbsl(name), ToAbsl(unit.name.substr(0, name.size()))))
      return unit.size;
  }
  return 0;
}

}  // namespace

std::string Quoted(std::string_view text) {
  const bool cut = text.size() > kShownBytes;
  const std::string shown = absl::Utf8SafeCHexEscape(ToAbsl(text.substr(0, kShownBytes)));
  return Concat("\"", shown, cut ? "...\"" : "\"");
}

absl::StatusOr<bool> ParseSwitch(std::string_view text) {
  for (const char* yes : {"true", "yes", "on", "1"})
    if (absl::EqualsIgnoreCase(ToAbsl(text), yes)) return true;
  for (const char* no : {"false", "no", "off", "0"})
    if (absl::EqualsIgnoreCase(ToAbsl(text), no)) return false;
  return Wrong(text, "true or false");
}

absl::StatusOr<int64_t> ParseWhole(std::string_view text, int64_t min, int64_t max) {
  int64_t number = 0;
  if (absl::SimpleAtoi(ToAbsl(text), &number) && number >= min && number <= max) return number;
  const std::string wanted = max == std::numeric_limits<int64_t>::max()
                                 ? Concat("a whole number from ", min, " up")
                                 : Concat("a whole number from ", min, " to ", max);
  return Wrong(text, wanted);
}

absl::StatusOr<Duration> ParsePeriod(std::string_view text) {
  if (text == "0") return Duration(0);
  std::string_view rest = text;
  int64_t total = 0;
  if (rest.empty()) return Wrong(text, kPeriodWanted);
  while (!rest.empty()) {
    const std::optional<Decimal> decimal = TakeDecimal(rest);
    if (!decimal) return Wrong(text, kPeriodWanted);
    const Unit* unit = nullptr;
    for (const Unit& candidate : kTimeUnits)
      if (unit == nullptr && rest.starts_with(candidate.name)) unit = &candidate;
    if (unit == nullptr) return Wrong(text, kPeriodWanted);
    rest.remove_prefix(unit->name.size());
    const std::optional<int64_t> part = Scale(*decimal, unit->size);
    if (!part || __builtin_add_overflow(total, *part, &total)) {
      return absl::InvalidArgumentError(
          Concat("is too long: ", Quoted(text), "; the longest is about 292 years"));
    }
  }
  return Duration(total);
}

absl::StatusOr<int64_t> ParseSize(std::string_view text) {
  std::string_view rest = text;
  const std::optional<Decimal> decimal = TakeDecimal(rest);
  if (!decimal) return Wrong(text, kSizeWanted);
  if (rest.size() > 1 && rest.front() == ' ') rest.remove_prefix(1);
  const int64_t unit = BytesIn(rest);
  const bool part_of_a_byte = unit == 1 && decimal->billionths != 0;
  if (unit == 0 || part_of_a_byte) return Wrong(text, kSizeWanted);
  if (const std::optional<int64_t> bytes = Scale(*decimal, unit)) return *bytes;
  return absl::InvalidArgumentError(
      Concat("is too large: ", Quoted(text), "; the largest is just below 8388608TiB"));
}

absl::StatusOr<int64_t> ParseSizeBetween(std::string_view text, int64_t min, int64_t max,
                                         std::string_view zero) {
  ASSIGN_OR_RETURN(const int64_t bytes, ParseSize(text));
  if ((bytes >= min && bytes <= max) || (bytes == 0 && !zero.empty())) return bytes;
  const std::string range = max == std::numeric_limits<int64_t>::max()
                                ? Concat("at least ", SizeText(min))
                                : Concat("from ", SizeText(min), " to ", SizeText(max));
  return Wrong(text, zero.empty() ? range : Concat(range, ", or 0 for ", zero));
}

absl::StatusOr<std::chrono::milliseconds> ParseMillis(std::string_view text,
                                                      std::string_view zero) {
  ASSIGN_OR_RETURN(const Duration period, ParsePeriod(text));
  return CheckMillis(period, text, zero);
}

absl::StatusOr<std::chrono::milliseconds> CheckMillis(Duration period, std::string_view text,
                                                      std::string_view zero) {
  const auto whole = std::chrono::duration_cast<std::chrono::milliseconds>(period);
  if (period.count() == 0 && !zero.empty()) return whole;
  if (whole.count() <= 0)
    return Wrong(text, zero.empty() ? "at least 1ms" : Concat("at least 1ms, or 0 for ", zero));
  if (whole == period) return whole;
  return Wrong(text, "whole milliseconds");
}

std::string PeriodText(Duration period) {
  int64_t left = period.count();
  if (left == 0) return "0s";
  std::string text;
  for (const Unit& unit : kShownTimeUnits) {
    if (left < unit.size) continue;
    text += Concat(left / unit.size, unit.name);
    left %= unit.size;
  }
  return text;
}

std::string SizeText(int64_t bytes) {
  for (const Unit& unit : kBinaryUnits) {
    if (bytes >= unit.size && bytes % unit.size == 0) return Concat(bytes / unit.size, unit.name);
  }
  return Concat(bytes);
}

}  // namespace bascule
