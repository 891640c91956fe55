// What a set of server processes has used, read from outside. Any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace bascule::bench {

// User and system CPU seconds of all threads since each process started: utime + stime of
// /proc/<pid>/stat, read through the processes' CPU clocks, which count the same time in
// nanoseconds instead of ticks of 10 ms. NotFound when one of them is gone.
absl::StatusOr<double> CpuSeconds(const std::vector<int>& pids);

// Sum of one line of /proc/<pid>/status ("VmRSS", "VmHWM", "RssAnon") in bytes. NotFound as above.
absl::StatusOr<uint64_t> MemoryBytes(const std::vector<int>& pids, const std::string& line);

// Waits until the processes use less than 2 % of a core for half a second, `limit` at most: work
// put off until after the last ack belongs to the load that caused it.
void WaitUntilQuiet(const std::vector<int>& pids, std::chrono::milliseconds limit);

// Allocated bytes under `dir`, as `du` counts them. Files that vanish meanwhile are skipped.
uint64_t DiskBytes(const std::string& dir);

// Nanoseconds of the monotonic clock.
int64_t NowNs();

}  // namespace bascule::bench
