// Random numbers as an interface, so that a simulated run repeats from its seed.
#pragma once

#include <cstdint>
#include <string>

namespace bascule {

// One thread at a time, except RealRng: any thread.
class Rng {
 public:
  virtual ~Rng() = default;
  virtual uint64_t Next() = 0;
  // Uniform in [0, bound); bound > 0.
  uint64_t Below(uint64_t bound) { return Next() % bound; }
};

// The operating system's generator; lives as long as the process.
Rng& RealRng();

// `length` characters out of 0-9 A-Z a-z.
std::string RandomToken(Rng& rng, int length);

}  // namespace bascule
