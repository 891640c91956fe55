// Lets callbacks through until it is closed, and tells when the last one has returned.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <utility>

namespace bascule::peer {

// Any thread, except where said.
class CallbackGate {
 public:
  // Calls `callback` unless the gate is closed.
  template <typename Callback>
  void Run(Callback&& callback) {
    {
      const std::lock_guard lock(mutex_);
      if (closed_) return;
      ++inside_;
    }
    std::forward<Callback>(callback)();
    const std::lock_guard lock(mutex_);
    if (--inside_ == 0) empty_.notify_all();
  }

  // Returns when nobody is inside, and nobody comes in any more. Not from a callback.
  void Close() {
    std::unique_lock lock(mutex_);
    closed_ = true;
    empty_.wait(lock, [this] { return inside_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable empty_;
  size_t inside_ = 0;    // guarded by mutex_
  bool closed_ = false;  // guarded by mutex_
};

}  // namespace bascule::peer
