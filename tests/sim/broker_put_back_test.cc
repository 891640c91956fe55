// Parts of data directories that were put back from older copies: told, refused, and the remedies carried out.
#include <doctest/doctest.h>

#include <set>

#include "replication/broker/recover_quorum.h"
#include "tests/sim/remedy_world.h"

namespace bascule {

using std::chrono::seconds;

namespace {

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
    // Many writes of recovery.points, more than a later life makes of itself.
    for (int i = 0; i < 20; ++i) REQUIRE(Create(1, Concat("between", i)).ok());
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

}  // namespace bascule
