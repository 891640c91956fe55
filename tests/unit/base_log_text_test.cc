#include "core/base/log_text.h"

#include <doctest/doctest.h>

namespace bascule {

TEST_CASE("a log line stays one line, and does nothing to a terminal") {
  CHECK(OneLine("") == "");
  CHECK(OneLine("stream ä \"x\" \\ 日本") == "stream ä \"x\" \\ 日本");
  CHECK(OneLine("a\nb\r\tc") == "a\\nb\\r\\tc");
  CHECK(OneLine(std::string_view("\0\x1b[2J\x7f", 6)) == "\\x00\\x1b[2J\\x7f");
  CHECK(OneLine("\xc2\x9b"
                "2J \xe2\x80\xa8 \xe2\x80\xa9") == "\\xc2\\x9b2J \\xe2\\x80\\xa8 \\xe2\\x80\\xa9");
  CHECK(OneLine("\xc2\xa0 \xe2\x80\xaa \xff\xc2") == "\xc2\xa0 \xe2\x80\xaa \xff\xc2");
  for (int c = 0; c < 256; ++c) {
    const std::string one = OneLine(std::string(1, static_cast<char>(c)));
    const bool control = c < 0x20 || c == 0x7f;
    CHECK((one.size() > 1) == control);
  }
}

}  // namespace bascule
