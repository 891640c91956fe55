// Random numbers that repeat from their seed. SplitMix64: Steele, Lea, Flood, "Fast splittable
// pseudorandom number generators", OOPSLA 2014.
#pragma once

#include <cstdint>

#include "core/env/rng.h"

namespace bascule {

class SimRng final : public Rng {
 public:
  explicit SimRng(uint64_t seed) : state_(seed) {}

  uint64_t Next() override {
    state_ += 0x9e3779b97f4a7c15u;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

 private:
  uint64_t state_;
};

// True with probability `p`. Draws nothing when p is 0, so that a fault switched off does not shift
// the others.
inline bool Chance(Rng& rng, double p) {
  if (p <= 0) return false;
  return static_cast<double>(rng.Next() >> 11) * 0x1.0p-53 < p;
}

// Uniform in [from, to], both included.
inline uint64_t Between(Rng& rng, uint64_t from, uint64_t to) {
  return from + rng.Below(to - from + 1);
}

}  // namespace bascule
