// Crashes of the log under every fault the simulated disk knows, from seeds. A fixed set here; more
// by BASCULE_TEST_CRASHES=100000 (a seed has several crashes; the count is of crashes).
#include <doctest/doctest.h>

#include <cstdlib>

#include "tests/sim/log_world.h"

namespace bascule {
namespace {

constexpr int kLives = 5;

int FirstSeed() {
  const char* wanted = std::getenv("BASCULE_TEST_SEED");
  return wanted != nullptr ? std::atoi(wanted) : 1;
}

int Seeds(int fixed) {
  if (std::getenv("BASCULE_TEST_SEED") != nullptr) return FirstSeed();
  const char* wanted = std::getenv("BASCULE_TEST_CRASHES");
  return wanted != nullptr ? std::atoi(wanted) / kLives / 4 + 1 : fixed;
}

LogWorldOptions Options(uint64_t seed) {
  SimRng rng(seed * 977);
  LogWorldOptions options;
  const uint64_t sizes[] = {4 * 1024, 16 * 1024, 200 * 1024, 1024 * 1024};
  options.segment_bytes = sizes[rng.Below(4)];
  options.max_value = rng.Below(4) == 0 ? 6000 : 300;
  options.preallocate = rng.Below(4) != 0;
  options.short_read = rng.Below(2) == 0 ? 0.2 : 0;
  options.no_wait_miss = rng.Below(2) == 0 ? 0.3 : 0;
  return options;
}

}  // namespace

TEST_CASE("after a crash everything durable is there and nothing else came back out of order") {
  for (int seed = FirstSeed(); seed <= Seeds(400); ++seed) {
    LogWorld world(static_cast<uint64_t>(seed), Options(static_cast<uint64_t>(seed)));
    world.Recover();
    for (int life = 0; life < kLives; ++life) {
      world.Live(static_cast<int>(Between(world.rng(), 5, 120)));
      world.Crash();
      world.Recover();
      world.CheckReads();
    }
  }
}

TEST_CASE("recovery that crashes half-way, again and again, comes to the same") {
  for (int seed = FirstSeed(); seed <= Seeds(300); ++seed) {
    LogWorld world(static_cast<uint64_t>(seed) + 10'000'000, Options(static_cast<uint64_t>(seed)));
    world.Recover();
    for (int life = 0; life < kLives; ++life) {
      world.Live(static_cast<int>(Between(world.rng(), 5, 80)));
      if (world.rng().Below(2) == 0) {
        world.Crash();
      } else {
        world.Kill();
      }
      world.RecoverThroughCrashes(static_cast<int>(world.rng().Below(4)));
      world.CheckReads();
    }
  }
}

TEST_CASE("with failing writes and syncs nothing that was called durable is lost") {
  for (int seed = FirstSeed(); seed <= Seeds(300); ++seed) {
    LogWorldOptions options = Options(static_cast<uint64_t>(seed));
    options.write_error = 0.03;
    options.sync_error = 0.05;
    LogWorld world(static_cast<uint64_t>(seed) + 20'000'000, options);
    world.Recover();
    for (int life = 0; life < kLives; ++life) {
      world.Live(static_cast<int>(Between(world.rng(), 5, 120)));
      world.Crash();
      world.Recover();
      world.CheckReads();
    }
  }
}

TEST_CASE("what an opening keeps of a process that died of failing syncs is on the disk") {
  for (int seed = FirstSeed(); seed <= Seeds(300); ++seed) {
    LogWorldOptions options = Options(static_cast<uint64_t>(seed));
    options.segment_bytes = 4 * 1024;
    options.sync_error = 0.2;
    options.sync_dir_error = 0.2;
    LogWorld world(static_cast<uint64_t>(seed) + 60'000'000, options);
    world.Recover();
    for (int life = 0; life < kLives; ++life) {
      world.Live(static_cast<int>(Between(world.rng(), 5, 60)));
      world.Kill();
      world.Recover();
      world.Crash();
      world.RecoverThroughCrashes(static_cast<int>(world.rng().Below(3)));
      world.CheckReads();
    }
  }
}

TEST_CASE("a flipped bit never changes what is read: the damage is named or the bytes are right") {
  for (int seed = FirstSeed(); seed <= Seeds(300); ++seed) {
    LogWorld world(static_cast<uint64_t>(seed) + 30'000'000, Options(static_cast<uint64_t>(seed)));
    world.Recover();
    world.ExpectDamage();
    for (int life = 0; life < kLives; ++life) {
      world.Live(static_cast<int>(Between(world.rng(), 20, 120)));
      world.Kill();
      world.FlipRandomBit();
      world.Recover();
      world.CheckReads();
    }
  }
}

TEST_CASE("retention and crashes at any moment of it: the log keeps its beginning") {
  for (int seed = FirstSeed(); seed <= Seeds(300); ++seed) {
    LogWorldOptions options = Options(static_cast<uint64_t>(seed));
    options.segment_bytes = 4 * 1024;
    options.retention_messages = 30;
    LogWorld world(static_cast<uint64_t>(seed) + 40'000'000, options);
    world.Recover();
    for (int life = 0; life < kLives; ++life) {
      world.Live(static_cast<int>(Between(world.rng(), 20, 200)));
      if (world.rng().Below(2) == 0) {
        world.Crash();
      } else {
        world.Kill();
      }
      world.RecoverThroughCrashes(static_cast<int>(world.rng().Below(3)));
      world.CheckReads();
    }
  }
}

TEST_CASE("segments that vanish, anywhere in the log, are lost loudly") {
  for (int seed = FirstSeed(); seed <= Seeds(200); ++seed) {
    LogWorldOptions options = Options(static_cast<uint64_t>(seed));
    options.segment_bytes = 4 * 1024;
    if (seed % 2 == 0) options.retention_messages = 60;
    LogWorld world(static_cast<uint64_t>(seed) + 50'000'000, options);
    world.Recover();
    world.ExpectDamage();
    for (int life = 0; life < kLives; ++life) {
      world.Live(static_cast<int>(Between(world.rng(), 20, 120)));
      world.Kill();
      for (uint64_t n = 1 + world.rng().Below(3); n > 0; --n) {
        world.LoseRandomSegment();
        world.RecoverThroughCrashes(static_cast<int>(world.rng().Below(2)));
        world.Kill();
      }
      world.Recover();
      world.CheckReads();
    }
  }
}

}  // namespace bascule
