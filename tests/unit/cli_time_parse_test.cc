// What people write for times and places.
#include <doctest/doctest.h>

#include <limits>
#include <string>

// The program is no library: its pure files are compiled in here.
#include "../../cmd/bascule/time_parse.cc"

namespace bascule::cli {
namespace {

constexpr Timestamp kNow(1'700'000'000'500'000'000);  // 2023-11-14T22:13:20.5Z

int64_t Time(std::string_view text) {
  const auto time = ParseTime(text, kNow);
  REQUIRE_MESSAGE(time.ok(), std::string(text));
  return time->value();
}

TEST_CASE("RFC 3339 in its full and its lazy forms") {
  CHECK(Time("2023-11-14T22:13:20Z") == 1'700'000'000'000'000'000);
  CHECK(Time("2023-11-14t22:13:20.25z") == 1'700'000'000'250'000'000);
  CHECK(Time("2023-11-14T23:13:20+01:00") == 1'700'000'000'000'000'000);
  CHECK(Time("2023-11-14T16:43:20-0530") == 1'700'000'000'000'000'000);
  CHECK(Time("2023-11-14 22:13:20") == 1'700'000'000'000'000'000);
  CHECK(Time("2023-11-14 22:13") == 1'699'999'980'000'000'000);
  CHECK(Time("2023-11-14") == 1'699'920'000'000'000'000);
  CHECK(Time("1969-12-31T23:59:59.999999999Z") == -1);
  CHECK(Time("2024-02-29") == 1'709'164'800'000'000'000);
}

TEST_CASE("Unix times and times before now") {
  CHECK(Time("@1700000000") == 1'700'000'000'000'000'000);
  CHECK(Time("@1700000000.25") == 1'700'000'000'250'000'000);
  CHECK(Time("@-1") == -1'000'000'000);
  CHECK(Time("now") == kNow.value());
  CHECK(Time("-10m") == kNow.value() - 600'000'000'000);
}

TEST_CASE("what is no time is refused") {
  for (const char* text :
       {"", "2023", "2023-13-01", "2023-02-29", "2023-11-14T25:00", "2023-11-14T22:61", "yesterday",
        "@", "@x", "@1.x", "2023-11-14T22:13:20+25:00", "2023-11-14T22:13:20Zjunk",
        "2023-11-14T22:13:20.", "9999-01-01", "@9999999999999", "--5m", "-"}) {
    CAPTURE(text);
    CHECK_FALSE(ParseTime(text, kNow).ok());
  }
}

TEST_CASE("a bare number is an offset, a time must look like one") {
  using Kind = Place::Kind;
  CHECK(*ParsePlace("new", kNow) == Place{Kind::kNew, 0});
  CHECK(*ParsePlace("earliest", kNow) == Place{Kind::kEarliest, 0});
  CHECK(*ParsePlace("latest", kNow) == Place{Kind::kLatest, 0});
  CHECK(*ParsePlace("1700000000", kNow) == Place{Kind::kOffset, 1'700'000'000});
  CHECK(*ParsePlace("@1700000000", kNow) == Place{Kind::kTime, 1'700'000'000'000'000'000});
  CHECK(*ParsePlace("-1s", kNow) == Place{Kind::kTime, kNow.value() - 1'000'000'000});
  CHECK_FALSE(ParsePlace("99999999999999999999", kNow).ok());
  CHECK_FALSE(ParsePlace("banana", kNow).ok());
  CHECK_FALSE(ParsePlace("", kNow).ok());
}

}  // namespace
}  // namespace bascule::cli
