// Latencies in fixed memory (about 30 KiB), to within 1 %, cheap enough to record every message.
// Nanoseconds. One thread at a time.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

namespace bascule::bench {

class Histogram {
 public:
  void Add(int64_t ns) {
    ++slots_[SlotOf(static_cast<uint64_t>(std::max<int64_t>(ns, 0)))];
    ++count_;
  }

  uint64_t count() const { return count_; }

  // Smallest recorded value that at least `share` (0 to 1) of all values do not exceed, rounded up
  // by at most 1 %; 0 when nothing was recorded.
  int64_t Quantile(double share) const {
    const auto wanted = static_cast<uint64_t>(share * static_cast<double>(count_) + 0.5);
    uint64_t seen = 0;
    for (size_t slot = 0; slot < slots_.size(); ++slot) {
      seen += slots_[slot];
      if (seen > 0 && seen >= wanted) return UpperEdge(slot);
    }
    return 0;
  }

 private:
  // Values below 2^7 have a slot each; above, every power of two is cut into 2^7 equal parts.
  static constexpr int kBits = 7;
  static constexpr size_t kParts = size_t{1} << kBits;
  static constexpr size_t kSlots = kParts * (40 - kBits);

  static size_t SlotOf(uint64_t value) {
    if (value < kParts) return value;
    const int shift = std::bit_width(value) - 1 - kBits;
    const size_t slot = kParts * (shift + 1) + ((value >> shift) - kParts);
    return std::min(slot, kSlots - 1);
  }

  static int64_t UpperEdge(size_t slot) {
    if (slot < kParts) return static_cast<int64_t>(slot);
    const size_t shift = slot / kParts - 1;
    return static_cast<int64_t>(((slot % kParts + kParts + 1) << shift) - 1);
  }

  std::array<uint64_t, kSlots> slots_{};
  uint64_t count_ = 0;
};

}  // namespace bascule::bench
