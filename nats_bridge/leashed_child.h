// A child process on a leash: it ends when the thread that spawned it ends, however our process
// ends.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "core/base/status.h"

namespace bascule::nats {

// Used by one thread, the one that called Spawn: the kernel ties the child to that thread's life.
class LeashedChild {
 public:
  LeashedChild() = default;
  ~LeashedChild();  // Kill and reap
  LeashedChild(const LeashedChild&) = delete;
  LeashedChild& operator=(const LeashedChild&) = delete;

  // `path` is executed with `arguments` (its own name first), stdout and stderr go to output_fd().
  // Terminal signals (Ctrl-C) do not reach it: its owner decides when it ends.
  absl::Status Spawn(const std::string& path, const std::vector<std::string>& arguments);

  bool running() const { return pid_ > 0; }
  pid_t pid() const { return pid_; }
  int exit_fd() const { return pidfd_; }  // readable once the child has ended
  int output_fd() const {
    return output_fd_;
  }  // non-blocking; end of file when the child closed its side
  // Asks it to end (SIGTERM).
  void Terminate();
  // SIGKILL.
  void Kill();
  // After exit_fd() became readable: what became of it, in words. Afterwards not running.
  std::string Reap();

 private:
  pid_t pid_ = -1;
  int pidfd_ = -1;
  int output_fd_ = -1;
};

// The executable `name` names: itself when it holds a '/', otherwise the first in PATH or the usual
// system directories. Empty when there is none.
std::string FindExecutable(const std::string& name);

}  // namespace bascule::nats
