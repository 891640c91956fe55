// Programs that a test runs: they never outlive it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/status.h"
#include "tests/support/temp_dir.h"

namespace bascule {

// Initializers on every field: tests name the few they want, and the compiler stays quiet about the
// rest.
struct ChildOptions {
  std::string program{};  // a path, or a name looked up in $PATH and /usr/sbin
  std::vector<std::string> args{};
  std::vector<std::pair<std::string, std::string>> env{};  // added to, or replacing, the test's own
  std::string input{};                                     // its standard input
  std::string directory{};  // where it runs; empty: where the test runs
};

struct ExitStatus {
  int code = 0;    // when it ended by itself
  int signal = 0;  // otherwise: what killed it
  bool ok() const { return code == 0 && signal == 0; }
};

// Runs in a process group of its own; standard output and error go to files, so it never blocks on
// a full pipe. Killed by the system when the thread that started it ends: start it from the test's
// main thread. One thread.
class ChildProcess {
 public:
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Start(const ChildOptions& options);
  // Kills the whole group and waits.
  ~ChildProcess();

  pid_t pid() const { return pid_; }
  // To the process alone; ignored when it has ended.
  void Signal(int signal);
  // Empty when it still runs after `limit`.
  std::optional<ExitStatus> WaitExit(std::chrono::milliseconds limit);
  // SIGTERM; SIGKILL to the group when it still runs after `grace`.
  ExitStatus Terminate(std::chrono::milliseconds grace = std::chrono::seconds(10));
  // SIGKILL to the group.
  ExitStatus Kill();
  bool Running();

  // What it has written so far.
  std::string Output() const;
  std::string Errors() const;

 private:
  ChildProcess() = default;

  TempDir files_;
  pid_t pid_ = -1;
  int pid_fd_ = -1;
  std::optional<ExitStatus> exit_;
};

// Starts, waits, returns the status and what it wrote; DeadlineExceeded (and killed) after `limit`.
struct RunResult {
  ExitStatus exit;
  std::string output;
  std::string errors;
};
absl::StatusOr<RunResult> RunProgram(const ChildOptions& options,
                                     std::chrono::milliseconds limit = std::chrono::seconds(60));

// A TCP port of 127.0.0.1 that nobody listens on now; never the same twice in one process.
int PickFreePort();

}  // namespace bascule
