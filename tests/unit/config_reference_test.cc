// The table itself: its printed reference, and the example file, which must not drift from it.
#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <regex>
#include <sstream>

#include "core/config/section.h"
#include "core/config/settings.h"
#include "core/config/yaml_reader.h"
#include "tests/unit/config_loading.h"

namespace bascule::config {
namespace {

std::string ExampleText() {
  const char* root = std::getenv("BASCULE_SOURCE");
  REQUIRE(root != nullptr);
  std::ifstream in(std::string(root) + "/deploy/basculed.example.yaml");
  REQUIRE(in.good());
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

// The example with its switched-off settings ("#key: value", no space after the mark) switched on.
std::string Uncommented(const std::string& text) {
  std::stringstream in(text);
  std::string out, line;
  while (std::getline(in, line))
    out += std::regex_replace(line, std::regex("^( *)#([a-z]+[a-z.]*:|  )"), "$1$2") + "\n";
  return out;
}

TEST_CASE("config reference: keys are lower case, documented and listed") {
  const std::string reference = ConfigReference();
  for (const Setting<Config>& row : BrokerSettings().rows()) {
    CAPTURE(row.key);
    CHECK(Holds(reference, "\n  " + row.key + " "));
    CHECK_FALSE(row.type.empty());
    CHECK_FALSE(row.doc.empty());
    for (const char c : row.key) CHECK((c == '.' || (c >= 'a' && c <= 'z')));
  }
  std::stringstream lines(reference);
  for (std::string line; std::getline(lines, line);) CHECK(line.size() <= 100);
}

TEST_CASE("config reference: a shown default, set by hand, changes nothing") {
  for (const Setting<Config>& row : BrokerSettings().rows()) {
    const std::string shown = row.show(Config());
    const bool parses = row.type != "list" && row.type != "size|percent" && !shown.empty();
    if (row.state != Setting<Config>::State::kWorks || !parses) continue;
    CAPTURE(row.key);
    Config config;
    Faults faults;
    row.apply(Value::Text(shown), {"default"}, config, faults);
    CHECK(faults.ToStatus().message() == "");
    CHECK(DescribeConfig(config) == DescribeConfig(Config()));
  }
}

TEST_CASE("config reference: the description of a configuration lists what is in force") {
  const auto config = LoadFile("port: 7\nstreams.declare: [{name: a, subject: b}]\n");
  REQUIRE(config.ok());
  CHECK(Holds(DescribeConfig(*config), "port: 7\n"));
  CHECK(Holds(DescribeConfig(*config), "streams.declare: [a]\n"));
  CHECK_FALSE(Holds(DescribeConfig(*config), "telemetry"));
}

TEST_CASE("config reference: the example file is valid and states the defaults") {
  const auto config = LoadFile(ExampleText());
  REQUIRE_MESSAGE(config.ok(), config.status().message());
  CHECK(DescribeConfig(*config) == DescribeConfig(Config()));
}

TEST_CASE("config reference: the example file mentions every setting that works") {
  Value root;
  Faults faults;
  ReadYaml(Uncommented(ExampleText()), "example", true, root, faults);
  REQUIRE(faults.ToStatus().message() == "");
  Config config;
  Given given;
  SectionReader<Config>(BrokerSettings(), "example", config, given, faults).Read(root);
  CHECK(faults.ToStatus().message() == "");
  for (const Setting<Config>& row : BrokerSettings().rows()) {
    CAPTURE(row.key);
    CHECK((given.count(row.key) > 0) == (row.state == Setting<Config>::State::kWorks));
  }
  CHECK(config.declared_streams.size() == 2);
}

}  // namespace
}  // namespace bascule::config
