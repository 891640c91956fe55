// For a cluster whose metadata quorum is lost for good.
#pragma once

#include <string>

#include "core/base/status.h"
#include "core/env/file_system.h"

namespace bascule::broker {

// Offline; the directory's broker must not run. Makes it the only member of its metadata group.
// What its log holds is kept, committed or not: what it never received is lost. Brokers that were
// members come back with an emptied data/meta. Returns what was done, for the operator.
absl::StatusOr<std::string> RecoverQuorum(FileSystem& fs, const std::string& data_directory);

}  // namespace bascule::broker
