#include "cmd/bascule/interrupt.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <csignal>
#include <utility>

#include "core/base/check.h"

namespace bascule::cli {
namespace {

constexpr Duration kSameSignal = std::chrono::seconds(1);

sigset_t Signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  return set;
}

}  // namespace

Interrupt::Interrupt(Clock& clock) : clock_(clock), wake_fd_(eventfd(0, EFD_CLOEXEC)) {
  BASCULE_CHECK(wake_fd_ >= 0);
  const sigset_t set = Signals();
  BASCULE_CHECK(pthread_sigmask(SIG_BLOCK, &set, nullptr) == 0);
  thread_ = std::thread([this] { Run(); });
}

Interrupt::~Interrupt() {
  stopping_ = true;
  pthread_kill(thread_.native_handle(), SIGTERM);
  thread_.join();
  close(wake_fd_);
}

void Interrupt::Run() {
  const sigset_t set = Signals();
  MonotonicTime first;
  for (;;) {
    int signal = 0;
    if (sigwait(&set, &signal) != 0) continue;
    if (stopping_) return;
    const absl::MutexLock lock(&mutex_);
    const MonotonicTime now = clock_.Monotonic();
    if (raised_ && Between(first, now) < kSameSignal) continue;
    if (raised_ || handlers_.empty()) _exit(128 + signal);
    raised_ = true;
    first = now;
    const uint64_t one = 1;
    BASCULE_CHECK(write(wake_fd_, &one, sizeof(one)) == sizeof(one));
    for (auto& [id, callback] : handlers_) callback();
    woken_.SignalAll();
  }
}

bool Interrupt::Pause(Duration span) {
  const CondVar::Deadline deadline = CondVar::In(span);
  const absl::MutexLock lock(&mutex_);
  while (!raised() && woken_.WaitUntil(mutex_, deadline)) {
  }
  return !raised();
}

Interrupt::Handler::Handler(Interrupt& interrupt, std::function<void()> callback)
    : interrupt_(interrupt) {
  const absl::MutexLock lock(&interrupt.mutex_);
  if (interrupt.raised()) callback();
  id_ = interrupt.next_id_++;
  interrupt.handlers_.emplace(id_, std::move(callback));
}

Interrupt::Handler::~Handler() {
  const absl::MutexLock lock(&interrupt_.mutex_);
  interrupt_.handlers_.erase(id_);
}

}  // namespace bascule::cli
