// SIGINT and SIGTERM as an event that a command can wait for, instead of a death in mid-line.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "core/base/types.h"
#include "core/env/clock.h"
#include "core/env/cond_var.h"

namespace bascule::cli {

// One in the process, made before any other thread so that all of them inherit the blocked signals.
// The first signal runs the callbacks of whoever is registered; with nobody registered, and at a
// second signal (a second or more later: wrappers tend to send one twice), the process ends at once
// with the shell's status for it (130, 143).
//
//   signal -> own thread (sigwait) -> raised() is true, wake_fd() is readable, callbacks, Pause()
//   returns
class Interrupt {
 public:
  explicit Interrupt(Clock& clock);
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  // Any thread.
  bool raised() const { return raised_.load(); }
  // Readable from the first signal on; for poll().
  int wake_fd() const { return wake_fd_; }
  // Waits; false when the interrupt came first.
  bool Pause(Duration span);

  // While it lives, the callback runs at the first signal, on the signal thread; at once if that
  // has come already. The callback must not touch this object.
  class Handler {
   public:
    Handler(Interrupt& interrupt, std::function<void()> callback);
    ~Handler();
    Handler(const Handler&) = delete;
    Handler& operator=(const Handler&) = delete;

   private:
    Interrupt& interrupt_;
    int id_ = 0;
  };

 private:
  void Run();

  Clock& clock_;

  std::atomic<bool> raised_{false};
  std::atomic<bool> stopping_{false};
  int wake_fd_ = -1;
  absl::Mutex mutex_;
  CondVar woken_;
  int next_id_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<int, std::function<void()>> handlers_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace bascule::cli
