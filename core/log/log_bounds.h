// `log.bounds` in a partition's directory: where its log begins, and how far it is known to have
// reached. Segments say neither of the ones that are missing, so without it a log whose first files
// were lost would look like one that retention has shortened.
//
// Two slots, written in turn and in place: a torn write leaves the other one, and retention can
// move the beginning on a full disk. Layout in FORMAT.md.
#pragma once

#include <string>
#include <string_view>

#include "core/base/status.h"
#include "core/base/types.h"
#include "core/env/file_system.h"

namespace bascule::log {

inline constexpr char kLogBoundsFileName[] = "log.bounds";
inline constexpr size_t kLogBoundsSlotBytes = 64;
inline constexpr size_t kLogBoundsSlotStride = 4096;  // a slot never shares a block with the other
inline constexpr size_t kLogBoundsFileBytes = 2 * kLogBoundsSlotStride;

struct LogBounds {
  Offset start;  // of the oldest record that retention has left: the base of a segment
  // Exclusive; everything below was durable when this was written, or was given out and is lost.
  Offset end;
  uint64_t sequence = 0;  // the greater of the two slots counts
  bool operator==(const LogBounds&) const = default;
};

// Whose bounds they are.
struct StoredLogBounds {
  PartitionKey key;
  LogBounds bounds;
};

// One slot.
std::string EncodeLogBounds(const StoredLogBounds& stored);
// The newest sound slot of a file's bytes. DataLoss: there is none; FailedPrecondition: a newer
// format.
absl::StatusOr<StoredLogBounds> ParseLogBounds(std::string_view file);

// NotFound: no such file. DataLoss, FailedPrecondition: as above, with the path. Blocks.
absl::StatusOr<StoredLogBounds> LoadLogBounds(FileSystem& fs, const std::string& directory);
// After OK the bounds survive a machine crash; after any crash before that, they or the ones of the
// sequence before do, also when those were never synced. A file that does not exist is made
// (its name needs a SyncDir). One caller at a time. Blocks.
absl::Status StoreLogBounds(FileSystem& fs, const std::string& directory,
                            const StoredLogBounds& stored);

}  // namespace bascule::log
