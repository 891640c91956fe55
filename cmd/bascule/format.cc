// Includes its headers by bare name: the unit tests compile this file in, outside the program's
// include roots.
#include "format.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cinttypes>
#include <cmath>
#include <cstdio>

#include "core/base/check.h"
#include "text.h"

namespace bascule::cli {
namespace {

using std::chrono::nanoseconds;

struct Unit {
  int64_t size;  // nanoseconds
  const char* name;
};
constexpr std::array<Unit, 7> kUnits{{{86'400'000'000'000, "d"},
                                      {3'600'000'000'000, "h"},
                                      {60'000'000'000, "m"},
                                      {1'000'000'000, "s"},
                                      {1'000'000, "ms"},
                                      {1'000, "us"},
                                      {1, "ns"}}};

// Three significant digits without trailing zeros after the point.
std::string ThreeDigits(double value) {
  const int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  std::array<char, 48> buffer;
  std::snprintf(buffer.data(), buffer.size(), "%.*f", decimals, value);
  std::string out(buffer.data());
  if (out.find('.') != std::string::npos) {
    out.erase(out.find_last_not_of('0') + 1);
    if (out.back() == '.') out.pop_back();
  }
  return out;
}

// The `most` greatest units of `span`, joined by `separator`; what is smaller is cut off.
std::string InUnits(uint64_t span, size_t most, std::string_view separator) {
  std::string out;
  size_t used = 0;
  for (const Unit& unit : kUnits) {
    const uint64_t n = span / static_cast<uint64_t>(unit.size);
    span %= static_cast<uint64_t>(unit.size);
    if (n == 0 && used == 0) continue;
    if (used++ == most) break;
    if (n == 0) continue;
    if (!out.empty()) out += separator;
    out += std::to_string(n) + unit.name;
  }
  return out;
}

uint64_t Magnitude(int64_t value) {
  return value < 0 ? uint64_t{0} - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
}

}  // namespace

std::string GroupDigits(uint64_t value) {
  std::string digits = std::to_string(value);
  for (size_t end = digits.size(); end > 3; end -= 3) digits.insert(end - 3, ",");
  return digits;
}

std::string GroupDigits(int64_t value) {
  return (value < 0 ? "-" : "") + GroupDigits(Magnitude(value));
}

std::string HumanBytes(uint64_t bytes) {
  static constexpr std::array<const char*, 7> kNames{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes);
  size_t power = 0;
  while (value >= 999.5 && power + 1 < kNames.size()) {
    value /= 1024;
    ++power;
  }
  return ThreeDigits(value) + " " + kNames[power];
}

std::string HumanDuration(Duration span) {
  const uint64_t ns = Magnitude(span.count());
  const std::string sign = span.count() < 0 ? "-" : "";
  if (ns == 0) return "0 s";
  if (ns >= 60'000'000'000) return sign + InUnits(ns, 2, " ");
  for (const Unit& unit : kUnits) {
    // 999.6 us reads better as 1 ms.
    if (static_cast<double>(ns) < 0.9995 * static_cast<double>(unit.size)) continue;
    if (unit.size > 1'000'000'000) continue;
    const double value = static_cast<double>(ns) / static_cast<double>(unit.size);
    return sign + ThreeDigits(value) + " " + unit.name;
  }
  return sign + "0 s";
}

std::string ExactDuration(Duration span) {
  if (span.count() == 0) return "0s";
  return (span.count() < 0 ? "-" : "") + InUnits(Magnitude(span.count()), kUnits.size(), "");
}

std::string Age(Timestamp then, Timestamp now) {
  if (then.value() == 0) return "never";
  const double apart = static_cast<double>(now.value()) - static_cast<double>(then.value());
  // A broker's clock that runs a moment ahead is no news.
  if (std::abs(apart) < 1e9) return "now";
  const uint64_t seconds = static_cast<uint64_t>(std::abs(apart) / 1e9);
  const std::string text = InUnits(seconds * 1'000'000'000, 2, " ");
  return apart < 0 ? "in " + text : text + " ago";
}

std::string FormatTime(Timestamp time, Precision precision) {
  using std::chrono::days;
  using std::chrono::sys_days;
  const std::chrono::sys_time<nanoseconds> point{nanoseconds(time.value())};
  const sys_days day = std::chrono::floor<days>(point);
  const std::chrono::year_month_day date(day);
  // From the floor, not by subtraction in nanoseconds: the earliest times would overflow.
  const int64_t whole_day = int64_t{86'400'000'000'000};
  const int64_t of_day = ((time.value() % whole_day) + whole_day) % whole_day;
  const int64_t second = of_day / 1'000'000'000;
  const int64_t fraction = of_day % 1'000'000'000;
  std::array<char, 64> buffer;
  std::snprintf(buffer.data(), buffer.size(), "%04d-%02u-%02uT%02d:%02d:%02d",
                static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                static_cast<unsigned>(date.day()), static_cast<int>(second / 3600),
                static_cast<int>(second / 60 % 60), static_cast<int>(second % 60));
  std::string out(buffer.data());
  if (precision == Precision::kMillis) {
    std::snprintf(buffer.data(), buffer.size(), ".%03" PRId64, fraction / 1'000'000);
    out += buffer.data();
  } else if (precision == Precision::kNanos) {
    std::snprintf(buffer.data(), buffer.size(), ".%09" PRId64, fraction);
    out += buffer.data();
  }
  return out + "Z";
}

std::string Count(uint64_t n, std::string_view singular) {
  return GroupDigits(n) + " " + std::string(singular) + (n == 1 ? "" : "s");
}

void Table::AddRow(std::vector<std::string> cells) {
  BASCULE_CHECK(cells.size() == columns_.size());
  rows_.push_back(std::move(cells));
}

void Table::Print(std::ostream& out) const {
  std::vector<size_t> widths;
  for (const Column& column : columns_) widths.push_back(DisplayWidth(column.title));
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], DisplayWidth(row[i]));
  }
  const auto print = [&](const auto& cell_of) {
    std::string line;
    for (size_t i = 0; i < columns_.size(); ++i) {
      const std::string& cell = cell_of(i);
      const std::string padding(widths[i] - DisplayWidth(cell), ' ');
      if (i > 0) line += "  ";
      line += columns_[i].align == Align::kRight ? padding + cell : cell + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out << line << '\n';
  };
  print([&](size_t i) -> const std::string& { return columns_[i].title; });
  for (const auto& row : rows_) print([&](size_t i) -> const std::string& { return row[i]; });
}

}  // namespace bascule::cli
