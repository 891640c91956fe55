// The metadata log that versions before clusters wrote: read once, when such a data directory is
// opened for the first time, and never written. Layout in FORMAT.md beside it.
//
// What a crash may have left there: a torn tail (ignored: nobody was answered; of a group that was
// written but not synced any part may be there), a snapshot written but the log not yet emptied
// (records up to the snapshot's index are skipped), temporary files (ignored). A bad record that a
// later one says was durable, or a bad snapshot, is damage.
#pragma once

#include <string>

#include "core/base/status.h"
#include "core/env/file_system.h"
#include "replication/metadata_log.h"

namespace bascule::metadata {

struct LegacyMetadata {
  MetadataIndex applied;
  std::string snapshot;  // MetaTable::Snapshot of everything up to `applied`
};

// From the files `log` and `snapshot` in `directory`. NotFound: neither is there. DataLoss: damage,
// with a text that says what to do. FailedPrecondition, Unimplemented: a newer version wrote it.
absl::StatusOr<LegacyMetadata> ReadLocalMetadata(FileSystem& fs, const std::string& directory);

}  // namespace bascule::metadata
