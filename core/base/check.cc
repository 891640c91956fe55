#include "core/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace bascule::internal {

void CheckFailed(const char* file, int line, const char* expression, const std::string& values) {
  // Straight to stderr: the logger may be the one that failed.
  std::fprintf(stderr, "%s:%d: assertion failed: %s%s\n", file, line, expression, values.c_str());
  std::fflush(stderr);
  std::abort();
}

}  // namespace bascule::internal
