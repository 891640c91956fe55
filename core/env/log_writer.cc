#include "core/env/log_writer.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "core/base/bounded_output.h"
#include "core/base/check.h"
#include "core/base/text.h"
#include "core/env/cond_var.h"

namespace bascule {
namespace {

using SteadyClock = std::chrono::steady_clock;

std::string DroppedLine(uint64_t lines) {
  return FormatLogLine(LogLevel::kWarning,
                       Concat(lines,
                              " log lines were dropped here: whatever reads this process's "
                              "standard error did not keep up"));
}

}  // namespace

struct LogWriter::State {
  State(int fd, size_t max, std::chrono::milliseconds late)
      : output(fd), max_bytes(max), stuck_after(late), stop_fd(eventfd(0, EFD_CLOEXEC)) {
    BASCULE_CHECK_GE(stop_fd, 0);
  }
  ~State() { close(stop_fd); }

  BoundedOutput output;  // the writer's thread only
  const size_t max_bytes;
  const std::chrono::milliseconds stuck_after;
  const int stop_fd;

  mutable absl::Mutex mutex;
  CondVar work;
  CondVar left;
  std::string queue ABSL_GUARDED_BY(mutex);
  size_t leaving ABSL_GUARDED_BY(mutex) = 0;  // bytes that the thread has taken and not written
  uint64_t added ABSL_GUARDED_BY(mutex) = 0;  // bytes, ever
  uint64_t gone ABSL_GUARDED_BY(mutex) = 0;   // bytes written or given up, in the same order
  uint64_t dropped ABSL_GUARDED_BY(mutex) = 0;
  uint64_t told ABSL_GUARDED_BY(mutex) = 0;  // of `dropped`
  bool broken ABSL_GUARDED_BY(mutex) =
      false;  // the last write failed: only another line tries again
  SteadyClock::time_point progress ABSL_GUARDED_BY(mutex) = SteadyClock::now();
  bool stopping ABSL_GUARDED_BY(mutex) = false;
  std::thread thread;

  // What was dropped while the last batch was leaving is said without waiting for another line.
  bool Due() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    return !queue.empty() || (!broken && dropped > told);
  }

  // Checked once the lock is free: a failed check flushes the log, which takes it.
  bool Sound() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    return gone + leaving + queue.size() == added && leaving + queue.size() <= max_bytes &&
           told <= dropped;
  }

  // False when there is nothing more to do, ever.
  bool Take(std::string& batch, uint64_t& untold) {
    const absl::MutexLock lock(&mutex);
    while (!stopping && !Due()) work.Wait(mutex);
    if (!Due()) return false;
    batch.clear();
    batch.swap(queue);
    leaving = batch.size();
    untold = std::exchange(told, dropped);
    untold = dropped - untold;
    progress = SteadyClock::now();
    return true;
  }

  // Piece by piece, so that progress is seen.
  bool WriteOut(std::string_view text) {
    constexpr size_t kPiece = 64 * limits::kKiB;
    while (!text.empty()) {
      std::string_view piece = text.substr(0, kPiece);
      const size_t size = piece.size();
      const auto result = output.Write(piece, BoundedOutput::kForever, stop_fd);
      text.remove_prefix(size - piece.size());
      if (result == BoundedOutput::Result::kFailed) return false;
      if (result == BoundedOutput::Result::kWoken) return false;
      const absl::MutexLock lock(&mutex);
      progress = SteadyClock::now();
    }
    return true;
  }

  void Run() {
    std::string batch;
    uint64_t untold = 0;
    while (Take(batch, untold)) {
      bool written = WriteOut(batch);
      if (written && untold > 0) written = WriteOut(DroppedLine(untold));
      bool sound;
      {
        const absl::MutexLock lock(&mutex);
        gone += std::exchange(leaving, 0);
        // A broken descriptor takes nothing: what it should have is lost, and is said if it heals.
        if (!written)
          dropped += static_cast<uint64_t>(std::count(batch.begin(), batch.end(), '\n'));
        if (!written) told -= untold;
        broken = !written;
        sound = Sound();
      }
      BASCULE_CHECK(sound);
      left.SignalAll();
    }
  }
};

LogWriter::LogWriter(int fd, size_t max_bytes, std::chrono::milliseconds stuck_after)
    : state_(std::make_unique<State>(fd, max_bytes, stuck_after)) {
  state_->thread = std::thread([state = state_.get()] { state->Run(); });
  pthread_setname_np(state_->thread.native_handle(), "log");
}

LogWriter::~LogWriter() {
  {
    const absl::MutexLock lock(&state_->mutex);
    state_->stopping = true;
  }
  state_->work.SignalAll();
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = write(state_->stop_fd, &one, sizeof(one));
  state_->thread.join();
}

void LogWriter::Write(std::string line) {
  bool sound;
  {
    const absl::MutexLock lock(&state_->mutex);
    if (state_->leaving + state_->queue.size() + line.size() > state_->max_bytes) {
      ++state_->dropped;
      return;
    }
    state_->queue += line;
    state_->added += line.size();
    sound = state_->Sound();
  }
  BASCULE_CHECK(sound);
  state_->work.Signal();
}

bool LogWriter::Flush(std::chrono::milliseconds limit) {
  const CondVar::Deadline deadline = CondVar::In(limit);
  const absl::MutexLock lock(&state_->mutex);
  const uint64_t wanted = state_->added;
  while (state_->gone < wanted && state_->left.WaitUntil(state_->mutex, deadline)) {
  }
  return state_->gone >= wanted;
}

LogSink::Losses LogWriter::losses() const {
  const absl::MutexLock lock(&state_->mutex);
  const bool waiting = state_->leaving + state_->queue.size() > 0;
  return {state_->dropped, waiting && SteadyClock::now() - state_->progress >= state_->stuck_after};
}

}  // namespace bascule
