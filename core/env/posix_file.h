// A file over plain system calls. Private to core/env: others open files through FileSystem.
#pragma once

#include <memory>
#include <string>

#include "core/env/file_system.h"

namespace bascule::internal {

absl::StatusOr<std::unique_ptr<File>> OpenPosixFile(const std::string& path, OpenMode mode);

}  // namespace bascule::internal
