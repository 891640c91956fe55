// What brokers say to do about their data directories and their cluster, done: each remedy that a
// message names is carried out, and works.
#include <doctest/doctest.h>

#include <set>

#include "core/base/crc32c.h"
#include "core/wire/coding.h"
#include "replication/broker/recover_quorum.h"
#include "replication/meta/cluster/cluster_note.h"
#include "replication/meta/cluster/cluster_start.h"
#include "replication/meta/cluster/registration_record.h"
#include "tests/sim/start_world.h"

namespace bascule {
namespace {

using std::chrono::seconds;

bool Names(const absl::Status& why, const std::string& remedy) {
  return why.message().find(remedy) != absl::string_view::npos;
}

// A cluster of three, of which b3 leads a stream.
struct RemedyWorld : StartWorld {
  RemedyWorld() : StartWorld(3) {
    for (uint64_t i = 1; i <= 3; ++i) Start(i);
    stream = StreamOf(*this, 3);
    id = ClusterId(1);
  }
  // Ends it and gives its session time to end.
  void End(uint64_t machine) {
    kernel.Kill(machine);
    kernel.scheduler().RunFor(seconds(5));
  }
  // That the text is in the log by now.
  bool Said(const std::string& text) const {
    return kernel.Notes().find(text) != std::string::npos;
  }
  void StartsAsMember(uint64_t machine) {
    kernel.Kill(machine);
    Start(machine);
    CHECK(ClusterId(machine) == id);
    CHECK(Create(machine, Concat("from.b", machine)).ok());
  }
  void Remove(uint64_t machine) {
    const std::string name = Concat("b", machine);
    REQUIRE(Await([&](auto done) {
              At(1).broker().cluster().RemoveMember(name, true, seconds(10), std::move(done));
            }).ok());
  }
  std::string stream;
  std::string id;
};

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

namespace {

void PutBack(FileSystem& copy, SimFileSystem& disk, const std::string& path) {
  REQUIRE(disk.RemoveTree(path).ok());
  CopyTree(copy, disk, path);
}

// A broker with the stream "s", of which `older` is a copy, and "newer", made some lives later; ended so that its
// directory has noted how far it came.
struct CopiedWorld : StartWorld {
  CopiedWorld(bool is_clustered, bool killed) : StartWorld(1, is_clustered) {
    Start(1);
    REQUIRE(Create(1, "s").ok());
    kernel.Kill(1);
    CopyTree(Disk(1), older, "data");
    for (int life = 0; life < 4; ++life) {
      Start(1);
      kernel.Kill(1);
    }
    Start(1);
    REQUIRE(Create(1, "newer").ok());
    newer_id = IdOf("newer");
    if (killed) {
      kernel.scheduler().RunFor(seconds(40));
    } else {
      bool stopped = false;
      At(1).broker().Stop([&stopped] { stopped = true; });
      REQUIRE(Within(seconds(10), [&] { return stopped; }));
    }
    kernel.Kill(1);
    CopyTree(Disk(1), newer, "data");
  }
  StreamId IdOf(const std::string& stream) {
    return At(1).broker().catalog().Find(stream)->stream.id;
  }
  // It goes on without "newer", whose data stays, and gives its id to nobody.
  void CheckWithoutTheRest() {
    CHECK(LeaderOf(1, "s") == "b1");
    CHECK(LeaderOf(1, "newer") == "no stream");
    for (const char* name : {"one", "other"}) {
      REQUIRE(Create(1, name).ok());
      CHECK(IdOf(name) > newer_id);
    }
    kernel.scheduler().RunFor(seconds(40));
    kernel.Kill(1);
    Start(1);
    CHECK(Disk(1).Exists(Concat("data/streams/", newer_id, "/0")));
  }
  SimFileSystem older{1};
  SimFileSystem newer{1};
  StreamId newer_id;
};

}  // namespace

TEST_CASE(
    "broker remedies: streams put back alone: the newer, the whole copy, or what was stored since "
    "goes") {
  for (const bool clustered : {false, true}) {
    for (const bool killed : {true, false}) {
      for (const std::string remedy : {"the newer", "the whole", "given up"}) {
        if (clustered && remedy == "the whole") continue;  // that is an older copy, told elsewhere
        CAPTURE(clustered);
        CAPTURE(killed);
        CAPTURE(remedy);
        CopiedWorld world(clustered, killed);
        PutBackStreams(world.older, world.Disk(1));
        const std::string untouched = world.Disk(1).VisibleBytes("data/recovery.points");
        for (int i = 0; i < 2; ++i) {
          const absl::Status why = world.StartAndDie(1);
          CHECK(absl::IsFailedPrecondition(why));
          CHECK(Names(why, "data/recovery.points is older than data/registration: "));
          CHECK(Names(why,
                      "Put back the newer files, or the whole directory data of one copy; or, to "
                      "give up what was stored since, remove data/recovery.points"));
          CHECK(world.Disk(1).VisibleBytes("data/recovery.points") == untouched);
          world.kernel.Kill(1);
        }
        if (remedy == "the newer") PutBackStreams(world.newer, world.Disk(1));
        if (remedy == "the whole") PutBack(world.older, world.Disk(1), "data");
        if (remedy == "given up") REQUIRE(world.Disk(1).Remove("data/recovery.points").ok());
        world.Start(1);
        const auto told = [&] {
          for (const std::string& sentence : world.At(1).broker().Degraded())
            if (sentence.find("recovery.points") != std::string::npos) return true;
          return false;
        };
        CHECK(told() == (remedy == "given up"));
        CHECK(world.LeaderOf(1, "s") == "b1");
        CHECK((world.LeaderOf(1, "newer") == "b1") == (remedy != "the whole"));
        world.kernel.scheduler().RunFor(seconds(40));
        world.kernel.Kill(1);
        world.Start(1);
        CHECK_FALSE(told());
      }
    }
  }
}

TEST_CASE(
    "broker remedies: the only member's metadata put back alone: the newer, the whole, or "
    "without") {
  for (const bool clustered : {false, true}) {
    for (const bool killed : {true, false}) {
      for (const std::string remedy : {"the newer", "the whole", "without the rest"}) {
        if (clustered && remedy == "the whole") continue;
        CAPTURE(clustered);
        CAPTURE(killed);
        CAPTURE(remedy);
        CopiedWorld world(clustered, killed);
        PutBack(world.older, world.Disk(1), "data/meta");
        const absl::Status why = world.StartAndDie(1);
        CHECK(absl::IsDataLoss(why));
        CHECK(Names(why, "data/meta is older than the rest of data: it ends at index "));
        CHECK(Names(why, "Put back the newer one, or"));
        CHECK(Names(why, "or the whole directory of one copy") != clustered);
        CHECK(Names(why,
                    "without either go on without what was changed since, on the broker that has "
                    "the newest metadata (basculed --recover-quorum)"));
        world.kernel.Kill(1);
        if (remedy == "the newer") PutBack(world.newer, world.Disk(1), "data/meta");
        if (remedy == "the whole") PutBack(world.older, world.Disk(1), "data");
        if (remedy == "without the rest") {
          const auto recovered = broker::RecoverQuorum(world.Disk(1), "data");
          REQUIRE_MESSAGE(recovered.ok(), recovered.status().ToString());
        }
        world.Start(1);
        CHECK(world.LeaderOf(1, "s") == "b1");
        CHECK((world.LeaderOf(1, "newer") == "b1") == (remedy == "the newer"));
        if (remedy == "without the rest") world.CheckWithoutTheRest();
      }
    }
  }
}

TEST_CASE("broker remedies: metadata older than the streams is seen, whatever was noted of it") {
  for (const bool clustered : {false, true}) {
    for (const std::string noted : {"not yet", "put back too", "removed"}) {
      CAPTURE(clustered);
      CAPTURE(noted);
      CopiedWorld world(clustered, true);
      if (noted == "not yet") {  // made, and killed at once
        world.Start(1);
        REQUIRE(world.Create(1, "newest").ok());
        world.newer_id = world.IdOf("newest");
        world.kernel.Kill(1);
        PutBack(world.newer, world.Disk(1), "data/meta");
      } else {
        PutBack(world.older, world.Disk(1), "data/meta");
        REQUIRE(world.Disk(1).Remove("data/registration").ok());
      }
      if (noted == "put back too") {
        const std::string record = world.older.VisibleBytes("data/registration");
        REQUIRE(WriteFileAtomically(world.Disk(1), "data/registration", record).ok());
      }
      for (int again = 0; again < 12; ++again) {  // no start brings it nearer
        const absl::Status why = world.StartAndDie(1);
        CHECK(Names(why, "data/meta is older than the rest of data: it ends at index "));
        CHECK(Names(why, Concat("and had come to index ", world.newer_id, " in term ")));
        world.kernel.Kill(1);
      }
      REQUIRE(broker::RecoverQuorum(world.Disk(1), "data").ok());
      world.Start(1);
      REQUIRE(world.Create(1, "one").ok());
      CHECK(world.IdOf("one") > world.newer_id);
      CHECK(world.Disk(1).Exists(Concat("data/streams/", world.newer_id, "/0")));
    }
  }
}

TEST_CASE(
    "broker remedies: the metadata of a whole cluster put back is seen by whoever holds newer "
    "streams") {
  RemedyWorld world;
  std::vector<std::unique_ptr<SimFileSystem>> older;
  std::vector<std::unique_ptr<SimFileSystem>> newer;
  const auto stop_all = [&](auto& copies) {
    for (uint64_t i = 1; i <= 3; ++i) world.kernel.Kill(i);
    for (uint64_t i = 1; i <= 3; ++i) {
      copies.push_back(std::make_unique<SimFileSystem>(1));
      CopyTree(world.Disk(i), *copies.back(), "data");
    }
  };
  stop_all(older);
  for (uint64_t i = 1; i <= 3; ++i) world.kernel.Start(i);
  const auto all_ready = [&] {
    return world.At(1).ready() && world.At(2).ready() && world.At(3).ready();
  };
  REQUIRE(world.Within(seconds(30), all_ready));
  world.kernel.scheduler().RunFor(seconds(5));
  std::set<std::string> leaders;
  for (int i = 0; i < 9; ++i) {
    const std::string name = Concat("newer", i);
    REQUIRE(world.Create(1, name).ok());
    leaders.insert(world.LeaderOf(1, name));
  }
  REQUIRE(leaders.size() == 3);
  stop_all(newer);
  for (uint64_t i = 1; i <= 3; ++i) {
    PutBack(*older[i - 1], world.Disk(i), "data/meta");
    const std::string record = older[i - 1]->VisibleBytes("data/registration");
    REQUIRE(WriteFileAtomically(world.Disk(i), "data/registration", record).ok());
  }
  for (uint64_t i = 1; i <= 3; ++i) {
    CHECK(Names(world.StartAndDie(i), "data/meta is older than the rest of data: "));
    world.kernel.Kill(i);
  }
  for (uint64_t i = 1; i <= 3; ++i) {
    PutBack(*newer[i - 1], world.Disk(i), "data");
    world.kernel.Start(i);
  }
  REQUIRE(world.Within(seconds(30), all_ready));
  for (int i = 0; i < 9; ++i) CHECK(world.LeaderOf(1, Concat("newer", i)) != "no stream");
}

TEST_CASE("broker remedies: a member's metadata put back from a copy is moved away, or replaced") {
  for (const bool moved : {true, false}) {
    CAPTURE(moved);
    RemedyWorld world;
    world.End(3);
    SimFileSystem older(1);
    CopyTree(world.Disk(3), older, "data");
    world.Start(3);
    REQUIRE(world.Create(1, "newer").ok());
    world.kernel.scheduler().RunFor(seconds(40));
    world.End(3);
    SimFileSystem newer(1);
    CopyTree(world.Disk(3), newer, "data");
    PutBack(older, world.Disk(3), "data/meta");
    const absl::Status why = world.StartAndDie(3);
    CHECK(absl::IsDataLoss(why));
    CHECK(Names(why,
                "Put back the newer one, or, while a majority of the cluster is up without this "
                "broker, move data/meta away and start it again"));
    world.kernel.Kill(3);
    if (moved) {
      REQUIRE(world.Disk(3).Rename("data/meta", "data/meta.away").ok());
    } else {
      PutBack(newer, world.Disk(3), "data/meta");
    }
    for (int life = 0; life < 2; ++life) {
      world.Start(3);
      CHECK(world.ClusterId(3) == world.id);
      CHECK(world.Create(3, Concat("from.b3.", life)).ok());
      CHECK(world.LeaderOf(1, world.stream) == "b3");  // nothing of its streams is lost
      world.kernel.scheduler().RunFor(seconds(40));
      world.kernel.Kill(3);
    }
  }
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
