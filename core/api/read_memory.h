// What subscribers hold of stored messages: chunks that were read for them and wait to be taken by
// the client. A client that takes nothing keeps its chunk, so at the bound no further subscription
// begins; and one address may hold half of it only, so that slow clients do not keep out others.
// Any thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "core/base/check.h"
#include "core/base/limits.h"
#include "core/base/types.h"

namespace bascule::api {

class ReadMemory {
 public:
  explicit ReadMemory(size_t max) : max_(max) {}

  // `address` holds `now` bytes where it held `before`.
  void Change(const std::string& address, size_t before, size_t now) {
    if (before == now) return;
    const absl::MutexLock lock(&mutex_);
    ChangeLocked(address, before, now);
  }
  // Whether another subscription may begin. One that may counts as a chunk for a moment, until the
  // chunk itself does: many that begin at once must not all find the same room.
  bool Begin(const std::string& address, MonotonicTime now) {
    const absl::MutexLock lock(&mutex_);
    while (!expected_.empty() && Between(expected_.front().since, now) >= kExpected) {
      ChangeLocked(expected_.front().address, limits::kReadChunkBytes, 0);
      expected_.pop_front();
    }
    const auto here = by_address_.find(address);
    if (total_ >= max_ || (here != by_address_.end() && here->second >= max_ / 2)) return false;
    expected_.push_back({now, address});
    ChangeLocked(address, 0, limits::kReadChunkBytes);
    return true;
  }
  size_t total() const {
    const absl::MutexLock lock(&mutex_);
    return total_;
  }

  static constexpr std::chrono::milliseconds kExpected{200};

 private:
  struct Expected {
    MonotonicTime since;
    std::string address;
  };
  void ChangeLocked(const std::string& address, size_t before, size_t now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    size_t& here = by_address_[address];
    BASCULE_CHECK_LE(before, here);
    BASCULE_CHECK_LE(here, total_);
    total_ += now - before;
    here += now - before;
    if (here == 0) by_address_.erase(address);
  }

  const size_t max_;
  mutable absl::Mutex mutex_;
  std::deque<Expected> expected_ ABSL_GUARDED_BY(mutex_);
  size_t total_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_map<std::string, size_t> by_address_ ABSL_GUARDED_BY(mutex_);  // none is 0
};

}  // namespace bascule::api
