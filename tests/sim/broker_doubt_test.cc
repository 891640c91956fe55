// R6b, R7b: what a broker tells of its replicas when it comes back depends on how its last process
// ended, and on what its streams were promised.
#include <doctest/doctest.h>

#include "tests/sim/start_world.h"

namespace bascule {
namespace {

constexpr char kLostTold[] = "1 of 2 replicas have lost records, or may have";
constexpr char kDoubtTold[] = "replicas may end earlier than they did";

// Three brokers that hold a stream under `fsync` and one under `os`, three replicas of each.
struct DoubtWorld {
  DoubtWorld() : world(3) {
    for (uint64_t i = 1; i <= 3; ++i) world.Start(i);
    REQUIRE(world.Within(std::chrono::seconds(30), [&] {
      const metadata::MetaTable& table = world.At(1).table();
      return table.feature_level() >= metadata::kReplicasLevel && table.brokers().size() == 3;
    }));
    for (const Durability durability : {Durability::kFsync, Durability::kOs}) {
      StreamSpec spec;
      spec.name = spec.subject = durability == Durability::kOs ? "unsynced" : "synced";
      spec.replication_factor = 3;
      spec.overrides.durability = durability;
      const absl::Status created = world.Await([&](auto done) {
        world.At(1).broker().streams().CreateStream(spec, std::chrono::seconds(5), std::move(done));
      });
      REQUIRE_MESSAGE(created.ok(), created.ToString());
    }
    // All follow, and their logs have begun.
    REQUIRE(world.Within(std::chrono::seconds(30),
                         [&] { return world.At(3).Holding("unsynced", 0) != nullptr; }));
    world.kernel.scheduler().RunFor(std::chrono::seconds(10));
  }
  // What b3 said from its next start on.
  std::string Restart() {
    const size_t before = world.kernel.Notes().size();
    world.Start(3);
    world.kernel.scheduler().RunFor(std::chrono::seconds(1));
    return world.kernel.Notes().substr(before);
  }

  StartWorld world;
};

bool Says(const std::string& notes, const char* what) {
  return notes.find(what) != std::string::npos;
}

}  // namespace

TEST_CASE("R6b: a process that was killed has lost what was acked without the disk and no more") {
  DoubtWorld doubt;
  doubt.world.kernel.Kill(3);
  const std::string notes = doubt.Restart();
  CHECK_MESSAGE(Says(notes, kLostTold), notes);
  CHECK_MESSAGE(!Says(notes, kDoubtTold), notes);
}

TEST_CASE("R7b: where the machine went down the replicas that sync are doubted") {
  DoubtWorld doubt;
  doubt.world.kernel.Crash(3);
  const std::string notes = doubt.Restart();
  CHECK_MESSAGE(Says(notes, kLostTold), notes);
  CHECK_MESSAGE(Says(notes, kDoubtTold), notes);
}

TEST_CASE("R7b: after a stop in order nothing is lost or doubted") {
  DoubtWorld doubt;
  doubt.world.At(3).Stop();
  REQUIRE(
      doubt.world.Within(std::chrono::seconds(30), [&] { return doubt.world.At(3).stopped(); }));
  doubt.world.kernel.Kill(3);
  const std::string notes = doubt.Restart();
  CHECK_MESSAGE(!Says(notes, kLostTold), notes);
  CHECK_MESSAGE(!Says(notes, kDoubtTold), notes);
}

}  // namespace bascule
