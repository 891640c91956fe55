// Lets callbacks through until it is closed, and tells when the last one has returned.
#pragma once

#include <cstddef>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "core/base/check.h"
#include "core/env/cond_var.h"

namespace bascule::peer {

// Any thread, except where said.
class CallbackGate {
 public:
  // Calls `callback` unless the gate is closed.
  template <typename Callback>
  void Run(Callback&& callback) {
    {
      const absl::MutexLock lock(&mutex_);
      if (closed_) return;
      ++inside_;
    }
    std::forward<Callback>(callback)();
    const absl::MutexLock lock(&mutex_);
    BASCULE_CHECK_GT(inside_, 0U);
    if (--inside_ == 0) empty_.SignalAll();
  }

  // Returns when nobody is inside, and nobody comes in any more. Not from a callback.
  void Close() {
    const absl::MutexLock lock(&mutex_);
    closed_ = true;
    while (inside_ > 0) empty_.Wait(mutex_);
  }

 private:
  absl::Mutex mutex_;
  CondVar empty_;
  size_t inside_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace bascule::peer
