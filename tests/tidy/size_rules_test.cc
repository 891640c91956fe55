#include "tests/tidy/size_rules.h"

#include <doctest/doctest.h>

namespace bascule::tidy {
namespace {

std::string Lines(size_t n, const std::string& line) {
  std::string text;
  for (size_t i = 0; i < n; ++i) text += line + "\n";
  return text;
}

std::vector<Function> Functions(const std::string& text) {
  return FunctionFinder(BlankedCode(text)).Find();
}

TEST_CASE("functions are found with their names and lines") {
  std::vector<Function> found = Functions(R"(
    namespace a {
    class Thing : public Base {
     public:
      explicit Thing(int x) : x_{x}, y_(2) { Go(); }
      int Get() const { return x_; }

     private:
      int x_{};
      std::vector<int> v_ = {1, 2};
    };
    const int kTable[] = {
        1,
    };
    enum class Kind { kA, kB };

    absl::Status Thing::Run(int count) {
      auto lambda = [&] {
        return "}";  // }
      };
      if (count) {
        lambda();
      }
    }
    }  // namespace a
  )");
  REQUIRE(found.size() == 3);
  CHECK(found[0].name == "Thing");
  CHECK(found[0].lines == 1);
  CHECK(found[1].name == "Get");
  CHECK(found[2].name == "Thing::Run");
  CHECK(found[2].lines == 8);
}

TEST_CASE("a constructor's braces in the member list do not hide its body") {
  std::vector<Function> found =
      Functions("A::A(int x)\n    : x_{x},\n      y_{1} {\n" + Lines(80, "  Go();") + "}\n");
  REQUIRE(found.size() == 1);
  CHECK(found[0].lines == 84);
}

TEST_CASE("a long function and a long file are found") {
  Source fits("core/a.cc", "void F() {\n" + Lines(kMostFunctionLines - 2, "  Go();") + "}\n");
  CHECK(Oversized(fits).empty());
  Source function("core/a.cc", "void F() {\n" + Lines(kMostFunctionLines - 1, "  Go();") + "}\n");
  CHECK(Oversized(function) == Sizes{{"core/a.cc:F", kMostFunctionLines + 1}});
  Source file("core/a.cc", Lines(kMostFileLines + 1, "int x;"));
  CHECK(Oversized(file) == Sizes{{"core/a.cc", kMostFileLines + 1}});
}

TEST_CASE("a macro with half a body does not upset the counting") {
  std::vector<Function> found =
      Functions("#define OPEN { \\\n  if (x) {\nvoid F() {\n}\nvoid G() {\n}\n");
  CHECK(found.size() == 2);
}

TEST_CASE("the ratchet turns one way") {
  Sizes tolerated = ParseExceptions("# why\n80 core/a.cc:F\n\n600 core/b.cc\n");
  CHECK(CheckRatchet({{"core/a.cc:F", 80}, {"core/b.cc", 600}}, tolerated).empty());
  CHECK(CheckRatchet({{"core/a.cc:F", 81}, {"core/b.cc", 600}}, tolerated).size() == 1);
  CHECK(CheckRatchet({{"core/a.cc:F", 79}, {"core/b.cc", 600}}, tolerated).size() == 1);
  CHECK(CheckRatchet({{"core/a.cc:F", 80}}, tolerated).size() == 1);
  CHECK(CheckRatchet({{"core/a.cc:F", 80}, {"core/b.cc", 600}, {"core/c.cc", 501}}, tolerated)
            .size() == 1);
}

}  // namespace
}  // namespace bascule::tidy
