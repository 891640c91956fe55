// Includes its header by bare name: the unit tests compile this file in, outside the program's
// include roots.
#include "time_parse.h"

#include <charconv>
#include <chrono>
#include <limits>
#include <string>

#include "core/base/quantity.h"

namespace bascule::cli {
namespace {

constexpr int64_t kNanosPerSecond = 1'000'000'000;

absl::Status Wrong(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError("\"" + std::string(text) + "\" " + std::string(why));
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Reads forward over a text; every step says whether it found what it wanted.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}
  bool done() const { return rest_.empty(); }
  char peek() const { return rest_.empty() ? '\0' : rest_.front(); }

  bool Accept(char c) {
    if (peek() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool AcceptAny(std::string_view set) {
    return !done() && set.find(peek()) != set.npos && Accept(peek());
  }
  std::string_view Digits() {
    return While([](char c) { return IsDigit(c); });
  }
  // Exactly `count` digits.
  bool Number(size_t count, int& out) {
    const std::string_view digits = rest_.substr(0, count);
    if (digits.size() != count || digits.find_first_not_of("0123456789") != digits.npos)
      return false;
    std::from_chars(digits.data(), digits.data() + count, out);
    rest_.remove_prefix(count);
    return true;
  }

 private:
  template <typename Predicate>
  std::string_view While(Predicate wanted) {
    size_t n = 0;
    while (n < rest_.size() && wanted(rest_[n])) ++n;
    const std::string_view found = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return found;
  }

  std::string_view rest_;
};

bool ToInt64(std::string_view digits, int64_t& out) {
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), out);
  return result.ec == std::errc() && result.ptr == digits.data() + digits.size() && !digits.empty();
}

// The digits after a decimal point, as a fraction of `unit`; digits past the resolution are cut
// off.
int64_t Fraction(std::string_view digits, int64_t unit) {
  int64_t out = 0;
  for (char digit : digits) {
    unit /= 10;
    out += (digit - '0') * unit;
  }
  return out;
}

bool MultiplyAdd(int64_t n, int64_t unit, int64_t extra, int64_t& sum) {
  int64_t product = 0;
  return !__builtin_mul_overflow(n, unit, &product) &&
         !__builtin_add_overflow(sum, product, &sum) && !__builtin_add_overflow(sum, extra, &sum);
}

absl::StatusOr<Timestamp> ParseUnix(std::string_view text) {
  Scanner scan(text.substr(1));
  const bool negative = scan.Accept('-');
  int64_t seconds = 0;
  if (!ToInt64(scan.Digits(), seconds)) return Wrong(text, "is not a Unix time; write @1700000000");
  int64_t fraction = 0;
  if (scan.Accept('.')) fraction = Fraction(scan.Digits(), kNanosPerSecond);
  int64_t nanos = 0;
  if (!scan.done() || !MultiplyAdd(seconds, kNanosPerSecond, fraction, nanos)) {
    return Wrong(text, "is not a Unix time in seconds; write @1700000000 or @1700000000.25");
  }
  return Timestamp(negative ? -nanos : nanos);
}

struct CalendarTime {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
  int64_t fraction = 0;      // nanoseconds
  int64_t zone_seconds = 0;  // east of UTC
};

bool ScanZone(Scanner& scan, CalendarTime& out) {
  if (scan.done() || scan.AcceptAny("Zz")) return true;
  const bool west = scan.peek() == '-';
  if (!scan.AcceptAny("+-")) return false;
  int hours = 0;
  int minutes = 0;
  if (!scan.Number(2, hours)) return false;
  scan.Accept(':');
  if (!scan.Number(2, minutes) || hours > 23 || minutes > 59) return false;
  out.zone_seconds = (west ? -1 : 1) * (hours * 3600 + minutes * 60);
  return true;
}

bool ScanCalendar(std::string_view text, CalendarTime& out) {
  Scanner scan(text);
  if (!scan.Number(4, out.year) || !scan.Accept('-') || !scan.Number(2, out.month) ||
      !scan.Accept('-') || !scan.Number(2, out.day)) {
    return false;
  }
  if (scan.AcceptAny("Tt ")) {
    if (!scan.Number(2, out.hour) || !scan.Accept(':') || !scan.Number(2, out.minute)) return false;
    if (scan.Accept(':') && !scan.Number(2, out.second)) return false;
    if (scan.Accept('.')) {
      const std::string_view digits = scan.Digits();
      if (digits.empty()) return false;
      out.fraction = Fraction(digits, kNanosPerSecond);
    }
  }
  return ScanZone(scan, out) && scan.done();
}

}  // namespace

absl::StatusOr<Timestamp> ParseTime(std::string_view text, Timestamp now) {
  if (text == "now") return now;
  if (text.starts_with('@')) return ParseUnix(text);
  if (text.starts_with('-')) {
    ASSIGN_OR_RETURN(const Duration ago, ParsePeriod(text.substr(1)));
    return now - ago.count();
  }
  CalendarTime parts;
  if (!ScanCalendar(text, parts)) {
    return Wrong(text, "is not a time; write 2026-11-23T10:00:00Z, @1700000000 or -10m");
  }
  const std::chrono::year_month_day date{std::chrono::year(parts.year),
                                         std::chrono::month(static_cast<unsigned>(parts.month)),
                                         std::chrono::day(static_cast<unsigned>(parts.day))};
  if (!date.ok() || parts.hour > 23 || parts.minute > 59 || parts.second > 60) {
    return Wrong(text, "is not on the calendar");
  }
  const int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  const int64_t seconds = days * 86'400 + parts.hour * 3600 + parts.minute * 60 + parts.second;
  int64_t nanos = 0;
  if (!MultiplyAdd(seconds - parts.zone_seconds, kNanosPerSecond, parts.fraction, nanos)) {
    return Wrong(text, "is outside of 1678 to 2262");
  }
  return Timestamp(nanos);
}

absl::StatusOr<Place> ParsePlace(std::string_view text, Timestamp now) {
  if (text == "new") return Place{Place::Kind::kNew, 0};
  if (text == "earliest") return Place{Place::Kind::kEarliest, 0};
  if (text == "latest") return Place{Place::Kind::kLatest, 0};
  if (!text.empty() && text.find_first_not_of("0123456789") == text.npos) {
    ASSIGN_OR_RETURN(const int64_t offset,
                     ParseWhole(text, 0, std::numeric_limits<int64_t>::max()));
    return Place{Place::Kind::kOffset, offset};
  }
  const absl::StatusOr<Timestamp> time = ParseTime(text, now);
  if (!time.ok()) {
    return Wrong(text,
                 "is no place in a log; write new, earliest, latest, an offset, or a time "
                 "(2026-11-23T10:00:00Z, @1700000000, -10m)");
  }
  return Place{Place::Kind::kTime, time->value()};
}

}  // namespace bascule::cli
