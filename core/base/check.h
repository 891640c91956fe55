// Assertions for our own mistakes, on in every build: losing a process is cheaper than
// acknowledging a lie. What the world does wrong (disks, networks, callers) is an absl::Status and
// never ends here.
#pragma once

#include <sstream>
#include <string>

namespace bascule::internal {
[[noreturn]] void CheckFailed(const char* file, int line, const char* expression,
                              const std::string& values);

template <typename A, typename B>
std::string CheckValues(const A& a, const B& b) {
  std::ostringstream out;
  out << " (" << a << " vs. " << b << ")";
  return out.str();
}
}  // namespace bascule::internal

#define BASCULE_CHECK(condition) \
  (static_cast<bool>(condition)  \
       ? static_cast<void>(0)    \
       : ::bascule::internal::CheckFailed(__FILE__, __LINE__, #condition, std::string()))

#define BASCULE_CHECK_OP(a, op, b)                                                          \
  do {                                                                                      \
    const auto& check_a = (a);                                                              \
    const auto& check_b = (b);                                                              \
    if (!(check_a op check_b))                                                              \
      ::bascule::internal::CheckFailed(__FILE__, __LINE__, #a " " #op " " #b,               \
                                       ::bascule::internal::CheckValues(check_a, check_b)); \
  } while (false)

#define BASCULE_CHECK_EQ(a, b) BASCULE_CHECK_OP(a, ==, b)
#define BASCULE_CHECK_NE(a, b) BASCULE_CHECK_OP(a, !=, b)
#define BASCULE_CHECK_LE(a, b) BASCULE_CHECK_OP(a, <=, b)
#define BASCULE_CHECK_LT(a, b) BASCULE_CHECK_OP(a, <, b)
#define BASCULE_CHECK_GE(a, b) BASCULE_CHECK_OP(a, >=, b)
#define BASCULE_CHECK_GT(a, b) BASCULE_CHECK_OP(a, >, b)
