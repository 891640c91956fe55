// data/registration: what it keeps through crashes and damage.
#include "replication/meta/cluster/registration_record.h"

#include <doctest/doctest.h>

#include "tests/support/sim_file_system.h"

namespace bascule::metadata {
namespace {

constexpr char kRecordPath[] = "data/registration";

}  // namespace

TEST_CASE("what is owed, and the generation, survive a crash at every step of a write") {
  int crashes = 0;
  for (uint64_t step = 1; step < 40; ++step) {
    SimFileSystem disk(step);
    SimRng rng(step);
    REQUIRE(disk.CreateDirectories("data").ok());
    uint64_t generation = 0;
    bool owes = false;
    bool paid = false;
    disk.faults().PowerOffAfter(step);
    if (auto record = RegistrationRecord::Open(disk, "data"); record.ok()) {
      for (int i = 0; i < 3; ++i) generation += (*record)->Raise({}).ok() ? 1 : 0;
      owes = (*record)->OweAll().ok();
      generation += (*record)->Raise({}).ok() ? 1 : 0;
      paid = (*record)->Paid().ok();
    }
    if (disk.faults().power_is_off()) ++crashes;
    disk.faults().Clear();
    disk.Crash(rng);
    const auto after = RegistrationRecord::Open(disk, "data");
    REQUIRE(after.ok());
    CHECK((*after)->generation() >= generation);
    if (owes && !disk.faults().power_is_off()) CHECK(((*after)->owes_all() || generation == 4));
    if (paid) CHECK_FALSE((*after)->owes_all());
  }
  CHECK(crashes > 15);
}

TEST_CASE("a record that is damaged, or of a newer version, is refused; one torn copy is healed") {
  SimFileSystem disk(1);
  REQUIRE(disk.CreateDirectories("data").ok());
  {
    const auto record = RegistrationRecord::Open(disk, "data");
    REQUIRE((*record)->Raise({}).ok());
    REQUIRE((*record)->OweAll().ok());
  }
  for (const uint64_t at : {uint64_t{40}, uint64_t{4096 + 40}}) {
    disk.FlipBit(kRecordPath, at, 2);
    const auto record = RegistrationRecord::Open(disk, "data");
    REQUIRE(record.ok());
    CHECK((*record)->generation() == 1);
    CHECK((*record)->owes_all());
  }
  disk.FlipBit(kRecordPath, 40, 2);
  disk.FlipBit(kRecordPath, 4096 + 40, 2);
  CHECK(absl::IsDataLoss(RegistrationRecord::Open(disk, "data").status()));
  // No bytes harm it.
  SimRng rng(3);
  for (int i = 0; i < 500; ++i) {
    disk.FlipBit(kRecordPath, rng.Below(8192), static_cast<int>(rng.Below(8)));
    (void)RegistrationRecord::Open(disk, "data");
  }
  disk.TruncateDurably(kRecordPath, 5);
  CHECK(absl::IsDataLoss(RegistrationRecord::Open(disk, "data").status()));
}

TEST_CASE(
    "how far the rest of the directory had come is kept, and goes back with another member only") {
  SimFileSystem disk(1);
  REQUIRE(disk.CreateDirectories("data").ok());
  const auto noted = [&] { return (*RegistrationRecord::Open(disk, "data"))->positions(); };
  CHECK(noted() == DirectoryPositions());
  const auto record = RegistrationRecord::Open(disk, "data");
  const DirectoryPositions first{5, PeerId(7), 2, MetadataIndex(30)};
  REQUIRE((*record)->Raise(first).ok());
  CHECK(noted() == first);
  REQUIRE((*record)->NotePositions({9, PeerId(7), 1, MetadataIndex(40)}).ok());
  CHECK(noted() == DirectoryPositions{9, PeerId(7), 2, MetadataIndex(40)});
  REQUIRE((*record)->NotePositions({4, PeerId(7), 3, MetadataIndex(20)}).ok());
  CHECK(noted() == DirectoryPositions{9, PeerId(7), 3, MetadataIndex(40)});
  // Nobody says: what is known stays, whatever else is noted.
  REQUIRE((*record)->Raise({}).ok());
  REQUIRE((*record)->OweAll().ok());
  REQUIRE((*record)->NoteOlder(90, true).ok());
  REQUIRE((*record)->Paid().ok());
  CHECK(noted() == DirectoryPositions{9, PeerId(7), 3, MetadataIndex(40)});
  REQUIRE((*record)->NotePositions({10, PeerId(8), 1, MetadataIndex(2)}).ok());
  CHECK(noted() == DirectoryPositions{10, PeerId(8), 1, MetadataIndex(2)});
  // No news, nothing written.
  disk.faults().PowerOffAfter(1);
  CHECK((*record)->NotePositions({10, PeerId(8), 1, MetadataIndex(2)}).ok());
  CHECK_FALSE((*record)->NotePositions({11, PeerId(8), 1, MetadataIndex(2)}).ok());
}

}  // namespace bascule::metadata
