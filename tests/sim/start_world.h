// Whole brokers, started and ended one by one, by what their data directories hold.
#pragma once

#include <doctest/doctest.h>

#include <functional>

#include "tests/sim/broker_process.h"
#include "tests/sim/noted_log.h"

namespace bascule {

// b1 is the seed; the others know where it is.
struct StartWorld {
  explicit StartWorld(int brokers, bool is_clustered = true) : clustered(is_clustered) {
    for (int i = 1; i <= brokers; ++i) {
      kernel.AddMachine(Concat("b", i), [this](SimMachine& machine) {
        return std::make_unique<BrokerProcess>(kernel, machine, bus, discovery,
                                               ConfigOf(machine.id.value()));
      });
    }
  }
  ~StartWorld() { kernel.EndAll(); }

  config::Config ConfigOf(uint64_t machine) const {
    config::Config config;
    config.data_dir = "data";
    config.disk_reserve = {0, 0};
    config.cluster.enabled = config.cluster.insecure = clustered;
    config.cluster.bootstrap_seed = clustered && machine == 1;
    if (clustered && machine != 1) config.cluster.join = {{"b1", 9293}};
    if (change) change(machine, config);
    return config;
  }
  BrokerProcess& At(uint64_t machine) {
    return *static_cast<BrokerProcess*>(kernel.process(machine));
  }
  SimFileSystem& Disk(uint64_t machine) { return kernel.machine(machine).disk; }
  template <typename Condition>
  bool Within(Duration limit, Condition condition) {
    return kernel.scheduler().RunUntil(condition, limit);
  }
  void Start(uint64_t machine) {
    kernel.Start(machine);
    REQUIRE_MESSAGE(Within(std::chrono::seconds(20), [&] { return At(machine).ready(); }),
                    kernel.Notes());
  }
  // Starts it, and waits for the end that it comes to.
  absl::Status StartAndDie(uint64_t machine) {
    kernel.Start(machine);
    REQUIRE_MESSAGE(
        Within(std::chrono::seconds(40), [&] { return At(machine).dead().has_value(); }),
        kernel.Notes());
    return *At(machine).dead();
  }
  // What `call(done)` is answered.
  template <typename Call>
  absl::Status Await(Call call) {
    auto answer = std::make_shared<std::optional<absl::Status>>();
    call([answer](absl::Status status) { *answer = std::move(status); });
    REQUIRE(Within(std::chrono::seconds(30), [&] { return answer->has_value(); }));
    return **answer;
  }
  absl::Status Create(uint64_t machine, const std::string& name) {
    StreamSpec spec;
    spec.name = spec.subject = name;
    return Await([&](auto done) {
      At(machine).broker().streams().CreateStream(spec, std::chrono::seconds(5), std::move(done));
    });
  }
  std::string ClusterId(uint64_t machine) { return At(machine).broker().metadata().cluster_id(); }
  std::string LeaderOf(uint64_t asked, const std::string& stream) {
    const StreamDescription* const found = At(asked).table().Find(stream);
    return found == nullptr ? "no stream" : found->partitions[0].leader;
  }

  const bool clustered;
  std::function<void(uint64_t machine, config::Config& config)> change;  // from the next start on
  SimKernel kernel{7};
  NotedLog log{kernel};
  FakeDiscoveryBus discovery{kernel.scheduler()};
  SimBus bus{kernel.scheduler()};
};

inline void CopyTree(FileSystem& from, FileSystem& to, const std::string& path) {
  REQUIRE(to.CreateDirectories(path).ok());
  const auto entries = from.List(path);
  REQUIRE(entries.ok());
  for (const DirectoryEntry& entry : *entries) {
    const std::string below = JoinPath(path, entry.name);
    if (entry.is_directory) {
      CopyTree(from, to, below);
      continue;
    }
    const auto file = from.Open(below, OpenMode::kRead);
    REQUIRE(file.ok());
    const auto bytes = ReadWhole(**file, 64 * limits::kMiB);
    REQUIRE(bytes.ok());
    REQUIRE(WriteFileAtomically(to, below, *bytes).ok());
  }
}

// Streams and recovery.points of `copy`, under the rest of what `disk` holds.
inline void PutBackStreams(FileSystem& copy, FileSystem& disk) {
  REQUIRE(disk.RemoveTree("data/streams").ok());
  CopyTree(copy, disk, "data/streams");
  const auto file = copy.Open("data/recovery.points", OpenMode::kRead);
  REQUIRE(file.ok());
  const auto bytes = ReadWhole(**file, limits::kMiB);
  REQUIRE(bytes.ok());
  REQUIRE(WriteFileAtomically(disk, "data/recovery.points", *bytes).ok());
}

// The stream that `machine` leads, of as many as it takes.
inline std::string StreamOf(StartWorld& world, uint64_t machine) {
  const std::string broker = world.At(machine).name();
  world.kernel.scheduler().RunFor(std::chrono::seconds(5));  // until all of them vote
  for (int i = 0; i < 20; ++i) {
    const std::string name = Concat("s", i);
    const absl::Status created = world.Create(1, name);
    if (!absl::IsAlreadyExists(created)) REQUIRE(created.ok());
    if (world.LeaderOf(1, name) == broker) return name;
  }
  FAIL("no stream came to ", broker);
  return "";
}

}  // namespace bascule
