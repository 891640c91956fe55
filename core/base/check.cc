#include "core/base/check.h"

#include <unistd.h>

#include <cstdlib>

#include "core/base/bounded_output.h"
#include "core/base/limits.h"
#include "core/base/logging.h"

namespace bascule::internal {

void CheckFailed(const char* file, int line, const char* expression, const std::string& values) {
  // First what led here, then straight to stderr: the logger may be the one that failed. Neither
  // waits for a reader that is stuck.
  FlushLog(limits::kLastWordsTimeout);
  const std::string text = std::string(file) + ":" + std::to_string(line) +
                           ": assertion failed: " + expression + values + "\n";
  WriteWithin(STDERR_FILENO, text, limits::kLastWordsTimeout);
  std::abort();
}

}  // namespace bascule::internal
