// The disk of a voter of the metadata group is put back as it was some time ago: it is noticed, and what is left of
// the group goes on without that voter.
#include <doctest/doctest.h>

#include <map>
#include <string>

#include "tests/sim/metadata_broker.h"

namespace bascule {
namespace {

constexpr std::chrono::seconds kLimit{60};
using Files = std::map<std::string, std::string>;

void CopyTree(SimFileSystem& disk, const std::string& path, Files& files) {
  const auto entries = disk.List(path);
  REQUIRE(entries.ok());
  for (const DirectoryEntry& entry : *entries) {
    const std::string inside = JoinPath(path, entry.name);
    if (entry.is_directory) {
      CopyTree(disk, inside, files);
    } else {
      files[inside] = disk.VisibleBytes(inside);
    }
  }
}

void PutBack(SimFileSystem& disk, const Files& files) {
  REQUIRE(disk.RemoveTree("data").ok());
  for (const auto& [path, bytes] : files) {
    REQUIRE(disk.CreateDirectories(path.substr(0, path.rfind('/'))).ok());
    REQUIRE(WriteFileAtomically(disk, path, bytes).ok());
  }
}

class CopyWorld {
 public:
  CopyWorld(uint64_t seed, int voters) : kernel(seed) {
    for (int i = 1; i <= voters; ++i) {
      kernel.AddMachine(Concat("b", i), [this, voters](SimMachine& machine) {
        auto broker =
            std::make_unique<MetadataBroker>(kernel, machine, bus, voters, broker::BrokerOptions());
        REQUIRE(broker->Open().ok());
        return broker;
      });
    }
    for (uint64_t i = 1; i <= kernel.size(); ++i) kernel.Start(i);
  }
  ~CopyWorld() { kernel.EndAll(); }
  MetadataBroker& At(uint64_t machine) {
    return *static_cast<MetadataBroker*>(kernel.process(machine));
  }
  // Of a stream, asked for at `machine`.
  absl::Status Create(uint64_t machine, const std::string& name) {
    StreamSpec spec;
    spec.name = name;
    spec.subject = name;
    auto created = std::make_shared<std::optional<absl::Status>>();
    At(machine).frontend().CreateStream(std::move(spec), std::chrono::seconds(30),
                                        [created](const absl::Status& s) { *created = s; });
    REQUIRE(kernel.scheduler().RunUntil([&] { return created->has_value(); }, kLimit));
    return **created;
  }
  bool IsMember(uint64_t at, uint64_t machine) {
    for (const GroupMember& member : At(at).group().members()) {
      if (member.id == PeerId(machine)) return true;
    }
    return false;
  }

  SimKernel kernel;
  FakeDiscoveryBus bus{kernel.scheduler()};
};

}  // namespace

TEST_CASE("metadata: an older copy of one voter of two or three takes no quorum with it") {
  for (const int voters : {2, 3}) {
    for (uint64_t seed = 1; seed <= 12; ++seed) {
      INFO(voters, " voters, seed ", seed);
      CopyWorld world(seed, voters);
      world.kernel.scheduler().RunFor(std::chrono::seconds(10));
      REQUIRE(world.Create(1, "before").ok());
      world.kernel.Kill(2);
      Files copy;
      CopyTree(world.kernel.machine(2).disk, "data", copy);
      world.kernel.Start(2);
      world.kernel.scheduler().RunFor(std::chrono::seconds(5));
      REQUIRE(world.Create(2, "later").ok());
      world.kernel.Kill(2);
      PutBack(world.kernel.machine(2).disk, copy);
      // Longer than a leader of two goes on alone.
      world.kernel.scheduler().RunFor(std::chrono::seconds(5));
      world.kernel.Start(2);
      REQUIRE(world.kernel.scheduler().RunUntil([&] { return world.At(2).dead().has_value(); },
                                                kLimit));
      const std::string why = world.At(2).dead()->ToString();
      CAPTURE(why);
      world.kernel.Kill(2);
      CHECK(world.Create(1, "alone").ok());
      CHECK(world.At(1).frontend().table().Find("later") != nullptr);
      CHECK_FALSE((voters == 2 && world.IsMember(1, 2)));
      CHECK(world.kernel.machine(2).disk.Exists("data/meta/identity"));
    }
  }
}

}  // namespace bascule
