#include "tests/tidy/definition_rules.h"

#include <doctest/doctest.h>

namespace bascule::tidy {
namespace {

std::vector<std::string> Types(const std::string& text) {
  std::vector<std::string> names;
  for (const TypeDefinition& type : TypeFinder(Source("core/a.h", text).code).Find())
    names.push_back(type.name);
  return names;
}

using Names = std::vector<std::string>;

TEST_CASE("types are found with their namespaces") {
  CHECK(Types("namespace a {\nclass B final : public C {\n};\nnamespace d { enum class E {}; }\n"
              "inline namespace f { struct [[nodiscard]] G {}; }\n}\nunion H {};\n") ==
        Names{"a::B", "a::d::E", "a::f::G", "H"});
  CHECK(Types("namespace a::b {\ntemplate <typename T>\nstruct C {};\n}\n") == Names{"a::b::C"});
  CHECK(Types("#include \"x.h\"\nextern \"C\" {\nstruct A {};\n}\n") == Names{"A"});
  CHECK(Types("enum class A : char { kB };\n") == Names{"A"});
}

TEST_CASE("what is nobody else's type is not found") {
  CHECK(Types("class A;\nenum class B : int;\n").empty());
  CHECK(Types("namespace {\nstruct A {};\nnamespace b { struct C {}; }\n}\n").empty());
  CHECK(Types("void F() { struct A {}; }\nstruct B G(struct C c) { return {}; }\n").empty());
  CHECK(Types("struct A {\n  struct B {};\n  enum C { kD };\n};\n") == Names{"A"});
  CHECK(Types("template <>\nstruct Hash<int> {};\n").empty());
  CHECK(Types("struct A a = {1};\n// struct B {}\n").empty());
}

TEST_CASE("a name that is taken is refused in the same namespace only") {
  Tree tree;
  tree.push_back(std::make_unique<Source>("a.h", "namespace n {\nstruct S {};\n}\n"));
  tree.push_back(std::make_unique<Source>("b.h", "namespace m {\nstruct S {};\n}\n"));
  CHECK(CheckDefinedOnce(tree).empty());
  tree.push_back(std::make_unique<Source>("c.cc", "namespace n {\n\nclass S {};\n}\n"));
  const Complaints complaints = CheckDefinedOnce(tree);
  REQUIRE(complaints.size() == 1);
  CHECK(complaints[0].starts_with("c.cc:3: n::S is defined in a.h:2: too"));
}

}  // namespace
}  // namespace bascule::tidy
