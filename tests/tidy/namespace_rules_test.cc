#include "tests/tidy/namespace_rules.h"

#include <doctest/doctest.h>

namespace bascule::tidy {
namespace {

size_t Misplaced(std::string path, std::string text) {
  return CheckNamespaces(Source(std::move(path), std::move(text))).size();
}

TEST_CASE("a layer defines in its own namespace") {
  CHECK(Misplaced("core/log/a.h", "namespace bascule::log {\nclass A {};\nvoid F();\n}\n") == 0);
  CHECK(Misplaced("core/base/a.h", "namespace bascule {\nclass A {};\n}\n") == 0);
  CHECK(Misplaced("core/base/a.h", "namespace bascule::limits {\nconstexpr int kA = 1;\n}\n") == 0);
  CHECK(Misplaced("core/log/a.h", "namespace bascule {\nclass A {};\n}\n") == 2);
  CHECK(Misplaced("core/log/a.cc", "namespace bascule {\nvoid F() {}\n}\n") == 1);
  CHECK(Misplaced("core/log/a.h", "namespace bascule::api {\nstruct A {};\n}\n") == 2);
  CHECK(Misplaced("core/log/a.h", "namespace bascule::logs {\nvoid F();\n}\n") == 1);
  CHECK(Misplaced("tests/unit/log_a_test.cc", "namespace bascule {\nstruct A {};\n}\n") == 0);
}

TEST_CASE("of another layer it may declare types") {
  CHECK(Misplaced("core/log/a.h", "namespace bascule {\nclass Clock;\n\nstruct B;\n}\n") == 0);
  CHECK(Misplaced("core/log/a.h", "namespace bascule {\nclass Clock;\nvoid F();\n}\n") == 1);
  CHECK(Misplaced("core/log/a.h", "namespace proto {\nclass Message;\n}\n") == 0);
}

}  // namespace
}  // namespace bascule::tidy
