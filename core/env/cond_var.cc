#include "core/env/cond_var.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "core/base/check.h"

namespace bascule {

static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t), "the kernel reads it as a word");

void CondVar::Wait(absl::Mutex& mutex) { Sleep(mutex, nullptr); }

bool CondVar::WaitUntil(absl::Mutex& mutex, Deadline deadline) {
  // The kernel refuses a time before its boot, which on a young machine is soon reached.
  const auto since_boot = std::max(deadline.time_since_epoch(), Deadline::duration::zero());
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since_boot);
  timespec at{};
  at.tv_sec = seconds.count();
  at.tv_nsec = std::chrono::nanoseconds(since_boot - seconds).count();
  return Sleep(mutex, &at);
}

// A signal that comes once the mutex is free changes `signals_`: then the kernel does not let us
// sleep. One that came before was preceded by the change that its sender made under the mutex,
// which our caller has seen.
bool CondVar::Sleep(absl::Mutex& mutex, const timespec* deadline) {
  waiters_.fetch_add(1);
  const uint32_t seen = signals_.load();
  mutex.Unlock();
  const long slept = syscall(SYS_futex, &signals_, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, seen,
                             deadline, nullptr, FUTEX_BITSET_MATCH_ANY);
  const int error = slept == 0 ? 0 : errno;
  BASCULE_CHECK(error == 0 || error == EAGAIN || error == EINTR || error == ETIMEDOUT);
  BASCULE_CHECK_GT(waiters_.fetch_sub(1), 0U);
  mutex.Lock();
  return error != ETIMEDOUT;
}

void CondVar::Wake(int32_t waiters) {
  signals_.fetch_add(1);
  if (waiters_.load() == 0) return;
  syscall(SYS_futex, &signals_, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, waiters, nullptr, nullptr, 0);
}

}  // namespace bascule
