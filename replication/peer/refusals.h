// Says once, and counts always: what was refused at the peer port, and why.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "core/env/clock.h"
#include "replication/peer/handshake.h"

namespace bascule::peer {

// Any thread.
class Refusals {
 public:
  explicit Refusals(Clock& clock) : clock_(clock) {}

  // `remote`: the address it came from. A log line, unless many of the kind came lately.
  void Note(const Refused& refused, std::string_view remote);
  uint64_t count(Refusal reason) const {
    return kinds_[static_cast<size_t>(reason)].count.load(std::memory_order_relaxed);
  }

 private:
  struct Kind {
    std::atomic<uint64_t> count{0};
    uint64_t unsaid = 0;    // guarded by mutex_
    int lines = 0;          // since `since`; guarded by mutex_
    MonotonicTime since{};  // guarded by mutex_
  };
  Clock& clock_;
  std::mutex mutex_;
  std::array<Kind, kRefusals> kinds_;
};

}  // namespace bascule::peer
