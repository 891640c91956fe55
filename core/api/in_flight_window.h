// How much of a PublishAsync session waits for acks. Acks carry nothing that the session keeps by
// publish, so each counts for the oldest; publishes that nobody ever acks (no stream listens, a
// policy from the future) leave by age, or they would close the session for good. Pure; one thread
// at a time.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>

#include "core/base/limits.h"
#include "core/base/types.h"

namespace bascule {

class InFlightWindow {
 public:
  // After this an ack is not expected any more.
  static constexpr std::chrono::seconds kAge{30};

  explicit InFlightWindow(size_t max_count = limits::kMaxAsyncInFlight,
                          size_t max_bytes = limits::kMaxAsyncInFlightBytes)
      : max_count_(max_count), max_bytes_(max_bytes) {}

  void Add(MonotonicTime now, size_t bytes) {
    entries_.push_back({now, bytes});
    bytes_ += bytes;
  }
  // The newest was not published after all.
  void TakeBack() { Drop(/*newest=*/true); }
  // An ack came; more acks than publishes are no harm (several streams may ack one message).
  void Release() { Drop(/*newest=*/false); }
  void Expire(MonotonicTime now) {
    while (!entries_.empty() && Between(entries_.front().time, now) >= kAge) Release();
  }

  // Whether there is room beside `unwritten` responses.
  bool HasRoom(size_t unwritten) const {
    return entries_.size() + unwritten < max_count_ && bytes_ < max_bytes_;
  }
  // When the oldest leaves by age; only when not empty.
  MonotonicTime NextExpiry() const { return bascule::Add(entries_.front().time, kAge); }
  bool empty() const { return entries_.empty(); }
  size_t count() const { return entries_.size(); }
  size_t bytes() const { return bytes_; }

 private:
  struct Entry {
    MonotonicTime time;
    size_t bytes;
  };
  void Drop(bool newest) {
    if (entries_.empty()) return;
    bytes_ -= newest ? entries_.back().bytes : entries_.front().bytes;
    newest ? entries_.pop_back() : entries_.pop_front();
  }

  const size_t max_count_;
  const size_t max_bytes_;
  std::deque<Entry> entries_;
  size_t bytes_ = 0;
};

}  // namespace bascule
