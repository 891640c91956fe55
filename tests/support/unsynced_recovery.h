// The other half of the preload layer unsynced_loss.c: after a process that ran under it was
// killed, brings its folder to what a power loss would have left.
#pragma once

#include <cstddef>
#include <string>

namespace bascule {

struct UnsyncedLoss {
  size_t changes = 0;  // of files: writes and truncations undone
  size_t bytes = 0;    // given back their old value
  size_t dropped = 0;  // bytes that a failed sync had dropped, and nobody had written again
  size_t entries = 0;  // files and directories made, removed or renamed, undone
};

// `root` and `journal` as they were given to the layer; no process may use the root. The journal is
// empty afterwards and can serve the next run. Throws std::runtime_error, which fails a test, when
// it cannot be done.
UnsyncedLoss RecoverUnsynced(const std::string& root, const std::string& journal);

}  // namespace bascule
