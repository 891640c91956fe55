// What the program's exit status means; `bascule --help` prints the same list. Scripts rely on the
// numbers.
#pragma once

namespace bascule::cli {

enum class ExitCode : int {
  kOk = 0,
  kRefused = 1,      // the server refused or failed, or a local file could not be written
  kUsage = 2,        // the command line makes no sense
  kNotFound = 3,     // no such stream, partition or directory
  kUnreachable = 4,  // nobody answered, or not in time
  kDamaged = 5,      // stored data is not what was written
  kDegraded = 6,     // the cluster works, but not as it should
  kNoLeader = 7,     // no broker leads the cluster's metadata: nothing can be changed
};

inline constexpr char kExitCodesHelp[] =
    "Exit status: 0 ok, 1 the server refused or failed, 2 wrong usage, 3 not found,\n"
    "             4 unreachable or timed out, 5 data damaged, 6 cluster degraded,\n"
    "             7 cluster without a leader.";

}  // namespace bascule::cli
