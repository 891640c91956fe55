#include <doctest/doctest.h>

#include <limits>

#include "core/base/quantity.h"
#include "core/base/text.h"

namespace bascule {
namespace {

using namespace std::chrono_literals;

constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

TEST_CASE("quantity: periods add up their parts") {
  const std::pair<const char*, Duration> cases[] = {
      {"0", 0ns},      {"0s", 0ns},    {"250ms", 250ms}, {"1h30m", 90min},
      {"1.5h", 90min}, {".5s", 500ms}, {"3us", 3us},     {"3\u00b5s", 3us},
      {"7ns", 7ns},    {"168h", 168h}, {"7d", 168h},     {"30d", 720h},
      {"2w", 336h},    {"1d12h", 36h}, {"0.5ms", 500us}, {"2m3s4ms", 2min + 3s + 4ms}};
  for (const auto& [text, expected] : cases) {
    CAPTURE(text);
    REQUIRE(ParsePeriod(text).ok());
    CHECK(*ParsePeriod(text) == expected);
  }
}

TEST_CASE("quantity: what is no period says what is, and shows it") {
  for (const char* text : {"", "h", "-", "10", "-5m", "+5m", "1x", "1h 30m", "5 m", "1.s.", "s5",
                           "1hh", "1h30", "1..5h", "0x10", "1e3"}) {
    CAPTURE(text);
    const auto parsed = ParsePeriod(text);
    REQUIRE_FALSE(parsed.ok());
    CHECK(
        parsed.status().message() ==
        std::string("must be a duration such as 250ms, 1h30m or 7d (units ns, us, ms, s, m, h, d, "
                    "w), not \"") +
            text + "\"");
  }
  for (const char* text : {"2562048h", "9223372036854775808ns", "9223372036854775807d",
                           "99999999999999999999h", "2562047h60m", "9223372036s9223372036s"})
    CHECK_FALSE(ParsePeriod(text).ok());
  CHECK(ParsePeriod("300w300000d").status().message() ==
        "is too long: \"300w300000d\"; the longest is about 292 years");
}

TEST_CASE("quantity: the longest period, and the shortest that is too long") {
  for (const char* text : {"9223372036854775807ns", "2562047h47m16.854775807s",
                           "9223372036854775806ns1ns", "106751d23h47m16s854ms775us807ns"}) {
    CAPTURE(text);
    REQUIRE(ParsePeriod(text).ok());
    CHECK(*ParsePeriod(text) == Duration::max());
    CHECK(*ParsePeriod(PeriodText(Duration::max())) == Duration::max());
  }
  for (const char* text : {"9223372036854775807ns1ns", "1ns9223372036854775807ns",
                           "2562047h47m16.854775808s", "9223372036.854775808s"}) {
    CAPTURE(text);
    CHECK(ParsePeriod(text).status().message() ==
          Concat("is too long: \"", text, "\"; the longest is about 292 years"));
  }
  const std::chrono::milliseconds longest(kMost / 1'000'000);
  REQUIRE(ParseMillis("9223372036854ms", "").ok());
  CHECK(*ParseMillis("9223372036854ms", "") == longest);
  CHECK(*ParseMillis(PeriodText(longest), "") == longest);
  CHECK_FALSE(ParseMillis("9223372036855ms", "").ok());
}

TEST_CASE("quantity: sizes, letters of 1024, the B of commerce of 1000") {
  const std::pair<const char*, int64_t> cases[] = {{"0", 0},
                                                   {"1048576", 1048576},
                                                   {"64MiB", 64 << 20},
                                                   {"1KiB", 1024},
                                                   {"1 KiB", 1024},
                                                   {"2gib", 2LL << 30},
                                                   {"1TiB", 1LL << 40},
                                                   {"1.5GiB", 3LL << 29},
                                                   {"10KB", 10'000},
                                                   {"3MB", 3'000'000},
                                                   {"1GB", 1'000'000'000},
                                                   {"512B", 512},
                                                   {"64K", 65536},
                                                   {"64k", 65536},
                                                   {"64kB", 64'000},
                                                   {"1.5K", 1536},
                                                   {"64Ki", 65536},
                                                   {"1T", 1LL << 40},
                                                   {"0.5KiB", 512},
                                                   {"1TB", 1'000'000'000'000},
                                                   {"2m", 2 << 20},
                                                   {"12b", 12},
                                                   {"9223372036854775807", kMost}};
  for (const auto& [text, expected] : cases) {
    CAPTURE(text);
    REQUIRE(ParseSize(text).ok());
    CHECK(*ParseSize(text) == expected);
  }
  for (const char* text : {"", "K", "MiB", "1XiB", "ten", "-1", "-1MiB", "1MiB2", "1KK", "1  K",
                           "1 ", "1.5", "1.5B", "+1", "9223372036854775808"}) {
    CAPTURE(text);
    CHECK_FALSE(ParseSize(text).ok());
  }
  CHECK(ParseSize("8388608TiB").status().message() ==
        "is too large: \"8388608TiB\"; the largest is just below 8388608TiB");
  CHECK(ParseSize("64 kilo").status().message() ==
        "must be a size such as 65536, 64K or 1.5GiB (K, M, G, T and KiB, MiB, GiB, TiB of 1024; "
        "KB, MB, GB, TB of 1000), not \"64 kilo\"");
}

TEST_CASE("quantity: bounds count themselves, and 0 only where it has a meaning") {
  CHECK(ParseSizeBetween("1K", 1024, 4096, "").value() == 1024);
  CHECK(ParseSizeBetween("4K", 1024, 4096, "no limit").value() == 4096);
  CHECK(ParseSizeBetween("0", 1024, 4096, "no limit").value() == 0);
  for (const char* text : {"0", "1023", "4097"}) {
    CAPTURE(text);
    const auto refused = ParseSizeBetween(text, 1024, 4096, "");
    CHECK(refused.status().message() ==
          Concat("must be from 1KiB to 4KiB, not ", Quoted(text)).c_str());
  }
  CHECK(ParseSizeBetween("0", 1, kMost, "").status().message() == "must be at least 1, not \"0\"");
  CHECK(ParseSizeBetween("1023", 1024, kMost, "no limit").status().message() ==
        "must be at least 1KiB, or 0 for no limit, not \"1023\"");
  CHECK(ParseMillis("1ms", "").value() == 1ms);
  CHECK(ParseMillis("0", "never").value() == 0ms);
  CHECK(ParseMillis("0", "").status().message() == "must be at least 1ms, not \"0\"");
  CHECK(ParseMillis("10us", "never").status().message() ==
        "must be at least 1ms, or 0 for never, not \"10us\"");
  CHECK(ParseMillis("1.5ms", "").status().message() == "must be whole milliseconds, not \"1.5ms\"");
}

TEST_CASE("quantity: switches and whole numbers") {
  for (const char* text : {"true", "TRUE", "yes", "On", "1"}) CHECK(ParseSwitch(text).value());
  for (const char* text : {"false", "False", "no", "OFF", "0"})
    CHECK_FALSE(ParseSwitch(text).value());
  CHECK(ParseSwitch("maybe").status().message() == "must be true or false, not \"maybe\"");
  CHECK_FALSE(ParseSwitch("").ok());
  CHECK(ParseWhole("65535", 0, 65535).value() == 65535);
  CHECK(ParseWhole("65536", 0, 65535).status().message() ==
        "must be a whole number from 0 to 65535, not \"65536\"");
  CHECK(ParseWhole("-1", 0, kMost).status().message() ==
        "must be a whole number from 0 up, not \"-1\"");
  for (const char* text : {"", "1.5", "12x", "99999999999999999999"})
    CHECK_FALSE(ParseWhole(text, 0, kMost).ok());
}

TEST_CASE("quantity: printed values parse back") {
  for (const Duration period : {Duration(0ns), Duration(1ns), Duration(250ms), Duration(90min),
                                Duration(168h), Duration(1h + 1ns), Duration(kMost)}) {
    CAPTURE(PeriodText(period));
    CHECK(ParsePeriod(PeriodText(period)).value() == period);
  }
  CHECK(PeriodText(5min) == "5m");
  CHECK(PeriodText(90min) == "1h30m");
  CHECK(PeriodText(1500us) == "1ms500us");
  for (const int64_t bytes :
       {int64_t{0}, int64_t{1}, int64_t{1500}, int64_t{1} << 20, int64_t{3} << 29, kMost})
    CHECK(ParseSize(SizeText(bytes)).value() == bytes);
  CHECK(SizeText(256 << 20) == "256MiB");
}

}  // namespace
}  // namespace bascule
