#include <doctest/doctest.h>

#include <limits>

#include "core/config/quantity.h"

namespace bascule {
namespace {

using namespace std::chrono_literals;

constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

TEST_CASE("config quantity: periods in Go's syntax") {
  const std::pair<const char*, Duration> cases[] = {{"0", 0ns},
                                                    {"0s", 0ns},
                                                    {"250ms", 250ms},
                                                    {"1h30m", 90min},
                                                    {"1.5h", 90min},
                                                    {".5s", 500ms},
                                                    {"-15s", -15s},
                                                    {"+15s", 15s},
                                                    {"3us", 3us},
                                                    {"3\u00b5s", 3us},
                                                    {"7ns", 7ns},
                                                    {"168h", 168h},
                                                    {"2m3s4ms", 2min + 3s + 4ms},
                                                    {"1000000000", 1s},  // bare: nanoseconds
                                                    {"-5", -5ns}};
  for (const auto& [text, expected] : cases) {
    CAPTURE(text);
    REQUIRE(ParsePeriod(text).ok());
    CHECK(*ParsePeriod(text) == expected);
  }
}

TEST_CASE("config quantity: what is no period says what is") {
  for (const char* text : {"", "h", "-", "1", "1x", "1h 30m", "1.s.", "s1", "1hh", "0x10", "1e3"}) {
    if (std::string(text) == "1") continue;
    CAPTURE(text);
    const auto parsed = ParsePeriod(text);
    REQUIRE_FALSE(parsed.ok());
    CHECK(std::string(parsed.status().message()).find("1h30m") != std::string::npos);
  }
  CHECK(ParsePeriod("7d").status().message() ==
        "has no unit for days; write hours: \"168h\" is a week");
  for (const char* text :
       {"2562048h", "9223372036854775808ns", "99999999999999999999h", "2562047h60m"})
    CHECK_FALSE(ParsePeriod(text).ok());
}

TEST_CASE("config quantity: sizes") {
  const std::pair<const char*, int64_t> cases[] = {
      {"0", 0},         {"1048576", 1048576}, {"64MiB", 64 << 20},           {"1KiB", 1024},
      {"1 KiB", 1024},  {"2gib", 2LL << 30},  {"1TiB", 1LL << 40},           {"1.5GiB", 3LL << 29},
      {"10KB", 10'000}, {"3MB", 3'000'000},   {"1GB", 1'000'000'000},        {"512B", 512},
      {"-1", -1},       {"0.5KiB", 512},      {"9223372036854775807", kMost}};
  for (const auto& [text, expected] : cases) {
    CAPTURE(text);
    REQUIRE(ParseSize(text).ok());
    CHECK(*ParseSize(text) == expected);
  }
  for (const char* text : {"", "MiB", "1XiB", "ten", "-1MiB", "1MiB2", "9223372036854775808"})
    CHECK_FALSE(ParseSize(text).ok());
  CHECK(ParseSize("8388608TiB").status().message() == "is too large: \"8388608TiB\"");
  CHECK(ParseSize("64M").status().message() ==
        "is ambiguous: \"64M\"; write MiB (of 1024) or MB (of 1000)");
}

TEST_CASE("config quantity: switches and whole numbers") {
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

TEST_CASE("config quantity: printed values parse back") {
  const Duration least(std::numeric_limits<int64_t>::min());
  for (const Duration period :
       {Duration(0ns), Duration(1ns), Duration(250ms), Duration(90min), Duration(168h),
        Duration(-15s), Duration(1h + 1ns), Duration(kMost), least}) {
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
