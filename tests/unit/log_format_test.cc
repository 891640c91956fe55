// The bytes of FORMAT.md, one by one: a change here is a change of the format. The checksums were
// computed bit by bit from the polynomial, outside this code.
#include <doctest/doctest.h>

#include "core/wire/coding.h"
#include "tests/unit/log_files.h"

namespace bascule::log {
namespace {

// "0a ff" as bytes; blanks do not count.
std::string FromHex(std::string_view hex) {
  std::string bytes, digits;
  for (const char c : hex) {
    if (c == ' ' || c == '\n') continue;
    digits.push_back(c);
    if (digits.size() == 2) {
      bytes.push_back(static_cast<char>(std::stoi(digits, nullptr, 16)));
      digits.clear();
    }
  }
  return bytes;
}

std::string ToHex(std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (const char c : bytes) {
    hex.push_back(kDigits[static_cast<unsigned char>(c) >> 4]);
    hex.push_back(kDigits[c & 15]);
  }
  return hex;
}

const SegmentHeader kHeader{StreamId(7), PartitionId(2), Offset(100)};
const std::string kHeaderBytes = FromHex(
    "42534353 01 000000 0700000000000000 02000000 00000000 6400000000000000"
    "00000000000000000000000000000000000000000000000000000000 01a875eb");

const IndexEntry kEntry{Offset(100), Timestamp(1000), FilePosition(64), LeaderEpoch(3)};
const std::string kEntryBytes = FromHex(
    "6400000000000000 e803000000000000 4000000000000000 0300000000000000 00000000 bcffa2f6");

SegmentFooter Footer() {
  SegmentFooter footer;
  footer.base_offset = Offset(100);
  footer.end_offset = Offset(102);
  footer.record_count = 2;
  footer.gap_records = 4;
  footer.messages_in_gaps = 5;
  footer.first_timestamp = Timestamp(1000);
  footer.max_timestamp = Timestamp(1001);
  footer.first_stored = Timestamp(2000);
  footer.last_stored = Timestamp(2001);
  footer.data_end = FilePosition(180);
  footer.data_crc = 0x01020304;
  footer.last_message_end = Offset(102);
  footer.compacted_through = Offset(101);
  footer.index_entries = 1;
  footer.epochs = {{LeaderEpoch(3), Offset(100)}};
  return footer;
}
const std::string kFooterBytes = FromHex(
    "42534346 02000000 6400000000000000 6600000000000000 0200000000000000"
    "0400000000000000 0500000000000000 e803000000000000 e903000000000000"
    "b400000000000000 6500000000000000 04030201 01000000 6600000000000000"
    "d007000000000000 d107000000000000"
    "0100000000000000 0300000000000000 6400000000000000"
    "db51f962 88000000 02000000 42534346");

// As the first version wrote it.
const std::string kFooterBytesV1 = FromHex(
    "42534346 01000000 6400000000000000 6600000000000000 0200000000000000"
    "0400000000000000 0500000000000000 e803000000000000 e903000000000000"
    "b400000000000000 6500000000000000 04030201 01000000 6600000000000000"
    "0100000000000000 0300000000000000 6400000000000000"
    "bd35a6f1 78000000 01000000 42534346");

// What stands before index and footer does not matter here.
std::string Data() { return std::string(180, 'd'); }

absl::StatusOr<SegmentFooter> ParseFile(std::string_view file) {
  size_t needed = 0;
  return ParseFooter(file, file.size(), needed);
}

TEST_CASE("the bytes of a segment header") {
  CHECK(ToHex(EncodeSegmentHeader(kHeader)) == ToHex(kHeaderBytes));
  const auto header = ParseSegmentHeader(kHeaderBytes);
  REQUIRE(header.ok());
  CHECK(header->stream == kHeader.stream);
  CHECK(header->partition == kHeader.partition);
  CHECK(header->base_offset == kHeader.base_offset);
}

TEST_CASE("a segment header cut anywhere or with any bit flipped is refused") {
  for (size_t size = 0; size < kHeaderBytes.size(); ++size)
    CHECK(absl::IsDataLoss(ParseSegmentHeader(kHeaderBytes.substr(0, size)).status()));
  for (size_t bit = 0; bit < kHeaderBytes.size() * 8; ++bit) {
    std::string bytes = kHeaderBytes;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    CHECK(absl::IsDataLoss(ParseSegmentHeader(bytes).status()));
  }
}

TEST_CASE("a segment of a newer version is told from a damaged one") {
  std::string bytes = kHeaderBytes;
  bytes[4] = 2;
  wire::PutFixed<uint32_t>(bytes.data() + 60, Crc32c(std::string_view(bytes).substr(0, 60)));
  const absl::Status status = ParseSegmentHeader(bytes).status();
  CHECK(absl::IsFailedPrecondition(status));
  CHECK(status.ToString().find("version 2") != std::string::npos);
}

TEST_CASE("the bytes of an index entry") {
  std::string bytes;
  AppendIndexEntry(bytes, kEntry);
  CHECK(ToHex(bytes) == ToHex(kEntryBytes));
  CHECK(*ParseIndexEntry(kEntryBytes) == kEntry);
  CHECK(*ParseIndexEntry(kEntryBytes + "more") == kEntry);
}

TEST_CASE("an index entry cut anywhere or with any bit flipped is refused") {
  for (size_t size = 0; size < kEntryBytes.size(); ++size)
    CHECK_FALSE(ParseIndexEntry(kEntryBytes.substr(0, size)));
  for (size_t bit = 0; bit < kEntryBytes.size() * 8; ++bit) {
    std::string bytes = kEntryBytes;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    CHECK_FALSE(ParseIndexEntry(bytes));
  }
  CHECK_FALSE(ParseIndexEntry(std::string(kIndexEntryBytes, '\0')));
}

TEST_CASE("the bytes of index, footer and tail") {
  CHECK(ToHex(EncodeSealing(Footer(), {kEntry})) == ToHex(kEntryBytes + kFooterBytes));
  const auto footer = ParseFile(Data() + kEntryBytes + kFooterBytes);
  REQUIRE(footer.ok());
  CHECK(ToHex(EncodeSealing(*footer, {kEntry})) == ToHex(kEntryBytes + kFooterBytes));
}

TEST_CASE("a footer of version 1 is read: it knows no stored times") {
  const auto footer = ParseFile(Data() + kEntryBytes + kFooterBytesV1);
  REQUIRE(footer.ok());
  SegmentFooter expected = Footer();
  expected.first_stored = expected.last_stored = Timestamp();
  CHECK(ToHex(EncodeSealing(*footer, {kEntry})) == ToHex(EncodeSealing(expected, {kEntry})));
  const size_t footer_at = Data().size() + kEntryBytes.size();
  const std::string file = Data() + kEntryBytes + kFooterBytesV1;
  for (size_t bit = footer_at * 8; bit < file.size() * 8; ++bit) {
    std::string bytes = file;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    CHECK_FALSE(ParseFile(bytes).ok());
  }
}

TEST_CASE("a footer says how many bytes it wants to see") {
  const std::string file = Data() + kEntryBytes + kFooterBytes;
  for (size_t shown = 0; shown <= file.size(); ++shown) {
    size_t needed = 0;
    const absl::Status status =
        ParseFooter(std::string_view(file).substr(file.size() - shown), file.size(), needed)
            .status();
    if (shown < kFooterTailBytes) {
      CHECK(absl::IsNotFound(status));
    } else if (shown < kFooterBytes.size()) {
      CHECK(absl::IsOutOfRange(status));
      CHECK(needed == kFooterBytes.size());
    } else {
      CHECK(status.ok());
    }
  }
}

TEST_CASE("a footer cut anywhere or with any bit flipped is refused, and so is a longer file") {
  const std::string file = Data() + kEntryBytes + kFooterBytes;
  for (size_t size = 0; size < file.size(); ++size)
    CHECK_FALSE(ParseFile(file.substr(0, size)).ok());
  const size_t footer_at = file.size() - kFooterBytes.size();
  for (size_t bit = footer_at * 8; bit < file.size() * 8; ++bit) {
    std::string bytes = file;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    INFO("byte ", bit / 8 - footer_at, " of the footer");
    CHECK_FALSE(ParseFile(bytes).ok());
  }
  CHECK_FALSE(ParseFile(file + std::string(1, '\0')).ok());
  CHECK_FALSE(ParseFile("x" + file).ok());
}

TEST_CASE("a footer whose numbers cannot be is refused although its checksum holds") {
  const auto file_with = [](const SegmentFooter& footer) {
    return Data() + kEntryBytes + EncodeSealing(footer, {kEntry}).substr(kIndexEntryBytes);
  };
  REQUIRE(ParseFile(file_with(Footer())).ok());
  SegmentFooter footer = Footer();
  footer.end_offset = Offset(99);
  CHECK(absl::IsDataLoss(ParseFile(file_with(footer)).status()));
  footer = Footer();
  footer.base_offset = Offset(-1);
  CHECK(absl::IsDataLoss(ParseFile(file_with(footer)).status()));
  footer = Footer();
  footer.data_end = FilePosition(0);
  CHECK(absl::IsDataLoss(ParseFile(file_with(footer)).status()));
  // A sum that comes out right only because it overflows.
  footer = Footer();
  std::string bytes = file_with(footer);
  const size_t at = bytes.size() - kFooterBytes.size();
  wire::PutFixed<uint32_t>(&bytes[at + 84], 0xffffffff);
  wire::PutFixed<uint64_t>(&bytes[at + 64], 220 - uint64_t{0xffffffff} * kIndexEntryBytes);
  wire::PutFixed<uint32_t>(&bytes[at + 136], Crc32c(std::string_view(bytes).substr(at, 136)));
  CHECK(absl::IsDataLoss(ParseFile(bytes).status()));
}

TEST_CASE("names of files") {
  CHECK(SegmentFileName(Offset(0)) == "00000000000000000000.log");
  CHECK(IndexFileName(Offset(1234567)) == "00000000000001234567.idx");
  const Offset last(int64_t{1} << 62);
  CHECK(SegmentFileName(last) == "04611686018427387904.log");
  CHECK(*ParseSegmentFileName("00000000000000000042.log") == Offset(42));
  CHECK(*ParseSegmentFileName(SegmentFileName(last)) == last);
  for (const char* name :
       {"", ".log", "42.log", "09223372036854775807.log", "00000000000000000042.idx",
        "00000000000000000042.log.tmp", "0000000000000000004x.log", "-0000000000000000042.log",
        "+0000000000000000042.log", "99999999999999999999.log", "000000000000000000042.log",
        " 0000000000000000042.log"}) {
    INFO(name);
    CHECK_FALSE(ParseSegmentFileName(name));
  }
}

}  // namespace
}  // namespace bascule::log
