// Says once, and counts always: what was refused at the peer port, and why.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/synchronization/mutex.h"
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
    return counts_[static_cast<size_t>(reason)].load(std::memory_order_relaxed);
  }

 private:
  // What the log was told of one kind.
  struct Said {
    uint64_t unsaid = 0;
    int lines = 0;  // since `since`
    MonotonicTime since{};
  };
  Clock& clock_;
  std::array<std::atomic<uint64_t>, kRefusals> counts_{};
  absl::Mutex mutex_;
  std::array<Said, kRefusals> said_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace bascule::peer
