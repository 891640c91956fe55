// The bytes of the metadata store's files: each golden, and what is no such file is none.
#include "replication/meta/store/store_format.h"

#include <doctest/doctest.h>

#include "core/base/crc32c.h"
#include "core/wire/coding.h"
#include "tests/unit/raft_store_files.h"

namespace bascule::raft_store {
namespace {

// "41 42" to "AB".
std::string Bytes(std::string_view hex) {
  std::string bytes;
  for (size_t i = 0; i < hex.size();) {
    if (hex[i] == ' ') {
      ++i;
      continue;
    }
    bytes.push_back(static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
    i += 2;
  }
  return bytes;
}

std::string WithCrc(std::string bytes) {
  wire::AppendFixed<uint32_t>(bytes, Crc32c(bytes));
  return bytes;
}

// The version of a file that ends with its checksum, raised.
std::string OfNewerVersion(std::string bytes) {
  bytes.resize(bytes.size() - 4);
  bytes[4] = 2;
  return WithCrc(std::move(bytes));
}

}  // namespace

TEST_CASE("raft store: golden bytes of the identity") {
  const std::string bytes = EncodeIdentity({"abc", raft::NodeId(0x1122334455667788)});
  CHECK(bytes == WithCrc(Bytes("42 53 52 49  01 00 00 00  88 77 66 55 44 33 22 11  03 00 00 00"
                               "61 62 63")));
  MetaIdentity identity;
  REQUIRE(DecodeIdentity(bytes, identity) == Soundness::kSound);
  CHECK(identity.cluster_id == "abc");
  CHECK(identity.node == raft::NodeId(0x1122334455667788));
  CHECK(DecodeIdentity(OfNewerVersion(bytes), identity) == Soundness::kNewer);
  CHECK(DecodeIdentity(bytes + "x", identity) == Soundness::kDamaged);
  CHECK(DecodeIdentity(WithCrc(bytes), identity) == Soundness::kDamaged);
}

TEST_CASE("raft store: golden bytes of the hard state") {
  const HardStateCopy copy{3, raft::Term(5), raft::NodeId(0xff), 9};
  const std::string block = EncodeHardState(copy);
  REQUIRE(block.size() == 4096);
  CHECK(block.substr(0, 44) == WithCrc(Bytes("42 53 52 48  01 00 00 00  03 00 00 00 00 00 00 00"
                                             "05 00 00 00 00 00 00 00  ff 00 00 00 00 00 00 00"
                                             "09 00 00 00 00 00 00 00")));
  CHECK(block.find_first_not_of('\0', 44) == std::string::npos);
  HardStateCopy read;
  REQUIRE(DecodeHardState(block, read) == Soundness::kSound);
  CHECK(read == copy);
  CHECK(DecodeHardState(OfNewerVersion(block.substr(0, 44)), read) == Soundness::kNewer);
}

TEST_CASE("raft store: golden bytes of a snapshot") {
  const raft::SnapshotMeta meta = Meta(0x10, 2);
  const std::string header = EncodeSnapshotHeader(meta, 2);
  CHECK(header == Bytes("42 53 52 53  01 00 00 00  10 00 00 00 00 00 00 00"
                        "02 00 00 00 00 00 00 00  02 00 00 00  01 00 00 00"
                        "02 00 00 00 00 00 00 00  07 00 00 00 00 00 00 00"
                        "08 00 00 00 00 00 00 00  09 00 00 00 00 00 00 00"));
  raft::SnapshotMeta read;
  size_t begin = 0;
  REQUIRE(DecodeSnapshot(WithCrc(header + "hi"), read, begin) == Soundness::kSound);
  CHECK(read == meta);
  CHECK(begin == header.size());
  CHECK(DecodeSnapshot(WithCrc(header + "h"), read, begin) == Soundness::kDamaged);
  CHECK(DecodeSnapshot(OfNewerVersion(WithCrc(header + "hi")), read, begin) == Soundness::kNewer);
  const std::string index0 = WithCrc(EncodeSnapshotHeader(Meta(0, 2), 2) + "hi");
  CHECK(DecodeSnapshot(index0, read, begin) == Soundness::kDamaged);
  CHECK(ToFileName({meta.index, meta.term}) == "snapshot-0000000000000010-0000000000000002");
}

TEST_CASE("raft store: golden bytes of a segment's header and of its records") {
  const SegmentHeader header{
      2, raft::Index(3), raft::Term(4), raft::Index(5), FilePosition(6), FilePosition(7), true};
  const std::string bytes = EncodeSegmentHeader(header);
  CHECK(bytes == WithCrc(Bytes("42 53 52 4c  01 00 00 00  02 00 00 00 00 00 00 00"
                               "03 00 00 00 00 00 00 00  04 00 00 00 00 00 00 00"
                               "05 00 00 00 00 00 00 00  06 00 00 00 00 00 00 00"
                               "07 00 00 00 00 00 00 00  01 00 00 00")));
  SegmentHeader read;
  REQUIRE(DecodeSegmentHeader(bytes, read) == Soundness::kSound);
  CHECK(read == header);
  CHECK(DecodeSegmentHeader(OfNewerVersion(bytes), read) == Soundness::kNewer);
  CHECK(SegmentFileName(0xab) == "log-00000000000000ab");

  const RecordPlace place{2, FilePosition(64)};
  std::string record;
  AppendRecord(record, place,
               {raft::Index(9), raft::Term(8), raft::Index(7), FilePosition(64),
                RecordType::kConfChange, "hi"});
  CHECK(record.substr(4) == Bytes("02 00 00 00  09 00 00 00 00 00 00 00  08 00 00 00 00 00 00 00"
                                  "07 00 00 00 00 00 00 00  40 00 00 00 00 00 00 00"
                                  "01 00 00 00 00 00 00 00  68 69"));
  const std::string covered = Bytes("02 00 00 00 00 00 00 00  40 00 00 00 00 00 00 00");
  CHECK(wire::GetFixed<uint32_t>(record.data()) == Crc32c(covered + record.substr(4)));
  Record taken;
  const std::string longer = record + "more";
  REQUIRE(TakeRecord(longer, place, taken));
  CHECK(taken.data == "hi");
  CHECK(taken.type == RecordType::kConfChange);
  // A record counts in its place only.
  CHECK_FALSE(TakeRecord(record, {3, place.position}, taken));
  CHECK_FALSE(TakeRecord(record, {2, FilePosition(65)}, taken));
  CHECK_FALSE(TakeRecord(std::string_view(record).substr(0, record.size() - 1), place, taken));
}

TEST_CASE("raft store: names that are not ours are none") {
  CHECK(ParseSegmentName("log-00000000000000ab") == uint64_t{0xab});
  for (const char* name : {"log", "log-", "log-1", "log-00000000000000AB", "log-00000000000000abc",
                           "log-00000000000000ab.tmp"}) {
    CHECK_MESSAGE(!ParseSegmentName(name).has_value(), name);
  }
  for (const char* name : {"snapshot", "snapshot-", "snapshot-0000000000000010",
                           "snapshot-0000000000000010_0000000000000002",
                           "snapshot-0000000000000010-0000000000000002.tmp"}) {
    CHECK_MESSAGE(!ParseSnapshotName(name).has_value(), name);
  }
}

TEST_CASE("raft store: no bit of a record, a header or an identity can turn unnoticed") {
  std::string record;
  const RecordPlace place{1, FilePosition(64)};
  AppendRecord(record, place, {raft::Index(1), raft::Term(1), {}, FilePosition(64), {}, "data"});
  const std::string header = EncodeSegmentHeader({1, raft::Index(1), {}, {}, {}, {}, true});
  const std::string identity = EncodeIdentity({"cluster", raft::NodeId(1)});
  const auto each_bit = [](std::string bytes, auto check) {
    for (size_t i = 0; i < bytes.size() * 8; ++i) {
      bytes[i / 8] = static_cast<char>(bytes[i / 8] ^ (1 << i % 8));
      check(bytes);
      bytes[i / 8] = static_cast<char>(bytes[i / 8] ^ (1 << i % 8));
    }
  };
  each_bit(record, [&](const std::string& bytes) {
    Record taken;
    CHECK_FALSE(TakeRecord(bytes, place, taken));
  });
  each_bit(header, [](const std::string& bytes) {
    SegmentHeader read;
    CHECK(DecodeSegmentHeader(bytes, read) == Soundness::kDamaged);
  });
  each_bit(identity, [](const std::string& bytes) {
    MetaIdentity read;
    CHECK(DecodeIdentity(bytes, read) == Soundness::kDamaged);
  });
}

}  // namespace bascule::raft_store
