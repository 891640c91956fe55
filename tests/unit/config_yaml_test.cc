// What YAML is accepted at all, and that hostile text ends in an error soon.
#include <doctest/doctest.h>

#include "core/config/yaml_reader.h"
#include "tests/unit/config_loading.h"

namespace bascule::config {
namespace {

std::string Repeat(const std::string& part, size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += part;
  return text;
}

TEST_CASE("config yaml: an empty file is the defaults") {
  for (const char* text : {"", "\n", "# nothing\n", "---\n", "{}", "nats:\n", "nats: {}\n",
                           "streams: {retention: }\n"}) {
    CAPTURE(text);
    REQUIRE(LoadFile(text).ok());
    CHECK(DescribeConfig(*LoadFile(text)) == DescribeConfig(Config()));
  }
}

TEST_CASE("config yaml: what is not a document of settings is refused by line") {
  const std::pair<std::string, std::string> cases[] = {
      {"just text", "bascule.yaml:1: a configuration holds settings, one \"name: value\" per line"},
      {"- a\n- b\n", "bascule.yaml:1: a configuration holds settings"},
      {"port: 1\n---\nport: 2\n", "bascule.yaml:2: a second YAML document starts here"},
      {"host: &a x\nport: *a\n", "bascule.yaml:1: YAML anchors (&name) are not allowed here"},
      {"port: *a\n", "bascule.yaml:1: not valid YAML: the referenced anchor is not defined"},
      {"port: !!int 3\n", "bascule.yaml:1: YAML tags are not allowed here; remove"},
      {"\n? [a]\n: b\n", "bascule.yaml:2: a list or section stands where a setting's name belongs"},
      {"port: 1\n~: x\n", "bascule.yaml:2: a setting without a name"},
      {"nats:\n\tuser: x\n", "bascule.yaml:2: not valid YAML"},
      {"listen: host: 3\n", "quote a value that holds \": \""},
      {"a: {b: c\nport: 1\n", "bascule.yaml:"},
      {std::string("port: 1\nhost: \0x\n", 17), "bascule.yaml:2: not a text file"},
      {"\xff\xfe\x01", "bascule.yaml:1: not a text file"},
      {Repeat("k", 300) + ": 1\n", "a name of 300 bytes"}};
  for (const auto& [text, expected] : cases) {
    CAPTURE(text);
    CAPTURE(FileFaults(text));
    CHECK(Holds(FileFaults(text), expected));
  }
  CHECK(Holds(FileFaults("nats:\n\tuser: x\n"), "indented with a tab; use spaces"));
}

TEST_CASE("config yaml: nesting and size are bounded") {
  std::string deep;
  for (int i = 0; i < 40; ++i) deep += std::string(i, ' ') + "a:\n";
  CHECK(Holds(FileFaults(deep + std::string(40, ' ') + "b: 1\n"), "nested deeper than 16 levels"));
  CHECK(Holds(FileFaults("a: " + Repeat("x", kMaxConfigBytes)),
              "a configuration has at most 1048576"));
  for (const char* part :
       {"[", "{", "{a: ", "- ",   "? ",  "[[a",      "a: ", "\"",   "'",     "|\n", "&",
        "*", "!", "%",    "[a, ", "a\n", "\xc3\x28", "]",   "x: [", "---\n", "-\n", ": "}) {
    CAPTURE(part);
    CHECK(FileFaults(Repeat(part, 60'000) + "\nx").size() < 64 * 1024);
  }
}

TEST_CASE("config yaml: the deepest nesting that is read, and one level more") {
  // The document itself is the first level.
  const auto nested = [](int levels, bool lists) {
    std::string text = "a: ";
    for (int i = 1; i < levels; ++i) text += lists ? "[" : "{a: ";
    text += "1";
    for (int i = 1; i < levels; ++i) text += lists ? "]" : "}";
    return text;
  };
  for (const bool lists : {false, true}) {
    CHECK_FALSE(Holds(FileFaults(nested(kMaxConfigDepth, lists)), "nested deeper"));
    CHECK(Holds(FileFaults(nested(kMaxConfigDepth, lists)), "unknown setting"));
    CHECK(FileFaults(nested(kMaxConfigDepth + 1, lists)) ==
          "bascule.yaml:1: nested deeper than 16 levels");
  }
}

TEST_CASE("config yaml: an alias bomb is refused at its first anchor") {
  CHECK(FileFaults("a: &a [x,x,x,x]\nb: &b [*a,*a,*a,*a]\nc: [*b,*b,*b,*b]\n") ==
        "bascule.yaml:1: YAML anchors (&name) are not allowed here; remove it");
}

TEST_CASE("config yaml: the number of reported mistakes is bounded") {
  std::string text;
  for (int i = 0; i < 20'000; ++i) text += "unknown" + std::to_string(i) + ": 1\n";
  const std::string faults = FileFaults(text);
  CHECK(Holds(faults, "bascule.yaml:100: unknown setting \"unknown99\""));
  CHECK_FALSE(Holds(faults, "bascule.yaml:101:"));
  CHECK(Holds(faults, "more mistakes are not shown"));
}

}  // namespace
}  // namespace bascule::config
