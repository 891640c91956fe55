// The house rules, held over the whole tree. Each rule proves itself on a bad example in the
// *_rules_test.cc beside it.
#include <doctest/doctest.h>

#include <cstdlib>
#include <string>

#include "tests/tidy/citation_rules.h"
#include "tests/tidy/definition_rules.h"
#include "tests/tidy/include_rules.h"
#include "tests/tidy/lock_rules.h"
#include "tests/tidy/namespace_rules.h"
#include "tests/tidy/size_rules.h"
#include "tests/tidy/source.h"
#include "tests/tidy/text_rules.h"

namespace bascule::tidy {
namespace {

// Entries in exceptions.txt. Lower it with the list; raising it is a decision that a reviewer
// should see.
constexpr size_t kMostExceptions = 0;

const Tree& ProjectTree() {
  static const Tree tree = [] {
    const char* root = std::getenv("BASCULE_SOURCE");
    REQUIRE_MESSAGE(root != nullptr,
                    "BASCULE_SOURCE must name the project's folder; ctest sets it");
    return ReadTree(root);
  }();
  return tree;
}

const Source* Find(const Tree& tree, std::string_view path) {
  for (const auto& source : tree) {
    if (source->path == path) return source.get();
  }
  return nullptr;
}

void Report(const Complaints& complaints) {
  for (const std::string& complaint : complaints) FAIL_CHECK(complaint);
}

template <typename Rule>
void CheckEvery(Rule rule) {
  for (const auto& source : ProjectTree()) Report(rule(*source));
}

TEST_CASE("the tree is there") {
  CHECK(ProjectTree().size() > 40);
  CHECK(Find(ProjectTree(), "core/base/types.h") != nullptr);
}

TEST_CASE("includes follow the arrows, third-party headers stay in their folders") {
  CheckEvery(CheckIncludes);
}
TEST_CASE("clocks, random numbers, files and sleeps come from core/env") {
  CheckEvery(CheckForces);
}
TEST_CASE("nothing is left over") { CheckEvery(CheckLeftovers); }
TEST_CASE("only adapters catch everything") { CheckEvery(CheckCatchAll); }
TEST_CASE("type names say something") { CheckEvery(CheckTypeNames); }
TEST_CASE("no tabs, no trailing blanks, no long lines") { CheckEvery(CheckBlanks); }
TEST_CASE("who is still there is asked of a Lifetime") { CheckEvery(CheckAliveTokens); }

TEST_CASE("no paths of one machine") { CheckEvery(CheckMachinePaths); }
TEST_CASE("a type is defined once per namespace") { Report(CheckDefinedOnce(ProjectTree())); }
TEST_CASE("what a layer defines is in its namespace") { CheckEvery(CheckNamespaces); }
TEST_CASE("locks are absl's, and waited on by the monotonic clock") { CheckEvery(CheckLocks); }
TEST_CASE("mutexes say what they guard") { CheckEvery(CheckGuards); }
TEST_CASE("headers and scripts begin as they should") { CheckEvery(CheckFirstLines); }

TEST_CASE("files and functions keep their size") {
  const Source* list = Find(ProjectTree(), "tests/tidy/exceptions.txt");
  REQUIRE(list != nullptr);
  Sizes tolerated = ParseExceptions(list->text);
  Sizes measured;
  for (const auto& source : ProjectTree()) measured.merge(Oversized(*source));
  Report(CheckRatchet(measured, tolerated));
  CHECK(tolerated.size() <= kMostExceptions);
}

TEST_CASE("every rule of replication that is built is cited by a test") {
  const Source* readme = Find(ProjectTree(), "replication/README.md");
  if (readme == nullptr) {
    MESSAGE("replication/README.md is not there yet: nothing to check");
    return;
  }
  Report(CheckCitations(readme->text, ProjectTree()));
}

}  // namespace
}  // namespace bascule::tidy
