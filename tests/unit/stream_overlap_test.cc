// Which streams hear the same messages.
#include "core/stream/overlap.h"

#include <doctest/doctest.h>

namespace bascule {
namespace {

StreamDescription On(const std::string& subject, size_t partitions = 1,
                     const std::string& group = "") {
  StreamDescription stream;
  stream.subject = subject;
  stream.group = group;
  stream.partitions.resize(partitions);
  return stream;
}

bool Overlap(const StreamDescription& one, const StreamDescription& other) {
  const bool same = HearSameMessages(one, other);
  CHECK(HearSameMessages(other, one) == same);
  return same;
}

TEST_CASE("streams hear the same messages where their subjects meet") {
  for (const auto& [one, other] :
       std::initializer_list<std::pair<const char*, const char*>>{{"a", "a"},
                                                                  {"a.b", "a.*"},
                                                                  {"a.b", "*.b"},
                                                                  {"a.*", "*.b"},
                                                                  {"a.b.c", "a.>"},
                                                                  {"a.>", "*.*"},
                                                                  {"a.*.c", "a.b.>"},
                                                                  {">", "a"},
                                                                  {">", "*.>"}}) {
    CAPTURE(one);
    CAPTURE(other);
    CHECK(Overlap(On(one), On(other)));
  }
  for (const auto& [one, other] :
       std::initializer_list<std::pair<const char*, const char*>>{{"a", "b"},
                                                                  {"a", "a.b"},
                                                                  {"a", "a.>"},
                                                                  {"a.*", "a"},
                                                                  {"a.*", "a.b.c"},
                                                                  {"a.*.c", "a.b.d"},
                                                                  {"a.>", "b.>"},
                                                                  {"ab", "a"}}) {
    CAPTURE(one);
    CAPTURE(other);
    CHECK_FALSE(Overlap(On(one), On(other)));
  }
}

TEST_CASE("partitions listen on subjects of their own") {
  CHECK(Overlap(On("a", 3), On("a.2")));
  CHECK(Overlap(On("a", 3), On("a.*")));
  CHECK(Overlap(On("a", 3), On("a.>")));
  CHECK(Overlap(On("*", 3), On("a.1", 2)));
  CHECK(Overlap(On("a.1", 3), On("a.*", 2)));
  CHECK(Overlap(On("a.1", 3), On("a", 2)));
  CHECK(Overlap(On("x.*", 3), On("*.1", 2)));
  CHECK_FALSE(Overlap(On("a", 3), On("a.3")));
  CHECK_FALSE(Overlap(On("a", 3), On("a.0")));
  CHECK_FALSE(Overlap(On("a", 3), On("a.01")));
  CHECK_FALSE(Overlap(On("a", 3), On("a.-1")));
  CHECK_FALSE(Overlap(On("a", 3), On("a.2147483648")));
  CHECK_FALSE(Overlap(On("a", 3), On("b", 3)));
  CHECK_FALSE(Overlap(On("a"), On("a.1")));
}

TEST_CASE("in one queue group each message has one reader") {
  CHECK_FALSE(Overlap(On("a", 1, "g"), On("a", 1, "g")));
  CHECK(Overlap(On("a", 1, "g"), On("a", 1, "h")));
  CHECK(Overlap(On("a", 1, "g"), On("a")));
}

}  // namespace
}  // namespace bascule
