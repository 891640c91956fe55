// How whole brokers start, by what their data directories hold.
#include <doctest/doctest.h>

#include "replication/meta/cluster/cluster_start.h"
#include "tests/sim/broker_process.h"
#include "tests/sim/noted_log.h"

namespace bascule {
namespace {

using std::chrono::seconds;

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
    REQUIRE_MESSAGE(Within(seconds(20), [&] { return At(machine).ready(); }), kernel.Notes());
  }
  // Starts it, and waits for the end that it comes to.
  absl::Status StartAndDie(uint64_t machine) {
    kernel.Start(machine);
    REQUIRE_MESSAGE(Within(seconds(40), [&] { return At(machine).dead().has_value(); }),
                    kernel.Notes());
    return *At(machine).dead();
  }
  // What `call(done)` is answered.
  template <typename Call>
  absl::Status Await(Call call) {
    auto answer = std::make_shared<std::optional<absl::Status>>();
    call([answer](absl::Status status) { *answer = std::move(status); });
    REQUIRE(Within(seconds(30), [&] { return answer->has_value(); }));
    return **answer;
  }
  absl::Status Create(uint64_t machine, const std::string& name) {
    StreamSpec spec;
    spec.name = spec.subject = name;
    return Await([&](auto done) {
      At(machine).broker().streams().CreateStream(spec, seconds(5), std::move(done));
    });
  }
  std::string ClusterId(uint64_t machine) { return At(machine).broker().metadata().cluster_id(); }
  std::string LeaderOf(uint64_t asked, const std::string& stream) {
    const StreamDescription* const found = At(asked).table().Find(stream);
    return found == nullptr ? "no stream" : found->partitions[0].leader;
  }

  const bool clustered;
  SimKernel kernel{7};
  NotedLog log{kernel};
  FakeDiscoveryBus discovery{kernel.scheduler()};
  SimBus bus{kernel.scheduler()};
};

void CopyTree(FileSystem& from, FileSystem& to, const std::string& path) {
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

// The stream that `machine` leads, of as many as it takes.
std::string StreamOf(StartWorld& world, uint64_t machine) {
  const std::string broker = world.At(machine).name();
  world.kernel.scheduler().RunFor(seconds(5));  // until all of them vote
  for (int i = 0; i < 20; ++i) {
    const std::string name = Concat("s", i);
    const absl::Status created = world.Create(1, name);
    if (!absl::IsAlreadyExists(created)) REQUIRE(created.ok());
    if (world.LeaderOf(1, name) == broker) return name;
  }
  FAIL("no stream came to ", broker);
  return "";
}

}  // namespace

TEST_CASE("broker start: alone it founds a group of one, and opens that again") {
  StartWorld world(1, false);
  world.Start(1);
  const std::string id = world.ClusterId(1);
  CHECK(world.Disk(1).VisibleBytes("data/cluster") == metadata::BindingText(id));
  REQUIRE(world.Create(1, "s").ok());
  world.kernel.Crash(1);
  world.Start(1);
  CHECK(world.ClusterId(1) == id);
  CHECK(world.At(1).broker().catalog().Find("s") != nullptr);
}

TEST_CASE("broker start: alone, beside streams whose metadata is gone, it refuses") {
  StartWorld world(1, false);
  world.Start(1);
  REQUIRE(world.Create(1, "s").ok());
  world.kernel.Kill(1);
  REQUIRE(world.Disk(1).RemoveTree("data/meta").ok());
  const absl::Status why = world.StartAndDie(1);
  CHECK(absl::IsFailedPrecondition(why));
  CHECK(why.message().find("data/meta is missing") != std::string::npos);
}

TEST_CASE("broker start: a seed starts a cluster, others join it, all come back to it") {
  StartWorld world(3);
  world.kernel.Start(2);  // waits: it may not start one
  world.kernel.scheduler().RunFor(seconds(5));
  CHECK_FALSE(world.At(2).ready());
  world.Start(1);
  world.Start(3);
  REQUIRE(world.Within(seconds(20), [&] { return world.At(2).ready(); }));
  const std::string id = world.ClusterId(1);
  CHECK(world.ClusterId(2) == id);
  CHECK(world.ClusterId(3) == id);
  CHECK_FALSE(world.Disk(2).Exists("data/cluster.known"));  // it is a member now
  for (uint64_t i = 1; i <= 3; ++i) world.kernel.Crash(i);
  for (uint64_t i = 3; i >= 1; --i) world.kernel.Start(i);
  for (uint64_t i = 1; i <= 3; ++i) {
    CHECK(world.Within(seconds(20), [&] { return world.At(i).ready(); }));
    CHECK(world.ClusterId(i) == id);
  }
}

TEST_CASE("broker start: an emptied seed joins the cluster that it started, and owns up") {
  StartWorld world(3);
  for (uint64_t i = 1; i <= 3; ++i) world.Start(i);
  const std::string id = world.ClusterId(1);
  const std::string stream = StreamOf(world, 1);
  world.kernel.Kill(1);
  REQUIRE(world.Disk(1).RemoveTree("data").ok());
  world.kernel.scheduler().RunFor(seconds(5));  // its session ends
  world.Start(1);
  CHECK(world.ClusterId(1) == id);
  CHECK(world.LeaderOf(2, stream).empty());
}

TEST_CASE("broker start: a directory put back from a copy ends its broker, which joins anew") {
  StartWorld world(3);
  for (uint64_t i = 1; i <= 3; ++i) world.Start(i);
  const std::string stream = StreamOf(world, 3);
  const PeerId node = world.At(3).broker().metadata().node();
  world.kernel.Kill(3);
  SimFileSystem copy(1);
  CopyTree(world.Disk(3), copy, "data");
  world.Start(3);
  REQUIRE(world.Within(seconds(10), [&] { return world.LeaderOf(1, stream) == "b3"; }));
  world.kernel.scheduler().RunFor(seconds(40));  // the directory's generation goes on
  world.kernel.Kill(3);
  REQUIRE(world.Disk(3).RemoveTree("data").ok());
  CopyTree(copy, world.Disk(3), "data");
  CHECK_FALSE(world.StartAndDie(3).ok());
  world.kernel.Kill(3);
  world.Start(3);
  CHECK(world.At(3).broker().metadata().node() != node);
  CHECK(world.Disk(3).Exists("data/meta.older-copy"));
  CHECK(world.LeaderOf(1, stream).empty());
}

TEST_CASE("broker start: who was removed while it was away ends") {
  StartWorld world(3);
  for (uint64_t i = 1; i <= 3; ++i) world.Start(i);
  world.kernel.Kill(3);
  world.kernel.scheduler().RunFor(seconds(5));
  REQUIRE(world
              .Await([&](auto done) {
                world.At(1).broker().cluster().RemoveMember("b3", true, seconds(10),
                                                            std::move(done));
              })
              .ok());
  CHECK_FALSE(world.StartAndDie(3).ok());
}

}  // namespace bascule
