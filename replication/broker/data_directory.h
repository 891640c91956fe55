// The data directory as a whole: its lock, its format version, and who we are.
//
//   data/VERSION   format of the directory, a number
//   data/LOCK      held while a broker uses it
//   data/server    server id, written once
#pragma once

#include <memory>
#include <string>

#include "core/base/status.h"
#include "core/env/file_system.h"
#include "core/env/rng.h"

namespace bascule::broker {

class DataDirectory {
 public:
  // Creates what is missing. FailedPrecondition: another process uses it, or a newer version wrote
  // it. DataLoss: the identity is damaged. `wanted_id` (may be empty) counts for a new directory
  // only; a stored id beats it.
  static absl::StatusOr<DataDirectory> Open(FileSystem& fs, Rng& rng, const std::string& path,
                                            const std::string& wanted_id);

  // Partitions that have a directory here.
  absl::StatusOr<size_t> CountPartitions(FileSystem& fs) const;

  const std::string& path() const { return path_; }
  const std::string& server_id() const { return server_id_; }
  // A number drawn anew for every start of the process.
  uint64_t incarnation() const { return incarnation_; }

 private:
  std::string path_;
  std::string server_id_;
  uint64_t incarnation_ = 0;
  std::unique_ptr<FileLock> lock_;
};

}  // namespace bascule::broker
