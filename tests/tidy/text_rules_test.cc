// The bad words of the examples are written in halves, so that the rules find them only in the
// examples.
#include "tests/tidy/text_rules.h"

#include <doctest/doctest.h>

#include "tests/tidy/citation_rules.h"

namespace bascule::tidy {
namespace {

template <typename Rule>
size_t Found(Rule rule, std::string path, std::string text) {
  return rule(Source(std::move(path), std::move(text))).size();
}

TEST_CASE("clocks, random numbers, files and sleeps are found outside core/env") {
  for (const char* call :
       {"std::chrono::steady_clock::now()", "std::random_device d", "rand()", "::open(path, 0)",
        "open(path, 0)", "::fsync(fd)", "fdatasync(fd)", "fopen(path, mode)",
        "std::filesystem::exists(p)", "std::this_thread::sleep_for(x)", "usleep(1)", "sleep(1)"}) {
    std::string text = "  x = " + std::string(call) + ";\n";
    CHECK_MESSAGE(Found(CheckForces, "core/log/a.cc", text) == 1, call);
    CHECK_MESSAGE(Found(CheckForces, "core/env/a.cc", text) == 0, call);
    CHECK_MESSAGE(Found(CheckForces, "tests/support/a.cc", text) == 0, call);
  }
}

TEST_CASE("words that only look like those calls pass") {
  CHECK(Found(CheckForces, "core/log/a.cc",
              "Reopen(path);\nis_open(x);\nOperand(x);\n// open(x) is for core/env\n") == 0);
  CHECK(Found(CheckForces, "core/log/a.cc", "LogError(\"open(\", path, \") failed\");\n") == 0);
  CHECK(Found(CheckForces, "tests/unit/a_test.cc",
              "auto t = std::chrono::steady_clock::now();\n") == 0);
  CHECK(Found(CheckForces, "tests/unit/a_test.cc", "std::this_thread::sleep_for(x);\n") == 1);
}

TEST_CASE("left-over marks are found, in comments and in scripts") {
  CHECK(Found(CheckLeftovers, "core/a.cc",
              "// TO"
              "DO: later\n") == 1);
  CHECK(Found(CheckLeftovers, "deploy/a.sh",
              "# FIX"
              "ME\n") == 1);
  CHECK(Found(CheckLeftovers, "core/a.cc",
              "// XX"
              "X\n") == 1);
  CHECK(Found(CheckLeftovers, "deploy/a.sh", "mktemp -d name.XXXXXX\n") == 0);
}

TEST_CASE("hand-made tokens of who is still there are found") {
  for (const char* token : {"  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);\n",
                            "  const std::shared_ptr<bool> life_;\n", "  shared_ptr<bool> gone;\n",
                            "  auto alive = std::make_shared<bool>(true);\n",
                            "  home_.Post([this, alive = std::weak_ptr<bool>(alive_)] {\n"}) {
    CHECK_MESSAGE(Found(CheckAliveTokens, "core/log/a.h", token) == 1, token);
    CHECK_MESSAGE(Found(CheckAliveTokens, "replication/meta/group/a.cc", token) == 1, token);
    CHECK_MESSAGE(Found(CheckAliveTokens, "tests/support/a.h", token) == 0, token);
  }
  CHECK(Found(CheckAliveTokens, "core/log/a.h",
              "  Lifetime lifetime_{home_};  // no std::shared_ptr<bool> here\n"
              "  std::shared_ptr<std::atomic<bool>> poisoned_;\n"
              "  auto answered = std::make_shared<bool>(false);\n") == 0);
}

TEST_CASE("catching everything is for adapters") {
  std::string text = "  } catch (...) {\n";
  CHECK(Found(CheckCatchAll, "core/log/a.cc", text) == 1);
  CHECK(Found(CheckCatchAll, "core/config/a.cc", text) == 0);
  CHECK(Found(CheckCatchAll, "core/log/a.cc", "  } catch (const std::exception& e) {\n") == 0);
}

TEST_CASE("names that say nothing are found") {
  CHECK(Found(CheckTypeNames, "core/a.h", "class StreamManager {\n") == 1);
  CHECK(Found(CheckTypeNames, "core/a.h", "  struct StringUtils final {\n") == 1);
  CHECK(Found(CheckTypeNames, "core/a.h", "enum class AckProcessor;\n") == 1);
  CHECK(Found(CheckTypeNames, "core/a.h", "class StreamTable {\n// class Helper\n") == 0);
}

TEST_CASE("tabs, blanks at the end and long lines are found") {
  CHECK(Found(CheckBlanks, "core/a.cc", "\tint x;\n") == 1);
  CHECK(Found(CheckBlanks, "core/a.cc", "int x; \n") == 1);
  CHECK(Found(CheckBlanks, "core/a.cc", "int x;\r\n") == 1);
  CHECK(Found(CheckBlanks, "core/a.cc", "int x;") == 1);
  CHECK(Found(CheckBlanks, "core/a.cc", std::string(kMostColumns + 1, 'x') + "\n") == 1);
  CHECK(Found(CheckBlanks, "core/a.md", std::string(kMostColumns + 1, 'x') + "\n") == 0);
  std::string wide;
  for (size_t i = 0; i < kMostColumns; ++i) wide += "\xC3\xA4";
  CHECK(Found(CheckBlanks, "core/a.cc", wide + "\n") == 0);
}

TEST_CASE("paths of one machine are found") {
  CHECK(Found(CheckMachinePaths, "deploy/a.sh",
              "cd /wo"
              "rk/main\n") == 1);
  CHECK(Found(CheckMachinePaths, "deploy/a.sh",
              "key=/ro"
              "ot/.ssh\n") == 1);
  CHECK(Found(CheckMachinePaths, "core/a.cc",
              "Open(\"/ho"
              "me/me/x\");\n") == 1);
  CHECK(Found(CheckMachinePaths, "deploy/a.sh",
              "cd \"$dir/wo"
              "rk\"; mkdir ${x}/ho"
              "me a/ro"
              "ots\n") == 0);
}

TEST_CASE("headers and scripts without their first line are found") {
  CHECK(Found(CheckFirstLines, "core/a.h", "// What it is.\nint x;\n") == 1);
  CHECK(Found(CheckFirstLines, "core/a.h", "// What it is.\n#pragma once\n") == 0);
  CHECK(Found(CheckFirstLines, "deploy/a.sh",
              "#!/usr/bin/env bash\n# What.\nset -euo pipefail\n") == 0);
  CHECK(Found(CheckFirstLines, "deploy/a.sh", "#!/usr/bin/env bash\nset -e\n") == 1);
  CHECK(Found(CheckFirstLines, ".ci/run", "#!/usr/bin/env bash\ntrue\nset -euo pipefail\n") == 1);
}

TEST_CASE("a rule that is built and not cited is found") {
  std::string readme =
      "- **R1** one. **R1a** more.\n- **R2** two.\n- **C1** last.\n\nBuilt: R1, R1a,\nC1.\n\nR2 "
      "waits.\n";
  CHECK(DefinedRules(readme) == std::set<std::string>{"C1", "R1", "R1a", "R2"});
  CHECK(BuiltRules(readme) == std::set<std::string>{"C1", "R1", "R1a"});
  Tree tree;
  tree.push_back(std::make_unique<Source>("tests/sim/a_test.cc",
                                          "// R1 and C1 hold, but R1ab does not count.\n"));
  CHECK(CheckCitations(readme, tree).size() == 1);
  tree.push_back(std::make_unique<Source>("core/a.cc", "// R1a\n"));
  CHECK(CheckCitations(readme, tree).size() == 1);
  tree.push_back(std::make_unique<Source>("tests/sim/b_test.cc",
                                          "TEST_CASE(\"R1a: only deltas count\") {}\n"));
  CHECK(CheckCitations(readme, tree).empty());
  CHECK(CheckCitations("**R1** one.\n\nBuilt: R1-R2\n", tree).size() == 2);
}

}  // namespace
}  // namespace bascule::tidy
