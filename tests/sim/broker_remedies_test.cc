// What brokers say to do about their data directories and their cluster, done: each remedy that a
// message names is carried out, and works.
#include <doctest/doctest.h>

#include "core/base/crc32c.h"
#include "core/wire/coding.h"
#include "replication/meta/cluster/cluster_note.h"
#include "replication/meta/cluster/cluster_start.h"
#include "replication/meta/cluster/registration_record.h"
#include "tests/sim/remedy_world.h"

namespace bascule {
namespace {

using std::chrono::seconds;

}  // namespace

TEST_CASE("broker remedies: metadata that is gone is given back, or the directory begins anew") {
  StartWorld world(1, false);
  world.Start(1);
  REQUIRE(world.Create(1, "s").ok());
  world.kernel.Kill(1);
  SimFileSystem backup(1);
  CopyTree(world.Disk(1), backup, "data/meta");
  REQUIRE(world.Disk(1).RemoveTree("data/meta").ok());
  CHECK(Names(world.StartAndDie(1),
              "restore meta from a backup, or move the whole directory away to start empty"));
  world.kernel.Kill(1);
  CopyTree(backup, world.Disk(1), "data/meta");
  world.Start(1);
  CHECK(world.At(1).broker().catalog().Find("s") != nullptr);
  world.kernel.Kill(1);
  REQUIRE(world.Disk(1).RemoveTree("data/meta").ok());
  CHECK_FALSE(world.StartAndDie(1).ok());
  world.kernel.Kill(1);
  REQUIRE(world.Disk(1).RemoveTree("data").ok());
  world.Start(1);
  CHECK(world.Create(1, "s").ok());
}

TEST_CASE("broker remedies: one that is to be part of a cluster is configured for it, or emptied") {
  for (const bool configured : {true, false}) {
    CAPTURE(configured);
    StartWorld world(2);
    world.Start(1);
    const std::string id = world.ClusterId(1);
    REQUIRE(world.Disk(2).CreateDirectories("data").ok());
    REQUIRE(metadata::NoteKnownCluster(world.Disk(2), "data", config::Config().cluster_namespace,
                                       {id, "b1", ""})
                .ok());
    world.change = [](uint64_t machine, config::Config& config) {
      if (machine == 2) config.cluster.enabled = false;
    };
    CHECK(Names(world.StartAndDie(2),
                "set cluster.listen and cluster.join, or move the whole directory away"));
    world.kernel.Kill(2);
    if (configured) world.change = nullptr;
    if (!configured) REQUIRE(world.Disk(2).RemoveTree("data").ok());
    world.Start(2);
    CHECK((world.ClusterId(2) == id) == configured);
  }
}

TEST_CASE("broker remedies: an older copy that is configured alone is configured as before") {
  RemedyWorld world;
  world.End(3);
  {
    auto record = metadata::RegistrationRecord::Open(world.Disk(3), "data");
    REQUIRE(record.ok());
    REQUIRE((*record)->NoteOlder(7, /*rejoin=*/true).ok());
  }
  world.change = [](uint64_t machine, config::Config& config) {
    if (machine == 3) config.cluster.enabled = false;
  };
  CHECK(Names(world.StartAndDie(3), "set cluster.listen as before and start it"));
  world.change = nullptr;
  world.StartsAsMember(3);
}

TEST_CASE("broker remedies: a directory of another cluster's streams is moved away") {
  RemedyWorld world;
  world.End(3);
  REQUIRE(
      WriteFileAtomically(world.Disk(3), "data/cluster", metadata::BindingText("another")).ok());
  CHECK(Names(world.StartAndDie(3), "move the whole directory away to join with an empty one"));
  world.End(3);
  REQUIRE(world.Disk(3).RemoveTree("data").ok());
  world.StartsAsMember(3);
}

TEST_CASE("broker remedies: a damaged binding is removed or written again, and nothing is lost") {
  for (const std::string& damage :
       {std::string(), std::string("\xff\0?\n", 4), std::string(5000, 'x')}) {
    for (const bool metadata : {true, false}) {
      CAPTURE(damage);
      CAPTURE(metadata);
      RemedyWorld world;
      world.End(3);
      REQUIRE(WriteFileAtomically(world.Disk(3), "data/cluster", damage).ok());
      if (!metadata) REQUIRE(world.Disk(3).RemoveTree("data/meta").ok());
      const absl::Status why = world.StartAndDie(3);
      CHECK(Names(why, "data/cluster is damaged: "));
      CHECK(Names(why, metadata ? "remove it" : "write the id of the cluster"));
      world.End(3);
      if (metadata) REQUIRE(world.Disk(3).Remove("data/cluster").ok());
      if (!metadata)
        REQUIRE(WriteFileAtomically(world.Disk(3), "data/cluster", world.id + "\n").ok());
      world.StartsAsMember(3);
      CHECK(world.LeaderOf(1, world.stream) == "b3");
      const auto bound = metadata::ReadBinding(world.Disk(3), "data");
      CHECK(bound.value() == metadata::BindingText(world.id));
    }
  }
}

TEST_CASE("broker remedies: streams of nobody knows which cluster get their metadata back, or go") {
  for (const bool restored : {true, false}) {
    CAPTURE(restored);
    RemedyWorld world;
    world.End(3);
    SimFileSystem backup(1);
    CopyTree(world.Disk(3), backup, "data/meta");
    REQUIRE(world.Disk(3).RemoveTree("data/meta").ok());
    REQUIRE(world.Disk(3).Remove("data/cluster").ok());
    const absl::Status why = world.StartAndDie(3);
    CHECK(Names(why, "restore data/meta from a backup, or move the whole directory away"));
    world.End(3);
    REQUIRE(world.Disk(3).RemoveTree(restored ? "data/meta" : "data").ok());
    if (restored) CopyTree(backup, world.Disk(3), "data/meta");
    world.StartsAsMember(3);
    if (restored) CHECK(world.LeaderOf(1, world.stream) == "b3");
  }
}

TEST_CASE(
    "broker remedies: a damaged registration is removed, and the directory counts as a copy") {
  RemedyWorld world;
  world.End(3);
  for (const uint64_t at : {uint64_t{30}, uint64_t{4096 + 30}})
    world.Disk(3).FlipBit("data/registration", at, 2);
  CHECK(Names(world.StartAndDie(3), "Remove the file"));
  world.End(3);
  REQUIRE(world.Disk(3).Remove("data/registration").ok());
  CHECK_FALSE(world.StartAndDie(3).ok());  // "started again, this broker joins as a new member"
  world.StartsAsMember(3);
  CHECK(world.LeaderOf(1, world.stream).empty());
}

TEST_CASE("broker remedies: who was removed comes back without its metadata, or empty") {
  for (const char* moved : {"data/meta", "data"}) {
    CAPTURE(moved);
    RemedyWorld world;
    if (std::string(moved) == "data/meta") {
      world.End(3);
      world.Remove(3);
      CHECK_FALSE(world.StartAndDie(3).ok());
    } else {
      world.Remove(3);  // while it runs
      REQUIRE(world.Within(seconds(30), [&] { return world.At(3).dead().has_value(); }));
    }
    CHECK(world.Said("to join again move"));
    world.End(3);
    REQUIRE(world.Disk(3).RemoveTree(moved).ok());
    world.StartsAsMember(3);
  }
}

TEST_CASE("broker remedies: another namespace is set alike") {
  StartWorld world(2);
  world.Start(1);
  world.change = [](uint64_t machine, config::Config& config) {
    if (machine == 2) config.cluster_namespace = "elsewhere";
  };
  world.kernel.Start(2);
  world.kernel.scheduler().RunFor(seconds(15));
  CHECK_FALSE(world.At(2).ready());
  world.change = nullptr;
  world.kernel.Kill(2);
  world.Start(2);
  CHECK(world.ClusterId(2) == world.ClusterId(1));
}

TEST_CASE("broker remedies: of two clusters in a namespace one gets another, or joins, emptied") {
  for (const bool joins : {false, true}) {
    CAPTURE(joins);
    StartWorld world(2);
    world.change = [](uint64_t, config::Config& config) {
      config.cluster.bootstrap_seed = true;
      config.cluster.join.clear();
    };
    for (const uint64_t machine : {1, 2}) {  // each where the other cannot be heard
      world.Start(machine);
      world.kernel.Kill(machine);
    }
    for (const uint64_t machine : {1, 2}) world.Start(machine);
    CHECK(world.ClusterId(1) != world.ClusterId(2));
    const auto told = [&](uint64_t machine) {
      for (const std::string& sentence : world.At(machine).broker().Degraded()) {
        if (sentence.find("give one another clustering.namespace, or empty its data directory and "
                          "have it join with cluster.join") != std::string::npos)
          return true;
      }
      return false;
    };
    CHECK(world.Within(seconds(90), [&] { return told(1) && told(2); }));
    world.kernel.Kill(2);
    world.change = [joins](uint64_t machine, config::Config& config) {
      if (machine == 2 && !joins) config.cluster_namespace = "elsewhere";
    };
    if (joins) REQUIRE(world.Disk(2).RemoveTree("data").ok());
    world.Start(2);
    CHECK((world.ClusterId(1) == world.ClusterId(2)) == joins);
    world.kernel.scheduler().RunFor(seconds(200));
    CHECK_FALSE(told(1));
    CHECK_FALSE(told(2));
  }
}

TEST_CASE("broker remedies: who is known to another cluster is emptied, and then invited") {
  StartWorld world(2);
  world.Start(1);
  world.change = [](uint64_t machine, config::Config& config) {
    if (machine == 2) config.cluster.join.clear();
    if (machine == 2) config.cluster_namespace = "ns";
    if (machine == 1) config.cluster_namespace = "ns";
  };
  world.kernel.Kill(1);
  REQUIRE(world.Disk(1).RemoveTree("data").ok());
  world.Start(1);
  REQUIRE(world.Disk(2).CreateDirectories("data").ok());
  REQUIRE(metadata::NoteKnownCluster(world.Disk(2), "data", "ns", {"another", "b9", ""}).ok());
  const auto invite = [&] {
    return world.Await([&](auto done) {
      world.At(1).broker().cluster().AddMember("b2:9293", seconds(10), std::move(done));
    });
  };
  world.kernel.Start(2);
  world.kernel.scheduler().RunFor(seconds(5));
  const absl::Status refused = invite();
  CHECK_MESSAGE(Names(refused, "give it an empty data directory first"), refused.ToString());
  world.kernel.Kill(2);
  REQUIRE(world.Disk(2).RemoveTree("data").ok());
  world.kernel.Start(2);
  world.kernel.scheduler().RunFor(seconds(5));
  const absl::Status invited = invite();
  CHECK_MESSAGE(invited.ok(), invited.ToString());
  CHECK(world.Within(seconds(20), [&] { return world.At(2).ready(); }));
  CHECK(world.ClusterId(2) == world.ClusterId(1));
}

TEST_CASE(
    "broker remedies: an id that is not the directory's is refused, and the right one named") {
  for (const bool clustered : {false, true}) {
    for (const int64_t snapshot_entries : {8192, 16}) {
      CAPTURE(clustered);
      CAPTURE(snapshot_entries);
      StartWorld world(2, clustered);
      world.change = [&](uint64_t, config::Config& config) {
        config.cluster.snapshot_entries = snapshot_entries;
      };
      world.Start(1);
      if (clustered) world.Start(2);
      const uint64_t wrong = clustered ? 2 : 1;
      const std::string name = Concat("b", wrong);
      const std::string stream = StreamOf(world, wrong);
      for (int i = 0; i < 20; ++i) REQUIRE(world.Create(wrong, Concat("more", i)).ok());
      world.kernel.Kill(wrong);
      SimFileSystem& disk = world.Disk(wrong);
      SimRng rng(1);
      REQUIRE(disk.Remove("data/server").ok());
      REQUIRE(broker::DataDirectory::Open(disk, rng, "data", "typo").ok());
      const absl::Status why = world.StartAndDie(wrong);
      CHECK(Names(why, "says that the directory belongs to broker typo"));
      CHECK(Names(why, Concat("remove data/server and start once with --id ", name)));
      world.kernel.Kill(wrong);
      REQUIRE(disk.Remove("data/server").ok());
      world.Start(wrong);
      CHECK(world.LeaderOf(wrong, stream) == name);
    }
  }
}

TEST_CASE("broker remedies: the id is that of the log of before clusters, too") {
  StartWorld world(1, false);
  SimFileSystem& disk = world.Disk(1);
  SimRng rng(1);
  const std::string command("\x1a\x06\x0a\x02\x62\x31\x10\x2a", 8);  // registers b1
  std::string log, record;
  wire::AppendFixed<uint32_t>(log, 0x4d435342);
  wire::AppendFixed<uint32_t>(log, 1);
  wire::AppendFixed<uint32_t>(record, static_cast<uint32_t>(command.size()));
  wire::AppendFixed<uint64_t>(record, 1);
  wire::AppendFixed<uint64_t>(record, log.size());
  record += command;
  wire::AppendFixed<uint32_t>(log, Crc32c(record));
  REQUIRE(disk.CreateDirectories("data/meta").ok());
  REQUIRE(WriteFileAtomically(disk, "data/meta/log", log + record).ok());
  REQUIRE(broker::DataDirectory::Open(disk, rng, "data", "typo").ok());
  CHECK(Names(world.StartAndDie(1), "remove data/server and start once with --id b1"));
  world.kernel.Kill(1);
  REQUIRE(disk.Remove("data/server").ok());
  world.Start(1);
  CHECK(world.Create(1, "s").ok());
}

TEST_CASE("broker remedies: a damaged identity is removed and named, a damaged version written") {
  StartWorld world(1, false);
  world.Start(1);
  REQUIRE(world.Create(1, "s").ok());
  world.kernel.Kill(1);
  SimFileSystem& disk = world.Disk(1);
  SimRng rng(1);
  disk.FlipBit("data/server", 0, 1);
  CHECK(Names(broker::DataDirectory::Open(disk, rng, "data", "").status(),
              "remove it and start once with --id ID"));
  REQUIRE(disk.Remove("data/server").ok());
  CHECK(Names(broker::DataDirectory::Open(disk, rng, "data", "").status(),
              "start once with --id ID"));
  CHECK(broker::DataDirectory::Open(disk, rng, "data", "b1").ok());
  CHECK(broker::DataDirectory::Open(disk, rng, "data", "").ok());  // once is enough
  REQUIRE(WriteFileAtomically(disk, "data/VERSION", "?").ok());
  CHECK(Names(broker::DataDirectory::Open(disk, rng, "data", "").status(),
              "write the number 1 into it"));
  REQUIRE(WriteFileAtomically(disk, "data/VERSION", "1").ok());
  world.Start(1);
  CHECK(world.At(1).broker().catalog().Find("s") != nullptr);
}

}  // namespace bascule
