#include <errno.h>
#include <sys/random.h>

#include <array>
#include <cstddef>

#include "core/base/check.h"
#include "core/env/rng.h"

namespace bascule {
namespace {

// getrandom never returns less than asked for requests up to this size, and one call then serves
// many numbers.
constexpr size_t kBytesPerCall = 256;

class SystemRng final : public Rng {
 public:
  uint64_t Next() override {
    thread_local Pool pool;
    if (pool.next == pool.numbers.size()) Fill(pool);
    return pool.numbers[pool.next++];
  }

 private:
  struct Pool {
    std::array<uint64_t, kBytesPerCall / sizeof(uint64_t)> numbers;
    size_t next = kBytesPerCall / sizeof(uint64_t);
  };

  static void Fill(Pool& pool) {
    ssize_t got;
    do {
      got = getrandom(pool.numbers.data(), kBytesPerCall, 0);
    } while (got < 0 && errno == EINTR);
    // Every Linux since 3.17 has it; ids that are not random would collide in silence.
    BASCULE_CHECK_EQ(got, static_cast<ssize_t>(kBytesPerCall));
    pool.next = 0;
  }
};

}  // namespace

Rng& RealRng() {
  static SystemRng rng;
  return rng;
}

std::string RandomToken(Rng& rng, int length) {
  static constexpr char kAlphabet[] =
      "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  BASCULE_CHECK_GE(length, 0);
  std::string token;
  token.reserve(static_cast<size_t>(length));
  for (int i = 0; i < length; ++i) token.push_back(kAlphabet[rng.Below(sizeof(kAlphabet) - 1)]);
  return token;
}

}  // namespace bascule
