#include "core/base/wrap.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

namespace bascule {
namespace {

TEST_CASE("wrap: what fits stays, what does not goes on below its beginning or its column") {
  CHECK(WrapLines("", 20, 8, "tool") == "");
  CHECK(WrapLines("exactly twenty chars\n\nnext\n", 20, 8, "tool") ==
        "exactly twenty chars\n\nnext\n");
  CHECK(WrapLines("one more than twenty!", 20, 8, "tool") == "one more than\ntwenty!");
  CHECK(WrapLines("  set in, and too long for it", 20, 12, "tool") ==
        "  set in, and too\n  long for it");
  CHECK(WrapLines("  --flag  what it means, at length", 20, 10, "tool") ==
        "  --flag  what it\n          means, at\n          length");
  // A name that reaches the column, and one that is too long for it.
  CHECK(WrapLines("  --flagx what it means", 20, 10, "tool") ==
        "  --flagx what it\n          means");
  // A word that happens to begin there.
  CHECK(WrapLines("  one, two and three, four", 20, 12, "tool") == "  one, two and\n  three, four");
  CHECK(WrapLines("  --longer-than-it and more", 20, 10, "tool") ==
        "  --longer-than-it\n  and more");
}

TEST_CASE("wrap: a command goes on behind a backslash, a long word alone") {
  CHECK(WrapLines("  tool create s --flag value", 20, 10, "tool") ==
        "  tool create s \\\n      --flag value");
  CHECK(WrapLines("tool is no command here, not set in", 20, 10, "tool") ==
        "tool is no command\nhere, not set in");
  CHECK(WrapLines("a wordthatistoolongforit b", 10, 5, "tool") == "a\nwordthatistoolongforit\nb");
}

TEST_CASE("wrap: no line that could be broken is longer, whatever the text") {
  std::string text;
  for (size_t i = 0; i < 400; ++i) {
    text += std::string(i % 7 == 0 ? 3 : 1, ' ') + std::string(1 + i % 9, 'x');
    if (i % 23 == 0) text += '\n';
  }
  const std::string wrapped = WrapLines(text, 30, 12, "tool");
  for (size_t at = 0; at < wrapped.size();) {
    const size_t end = std::min(wrapped.find('\n', at), wrapped.size());
    CHECK(end - at <= 30);
    at = end + 1;
  }
  const auto letters = [](const std::string& from) {
    return std::count(from.begin(), from.end(), 'x');
  };
  CHECK(letters(wrapped) == letters(text));
}

}  // namespace
}  // namespace bascule
