// What a data directory leads to that was put back from copies: its metadata, and what it claims to have.
#include <doctest/doctest.h>

#include <optional>

#include "core/log/recovery_points.h"
#include "replication/broker/metadata_node.h"
#include "replication/broker/recover_quorum.h"
#include "replication/meta/cluster/registration_record.h"
#include "replication/meta/group/raft_group.h"
#include "replication/meta/store/raft_store.h"
#include "replication/meta/table/meta_table.h"
#include "replication/partition/replica_switch.h"
#include "tests/support/fake_discovery.h"
#include "tests/support/sim_file_system.h"

namespace bascule::broker {
namespace {

constexpr MetadataIndex kLast(20);  // of the metadata in a directory

// That of the only member of its group, "b1".
void MakeMetadata(FileSystem& disk) {
  const GroupMember member{PeerId(1), "b1", "", true};
  REQUIRE(raft_store::RaftStore::Create(
              disk, "/data/meta", {}, {"cluster", raft::NodeId(1)},
              {kLast, raft::Term(1), {{raft::NodeId(1)}, {}}},
              raft_group::RaftGroup::InitialSnapshot(member, metadata::MetaTable().Snapshot()))
              .ok());
}

// How a broker that is alone starts on it.
absl::Status StartAlone(SimFileSystem& disk) {
  SimClock clock;
  SimScheduler scheduler(clock, 1);
  SimExecutor& home = scheduler.NewExecutor("home");
  FakeDiscoveryBus bus(scheduler);
  FakeDiscovery discovery(bus);
  auto directory = DataDirectory::Open(disk, scheduler.rng(), "/data", "b1");
  REQUIRE(directory.ok());
  BrokerOptions options;
  options.config.data_dir = "/data";
  const MetadataSeams seams{disk,
                            clock,
                            scheduler.rng(),
                            home,
                            discovery,
                            nullptr,
                            [](size_t) { return absl::OkStatus(); },
                            [] {}};
  partition::ReplicaSwitch replicas({&home});
  MetadataNode node(
      seams, options, *directory, [](const std::string&) {}, replicas);
  std::optional<absl::Status> started;
  home.Post([&] { node.Start([&](const absl::Status& status) { started = status; }); });
  REQUIRE(scheduler.RunUntil([&] { return started.has_value(); }, std::chrono::seconds(10)));
  bool stopped = false;
  home.Post([&] { node.Stop([&] { stopped = true; }); });
  REQUIRE(scheduler.RunUntil([&] { return stopped; }, std::chrono::seconds(10)));
  node.Disconnect();
  scheduler.DropAll();
  return *started;
}

TEST_CASE(
    "metadata that lacks the last command the directory knows of is older, by one as by many") {
  enum class Knows { kRecord, kPoints, kStreams };
  for (const Knows where : {Knows::kRecord, Knows::kPoints, Knows::kStreams}) {
    for (const uint64_t lacking : {0, 1, 2, 1000}) {
      CAPTURE(static_cast<int>(where));
      CAPTURE(lacking);
      SimFileSystem disk(1);
      REQUIRE(disk.CreateDirectories("/data/streams").ok());
      MakeMetadata(disk);
      const MetadataIndex known = kLast + lacking;
      if (where == Knows::kRecord) {
        const auto record = metadata::RegistrationRecord::Open(disk, "/data");
        REQUIRE(record.ok());
        REQUIRE((*record)->Raise({0, PeerId(1), 1, known}).ok());
      } else if (where == Knows::kPoints) {
        log::RecoveryPointSet points;
        points.member = 1;
        points.applied = known;
        REQUIRE(log::SaveRecoveryPoints(disk, "/data", points).ok());
      } else {
        REQUIRE(disk.CreateDirectories(Concat("/data/streams/", known, "/0")).ok());
      }
      const absl::Status started = StartAlone(disk);
      if (lacking == 0) {
        CHECK_MESSAGE(started.ok(), started.ToString());
      } else {
        CHECK_MESSAGE(absl::IsDataLoss(started), started.ToString());
      }
    }
  }
}

TEST_CASE(
    "recover quorum: a directory that owes all and holds no stream still owes all afterwards") {
  for (const std::string holds : {"", "streams", "streams/7/0"}) {
    CAPTURE(holds);
    SimFileSystem disk(1);
    REQUIRE(disk.CreateDirectories("/data").ok());
    MakeMetadata(disk);
    if (!holds.empty()) REQUIRE(disk.CreateDirectories(JoinPath("/data", holds)).ok());
    {
      const auto record = metadata::RegistrationRecord::Open(disk, "/data");
      REQUIRE(record.ok());
      REQUIRE((*record)->NoteOlder(5, /*rejoin=*/true).ok());
    }
    const auto recovered = RecoverQuorum(disk, "/data");
    REQUIRE_MESSAGE(recovered.ok(), recovered.status().ToString());
    const auto record = metadata::RegistrationRecord::Open(disk, "/data");
    REQUIRE(record.ok());
    // What is there is what the cluster goes on with; what is not cannot be led or counted in sync.
    CHECK((*record)->owes_all() == (holds != "streams/7/0"));
    CHECK_FALSE((*record)->must_rejoin());
  }
}

}  // namespace
}  // namespace bascule::broker
