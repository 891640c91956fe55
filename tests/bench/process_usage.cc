#include "tests/bench/process_usage.h"

#include <sys/stat.h>
#include <time.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "absl/strings/str_cat.h"

namespace bascule::bench {

namespace {

using Millis = std::chrono::milliseconds;

constexpr Millis kQuietStep{100};
constexpr int kQuietSteps = 5;

}  // namespace

absl::StatusOr<double> CpuSeconds(const std::vector<int>& pids) {
  double seconds = 0;
  for (const int pid : pids) {
    clockid_t clock{};
    timespec used{};
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0) {
      return absl::NotFoundError(absl::StrCat("server process ", pid, " is gone"));
    }
    seconds += static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) * 1e-9;
  }
  return seconds;
}

absl::StatusOr<uint64_t> MemoryBytes(const std::vector<int>& pids, const std::string& line) {
  uint64_t bytes = 0;
  for (const int pid : pids) {
    std::ifstream status(absl::StrCat("/proc/", pid, "/status"));
    bool found = false;
    for (std::string text; !found && std::getline(status, text);) {
      if (text.rfind(line + ":", 0) != 0) continue;
      bytes += std::stoull(text.substr(line.size() + 1)) * 1024;
      found = true;
    }
    // A zombie still has a status file, but without memory lines.
    if (!found) return absl::NotFoundError(absl::StrCat("server process ", pid, " is gone"));
  }
  return bytes;
}

void WaitUntilQuiet(const std::vector<int>& pids, Millis limit) {
  const double allowed = 0.02 * std::chrono::duration<double>(kQuietStep).count();
  double before = CpuSeconds(pids).value_or(0);
  int quiet = 0;
  for (Millis waited{0}; waited < limit && quiet < kQuietSteps; waited += kQuietStep) {
    std::this_thread::sleep_for(kQuietStep);
    const double now = CpuSeconds(pids).value_or(0);
    quiet = now - before < allowed ? quiet + 1 : 0;
    before = now;
  }
}

uint64_t DiskBytes(const std::string& dir) {
  namespace fs = std::filesystem;
  uint64_t bytes = 0;
  std::error_code error;
  fs::recursive_directory_iterator entry(dir, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    struct stat facts {};
    if (lstat(entry->path().c_str(), &facts) == 0) {
      bytes += static_cast<uint64_t>(facts.st_blocks) * 512;
    }
  }
  return bytes;
}

int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace bascule::bench
