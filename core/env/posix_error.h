// Turns errno into a status whose text names the operation, the path, the system's reason and,
// where there is one, the remedy. Private to core/env.
#pragma once

#include <string>

#include "core/base/status.h"

namespace bascule::internal {

// `error` is an errno value. ENOSPC and EDQUOT: ResourceExhausted; ENOENT: NotFound; EEXIST:
// AlreadyExists; others: Internal.
absl::Status ErrnoStatus(int error, const char* operation, const std::string& path);

}  // namespace bascule::internal
