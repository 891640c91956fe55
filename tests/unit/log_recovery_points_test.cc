#include "core/log/recovery_points.h"

#include <doctest/doctest.h>

#include "tests/unit/log_files.h"

namespace bascule::log {
namespace {

RecoveryPointSet Samples() {
  RecoveryPointSet points;
  points.sequence = 21;
  points.member = 22;
  points.applied = MetadataIndex(23);
  RecoveryPoint& point = points.partitions[{StreamId(7), PartitionId(0)}];
  point.log_start = Offset(1);
  SegmentFooter& a = point.active;
  a.base_offset = Offset(1);
  a.end_offset = Offset(2);
  a.data_end = FilePosition(3);
  a.record_count = 4;
  a.gap_records = 5;
  a.messages_in_gaps = 6;
  a.first_timestamp = Timestamp(7);
  a.max_timestamp = Timestamp(8);
  a.last_message_end = Offset(9);
  a.data_crc = 10;
  a.first_stored = Timestamp(13);
  a.last_stored = Timestamp(14);
  a.epochs = {{LeaderEpoch(11), Offset(12)}};
  return points;
}

std::string Number(uint64_t value, size_t width) {
  std::string bytes;
  for (size_t i = 0; i < width; ++i) bytes.push_back(static_cast<char>(value >> (8 * i)));
  return bytes;
}

// The checksum made right again after a deliberate change.
std::string Resealed(std::string bytes) {
  bytes.resize(bytes.size() - 4);
  return bytes + Number(Crc32c(bytes), 4);
}

bool Same(const RecoveryPointSet& a, const RecoveryPointSet& b) {
  return EncodeRecoveryPoints(a) == EncodeRecoveryPoints(b);
}

TEST_CASE("the bytes of recovery.points") {
  std::string expected =
      "BSCP" + Number(3, 4) + Number(21, 8) + Number(22, 8) + Number(23, 8) + Number(1, 8);
  expected += Number(7, 8) + Number(0, 4) + Number(1, 4);  // stream, partition, epochs
  for (uint64_t i = 1; i <= 9; ++i) expected += Number(i, 8);
  expected += Number(10, 4) + Number(1, 8) + Number(13, 8) + Number(14, 8);
  expected += Number(11, 8) + Number(12, 8);
  expected += Number(Crc32c(expected), 4);
  CHECK(EncodeRecoveryPoints(Samples()) == expected);
  // Computed bit by bit from the polynomial, outside this code.
  CHECK(wire::GetFixed<uint32_t>(expected.data() + expected.size() - 4) == 0x562db972u);
}

TEST_CASE("a file of version 1, with its boot id and without log starts, is read") {
  std::string old = "BSCP" + Number(1, 4) + Number(1, 4) + Number(4, 4) + Number(1, 8) + "boot";
  old += Number(7, 8) + Number(0, 4) + Number(1, 4);
  for (uint64_t i = 1; i <= 9; ++i) old += Number(i, 8);
  old += Number(10, 4) + Number(11, 8) + Number(12, 8);
  old += Number(Crc32c(old), 4);
  const auto parsed = ParseRecoveryPoints(old);
  REQUIRE(parsed.ok());
  RecoveryPointSet expected = Samples();
  expected.sequence = expected.member = 0;
  expected.applied = MetadataIndex();
  RecoveryPoint& point = expected.partitions.begin()->second;
  point.log_start.reset();
  point.active.first_stored = point.active.last_stored = Timestamp();
  CHECK(Same(*parsed, expected));
  CHECK_FALSE(parsed->partitions.begin()->second.log_start.has_value());
}

TEST_CASE("a file of version 2, which counts no writes, is read") {
  std::string old = EncodeRecoveryPoints(Samples());
  old.erase(8, 24);
  old[4] = 2;
  const auto parsed = ParseRecoveryPoints(Resealed(old));
  REQUIRE(parsed.ok());
  CHECK(parsed->sequence == 0);
  RecoveryPointSet expected = Samples();
  expected.sequence = expected.member = 0;
  expected.applied = MetadataIndex();
  CHECK(Same(*parsed, expected));
}

TEST_CASE("what was encoded comes back") {
  RecoveryPointSet points;
  auto parsed = ParseRecoveryPoints(EncodeRecoveryPoints(points));
  REQUIRE(parsed.ok());
  CHECK(parsed->partitions.empty());

  points = Samples();
  for (int i = 0; i < 100; ++i) {
    SegmentFooter& active = points.partitions[{StreamId(7), PartitionId(i)}].active;
    active.end_offset = Offset(int64_t{1} << (i % 63));
    for (int e = 0; e < i % 4; ++e)
      active.epochs.push_back({LeaderEpoch(static_cast<uint64_t>(e)), Offset(e)});
  }
  parsed = ParseRecoveryPoints(EncodeRecoveryPoints(points));
  REQUIRE(parsed.ok());
  CHECK(Same(*parsed, points));
  CHECK(parsed->partitions.size() == 100);
  const PartitionKey key{StreamId(7), PartitionId(99)};
  CHECK(parsed->partitions[key].active.end_offset == points.partitions[key].active.end_offset);
  CHECK(parsed->partitions[key].active.epochs == points.partitions[key].active.epochs);
}

TEST_CASE("recovery points cut anywhere, longer, or with any bit flipped are refused") {
  const std::string bytes = EncodeRecoveryPoints(Samples());
  for (size_t size = 0; size < bytes.size(); ++size)
    CHECK(absl::IsDataLoss(ParseRecoveryPoints(bytes.substr(0, size)).status()));
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    CHECK(absl::IsDataLoss(ParseRecoveryPoints(flipped).status()));
  }
  CHECK(absl::IsDataLoss(ParseRecoveryPoints(bytes + std::string(1, '\0')).status()));
}

TEST_CASE("numbers that do not fit are refused although the checksum holds") {
  for (const size_t at : {32, 52}) {  // count, number of epochs
    for (const uint64_t value : {uint64_t{0}, uint64_t{5}, uint64_t{0xffffffff}}) {
      std::string bytes = EncodeRecoveryPoints(Samples());
      bytes.replace(at, 4, Number(value, 4));
      INFO("at ", at, ": ", value);
      CHECK(absl::IsDataLoss(ParseRecoveryPoints(Resealed(bytes)).status()));
    }
  }
  std::string newer = EncodeRecoveryPoints(Samples());
  newer[4] = 4;
  CHECK(absl::IsFailedPrecondition(ParseRecoveryPoints(Resealed(newer)).status()));
}

TEST_CASE("a file that was saved survives a crash, and a crash while saving leaves the old one") {
  const RecoveryPointSet old = Samples();
  RecoveryPointSet next = old;
  next.partitions.begin()->second.active.data_crc = 77;
  for (uint64_t n = 1; n < 10; ++n) {
    SimFileSystem fs(n);
    REQUIRE(fs.CreateDirectories("/data").ok());
    CHECK(absl::IsNotFound(LoadRecoveryPoints(fs, "/data").status()));
    REQUIRE(SaveRecoveryPoints(fs, "/data", old).ok());
    fs.faults().PowerOffAfter(n);
    const bool saved = SaveRecoveryPoints(fs, "/data", next).ok();
    SimRng rng(n);
    fs.Crash(rng);
    const auto found = LoadRecoveryPoints(fs, "/data");
    INFO("power off at call ", n, ": ", found.status().ToString());
    REQUIRE(found.ok());
    CHECK((Same(*found, next) || (!saved && Same(*found, old))));
  }
}

TEST_CASE("a damaged file is reported with its name") {
  SimFileSystem fs(1);
  REQUIRE(fs.CreateDirectories("/data").ok());
  REQUIRE(SaveRecoveryPoints(fs, "/data", Samples()).ok());
  fs.FlipBit("/data/recovery.points", 30, 2);
  const absl::Status status = LoadRecoveryPoints(fs, "/data").status();
  CHECK(absl::IsDataLoss(status));
  CHECK(status.ToString().find("/data/recovery.points") != std::string::npos);
}

}  // namespace
}  // namespace bascule::log
