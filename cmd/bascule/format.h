// Numbers, sizes, times and tables as people read them. Pure; every time is UTC.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/types.h"

namespace bascule::cli {

// 1234567 -> "1,234,567".
std::string GroupDigits(int64_t value);
std::string GroupDigits(uint64_t value);

// 1536 -> "1.5 KiB"; three significant digits, powers of 1024.
std::string HumanBytes(uint64_t bytes);

// A measured span with three significant digits up to a minute ("830 us", "1.25 s"), then its two
// greatest units
// ("2h 5m", "3d 4h").
std::string HumanDuration(Duration span);

// A setting, exactly: "7d", "1h30m", "250ms".
std::string ExactDuration(Duration span);

// "12s ago", "in 3m" when the clocks disagree, "never" for 0.
std::string Age(Timestamp then, Timestamp now);

enum class Precision { kSeconds, kMillis, kNanos };
// RFC 3339 in UTC: "2026-11-23T04:41:50.120Z".
std::string FormatTime(Timestamp time, Precision precision);

// "1 message", "2 messages", "1,000 messages".
std::string Count(uint64_t n, std::string_view singular);

// Columns aligned by their widest cell, two spaces between them, no trailing space.
class Table {
 public:
  enum class Align { kLeft, kRight };
  struct Column {
    std::string title;
    Align align = Align::kLeft;
  };
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  // As many cells as there are columns. Cells must be printable already.
  void AddRow(std::vector<std::string> cells);
  void Print(std::ostream& out) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace bascule::cli
