// Escaping, UTF-8, base64 and spelling of the command line.
#include <doctest/doctest.h>

#include <string>

// The program is no library: its pure files are compiled in here.
#include "../../cmd/bascule/text.cc"

namespace bascule::cli {
namespace {

using std::string_literals::operator""s;

TEST_CASE("UTF-8 is told from bytes that only look like it") {
  CHECK(IsUtf8(""));
  CHECK(IsUtf8("plain"));
  CHECK(IsUtf8("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x8c\x89"));
  CHECK(IsUtf8("\xf4\x8f\xbf\xbf"));        // U+10FFFF
  CHECK_FALSE(IsUtf8("\xf4\x90\x80\x80"));  // past it
  CHECK_FALSE(IsUtf8("\xc0\x80"));          // overlong NUL
  CHECK_FALSE(IsUtf8("\xe0\x80\xaf"));      // overlong slash
  CHECK_FALSE(IsUtf8("\xed\xa0\x80"));      // surrogate
  CHECK_FALSE(IsUtf8("\xe2\x82"));          // cut off
  CHECK_FALSE(IsUtf8("a\x80"));             // a tail without a head
  CHECK_FALSE(IsUtf8("\xff"));
}

TEST_CASE("printable text passes unchanged, whatever its backslashes") {
  CHECK(EscapeText("{\"path\": \"C:\\\\x\"}") == "{\"path\": \"C:\\\\x\"}");
  CHECK(EscapeText("\xe2\x82\xac 5") == "\xe2\x82\xac 5");
}

TEST_CASE("whatever could steer a terminal is escaped, byte by byte") {
  CHECK(EscapeText("\x1b[31mred") == "\\x1b[31mred");
  CHECK(EscapeText("a\nb\tc\rd") == "a\\nb\\tc\\rd");
  CHECK(EscapeText("\0"s) == "\\x00");
  CHECK(EscapeText("\xc2\x9b"
                   "31m") == "\\xc2\\x9b31m");  // C1: a CSI of one character
  CHECK(EscapeText("\xe2\x80\xae"
                   "evil") == "\\xe2\\x80\\xaeevil");  // right-to-left override
  CHECK(EscapeText("ok\xff") == "ok\\xff");
  CHECK(EscapeText("\xe2\x82") == "\\xe2\\x82");
  SUBCASE("and then backslashes are doubled, so that it can be undone") {
    CHECK(EscapeText("\\x00\n") == "\\\\x00\\n");
  }
}

TEST_CASE("base64 pads as RFC 4648 says") {
  CHECK(Base64("") == "");
  CHECK(Base64("f") == "Zg==");
  CHECK(Base64("fo") == "Zm8=");
  CHECK(Base64("foo") == "Zm9v");
  CHECK(Base64("foobar") == "Zm9vYmFy");
  CHECK(Base64("\xff\xfe\x00"s) == "//4A");
}

TEST_CASE("a width counts characters, not bytes") {
  CHECK(DisplayWidth("gr\xc3\xbc\xc3\x9f") == 4);
  CHECK(DisplayWidth("") == 0);
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

}  // namespace
}  // namespace bascule::cli
