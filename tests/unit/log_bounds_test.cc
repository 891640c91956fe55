#include "core/log/log_bounds.h"

#include <doctest/doctest.h>

#include "tests/unit/log_files.h"

namespace bascule::log {
namespace {

const StoredLogBounds kSample{{StreamId(7), PartitionId(2)}, {Offset(100), Offset(200), 3}};
const std::string kPath = std::string(kLogDirectory) + "/log.bounds";

StoredLogBounds With(LogBounds bounds) { return {kSample.key, bounds}; }

std::string TwoSlots(const std::string& even, const std::string& odd) {
  std::string file = even;
  file.resize(kLogBoundsSlotStride, '\0');
  file += odd;
  file.resize(kLogBoundsFileBytes, '\0');
  return file;
}

TEST_CASE("the bytes of log.bounds") {
  const std::string slot = EncodeLogBounds(kSample);
  std::string expected("BSCL\1\0\0\0\7\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0", 32);
  expected += std::string("\x64\0\0\0\0\0\0\0\xc8\0\0\0\0\0\0\0", 16) + std::string(12, '\0');
  // Computed bit by bit from the polynomial, outside this code.
  expected += std::string("\xb6\xbe\xd2\xeb", 4);
  CHECK(slot == expected);
  CHECK(ParseLogBounds(TwoSlots(slot, slot))->bounds == kSample.bounds);
  CHECK(ParseLogBounds(slot)->key == kSample.key);
}

TEST_CASE("the newer slot counts, and the older one when the newer is torn") {
  const std::string old = EncodeLogBounds(With({Offset(1), Offset(2), 4}));
  const std::string young = EncodeLogBounds(With({Offset(5), Offset(6), 5}));
  CHECK(ParseLogBounds(TwoSlots(old, young))->bounds.sequence == 5);
  CHECK(ParseLogBounds(TwoSlots(young, old))->bounds.sequence == 5);
  for (size_t bit = 0; bit < young.size() * 8; ++bit) {
    std::string torn = young;
    torn[bit / 8] = static_cast<char>(torn[bit / 8] ^ (1 << bit % 8));
    const auto found = ParseLogBounds(TwoSlots(old, torn));
    REQUIRE(found.ok());
    CHECK(found->bounds.sequence == 4);
    CHECK(absl::IsDataLoss(ParseLogBounds(TwoSlots(torn, torn)).status()));
  }
  CHECK(absl::IsDataLoss(ParseLogBounds("").status()));
  std::string impossible = young;
  wire::PutFixed<int64_t>(&impossible[32], 7);  // begins behind its end
  wire::PutFixed<uint32_t>(&impossible[60], Crc32c(std::string_view(impossible).substr(0, 60)));
  CHECK(absl::IsDataLoss(ParseLogBounds(impossible).status()));
  std::string newer = young;
  newer[4] = 2;
  wire::PutFixed<uint32_t>(&newer[60], Crc32c(std::string_view(newer).substr(0, 60)));
  CHECK(absl::IsFailedPrecondition(ParseLogBounds(TwoSlots(old, newer)).status()));
}

TEST_CASE("storing survives a crash at each call: the new bounds or the ones before") {
  for (uint64_t n = 1; n < 12; ++n) {
    for (uint64_t seed = 0; seed < 20; ++seed) {
      SimFileSystem fs(seed);
      REQUIRE(fs.CreateDirectories(kLogDirectory).ok());
      REQUIRE(StoreLogBounds(fs, kLogDirectory, With({Offset(0), Offset(9), 1})).ok());
      REQUIRE(fs.SyncDir(kLogDirectory).ok());
      REQUIRE(StoreLogBounds(fs, kLogDirectory, With({Offset(3), Offset(9), 2})).ok());
      fs.faults().PowerOffAfter(n);
      const bool stored = StoreLogBounds(fs, kLogDirectory, With({Offset(7), Offset(9), 3})).ok();
      SimRng rng(seed);
      fs.Crash(rng);
      const auto found = LoadLogBounds(fs, kLogDirectory);
      REQUIRE(found.ok());
      CHECK((found->bounds.sequence == 3 || (!stored && found->bounds.sequence == 2)));
    }
  }
}

TEST_CASE("a full disk does not keep the beginning from moving") {
  SimFileSystem fs(1);
  REQUIRE(fs.CreateDirectories(kLogDirectory).ok());
  REQUIRE(StoreLogBounds(fs, kLogDirectory, With({Offset(0), Offset(9), 1})).ok());
  fs.SetCapacity(1);
  for (uint64_t sequence = 2; sequence < 5; ++sequence)
    CHECK(StoreLogBounds(fs, kLogDirectory, With({Offset(3), Offset(9), sequence})).ok());
}

TEST_CASE("a file that is longer than bounds can be is damaged, and errors name the path") {
  SimFileSystem fs(1);
  CHECK(absl::IsNotFound(LoadLogBounds(fs, kLogDirectory).status()));
  PutFile(fs, kPath, TwoSlots(EncodeLogBounds(kSample), "") + "x");
  const absl::Status status = LoadLogBounds(fs, kLogDirectory).status();
  CHECK(absl::IsDataLoss(status));
  CHECK(status.ToString().find(kPath) != std::string::npos);
}

}  // namespace
}  // namespace bascule::log
