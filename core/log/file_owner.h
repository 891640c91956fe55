// Whose the files of a partition's directory are: log.bounds and every segment say it, and so does the
// directory's place. A copy that went to the wrong place shows in their difference.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"
#include "core/base/types.h"
#include "core/env/file_system.h"

namespace bascule::log {

struct OwnedFile {
  std::string path;
  PartitionKey owner;
};

// Of the files in `directory` that can be read and say it, by name. Blocks.
// `until`: no further than the first that is this partition's.
std::vector<OwnedFile> ReadOwners(FileSystem& fs, const std::string& directory,
                                  const PartitionKey* until = nullptr);

// By the place: "streams/<stream id>/<partition>". Nothing for a directory of any other name, as a
// copy may have.
std::optional<PartitionKey> OwnerByPlace(std::string_view directory);

// "<path> belongs to ..., not to ...".
std::string ForeignText(const OwnedFile& file, const PartitionKey& wanted);

// FailedPrecondition with that text and what to do: for a directory that holds other files of
// `wanted`, with this file alone. Blocks.
absl::Status ForeignFile(FileSystem& fs, const std::string& directory, const OwnedFile& file,
                         const PartitionKey& wanted);

}  // namespace bascule::log
