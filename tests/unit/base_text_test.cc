// UTF-8 character by character, and names that were probably meant. (What is valid at all is compared
// with protobuf in wire_coding_test.cc.)
#include <doctest/doctest.h>

#include <string>

#include "core/base/spelling.h"
#include "core/base/utf8.h"

namespace bascule {
namespace {

TEST_CASE("UTF-8 is told from bytes that only look like it") {
  CHECK(IsValidUtf8(""));
  CHECK(IsValidUtf8("plain"));
  CHECK(IsValidUtf8("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x8c\x89"));
  CHECK(IsValidUtf8("\xf4\x8f\xbf\xbf"));        // U+10FFFF
  CHECK_FALSE(IsValidUtf8("\xf4\x90\x80\x80"));  // past it
  CHECK_FALSE(IsValidUtf8("\xc0\x80"));          // overlong NUL
  CHECK_FALSE(IsValidUtf8("\xe0\x80\xaf"));      // overlong slash
  CHECK_FALSE(IsValidUtf8("\xed\xa0\x80"));      // surrogate
  CHECK_FALSE(IsValidUtf8("\xe2\x82"));          // cut off
  CHECK_FALSE(IsValidUtf8("a\x80"));             // a tail without a head
  CHECK_FALSE(IsValidUtf8("\xff"));
}

TEST_CASE("characters are taken off the front one by one") {
  std::string_view text = "a\xc3\xbc\xe2\x82\xac\xf0\x9f\x8c\x89\xff";
  for (const char32_t wanted : {U'a', U'\u00fc', U'\u20ac', U'\U0001f309'})
    CHECK(TakeCharacter(text) == wanted);
  CHECK_FALSE(TakeCharacter(text).has_value());
  CHECK(text == "\xff");
}

TEST_CASE("the nearest name is offered only when it is near") {
  const std::vector<std::string> names{"orders", "audit", "payments"};
  CHECK(NearestName("ordres", names) == "orders");  // neighbours swapped
  CHECK(NearestName("Order", names) == "orders");
  CHECK(NearestName("adit", names) == "audit");
  CHECK(NearestName("paymets", names) == "payments");
  CHECK(NearestName("invoices", names) == "");
  CHECK(NearestName("x", names) == "");
  CHECK(NearestName("orders", {}) == "");
  CHECK(NearestName(std::string(100'000, 'a'), names) == "");
}

TEST_CASE("of a setting, its tail in full or other separators are near too") {
  const std::vector<std::string> names{"streams.retention.max.age", "nats.servers"};
  CHECK(NearestName("retention.max.age", names) == "streams.retention.max.age");
  CHECK(NearestName("NATS_SERVER", names) == "nats.servers");
  CHECK(DidYouMean("nats.server", names) == "; did you mean \"nats.servers\"?");
  CHECK(DidYouMean("kafka", names) == "");
}

}  // namespace
}  // namespace bascule
