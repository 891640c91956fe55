// A broker to kill, a publisher that keeps what was acknowledged, and a reader that compares: the
// parts of crash_kill_test.cc.
//
//   CrashPublisher                nats-server          basculed                  ReadAll
//     PUB value N, reply N ------------>------------------> record
//     acked[N] = seq <---- PubAck ------<------------------ after fdatasync
//                                                          SIGKILL, (undo), start
//                                                          Subscribe from 0 -------> offset, N
#pragma once

#include <nats/nats.h>

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"
#include "tests/support/child_process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/unsynced_recovery.h"

namespace bascule::crash {

inline constexpr char kStream[] = "crash";
inline constexpr char kSubject[] = "crash.events";

enum class Loss {
  kProcess,  // SIGKILL alone: the page cache survives
  kPower,    // and everything unsynced is undone
};

// A basculed process on a data directory of its own. One thread.
class CrashBroker {
 public:
  // `forget`: see UNSYNCED_FORGET in unsynced_format.h.
  CrashBroker(std::string nats_url, Loss loss, std::string forget);

  // Returns when it serves gRPC.
  absl::Status Start();
  absl::Status CreateStream();
  // SIGKILL; with Loss::kPower its folder then looks as after a power loss.
  UnsyncedLoss Kill();
  // SIGKILL alone, whatever the loss: what was not synced is shown to the next process.
  void KillProcess() { process_->Kill(); }
  // With Loss::kPower: the next sync of a segment fails, and what it had never reaches the disk.
  void FailNextSync();
  // Until that sync has come; false after 30 s.
  bool SyncFailed();
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  // What it wrote, for a failing test.
  std::string Log() const { return process_ == nullptr ? "" : process_->Errors(); }

 private:
  std::string nats_url_;
  Loss loss_;
  std::string forget_;
  int port_;
  TempDir files_;
  std::unique_ptr<ChildProcess> process_;
};

// Publishes the numbers 0, 1, 2... as plain NATS messages with reply subjects, each once, and notes
// which were acknowledged at which offset. One thread, beside nats.c's own that delivers acks.
class CrashPublisher {
 public:
  explicit CrashPublisher(const std::string& nats_url);
  ~CrashPublisher();
  CrashPublisher(const CrashPublisher&) = delete;
  CrashPublisher& operator=(const CrashPublisher&) = delete;

  // One number after the other until one is acknowledged: the broker records again. False after 30
  // s.
  bool Probe();
  // `count` more, and waits for nothing.
  void Fire(size_t count);
  // Keeps `window` messages unacknowledged until `acks` more have come, and returns in the middle
  // of it. False when none comes for 10 s.
  bool Publish(size_t acks, size_t window);

  std::map<int64_t, int64_t> Acked() const;  // number -> offset
  std::vector<std::string> Refused() const;  // acks that were errors

 private:
  static void OnAck(natsConnection*, natsSubscription*, natsMsg* message, void* self);
  void TakeAck(std::string_view subject, std::string_view text);
  void Send();

  natsConnection* connection_ = nullptr;
  natsSubscription* subscription_ = nullptr;
  std::string inbox_;
  int64_t next_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<int64_t, int64_t> acked_;  // guarded by mutex_
  std::vector<std::string> refused_;  // guarded by mutex_
  int64_t first_of_load_ = 0;         // guarded by mutex_
  size_t acked_of_load_ = 0;          // guarded by mutex_: numbers from first_of_load_ on
};

struct Recorded {
  int64_t offset;
  int64_t number;
};

// The whole stream through Subscribe, from its oldest record to its newest.
absl::StatusOr<std::vector<Recorded>> ReadAll(const std::string& address);

// What is wrong with `recorded`, nothing when every acknowledged number is there once, at its
// offset, in order, and the rest is in order too.
std::vector<std::string> Compare(const std::map<int64_t, int64_t>& acked,
                                 const std::vector<Recorded>& recorded);

}  // namespace bascule::crash
