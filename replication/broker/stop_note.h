// Whether the process that used this data directory before ended in order (R7b of
// replication/README.md): data/running, one line of text, replaced as a whole.
//
//   clean                 the last process stopped, and everything was durable
//   recovering <boot id>  one has begun to recover logs and has not told the cluster what it found
//   serving <boot id>     one is registered; or it was killed
//
// On the metadata thread; blocks on the disk.
#pragma once

#include <string>

#include "core/base/status.h"
#include "core/env/file_system.h"

namespace bascule::broker {

enum class LastStop {
  kClean,
  kKilled,    // the process alone: what it wrote is in the page cache, or on the disk
  kDoubtful,  // the machine went down, or nobody can tell: what was synced may be missing too
};

// Reads what the last process left and notes, durably, that this one recovers. `boot_id`: of this start of
// the machine; empty: not known. A directory without a note is in doubt.
absl::StatusOr<LastStop> BeginRecovery(FileSystem& fs, const std::string& directory,
                                       const std::string& boot_id);
// What was found is registered.
absl::Status NoteServing(FileSystem& fs, const std::string& directory, const std::string& boot_id);
// Everything is closed and durable.
absl::Status NoteCleanStop(FileSystem& fs, const std::string& directory);

}  // namespace bascule::broker
