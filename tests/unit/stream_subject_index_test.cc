// Streams found by what they hear.
#include "core/stream/subject_index.h"

#include <doctest/doctest.h>

#include <vector>

#include "core/base/text.h"
#include "core/stream/overlap.h"
#include "tests/support/sim_rng.h"

namespace bascule {
namespace {

StreamDescription Named(std::string name, std::string subject, size_t partitions = 1) {
  StreamDescription stream;
  stream.name = std::move(name);
  stream.subject = std::move(subject);
  stream.partitions.resize(partitions);
  return stream;
}

std::vector<std::string> Shown(const SubjectIndex& index, const StreamDescription& stream) {
  std::vector<std::string> names;
  CHECK_FALSE(index.Find(stream, [&](const std::string& name) {
    names.push_back(name);
    return false;
  }));
  return names;
}

std::string AnySubject(SimRng& rng) {
  const char* const tokens[] = {"a", "b", "a-b", "*", "1", "2", "3"};
  std::string subject;
  const uint64_t count = 1 + rng.Below(4);
  for (uint64_t i = 0; i < count; ++i) {
    if (i > 0) subject += '.';
    const bool last = i + 1 == count;
    subject += last && rng.Below(6) == 0 ? ">" : tokens[rng.Below(std::size(tokens))];
  }
  return subject;
}

TEST_CASE("whoever hears the same messages is found, and what was removed is not") {
  SimRng rng(1);
  size_t meet = 0;
  for (int round = 0; round < 60; ++round) {
    SubjectIndex index;
    std::vector<StreamDescription> streams;
    for (int i = 0; i < 40; ++i) {
      streams.push_back(Named(Concat("s", i), AnySubject(rng), 1 + rng.Below(4)));
      index.Add(streams.back());
    }
    for (int i = 0; i < 10; ++i) {
      index.Remove(streams.back());
      streams.pop_back();
    }
    CHECK(index.size() == streams.size());
    for (int i = 0; i < 20; ++i) {
      const StreamDescription asked = Named("asked", AnySubject(rng), 1 + rng.Below(4));
      const std::vector<std::string> shown = Shown(index, asked);
      for (const StreamDescription& stream : streams) {
        const auto times = std::count(shown.begin(), shown.end(), stream.name);
        if (!HearSameMessages(asked, stream)) continue;
        ++meet;
        CHECK_MESSAGE(times >= 1, asked.subject, " ", stream.subject);
      }
      CHECK(std::find(shown.begin(), shown.end(), "s35") == shown.end());
    }
  }
  CHECK(meet > 1000);
}

TEST_CASE("few others are looked at, however many streams there are") {
  SubjectIndex index;
  for (int i = 0; i < 20'000; ++i) {
    index.Add(Named(Concat("s", i), Concat("orders.", i, ".eu")));
    index.Add(Named(Concat("t", i), Concat("t", i, ".orders"), 3));
  }
  CHECK(Shown(index, Named("x", "orders.77.eu")) == std::vector<std::string>{"s77"});
  CHECK(Shown(index, Named("x", "orders.77.us")).empty());
  CHECK(Shown(index, Named("x", "t5.orders.2")) == std::vector<std::string>{"t5"});
  CHECK(Shown(index, Named("x", "*.77.*")) == std::vector<std::string>{"s77"});
  size_t looked = 0;
  CHECK(index.Find(Named("x", ">"), [&](const std::string&) { return ++looked == 1; }));
}

TEST_CASE("a subject of very many tokens costs no more than there are beginnings to meet") {
  std::string deep = "a";
  for (int i = 1; i < 2000; ++i) deep += ".a";
  SubjectIndex index;
  CHECK(Shown(index, Named("x", deep, 4)).empty());
  for (int i = 0; i < 1000; ++i) index.Add(Named(Concat("s", i), Concat("a.*.a.*.b", i, ".c")));
  CHECK(Shown(index, Named("x", deep, 4)).empty());
  CHECK(Shown(index, Named("x", deep + ".*", 1000)).empty());
  index.Add(Named("deep", deep));
  CHECK(Shown(index, Named("x", deep)) == std::vector<std::string>{"deep"});
}

}  // namespace
}  // namespace bascule
