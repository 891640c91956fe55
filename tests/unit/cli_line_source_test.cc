// Lines of what comes in pieces.
#include <doctest/doctest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <vector>

#include "core/base/text.h"

// The program is no library: its pure files are compiled in here.
#include "../../cmd/bascule/line_source.cc"

namespace bascule::cli {
namespace {

// All lines when `pieces` arrive, each by one read.
std::vector<std::string> LinesOf(const std::vector<std::string>& pieces) {
  int ends[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
  for (const std::string& piece : pieces)
    REQUIRE(send(ends[1], piece.data(), piece.size(), 0) == static_cast<ssize_t>(piece.size()));
  close(ends[1]);
  LineSource source(ends[0], -1);
  std::vector<std::string> lines;
  while (auto line = source.Next()) lines.push_back(*std::move(line));
  CHECK(source.error() == 0);
  close(ends[0]);
  return lines;
}

TEST_CASE("line source: the lines are the same wherever the bytes are cut into pieces") {
  const std::pair<std::string, std::vector<std::string>> cases[] = {
      {"one\ntwo\nthree\n", {"one", "two", "three"}},
      {"one\n\n\ntwo", {"one", "", "", "two"}},
      {"\nfirst is empty\n", {"", "first is empty"}},
      {"\n", {""}},
      {"\n\n", {"", ""}},
      {"no end", {"no end"}},
      {"cr\r\nkept\r", {"cr\r", "kept\r"}}};
  for (const auto& [text, lines] : cases) {
    CAPTURE(text);
    CHECK(LinesOf({text}) == lines);
    for (size_t first = 1; first < text.size(); ++first) {
      CAPTURE(first);
      CHECK(LinesOf({text.substr(0, first), text.substr(first)}) == lines);
      for (size_t second = 1; first + second < text.size(); ++second)
        CHECK(LinesOf({text.substr(0, first), text.substr(first, second),
                       text.substr(first + second)}) == lines);
    }
  }
  CHECK(LinesOf({}).empty());
}

TEST_CASE("line source: a line may be longer than one read") {
  for (size_t length = 64 * 1024 - 3; length < 64 * 1024 + 3; ++length) {
    CAPTURE(length);
    const std::string longest(length, 'x');
    const std::string text = Concat(longest, "\n", longest, "\n\nend\n");
    const int file = memfd_create("lines", MFD_CLOEXEC);
    REQUIRE(write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    REQUIRE(lseek(file, 0, SEEK_SET) == 0);
    LineSource source(file, -1);
    for (const std::string& line : {longest, longest, std::string(), std::string("end")})
      CHECK_UNARY(source.Next() == line);
    CHECK_FALSE(source.Next().has_value());
    close(file);
  }
}

}  // namespace
}  // namespace bascule::cli
