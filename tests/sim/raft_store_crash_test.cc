// Crashes of the metadata store under every fault the simulated disk knows, from seeds. A fixed set
// here; more by BASCULE_TEST_CRASHES=100000 (a seed has several crashes; the count is of crashes).
#include <doctest/doctest.h>

#include <cstdlib>

#include "tests/sim/raft_store_world.h"

namespace bascule {
namespace {

constexpr int kLives = 5;

uint64_t FirstSeed() {
  const char* wanted = std::getenv("BASCULE_TEST_SEED");
  return wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : 1;
}

uint64_t LastSeed(uint64_t fixed) {
  if (std::getenv("BASCULE_TEST_SEED") != nullptr) return FirstSeed();
  const char* wanted = std::getenv("BASCULE_TEST_CRASHES");
  return wanted != nullptr ? std::strtoull(wanted, nullptr, 10) / kLives / 6 + 1 : fixed;
}

RaftStoreWorldOptions Options(uint64_t seed) {
  SimRng rng(seed * 977);
  RaftStoreWorldOptions options;
  const uint64_t sizes[] = {512, 2048, 8192, 64 * 1024};
  options.store.segment_bytes = sizes[rng.Below(4)];
  options.store.reserve_bytes = rng.Below(2) == 0 ? 0 : 4096;
  options.max_data = rng.Below(4) == 0 ? 1500 : 100;
  options.short_read = rng.Below(2) == 0 ? 0.2 : 0;
  return options;
}

int Steps(RaftStoreWorld& world) { return static_cast<int>(Between(world.rng(), 3, 60)); }

}  // namespace

TEST_CASE("raft store: after a power loss what was acknowledged is there, and only that") {
  for (uint64_t seed = FirstSeed(); seed <= LastSeed(600); ++seed) {
    RaftStoreWorld world(seed, Options(seed));
    world.Create(static_cast<int>(world.rng().Below(3)));
    for (int life = 0; life < kLives; ++life) {
      if (world.rng().Below(4) != 0) world.PlanPowerOff(60);
      world.Live(Steps(world));
      world.Crash();
      world.Open();
    }
  }
}

TEST_CASE("raft store: opening that dies half-way, again and again, comes to the same") {
  for (uint64_t seed = FirstSeed(); seed <= LastSeed(400); ++seed) {
    RaftStoreWorld world(seed + 10'000'000, Options(seed));
    world.Create();
    for (int life = 0; life < kLives; ++life) {
      if (world.rng().Below(2) == 0) world.PlanPowerOff(60);
      world.Live(Steps(world));
      if (world.rng().Below(2) == 0) {
        world.Crash();
      } else {
        world.Kill();
      }
      world.Open(static_cast<int>(world.rng().Below(4)));
    }
  }
}

TEST_CASE("raft store: with failing writes and syncs nothing acknowledged is lost") {
  for (uint64_t seed = FirstSeed(); seed <= LastSeed(600); ++seed) {
    RaftStoreWorldOptions options = Options(seed);
    options.write_error = 0.02;
    options.sync_error = 0.02;
    options.sync_dir_error = 0.02;
    options.rename_error = 0.02;
    options.disk_lies = true;
    RaftStoreWorld world(seed + 20'000'000, options);
    world.Create();
    for (int life = 0; life < kLives; ++life) {
      world.Live(Steps(world));
      // The process ends and opens again; or the machine dies then, or soon after.
      if (world.rng().Below(3) != 0) {
        world.Kill();
        world.Open();
      }
      world.Crash();
      world.Open();
    }
  }
}

TEST_CASE("raft store: on a disk that fills up what is refused is not kept") {
  for (uint64_t seed = FirstSeed(); seed <= LastSeed(200); ++seed) {
    RaftStoreWorldOptions options = Options(seed);
    SimRng rng(seed);
    options.store.segment_bytes = 2048;
    options.capacity = 60'000 + rng.Below(40'000);
    options.max_data = 300;
    RaftStoreWorld world(seed + 30'000'000, options);
    world.Create();
    for (int life = 0; life < kLives; ++life) {
      if (world.rng().Below(2) != 0) world.PlanPowerOff(200);
      world.Live(100);
      world.Crash();
      world.Open();
    }
  }
}

TEST_CASE("raft store: a flipped bit is healed, or refused, never believed") {
  int refused = 0;
  int accepted = 0;
  for (uint64_t seed = FirstSeed(); seed <= LastSeed(600); ++seed) {
    RaftStoreWorldOptions options = Options(seed);
    options.disk_lies = true;
    options.store.reserve_bytes = 0;  // the ballast would take most of the flips
    RaftStoreWorld world(seed + 40'000'000, options);
    world.Create();
    for (int life = 0; life < kLives; ++life) {
      world.Live(Steps(world));
      world.FlipBitAndOpen();
    }
    refused += world.refused();
    accepted += world.accepted();
  }
  MESSAGE("flips: ", accepted, " healed, ", refused, " refused");
}

TEST_CASE("raft store: a missing file is made up for, or refused, never overlooked") {
  int refused = 0;
  int accepted = 0;
  for (uint64_t seed = FirstSeed(); seed <= LastSeed(400); ++seed) {
    RaftStoreWorldOptions options = Options(seed);
    options.disk_lies = true;
    options.store.reserve_bytes = 0;
    RaftStoreWorld world(seed + 50'000'000, options);
    world.Create();
    for (int life = 0; life < kLives; ++life) {
      world.Live(Steps(world));
      world.LoseFileAndOpen();
    }
    refused += world.refused();
    accepted += world.accepted();
  }
  MESSAGE("missing files: ", accepted, " made up for, ", refused, " refused");
}

}  // namespace bascule
