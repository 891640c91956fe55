// One segment file as recovery finds it: what of it is sound, before anything is decided about it.
// Internal to core/log; blocks.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "core/base/status.h"
#include "core/env/file_system.h"
#include "core/log/recovery.h"
#include "core/log/segment.h"

namespace bascule::log {

// A place in an unsettled segment where no whole batch stands.
struct BadPlace {
  FilePosition position;
  SegmentFooter facts_before;  // of all that stands before it
  size_t index_before = 0;
  std::optional<Offset> resumes_at;  // base offset of the next sound batch in this file
};

struct FoundSegment {
  Segment segment;
  std::unique_ptr<File> file;
  bool header_ok = true;
  std::vector<BadPlace> bad;
  bool scanned = false;  // batches were found that no recovery point vouches for
  Offset evidence;       // exclusive end that this file proves to have been durable
};

// Its header only. Errors: the disk's; FailedPrecondition when the file is another partition's, a
// newer format's, or has another segment's name.
absl::StatusOr<FoundSegment> OpenSegment(FileSystem& fs, const RecoveryRequest& request,
                                         Offset base, OpenMode mode);
// The footer of a sealed segment, or every batch that the recovery point does not vouch for, up to
// where a failed log is cut. `next_base`: where the next segment begins. Errors: the same.
absl::StatusOr<FoundSegment> FindSegment(FileSystem& fs, const RecoveryRequest& request,
                                         Offset base, std::optional<Offset> next_base);

}  // namespace bascule::log
