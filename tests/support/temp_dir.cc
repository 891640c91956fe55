#include "tests/support/temp_dir.h"

#include <stdlib.h>

#include "core/base/check.h"
#include "core/base/logging.h"
#include "core/env/file_system.h"

namespace bascule {

TempDir::TempDir() {
  const char* root = getenv("TMPDIR");
  path_ = JoinPath(root != nullptr && *root != '\0' ? root : "/tmp", "bascule-test-XXXXXX");
  if (mkdtemp(path_.data()) == nullptr) {
    internal::CheckFailed(__FILE__, __LINE__, "mkdtemp",
                          " (" + path_ + "; set TMPDIR to a writable directory)");
  }
}

TempDir::~TempDir() {
  const absl::Status removed = RealFileSystem().RemoveTree(path_);
  if (!removed.ok()) LogWarning(removed.message());
}

std::string TempDir::Path(std::string_view name) const { return JoinPath(path_, name); }

}  // namespace bascule
