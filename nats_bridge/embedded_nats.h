// A nats-server of our own: started, watched, restarted, ended with us. For users who have none,
// and for tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "core/base/limits.h"
#include "core/base/status.h"
#include "core/env/clock.h"
#include "core/env/cond_var.h"
#include "nats_bridge/leashed_child.h"

namespace bascule::nats {

struct EmbeddedNatsOptions {
  std::string binary = "nats-server";  // a path, or a name looked up in PATH
  std::string directory;  // for its generated configuration; created when missing; ours alone
  std::string host = "127.0.0.1";  // where it listens
  int port = 0;                    // 0 = a free one, kept over restarts
  std::string
      config_file;  // the user's own instead of a generated one: host and max_payload count no more
  size_t max_payload = limits::kDefaultMessageBytes;
  std::string log_file;  // empty = its lines go to our log
};

// Any thread.
class EmbeddedNats {
 public:
  // Returns once it accepts connections. NotFound: no such binary (says which package has it);
  // FailedPrecondition: it ended at once (its last words are in the text); DeadlineExceeded: it did
  // not come up in time.
  static absl::StatusOr<std::unique_ptr<EmbeddedNats>> Start(const EmbeddedNatsOptions& options,
                                                             Clock& clock);
  ~EmbeddedNats();  // Stop()

  // Ends it gracefully, the hard way when it takes too long. Idempotent.
  void Stop();

  // "nats://127.0.0.1:4222"; the same for the whole life of this object.
  std::string url() const;
  // How often it had to be started again.
  uint64_t restarts() const;
  // Of the process running now; -1 between two.
  int pid() const;

 private:
  EmbeddedNats(EmbeddedNatsOptions options, std::string path, Clock& clock);

  // --- the supervisor thread, which is also the one that spawns ---
  void Supervise();
  absl::Status Launch();
  bool PollPorts();
  // Waits for output, the child's end, Stop, or the time; false once the child has ended.
  bool Watch(int timeout_ms);
  void Forward();
  std::string Bury();
  void ForwardLine(const std::string& line);
  void Pause(Duration delay);
  void Shutdown();
  void Report(absl::Status status);
  bool stopping() const;
  std::string Configuration() const;

  const EmbeddedNatsOptions options_;
  const std::string path_;
  Clock& clock_;
  int stop_fd_ = -1;
  LeashedChild child_;      // supervisor only
  std::string partial_;     // supervisor only: an unfinished line
  std::string last_words_;  // supervisor only: the end of its output

  mutable absl::Mutex mutex_;
  CondVar changed_;
  bool started_ ABSL_GUARDED_BY(mutex_) = false;  // Start can return `first_`
  absl::Status first_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::string url_ ABSL_GUARDED_BY(mutex_);
  uint64_t restarts_ ABSL_GUARDED_BY(mutex_) = 0;
  int pid_ ABSL_GUARDED_BY(mutex_) = -1;
  int port_ = 0;  // supervisor only; the chosen one from the first start on
  std::thread supervisor_;
};

}  // namespace bascule::nats
