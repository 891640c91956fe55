// Numbers, sizes, ages and tables of the command line.
#include <doctest/doctest.h>

#include <limits>
#include <sstream>

// The program is no library: its pure files are compiled in here (text.cc by cli_text_test.cc).
#include "../../cmd/bascule/format.cc"

namespace bascule::cli {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr int64_t kSecond = 1'000'000'000;

TEST_CASE("digits are grouped by three") {
  CHECK(GroupDigits(int64_t{0}) == "0");
  CHECK(GroupDigits(int64_t{999}) == "999");
  CHECK(GroupDigits(int64_t{1000}) == "1,000");
  CHECK(GroupDigits(int64_t{-1234567}) == "-1,234,567");
  CHECK(GroupDigits(std::numeric_limits<int64_t>::min()) == "-9,223,372,036,854,775,808");
  CHECK(GroupDigits(std::numeric_limits<uint64_t>::max()) == "18,446,744,073,709,551,615");
}

TEST_CASE("sizes have three significant digits") {
  CHECK(HumanBytes(0) == "0 B");
  CHECK(HumanBytes(999) == "999 B");
  CHECK(HumanBytes(1000) == "0.98 KiB");
  CHECK(HumanBytes(1024) == "1 KiB");
  CHECK(HumanBytes(1536) == "1.5 KiB");
  CHECK(HumanBytes(10'000) == "9.77 KiB");
  CHECK(HumanBytes(256 << 20) == "256 MiB");
  CHECK(HumanBytes(std::numeric_limits<uint64_t>::max()) == "16 EiB");
}

TEST_CASE("measured spans change their unit where a reader would") {
  CHECK(HumanDuration(nanoseconds(0)) == "0 s");
  CHECK(HumanDuration(nanoseconds(42)) == "42 ns");
  CHECK(HumanDuration(microseconds(830)) == "830 us");
  CHECK(HumanDuration(nanoseconds(999'700)) == "1 ms");
  CHECK(HumanDuration(microseconds(12'340)) == "12.3 ms");
  CHECK(HumanDuration(milliseconds(1250)) == "1.25 s");
  CHECK(HumanDuration(seconds(59)) == "59 s");
  CHECK(HumanDuration(seconds(125)) == "2m 5s");
  CHECK(HumanDuration(hours(76)) == "3d 4h");
  CHECK(HumanDuration(hours(-76)) == "-3d 4h");
}

TEST_CASE("settings are shown exactly") {
  CHECK(ExactDuration(hours(168)) == "7d");
  CHECK(ExactDuration(milliseconds(5'400'250)) == "1h30m250ms");
  CHECK(ExactDuration(nanoseconds(0)) == "0s");
}

TEST_CASE("ages say never, now, ago and ahead") {
  const Timestamp now(1'700'000'000 * kSecond);
  CHECK(Age(Timestamp(0), now) == "never");
  CHECK(Age(now, now) == "now");
  CHECK(Age(now - 12 * kSecond, now) == "12s ago");
  CHECK(Age(now - 7325 * kSecond, now) == "2h 2m ago");
  CHECK(Age(now + kSecond / 2, now) == "now");
  CHECK(Age(now + 90 * kSecond, now) == "in 1m 30s");
  CHECK(Age(Timestamp(std::numeric_limits<int64_t>::min()), now) != "");
}

TEST_CASE("times are RFC 3339 in UTC") {
  const Timestamp time(1'763'872'910'120'000'007);
  CHECK(FormatTime(time, Precision::kSeconds) == "2025-11-23T04:41:50Z");
  CHECK(FormatTime(time, Precision::kMillis) == "2025-11-23T04:41:50.120Z");
  CHECK(FormatTime(time, Precision::kNanos) == "2025-11-23T04:41:50.120000007Z");
  CHECK(FormatTime(Timestamp(-1), Precision::kNanos) == "1969-12-31T23:59:59.999999999Z");
  CHECK(FormatTime(Timestamp(std::numeric_limits<int64_t>::min()), Precision::kNanos) ==
        "1677-09-21T00:12:43.145224192Z");
}

TEST_CASE("one message, two messages") {
  CHECK(Count(1, "message") == "1 message");
  CHECK(Count(0, "message") == "0 messages");
  CHECK(Count(1000, "message") == "1,000 messages");
}

TEST_CASE("a table is as wide as its widest cells and has no trailing blanks") {
  Table table({{"NAME"}, {"SIZE", Table::Align::kRight}, {"STATE"}});
  table.AddRow({"a", "1", ""});
  table.AddRow(
      {"gr\xc3\xbc\xc3\x9f"
       "er",
       "1,000", "ok"});
  std::ostringstream out;
  table.Print(out);
  CHECK(out.str() ==
        "NAME     SIZE  STATE\n"
        "a           1\n"
        "gr\xc3\xbc\xc3\x9f"
        "er  1,000  ok\n");
}

}  // namespace
}  // namespace bascule::cli
