// Escaping and widths of the command line.
#include <doctest/doctest.h>

#include <string>

// The program is no library: its pure files are compiled in here.
#include "../../cmd/bascule/text.cc"

namespace bascule::cli {
namespace {

using std::string_literals::operator""s;

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

TEST_CASE("a width counts characters, not bytes") {
  CHECK(DisplayWidth("gr\xc3\xbc\xc3\x9f") == 4);
  CHECK(DisplayWidth("") == 0);
}

}  // namespace
}  // namespace bascule::cli
