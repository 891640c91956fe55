// How whole brokers start, by what their data directories hold.
#include <doctest/doctest.h>

#include "core/base/crc32c.h"
#include "core/wire/coding.h"
#include "replication/broker/recover_quorum.h"
#include "replication/meta/cluster/cluster_start.h"
#include "tests/sim/start_world.h"

namespace bascule {
namespace {

using std::chrono::seconds;

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

TEST_CASE("broker start: a declared stream that cannot be is the end of the start, and is named") {
  StartWorld world(1, false);
  world.change = [](uint64_t, config::Config& config) {
    for (const char* name : {"good", "bad", "better"}) {
      StreamSpec spec;
      spec.name = spec.subject = name;
      if (spec.name == "bad") spec.replication_factor = 3;
      config.declared_streams.push_back(spec);
    }
  };
  const absl::Status why = world.StartAndDie(1);
  CHECK_MESSAGE(why.message().find("streams.declare: bad: ") == 0, why.ToString());
  world.change = nullptr;
  world.Start(1);
  CHECK(world.At(1).broker().catalog().Find("bad") == nullptr);
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

TEST_CASE("broker start: recovery.points that are gone or damaged are told for the whole life") {
  struct Case {
    const char* name;
    std::function<void(SimFileSystem&)> hurt;
    const char* says;
  };
  const auto remove_streams = [](SimFileSystem& disk, const std::string& below) {
    const auto streams = disk.List("data/streams");
    REQUIRE(streams.ok());
    REQUIRE_FALSE(streams->empty());
    for (const DirectoryEntry& stream : *streams)
      REQUIRE(disk.RemoveTree(Concat("data/streams/", stream.name, below)).ok());
  };
  const auto remove = [](SimFileSystem& disk) {
    REQUIRE(disk.Remove("data/recovery.points").ok());
  };
  const Case cases[] = {
      {"missing, and a partition's directory too",
       [&](SimFileSystem& disk) {
         remove(disk);
         remove_streams(disk, "/0");
       },
       "data/recovery.points was missing at the start: "},
      {"missing, and all of the streams too",
       [&](SimFileSystem& disk) {
         remove(disk);
         remove_streams(disk, "");
       },
       "data/recovery.points was missing at the start: "},
      {"missing alone", remove, "data/recovery.points was missing at the start: "},
      {"cut", [](SimFileSystem& disk) { disk.TruncateDurably("data/recovery.points", 5); },
       "data/recovery.points: file is too short"}};
  for (const Case& one : cases) {
    CAPTURE(std::string(one.name));
    StartWorld world(1, false);
    const auto told = [&] {
      for (const std::string& sentence : world.At(1).broker().Degraded())
        if (sentence.starts_with(one.says)) return true;
      return false;
    };
    world.Start(1);
    REQUIRE(world.Create(1, "s").ok());
    CHECK_FALSE(told());
    world.kernel.Kill(1);
    one.hurt(world.Disk(1));
    world.Start(1);
    CHECK(told());
    CHECK(world.kernel.Notes().find(one.says) != std::string::npos);
    world.kernel.scheduler().RunFor(seconds(30));
    CHECK(told());  // although they are written again
    world.kernel.Kill(1);
    world.Start(1);
    CHECK_FALSE(told());
  }
}

TEST_CASE("broker start: a used directory without partitions misses nothing") {
  StartWorld world(1, false);
  for (int life = 0; life < 2; ++life) {
    world.Start(1);
    CHECK(world.At(1).broker().Degraded().empty());
    CHECK(world.Disk(1).Exists("data/recovery.points"));
    world.kernel.Crash(1);
  }
}

TEST_CASE("broker start: recovery.points of a newer version are refused, untouched") {
  StartWorld world(1, false);
  world.Start(1);
  REQUIRE(world.Create(1, "s").ok());
  world.kernel.Kill(1);
  std::string newer = world.Disk(1).VisibleBytes("data/recovery.points");
  newer[4] = 9;
  newer.resize(newer.size() - 4);
  wire::AppendFixed<uint32_t>(newer, Crc32c(newer));
  REQUIRE(WriteFileAtomically(world.Disk(1), "data/recovery.points", newer).ok());
  const absl::Status why = world.StartAndDie(1);
  CHECK(why.message().find("data/recovery.points: format version 9 is newer") != std::string::npos);
  CHECK(world.Disk(1).VisibleBytes("data/recovery.points") == newer);
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

TEST_CASE(
    "broker start: recovery.points that only the page cache had are taken for no newer ones") {
  int lost = 0;
  for (int round = 0; round < 12; ++round) {
    StartWorld world(1, false);
    world.kernel.scheduler().RunFor(seconds(round));
    world.Start(1);
    REQUIRE(world.Create(1, "s").ok());
    world.kernel.scheduler().RunFor(seconds(40));
    // In its place, and the directory's sync fails; then the process ends, and later the machine.
    world.Disk(1).faults().FailAfter(1, kSyncDir, absl::StatusCode::kInternal);
    (void)world.Create(1, "t");
    const std::string written = world.Disk(1).VisibleBytes("data/recovery.points");
    world.kernel.Kill(1);
    world.Disk(1).faults().Clear();
    world.kernel.Start(1);
    REQUIRE(world.Within(seconds(20), [&] { return world.At(1).ready(); }));
    world.kernel.Crash(1);
    if (world.Disk(1).VisibleBytes("data/recovery.points") < written) ++lost;
    world.Start(1);
    CHECK(world.LeaderOf(1, "s") == "b1");
  }
  CHECK(lost > 0);
}

TEST_CASE(
    "broker start: a disk that is full for messages is told to the leader, and gets no streams") {
  StartWorld world(3);
  bool full = false;
  world.change = [&](uint64_t machine, config::Config& config) {
    if (machine == 3 && full) config.disk_reserve = {0, 100};
  };
  for (uint64_t i = 1; i <= 3; ++i) world.Start(i);
  const auto trouble = [&](uint64_t asked) {
    auto answer = std::make_shared<std::string>("no answer");
    world.At(asked).broker().cluster().Status(
        seconds(5), [answer](const absl::StatusOr<ClusterStatus>& status) {
          if (!status.ok()) return;
          for (const ClusterMember& member : status->members) {
            if (member.server_id == "b3") *answer = member.trouble;
          }
        });
    world.kernel.scheduler().RunFor(seconds(2));
    return *answer;
  };
  int streams = 0;
  const auto leads_some = [&] {
    bool some = false;
    for (int i = 0; i < 9; ++i) {
      const std::string name = Concat("s", streams++);
      REQUIRE(world.Create(1, name).ok());
      some = some || world.LeaderOf(1, name) == "b3";
    }
    return some;
  };
  for (const bool now : {true, false, true}) {
    CAPTURE(now);
    full = now;
    world.kernel.Kill(3);
    world.Start(3);
    world.kernel.scheduler().RunFor(seconds(5));
    CHECK((trouble(1).find("is full up to disk.reserve") != std::string::npos) == now);
    CHECK(leads_some() != now);
  }
}

TEST_CASE(
    "broker start: who cannot follow the metadata answers nothing from the past, until it can") {
  StartWorld world(3);
  for (uint64_t i = 1; i <= 3; ++i) world.Start(i);
  world.kernel.scheduler().RunFor(seconds(5));
  const std::vector<std::string> before = world.At(3).broker().metadata().Degraded();
  int streams = 0;
  for (int round = 0; round < 3; ++round) {
    world.Disk(3).SetCapacity(0);
    while (world.At(3).broker().catalog().Current().ok()) {
      REQUIRE(streams < 2000);
      (void)world.Create(1, Concat("s", streams++));
    }
    world.kernel.scheduler().RunFor(seconds(5));
    CHECK(absl::IsUnavailable(world.At(3).broker().catalog().Current()));
    CHECK(world.At(1).broker().catalog().Current().ok());
    world.Disk(3).SetCapacity(uint64_t{1} << 40);
    world.kernel.scheduler().RunFor(seconds(10));
    CHECK(world.At(3).broker().catalog().Current().ok());
    CHECK(world.At(3).broker().metadata().Degraded() == before);
  }
}

TEST_CASE("broker start: disk.reserve in percent is of the disk, however full it is at the start") {
  StartWorld world(1, false);
  world.Start(1);
  REQUIRE(world.Create(1, "s").ok());
  REQUIRE(WriteFileAtomically(world.Disk(1), "other", std::string(5 * limits::kMiB, 'o')).ok());
  world.Disk(1).SetCapacity(8 * limits::kMiB);
  for (const double percent : {20, 60, 20, 60}) {
    CAPTURE(percent);
    world.change = [percent](uint64_t, config::Config& config) {
      config.disk_reserve = {0, percent};
    };
    world.kernel.Kill(1);
    world.Start(1);
    world.kernel.scheduler().RunFor(seconds(5));
    const auto after = world.Disk(1).Space("data");
    INFO(after->available_bytes, " of ", after->total_bytes);
    CHECK(world.At(1).broker().partitions().disk_full() == (percent > 50));
  }
}

TEST_CASE("broker start: lines that come up while it looks for another of its id are known later") {
  StartWorld world(4);
  for (uint64_t i = 1; i <= 4; ++i) world.Start(i);
  world.kernel.scheduler().RunFor(seconds(5));
  world.kernel.Kill(4);
  SimFileSystem copy(1);
  CopyTree(world.Disk(4), copy, "data");
  world.Start(4);
  world.kernel.scheduler().RunFor(seconds(40));  // the directory's generation goes on
  world.kernel.Kill(4);
  REQUIRE(world.Disk(4).RemoveTree("data").ok());
  CopyTree(copy, world.Disk(4), "data");
  CHECK_FALSE(world.StartAndDie(4).ok());
  world.kernel.Kill(4);
  world.Start(4);  // joins anew, with its connections up before its group is there
  world.kernel.scheduler().RunFor(seconds(15));
  REQUIRE(world
              .Await([&](auto done) {
                world.At(4).broker().cluster().TransferLeadership("b4", seconds(10),
                                                                  std::move(done));
              })
              .ok());
  REQUIRE(world.Within(seconds(10),
                       [&] { return world.At(4).broker().metadata().group().role().leading; }));
  world.kernel.scheduler().RunFor(seconds(2));
  world.kernel.Kill(2);
  const auto fenced = [&] { return world.At(4).table().FindBroker("b2")->fenced; };
  CHECK(world.Within(std::chrono::milliseconds(450), fenced));
}

TEST_CASE("broker start: streams put back as they are now are no older copy") {
  for (const bool clustered : {true, false}) {
    CAPTURE(clustered);
    StartWorld world(1, clustered);
    world.Start(1);
    REQUIRE(world.Create(1, "s").ok());
    world.kernel.scheduler().RunFor(seconds(70));
    world.kernel.Kill(1);
    SimFileSystem copy(1);
    CopyTree(world.Disk(1), copy, "data");
    PutBackStreams(copy, world.Disk(1));
    world.Start(1);
    for (const std::string& sentence : world.At(1).broker().Degraded())
      CHECK_MESSAGE(sentence.find("older") == std::string::npos, sentence);
    CHECK(world.LeaderOf(1, "s") == "b1");
  }
}

TEST_CASE("broker start: an older copy is what goes on when the quorum is recovered from it") {
  StartWorld world(3);
  for (uint64_t i = 1; i <= 3; ++i) world.Start(i);
  const std::string stream = StreamOf(world, 3);
  world.kernel.Kill(3);
  SimFileSystem copy(1);
  CopyTree(world.Disk(3), copy, "data");
  world.Start(3);
  world.kernel.scheduler().RunFor(seconds(40));
  world.kernel.Kill(3);
  REQUIRE(world.Disk(3).RemoveTree("data").ok());
  CopyTree(copy, world.Disk(3), "data");
  CHECK_FALSE(world.StartAndDie(3).ok());  // it is to join anew
  // Then nobody is left whom it could join.
  for (uint64_t i = 1; i <= 3; ++i) world.kernel.Kill(i);
  const auto recovered = broker::RecoverQuorum(world.Disk(3), "data");
  REQUIRE_MESSAGE(recovered.ok(), recovered.status().ToString());
  world.Start(3);
  CHECK(world.At(3).broker().catalog().Find(stream) != nullptr);
  CHECK_FALSE(world.Disk(3).Exists("data/meta.older-copy"));
  CHECK(world.Create(3, "after").ok());
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

TEST_CASE("broker start: who is stopped while it looks for its cluster asks nobody any more") {
  StartWorld world(2);
  world.kernel.Start(2);
  world.kernel.scheduler().RunFor(seconds(3));
  bool stopped = false;
  world.At(2).broker().Stop([&] { stopped = true; });
  REQUIRE(world.Within(seconds(5), [&] { return stopped; }));
  const uint64_t asked = world.discovery.asked;
  world.kernel.scheduler().RunFor(seconds(5));
  CHECK(world.discovery.asked == asked);
  // The cluster that it looked for begins, and never hears of it.
  world.Start(1);
  world.kernel.scheduler().RunFor(seconds(20));
  CHECK(world.At(1).table().members().size() == 1);
  CHECK_FALSE(world.Disk(2).Exists("data/cluster.known"));
  CHECK_FALSE(world.At(2).ready());
}

TEST_CASE("broker start: who is stopped at any moment of its start is not ready later") {
  for (int ms = 0; ms < 3000; ms += 130) {
    CAPTURE(ms);
    StartWorld world(2);
    world.Start(1);
    world.kernel.Start(2);
    world.kernel.scheduler().RunFor(std::chrono::milliseconds(ms));
    bool ready = false;
    bool stopped = false;
    world.At(2).broker().Stop([&] { stopped = true; });
    REQUIRE(world.Within(seconds(20), [&] {
      if (!stopped) ready = world.At(2).ready();
      return stopped;
    }));
    world.kernel.scheduler().RunFor(seconds(10));
    CHECK(world.At(2).ready() == ready);
    CHECK_FALSE(world.At(2).dead().has_value());
  }
}

}  // namespace bascule
